"""Saved searches: kept, listed, asked again, removed; each key sees its own alone."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import shapely
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from earthfield_search.api.asked import FOUND, PlaceFound, SimilarRequest, told, wants_geoparquet
from earthfield_search.api.deps import Owner, Served
from earthfield_search.api.gate import needs
from earthfield_search.api.lanes import turn_in
from earthfield_search.asking.saved import (
    SavedSearch,
    forget_search,
    load_search,
    save_search,
    search_again,
    search_names,
)
from earthfield_search.files.geoparquet import MEDIA_TYPE, geoparquet_bytes
from earthfield_search.jobs.similar import find_similar

router = APIRouter()

SearchName = Annotated[str, Path(max_length=64, description="Name of a saved search.")]
_ASKING = [needs("ask"), turn_in("questions")]


class SearchTold(BaseModel):
    """A saved search."""

    name: str
    title: str = Field(description="What it looks for, in few words.")
    model: str
    period: str = Field(description="Valid period of the examples when it was asked last.")
    saved: str = Field(description="When it was kept, UTC.")
    asked: str = Field(description="When it was asked last, UTC.")
    found: int = Field(description="Places that it found last.")


class Searches(BaseModel):
    """The saved searches of a key."""

    searches: list[SearchTold]


class SearchKept(SearchTold):
    """A saved search with what it found last."""

    type: str
    question: dict[str, Any] = Field(description="The question.")
    features: list[PlaceFound]


@router.get("/searches", response_model=Searches)
def searches(catalog: Served, owner: Owner) -> dict[str, Any]:
    """Lists the saved searches of this key, by name."""
    found = [load_search(catalog, name, owner=owner) for name in search_names(catalog, owner=owner)]
    return {"searches": [_summary(one) for one in found]}


@router.get(
    "/searches/{name}",
    response_model=None,
    responses={200: {"model": SearchKept, "content": {MEDIA_TYPE: {}}}},
)
def search(request: Request, catalog: Served, owner: Owner, name: SearchName) -> Response:
    """Gives a saved search with what it found last, as GeoJSON, or as GeoParquet where that is accepted."""
    found = load_search(catalog, name, owner=owner)
    content = _summary(found) | {"question": found.question.content()}
    if wants_geoparquet(request, "geojson"):
        stored = geoparquet_bytes(found.hits.geometries, found.hits.columns, content)
        return Response(stored, media_type=MEDIA_TYPE)
    rows = found.hits.columns.to_pylist()
    features = [
        {"type": "Feature", "geometry": shapely.geometry.mapping(point), "properties": row}
        for point, row in zip(found.hits.geometries, rows, strict=True)
    ]
    return JSONResponse({"type": "FeatureCollection", **content, "features": features})


@router.put("/searches/{name}", response_model=None, responses=FOUND, dependencies=_ASKING)
def keep(
    request: Request, catalog: Served, owner: Owner, name: SearchName, asked: SimilarRequest
) -> Response:
    """Asks a question and keeps it under a name, in place of what had the name before."""
    catalog.searches(name, owner=owner)
    answer = find_similar(catalog, asked.question(), owner=owner)
    save_search(catalog, name, answer, owner=owner)
    return told(request, answer, asked.format, name=name)


@router.post("/searches/{name}/run", response_model=None, responses=FOUND, dependencies=_ASKING)
def run(request: Request, catalog: Served, owner: Owner, name: SearchName) -> Response:
    """Asks a saved question again, and keeps the new answer.

    `since` tells when it was asked before; `new` and `gone` name the cells that it did not find then, or not now.
    """
    again = search_again(catalog, name, owner=owner)
    since = {"name": name, "since": again.since, "new": again.new, "gone": again.gone}
    return told(request, again.answer, "geojson", **since)


@router.delete("/searches/{name}", status_code=204)
def forget(catalog: Served, owner: Owner, name: SearchName) -> None:
    """Removes a saved search."""
    forget_search(catalog, name, owner=owner)


def _summary(one: SavedSearch) -> dict[str, Any]:
    told = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
    kept = {name: told[name] for name in ("name", "title", "period", "saved", "asked")}
    return kept | {"model": one.question.model, "found": len(one.cells)}
