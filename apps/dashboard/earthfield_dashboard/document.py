"""The HTML document of every page: Streamlit's own, told where its server is before its scripts look for it.

Without that, a page that is opened by its address first looks for the server below that address, and the console
shows what it does not find there.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from streamlit import file_util

from earthfield_dashboard.pages import PAGES

_ADDRESS = '<script>window.__streamlit = { BACKEND_BASE_URL: new URL(".", location.href).href }</script>'


_SHARED = "health"
"""The page whose address programs ask too; its route answers those, and browsers with `document`."""


def document_routes() -> list[Route]:
    """Gives the routes of the pages' documents, `/` among them."""
    first, *others = (one.path for one in PAGES)
    paths = ["", *(one for one in others if one != _SHARED)]
    return [*(Route(f"/{path}", _answer) for path in paths), Route(f"/{first}", _at_root)]


def is_browser(request: Request) -> bool:
    """Whether a page is asked for, and not what a program reads."""
    return "text/html" in request.headers.get("accept", "")


def document() -> Response:
    """Gives the document that every page begins with."""
    return HTMLResponse(_told(), headers={"Cache-Control": "no-cache", "Vary": "Accept"})


async def _answer(_: Request) -> Response:
    return document()


async def _at_root(request: Request) -> Response:
    """Streamlit knows its first page at the root only."""
    return RedirectResponse(f"./?{request.url.query}" if request.url.query else "./", 308)


@lru_cache(maxsize=1)
def _told() -> str:
    """Streamlit's document with the address of its server, and our name until a page gives its own."""
    html = Path(file_util.get_static_dir(), "index.html").read_text(encoding="utf-8")
    return html.replace("<title>Streamlit</title>", "<title>Earthfield</title>").replace(
        "<head>", f"<head>{_ADDRESS}", 1
    )
