"""The gate in front of pages, tiles, uploads and the websocket: nothing passes it without a login that holds."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earthfield_dashboard.login.rules import Rules
from earthfield_dashboard.login.sessions import Session

OPEN = ("/_stcore/health", "/login", "/login/provider", "/login/back", "/logout")
"""Paths that need no login: is it alive, and how to come in."""
HEALTH = "/health"
"""Open to programs; what a browser opens there is a page."""
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_LOGGED_OUT = 4401
"""Why a websocket is closed."""


class Gate:
    """Lets those in who logged in, everybody where no login is asked for; the outermost layer."""

    def __init__(self, app: ASGIApp, *, rules: Rules) -> None:
        """Args: what is guarded; who may come in."""
        self._app: ASGIApp = app
        self._rules = rules
        if rules.hosts:
            self._app = TrustedHostMiddleware(app, allowed_hosts=list(rules.hosts), www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request or a websocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        session = session_of(scope, self._rules)
        scope.setdefault("state", {})["session"] = session
        is_in = self._rules.is_open or session is not None
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, session if is_in else None, is_in=is_in)
        elif is_in or scope["path"] in OPEN or (scope["path"] == HEALTH and not wants_page(scope)):
            await self._app(scope, receive, _with_headers(send, self._rules))
        else:
            await _refusal(scope)(scope, receive, _with_headers(send, self._rules))

    async def _socket(
        self, scope: Scope, receive: Receive, send: Send, session: Session | None, *, is_in: bool
    ) -> None:
        if not is_in:
            await receive()  # the wish to connect
            await send({"type": "websocket.close", "code": _LOGGED_OUT})
            return

        async def heard() -> Message:
            message = await receive()
            # A page that was left open must not act on when its login is over.
            if session is not None and not self._rules.sessions.holds(session):
                await send({"type": "websocket.close", "code": _LOGGED_OUT})
                return {"type": "websocket.disconnect", "code": _LOGGED_OUT}
            return message

        await self._app(scope, receive if session is None else heard, send)


def session_of(scope: Scope, rules: Rules) -> Session | None:
    """Gives the login that a request carries, None where it carries none that holds."""
    found: SimpleCookie = SimpleCookie()
    try:
        found.load(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return None
    kept = found.get(rules.cookie)
    return rules.sessions.read(kept.value) if kept is not None else None


def wants_page(scope: Scope) -> bool:
    """Tells whether a browser opens a page, rather than a script or a program asking for something."""
    return scope.get("method") in ("GET", "HEAD") and "text/html" in Headers(scope=scope).get("accept", "")


def _refusal(scope: Scope) -> Response:
    if not wants_page(scope):
        words = "log in first: open the dashboard in a browser"
        return JSONResponse({"error": "NotAllowed", "message": words}, 401, {"Cache-Control": "no-store"})
    query = scope["query_string"].decode("latin-1")
    there = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"/login?next={quote(there)}", 303, {"Cache-Control": "no-store"})


def _with_headers(send: Send, rules: Rules) -> Send:
    more: Mapping[str, str] = {"Strict-Transport-Security": "max-age=31536000"} if rules.is_encrypted else {}

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in {**_SAFE, **more}.items():
                headers.setdefault(name, value)
        await send(message)

    return told
