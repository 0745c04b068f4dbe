"""Messages by webhook: a run failed, or a schedule found something new."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from earthfield.errors import EarthfieldError, InvalidInput

log = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
_OWN_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST = 2000
"""Characters of a message: whoever listens has limits of their own."""


def checked_webhook(address: str) -> str:
    """Gives the address of a webhook back if messages may go there.

    Raises:
        InvalidInput: it is neither https nor http on this machine. The address itself is not told: it often holds
            a secret.
    """
    parts = urlsplit(address)
    if (parts.scheme == "https" and parts.hostname) or (
        parts.scheme == "http" and parts.hostname in _OWN_HOSTS
    ):
        return address
    raise InvalidInput("EARTHFIELD_WEBHOOK must be an https:// address, or http:// on localhost")


def notify(event: str, text: str, content: Mapping[str, Any] | None = None) -> bool:
    """Tells the webhook of EARTHFIELD_WEBHOOK, where one is set; it never fails the run.

    It is sent `{"event", "text", "at", ...content}` as JSON.

    Args:
        event: `failed` or `new`.
        text: one sentence for a person.
        content: what a program may want to know beside it.

    Returns:
        Whether it was told.
    """
    import httpx

    from earthfield.settings import Settings

    address = Settings().webhook
    if not address:
        return False
    told = {
        "event": event,
        "text": text[:_LONGEST],
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        **(content or {}),
    }
    host = ""
    try:
        host = urlsplit(checked_webhook(address)).hostname or ""
        with _unlogged():
            httpx.post(address, json=told, timeout=_TIMEOUT_S, follow_redirects=False).raise_for_status()
    except InvalidInput as error:
        log.warning("nobody was told that a run %s: %s", event, error)
        return False
    except httpx.HTTPStatusError as error:
        log.warning("the webhook at %s answered %d; the run goes on", host, error.response.status_code)
        return False
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        log.warning("the webhook at %s cannot be reached (%s); the run goes on", host, type(error).__name__)
        return False
    return True


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keeps httpx from logging the address that it calls."""
    logger = logging.getLogger("httpx")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def tell_failed(flow: Any, flow_run: Any, state: Any) -> None:
    """Tells of a run that failed or crashed; a hook of every flow."""
    error = state.result(raise_on_failure=False) if state.is_failed() else None
    kind = type(error).__name__ if isinstance(error, EarthfieldError) else state.name
    why = str(error) if isinstance(error, EarthfieldError) else (state.message or state.name)
    parameters = flow_run.parameters if isinstance(flow_run.parameters, Mapping) else {}
    request = parameters.get("request") or {}
    about = {"flow": flow.name, "run": flow_run.name, "run_id": str(flow_run.id), "kind": kind}
    named = {"schedule": request["name"]} if flow.name == "refresh" and request.get("name") else {}
    notify("failed", f"{flow.name} {flow_run.name} failed: {why}", {**about, **named})
