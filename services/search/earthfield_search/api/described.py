"""The OpenAPI description, put right where FastAPI says too little for generated clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

_REFUSAL = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
_FILE = {"type": "string", "format": "binary"}


def describe(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Gives what makes an application's description, to take the place of its `openapi`.

    Refusals are JSON on every route, whatever its answer is, and pictures and files are binary.
    """
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        found = plain()
        for methods in found["paths"].values():
            for about in methods.values():
                _put_right(about["responses"])
        return found

    return openapi


def _put_right(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if int(status) >= 400:
            response["content"] = _REFUSAL
            continue
        for media, content in response.get("content", {}).items():
            if not content.get("schema") and "json" not in media:
                content["schema"] = {"type": "string"} if media.startswith("text/") else _FILE
