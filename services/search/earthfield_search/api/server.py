"""Runs the search service: `python -m earthfield_search.api.server`, set by `EARTHFIELD_*`."""

from __future__ import annotations

from urllib.parse import urlsplit

import uvicorn

from earthfield.settings import Settings
from earthfield_search.api.app import create_app


def serve(settings: Settings, *, host: str | None = None, port: int | None = None) -> None:
    """Serves until it is ended; where, unless told, is the address that others look for it at."""
    address = urlsplit(settings.search_url)
    app = create_app(settings.folder.absolute(), catalog_href=settings.catalog)
    uvicorn.run(
        app,
        host=host or address.hostname or "127.0.0.1",
        port=port or address.port or 8801,
        log_level="info",
    )


if __name__ == "__main__":
    serve(Settings())
