"""The application: routes put together, with one gate, one set of limits and one form of refusal around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.params import Depends
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from earthfield.catalog import Catalog
from earthfield.field import keep_blocks
from earthfield_search.api import (
    answer_tiles,
    answers,
    areas,
    change,
    cluster,
    embeddings,
    health,
    labels,
    learn,
    likeness,
    pictures,
    reports,
    schedules,
    searches,
    similarity,
    temporal,
    tiles,
)
from earthfield_search.api.answer_rasters import AnswerTiles
from earthfield_search.api.described import describe
from earthfield_search.api.easel import Easel
from earthfield_search.api.gate import Gate, needs
from earthfield_search.api.keys import KeyRing
from earthfield_search.api.lanes import lanes_for, turn_in
from earthfield_search.api.limits import Buckets, Limits, SizeLimit, TimeLimit
from earthfield_search.api.metrics import Metrics, Watched
from earthfield_search.api.pictures import Painter
from earthfield_search.api.refusals import REFUSALS, tell_refusals
from earthfield_search.api.shelf import Shelf


@dataclass(frozen=True)
class Service:
    """How a service treats those who ask."""

    keys: KeyRing | None = None
    """The keys it asks for; None serves whoever reaches it."""
    limits: Limits = field(default_factory=Limits)
    """What it allows."""
    origins: Sequence[str] = ()
    """Origins whose web pages may ask it."""
    hosts: Sequence[str] = ()
    """Names under which it may be addressed; any where empty."""


def create_app(root: Path, *, catalog_href: str = "", service: Service = Service()) -> FastAPI:
    """Gives the search service over one root.

    Args:
        root: folder that holds every artefact.
        catalog_href: STAC catalogue that this installation offers first; its extent is told at /catalog.
        service: how it treats those who ask.
    """
    # Swagger's own pages load scripts from a CDN, so only the description itself is served.
    app = FastAPI(
        title="Earthfield search",
        description=_ABOUT,
        version=version("earthfield"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    keep_blocks(service.limits.cache_bytes)
    app.state.catalog = Catalog(root)
    app.state.catalog_href = catalog_href
    app.state.painter = Painter(app.state.catalog)
    app.state.shelf = Shelf(app.state.catalog)
    app.state.easel = Easel(app.state.catalog, app.state.shelf)
    app.state.answer_tiles = AnswerTiles()
    app.state.limits = service.limits
    app.state.lanes = lanes_for(service.limits)
    app.state.metrics = Metrics()
    tell_refusals(app, hidden=root if service.keys else None)
    for heading, router, dependencies in _routers():
        app.include_router(router, dependencies=dependencies, responses=REFUSALS, tags=[heading])
    app.openapi = describe(app)  # type: ignore[method-assign]
    _surround(app, service)
    return app


def _routers() -> list[tuple[str, APIRouter, list[Depends]]]:
    """Every router with its heading in the description, and what its routes depend on."""
    look, ask = needs("read"), needs("ask")
    quick, long = turn_in("questions"), turn_in("jobs")
    return [
        ("service", health.router, []),
        ("what is there", areas.router, [look]),
        ("what is there", reports.router, [look, turn_in("questions")]),
        ("pictures", pictures.router, [look, turn_in("pictures")]),
        ("pictures", tiles.router, [look, turn_in("pictures")]),
        ("pictures", answer_tiles.router, [look, turn_in("pictures")]),
        ("vectors", embeddings.router, [look]),
        ("questions", similarity.router, [ask, quick]),
        ("questions", likeness.router, [ask, long]),
        ("questions", learn.router, [ask, long]),
        ("questions", cluster.router, [ask, long]),
        ("questions", change.router, [ask, long]),
        ("questions", temporal.router, [ask, quick]),
        ("what is kept", answers.router, [look]),
        ("what is kept", labels.router, [look]),
        ("what is kept", searches.router, [look]),
        ("what is kept", schedules.router, [look]),
    ]


def _surround(app: FastAPI, service: Service) -> None:
    """Lays the layers around the routes; the first is the innermost."""
    limits: Limits = service.limits
    app.add_middleware(SizeLimit, most=limits.body_bytes)
    unheard: set[object] = set()
    app.add_middleware(TimeLimit, seconds=limits.seconds, unheard=unheard)
    app.add_middleware(Gate, keys=service.keys, buckets=Buckets(limits.rate))
    if service.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type", "X-Request-Id"],
            expose_headers=["X-Request-Id", "X-Score-Low", "X-Score-High", "Retry-After", "ETag"],
        )
    if service.hosts:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(service.hosts), www_redirect=False)
    metrics: Metrics = app.state.metrics
    metrics.watch(list(app.state.lanes.values()), lambda: len(unheard))
    metrics.count_rows(lambda: health.rows_of(app.state.catalog))
    app.add_middleware(Watched, metrics=metrics)


_NAMES = {
    "scenes": "catalog", "bounds": "picture_bounds", "similarity_map": "similarity_picture",
    "likeness": "similarity_map", "labels_list": "labels", "labels_read": "label_set", "labels_keep": "save_labels",
    "labels_remove": "remove_labels", "keep": "save_search", "run": "run_search", "forget": "remove_search",
}  # fmt: skip
"""Names of operations in generated clients where those of their functions would say too little; as in `Client`."""


def _operation_id(route: APIRoute) -> str:
    return _NAMES.get(route.name, route.name)


_ABOUT = """Asks embedding fields: what is there, what looks alike, what belongs together, what changed.

Positions are longitude and latitude in degrees, areas GeoJSON, WKT or a box, periods `2018`, `2018-03`,
`2018-03..2018-09` or an id `20180101_20190101`. Every refusal is `{"error": kind, "message": sentence}`.
"""
