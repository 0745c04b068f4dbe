"""The gate: who asks, how often, and for what; before a body is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from fastapi import Request, Security
from fastapi.params import Depends
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from starlette.types import ASGIApp, Receive, Scope, Send

from earthfield.errors import EarthfieldError, NotAllowed
from earthfield_search.api.keys import Caller, KeyRing
from earthfield_search.api.limits import Buckets, retry_after
from earthfield_search.api.refusals import refusal

OPEN = ("/health", "/ready", "/openapi.json")
"""Paths that need no key."""
_TILES = re.compile(r"/tiles/|/answers/[^/]+/[^/]+/tiles(/|$)")
_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="Authorization: Bearer KEY")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="header", description="X-API-Key: KEY")


class Gate:
    """Finds out who asks, and refuses who asks too often or without a good key."""

    def __init__(self, app: ASGIApp, *, keys: KeyRing | None, buckets: Buckets) -> None:
        """Args: what is guarded; the keys, None where none are asked for; how often each may ask."""
        self._app, self._keys, self._buckets = app, keys, buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        address = Caller(f"address {(scope.get('client') or ('unknown',))[0]}", scopes=())
        try:
            caller = self._caller(scope, address)
        except EarthfieldError as error:  # the file of keys is gone or broken: then no key is good
            await refusal(503, "Unavailable", f"the keys cannot be read: {type(error).__name__}")(
                scope, receive, send
            )
            return
        # Whoever tries keys is counted by address, so that guessing is slow.
        wait_s = self._buckets.wait_s((caller or address).id)
        if wait_s:
            words = f"too many requests: come again in {wait_s:.1f} s"
            await refusal(429, "Unavailable", words, Retry_After=retry_after(wait_s))(scope, receive, send)
            return
        if caller is None:
            words = "this service asks for a key: send `Authorization: Bearer KEY`, with a key that is good"
            answer = refusal(401, "NotAllowed", words, WWW_Authenticate='Bearer realm="earthfield"')
            await answer(scope, receive, send)
            return
        state["caller"] = caller
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope, address: Caller) -> Caller | None:
        if self._keys is None:
            return Caller(address.id)
        text = _key_in(scope)
        if text:
            return self._keys.caller(text)
        return address if scope["path"] in OPEN else None


def _key_in(scope: Scope) -> str:
    headers = dict(scope["headers"])
    kind, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if kind.lower() == "bearer" and text:
        return text.strip()
    if given := headers.get(b"x-api-key", b"").decode("latin-1"):
        return given.strip()
    # Web maps cannot send headers with their tiles.
    if scope["method"] == "GET" and _TILES.match(scope["path"]):
        return parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
    return ""


def _check(request: Request, needed: Iterable[str]) -> None:
    caller = request.scope.get("state", {}).get("caller")
    have = caller.scopes if caller else ()
    if missing := sorted(set(needed) - set(have)):
        raise NotAllowed(
            f"this key is for {', '.join(have) or 'nothing'}, this needs {', '.join(missing)}: ask for another"
        )


def _allowed(
    request: Request, scopes: SecurityScopes, _b: Any = Security(_bearer), _h: Any = Security(_header)
) -> None:
    # Changing what is kept needs more than looking at it.
    is_change = request.method in ("PUT", "PATCH", "DELETE")
    _check(request, {"write", *scopes.scopes} - {"read"} if is_change else scopes.scopes)


def needs(scope: str) -> Depends:
    """Gives what routes depend on, so that only keys with a scope may ask them; PUT and DELETE need `write` too."""
    return Security(_allowed, scopes=[scope])
