"""Runs the search service: `python -m earthfield_search.api.server`, set by `EARTHFIELD_*`."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

import uvicorn

from earthfield import traces
from earthfield.errors import InvalidInput
from earthfield.hosts import HERE, is_loopback
from earthfield.log import is_json
from earthfield.settings import Settings
from earthfield_search.api.app import Service, create_app
from earthfield_search.api.keys import KeyRing
from earthfield_search.api.limits import Limits
from earthfield_search.api.metrics import ACCESS_LOG
from earthfield_search.api.warming import warm_up


def serve(settings: Settings, *, host: str | None = None, port: int | None = None) -> None:
    """Serves until it is ended; where, unless told, is the address that others look for it at.

    Raises:
        InvalidInput: it would be open to other machines, and nobody said that it may.
        NotFound: the file of keys is absent.
        BrokenArtefact: the file of keys cannot be read.
    """
    traces.name_service("earthfield-search")
    address = urlsplit(settings.search_url)
    at = host or address.hostname or "127.0.0.1"
    app = create_app(
        settings.folder.absolute(), catalog_href=settings.catalog, service=service_of(settings, at)
    )
    warm_up(app.state.catalog, app.state.easel)
    logging.getLogger(ACCESS_LOG).setLevel(logging.INFO)  # a line for each request, whatever else is quiet
    uvicorn.run(
        app,
        # As JSON, its own lines go where all others do.
        log_config=None if is_json() else uvicorn.config.LOGGING_CONFIG,
        host=at,
        port=port or address.port or 8801,
        log_level="info",
        access_log=False,  # the service writes its own, without keys that stand in addresses
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def service_of(settings: Settings, host: str) -> Service:
    """Gives how a service at a host treats those who ask; errors as in `serve`."""
    keys = KeyRing(settings.api_keys) if settings.api_keys else None
    is_here = is_loopback(host)
    if keys is None and not is_here and not settings.api_open:
        raise InvalidInput(
            f"at {host} other machines could reach this service, and it asks for no keys: give --keys FILE "
            "(`earthfield keys add` makes one), or --open if everybody who reaches it may use it"
        )
    # A web page must not reach a service of this machine under a name of its own (DNS rebinding).
    hosts = (*HERE, host) if keys is None and is_here and not settings.api_open else ()
    origins = tuple(one.strip() for one in settings.api_cors.split(",") if one.strip())
    return Service(keys, Limits.of(settings), origins, hosts)


if __name__ == "__main__":
    import sys

    from earthfield.cli import exit_code_of
    from earthfield.log import set_up

    def main() -> None:
        set_up(verbose=True)
        serve(Settings())

    sys.exit(exit_code_of(main))
