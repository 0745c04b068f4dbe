"""`earthfield serve search`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from earthfield.terminal import RootOption, root_or_default


def serve(
    host: Annotated[
        str | None,
        typer.Option("--host", help="Address to listen on; that of EARTHFIELD_SEARCH_URL when absent."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port to listen on; 8801 when absent.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys", help="File of the keys to ask for, made by `earthfield keys add` [EARTHFIELD_API_KEYS]."
        ),
    ] = None,
    is_open: Annotated[
        bool, typer.Option("--open", help="Serve other machines without keys: everybody who reaches it.")
    ] = False,
    cors: Annotated[
        str | None,
        typer.Option(
            "--cors", help="Origins whose web pages may ask, with commas; * for any [EARTHFIELD_API_CORS]."
        ),
    ] = None,
    spec: Annotated[
        bool, typer.Option("--spec", help="Print the OpenAPI description of the service and end.")
    ] = False,
    root: RootOption = None,
) -> None:
    """Serve fields, questions, pictures and tiles over HTTP until stopped.

    Without keys it serves this machine alone.

    \b
      earthfield serve search
      earthfield serve search --host 0.0.0.0 --keys keys.json
    """
    from earthfield.settings import Settings

    given: dict[str, Any] = {"root": root_or_default(root)}
    given |= {"api_keys": keys} if keys else {}
    given |= {"api_open": True} if is_open else {}
    given |= {"api_cors": cors} if cors is not None else {}
    settings = Settings(**given)
    if spec:
        from earthfield_search.api.app import create_app

        described = create_app(settings.folder).openapi()
        sys.stdout.write(json.dumps(described, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        return
    from earthfield_search.api.server import serve as serve_search

    serve_search(settings, host=host, port=port)
