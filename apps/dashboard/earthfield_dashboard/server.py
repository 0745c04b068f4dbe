"""The dashboard's web server: Streamlit's pages behind the login, beside them tiles, pictures and the health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from threading import Thread

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from streamlit.starlette import App

from earthfield.client import Client
from earthfield.health import Health, check_health
from earthfield.settings import Settings
from earthfield_dashboard.document import document, document_routes, is_browser
from earthfield_dashboard.login import Gate, Rules, login_routes, rules_of
from earthfield_dashboard.thumbnails import thumbnail_route

_PASSED_ON = ("content-type", "etag", "cache-control")
_HEAVY = ("pandas", "folium.plugins", "altair")
"""The pages themselves, and components of Streamlit, would be unknown to it when imported before it runs."""
_KEPT_S = 5.0
"""How long an answer about the health is given again: whoever asks often must not keep the parts busy."""


def app() -> App:
    """Gives the ASGI application.

    Raises:
        InvalidInput: other machines could reach it and no login is asked for, or the login is set up wrongly.
    """
    settings = Settings()
    rules = rules_of(settings)
    client = Client(settings.search_url, settings.search_key, timeout_s=60.0)
    routes = [
        *document_routes(),
        *tile_routes(settings),
        thumbnail_route(client),
        health_route(settings, rules),
        *login_routes(rules),
    ]
    middleware = [Middleware(Gate, rules=rules)]
    return App(Path(__file__).with_name("app.py"), lifespan=_started, routes=routes, middleware=middleware)


@asynccontextmanager
async def _started(_: App) -> AsyncIterator[None]:
    """Begins to import what the pages take seconds to import, so that whoever comes first need not wait for it."""
    Thread(target=lambda: [import_module(name) for name in _HEAVY], name="importing", daemon=True).start()
    yield


def tile_routes(settings: Settings) -> list[Route]:
    """Gives routes that hand tiles on: a browser needs neither the search service's address nor its key."""
    headers = {"Authorization": f"Bearer {settings.search_key}"} if settings.search_key else {}
    client = httpx.AsyncClient(base_url=settings.search_url, headers=headers, timeout=60.0, trust_env=False)

    async def tile(request: Request) -> Response:
        asked = {"If-None-Match": seen} if (seen := request.headers.get("if-none-match")) else {}
        path = request.url.path.removeprefix("/service")
        try:
            found = await client.get(path, params=request.query_params, headers=asked)
        except httpx.HTTPError:
            return JSONResponse({"message": "the search service does not answer"}, 503)
        kept = {name: found.headers[name] for name in _PASSED_ON if name in found.headers}
        return Response(found.content, found.status_code, kept)

    return [
        Route("/service/tiles/{model}/{period}/{z:int}/{x:int}/{y:int}.png", tile),
        Route("/service/answers/{answer}/{name}/tiles/{z:int}/{x:int}/{y:int}.png", tile),
    ]


def health_route(settings: Settings, rules: Rules) -> Route:
    """Gives the route that tells how every part is: 200 where all are well, else 503.

    Whoever is not logged in is told no more than that: addresses and folders are nobody else's business.
    """
    lock = asyncio.Lock()
    kept: list[tuple[float, Health]] = []

    async def health(request: Request) -> Response:
        if is_browser(request):
            return document()  # the page of that name
        async with lock:
            if not kept or time.monotonic() - kept[0][0] > _KEPT_S:
                found = await run_in_threadpool(check_health, settings, dashboard=False)
                kept[:] = [(time.monotonic(), found)]
        told = kept[0][1]
        is_whole = rules.is_open or request.state.session is not None
        return JSONResponse(
            told.as_json(whole=is_whole), 200 if told.is_well else 503, {"Cache-Control": "no-store"}
        )

    return Route("/health", health)
