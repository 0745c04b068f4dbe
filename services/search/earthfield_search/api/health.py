"""How the service is: alive, ready, and in numbers."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from earthfield.catalog import Catalog
from earthfield.errors import EarthfieldError, Unavailable
from earthfield_search.api.deps import Served
from earthfield_search.api.gate import needs
from earthfield_search.api.metrics import CONTENT_TYPE
from earthfield_search.cells.opening import open_index

router = APIRouter()


@router.get("/health")
def health() -> dict[str, Any]:
    """Tells that the service answers; asks for no key."""
    return {"status": "ok", "version": version("earthfield")}


@router.get("/ready")
def ready(catalog: Served) -> dict[str, Any]:
    """Tells whether it can answer questions: its folder can be read, and so can every index in it; asks for no key.

    Raises:
        Unavailable: one of them cannot.
    """
    try:
        next(catalog.folder.iterdir(), None)
        usage = shutil.disk_usage(catalog.folder)
        disk = {"free_gb": round(usage.free / 1e9, 2), "total_gb": round(usage.total / 1e9, 2)}
        return {"status": "ready", "indexes": len(rows_of(catalog)), "disk": disk}
    except (OSError, EarthfieldError) as error:
        raise Unavailable(f"the service is not ready ({type(error).__name__}): see its log") from error


@router.get("/metrics", dependencies=[needs("admin")], response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """Gives metrics as Prometheus reads them."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE)


def rows_of(catalog: Catalog) -> dict[str, int]:
    """Counts the cells of each model's index."""
    models = sorted(path.stem for path in catalog.index.glob("*.lance")) if catalog.index.is_dir() else []
    return {model: open_index(catalog, model).count() for model in models}
