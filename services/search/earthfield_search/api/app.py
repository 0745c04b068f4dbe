"""The application: routes put together, and errors turned into answers in one place."""

from __future__ import annotations

import logging
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from earthfield.catalog import Catalog
from earthfield.errors import EarthfieldError
from earthfield_search.api import areas, embeddings, pictures, similarity
from earthfield_search.api.pictures import Painter

log = logging.getLogger(__name__)


def create_app(root: Path, *, catalog_href: str = "") -> FastAPI:
    """Gives the search service over one root.

    Args:
        root: folder that holds every artefact.
        catalog_href: STAC catalogue that this installation offers first; its extent is told at /catalog.
    """
    # Swagger's own pages load scripts from a CDN, so only the description itself is served.
    app = FastAPI(title="Earthfield search", docs_url=None, redoc_url=None)
    app.state.catalog = Catalog(root)
    app.state.catalog_href = catalog_href
    app.state.painter = Painter(app.state.catalog)
    app.add_exception_handler(EarthfieldError, _told)
    app.add_exception_handler(RequestValidationError, _malformed)
    for router in (areas.router, pictures.router, similarity.router, embeddings.router):
        app.include_router(router)
    return app


async def _told(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EarthfieldError)
    if error.http_status >= 500:
        log.error("%s %s: %s", request.method, request.url.path, error)
    content = {"error": type(error).__name__, "message": str(error)}
    return JSONResponse(content, status_code=error.http_status)


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "request"
    return JSONResponse({"error": "InvalidInput", "message": f"{where}: {first['msg']}"}, status_code=422)
