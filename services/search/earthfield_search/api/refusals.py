"""Refusals in one form: `{"error": kind, "message": sentence}`, whoever refuses."""

from __future__ import annotations

import logging
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from earthfield.errors import EarthfieldError, InvalidInput, NotAllowed, NotFound, Unavailable

log = logging.getLogger(__name__)

_KINDS = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    408: Unavailable,
    429: Unavailable,
    503: Unavailable,
}


class Refusal(BaseModel):
    """Why there is no answer."""

    error: str = Field(
        description="InvalidInput, NotFound, NotAllowed, Conflict, Unavailable, BrokenArtefact, Internal."
    )
    message: str = Field(description="What happened, and what to do now.")


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": words}
    for status, words in (
        (401, "No key, or one that is not good."),
        (403, "The key is not meant for this."),
        (404, "What was asked for does not exist."),
        (409, "It contradicts what is there."),
        (413, "The request is too large."),
        (422, "The request is wrong."),
        (429, "Too many requests; `Retry-After` tells when to come again."),
        (500, "A file of this installation is broken, or a mistake of the service."),
        (503, "Busy, or not there now; `Retry-After` tells when to come again."),
        (504, "It took longer than this service allows."),
    )
}
"""What every route may answer besides its answer."""


def refusal(status: int, kind: str, message: str, **headers: str) -> JSONResponse:
    """Gives a refusal as an answer; names of headers have `_` for `-`."""
    # Half a surrogate pair, which JSON may carry, has no UTF-8.
    content = {"error": kind, "message": message.encode("utf-8", "replace").decode()}
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse(content, status_code=status, headers=shown)


def tell_refusals(app: FastAPI, *, hidden: Path | None) -> None:
    """Makes an application tell every error in this form.

    Args:
        app: the application.
        hidden: a folder whose address on this machine is left out of messages.
    """

    async def told(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, EarthfieldError)
        if error.http_status >= 500:
            log.error("%s %s: %s", request.method, request.url.path, error)
        headers = {"Retry_After": "5"} if isinstance(error, Unavailable) else {}
        words = str(error) if hidden is None else str(error).replace(str(hidden), "the root")
        return refusal(error.http_status, type(error).__name__, words, **headers)

    app.add_exception_handler(EarthfieldError, told)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _plain)


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])[:200] or "request"
    return refusal(422, InvalidInput.__name__, f"{where}: {first['msg'][:500]}")


async def _plain(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = _KINDS.get(error.status_code, InvalidInput if error.status_code < 500 else Unavailable)
    words = str(error.detail)
    if words == HTTPStatus(error.status_code).phrase:
        words = f"{words}: {request.method} {request.url.path[:200]}; GET /openapi.json tells what there is"
    answer = refusal(error.status_code, kind.__name__, words)
    answer.headers.update(error.headers or {})
    return answer
