"""Coming in and going out: a form for the password, the way by a provider, and the end of a login."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from earthfield_dashboard.login.form import form
from earthfield_dashboard.login.oidc import NotAdmitted, Way
from earthfield_dashboard.login.rules import Rules

log = logging.getLogger(__name__)

_FORM_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
}
_MOST_BYTES = 8192


def login_routes(rules: Rules) -> list[Route]:
    """Gives the routes of the login.

    Raises:
        InvalidInput: the way by a provider needs a package that is not there.
    """
    way = Way(rules.provider) if rules.provider else None

    def shown(request: Request, words: str = "", status: int = 200, **headers: str) -> Response:
        there = place_in(request.query_params.get("next", ""))
        content = form(
            there, words, with_password=bool(rules.password), provider=urlsplit(rules.provider.issuer).hostname
            if rules.provider else None,
        )  # fmt: skip
        return HTMLResponse(content, status, {**_FORM_HEADERS, **headers})

    async def login(request: Request) -> Response:
        there = place_in(request.query_params.get("next", ""))
        if rules.is_open or request.state.session is not None:
            return RedirectResponse(there, 303)
        if request.method in ("GET", "HEAD") or not rules.password:
            return shown(request)
        if not is_from_here(request):
            return shown(request, "This form was sent from another page. Please try again here.", 403)
        address = request.client.host if request.client else ""
        if wait_s := rules.attempts.wait_s(address):
            words = f"Too many attempts. Please try again in {_in_words(wait_s)}."
            return shown(request, words, 429, **{"Retry-After": str(int(wait_s) + 1)})
        if int(request.headers.get("content-length") or _MOST_BYTES + 1) > _MOST_BYTES:
            return shown(request, "That was too long for a password.", 413)
        given = (await request.form()).get("password")
        if not isinstance(given, str) or not rules.is_password(given):
            rules.attempts.failed(address)
            log.warning("a wrong password was given from %s", address)
            return shown(request, "That is not the password. Please try again.", 401)
        rules.attempts.succeeded(address)
        return _come_in(rules, there, "password")

    async def provider(request: Request) -> Response:
        if way is None:
            return shown(request, status=404)
        try:
            return await way.begin(request, place_in(request.query_params.get("next", "")))
        except NotAdmitted as error:
            return shown(request, str(error), 503)

    async def back(request: Request) -> Response:
        if way is None:
            return shown(request, status=404)
        try:
            who, there = await way.end(request)
        except NotAdmitted as error:
            log.warning("nobody came in by the provider: %s", error)
            return shown(request, str(error), 403)
        return _come_in(rules, place_in(there), who)

    async def logout(request: Request) -> Response:
        if request.state.session is not None:
            rules.sessions.end(request.state.session)
        answer = RedirectResponse("/" if rules.is_open else "/login", 303, {"Cache-Control": "no-store"})
        answer.delete_cookie(rules.cookie, path="/", secure=rules.is_encrypted, httponly=True, samesite="lax")
        return answer

    return [
        Route("/login", login, methods=["GET", "POST"]),
        Route("/login/provider", provider),
        Route("/login/back", back),
        Route("/logout", logout),
    ]


def place_in(text: str) -> str:
    """Gives a path of this dashboard; `/` for anything else, so that nobody is sent to another host."""
    parts = urlsplit(text)
    is_ours = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if is_ours and not parts.scheme and not parts.netloc else "/"


def is_from_here(request: Request) -> bool:
    """Tells whether a form came from a page of ours; a page elsewhere must not log anybody in."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _come_in(rules: Rules, there: str, who: str) -> Response:
    log.info("%s came in", who)
    answer = RedirectResponse(there, 303, {"Cache-Control": "no-store"})
    answer.set_cookie(
        rules.cookie, rules.sessions.begin(who), max_age=rules.sessions.seconds, path="/",
        secure=rules.is_encrypted, httponly=True, samesite="lax",
    )  # fmt: skip
    return answer


def _in_words(seconds: float) -> str:
    whole = int(seconds) + 1
    return f"{whole} seconds" if whole < 90 else f"{round(whole / 60)} minutes"
