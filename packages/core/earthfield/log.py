"""Logging: set up once, at the edge; as lines for people, or as JSON that carries run and tile."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from earthfield.errors import InvalidInput

VARIABLE = "EARTHFIELD_LOG"
"""`text` (the default) or `json`."""
_RUN = "PREFECT__FLOW_RUN_ID"
_ABOUT: ContextVar[Mapping[str, str] | None] = ContextVar("about", default=None)
_OF_PREFECT = {
    "flow_name": "flow", "flow_run_id": "run", "flow_run_name": "run_name", "task_run_id": "task_run",
    "task_run_name": "task",
}  # fmt: skip
"""What Prefect adds to records, and how we call it."""


def set_up(*, verbose: bool = False) -> None:
    """Sends our log to stderr: warnings, or everything with `verbose`; other libraries only from warnings up.

    Raises:
        InvalidInput: EARTHFIELD_LOG says neither text nor json.
    """
    handler = logging.StreamHandler(sys.stderr)
    lines = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonLines() if is_json() else lines)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in ("core", "ingest", "train", "infer", "search", "flows", "model", "analysis", "dashboard"):
        name = "earthfield" if package == "core" else f"earthfield_{package}"
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)


def is_json() -> bool:
    """Tells whether the environment asks for JSON; errors as in `set_up`."""
    wanted = os.environ.get(VARIABLE) or "text"
    if wanted not in ("text", "json"):
        raise InvalidInput(f"{VARIABLE} is {wanted!r}: set it to text or json")
    return wanted == "json"


@contextmanager
def about(**ids: str | None) -> Iterator[None]:
    """Has every line that is logged inside the block carry ids: `run`, `flow`, `task`, `tile`, `request`."""
    token = _ABOUT.set({**(_ABOUT.get() or {}), **{name: value for name, value in ids.items() if value}})
    try:
        yield
    finally:
        _ABOUT.reset(token)


class JsonLines(logging.Formatter):
    """A line of JSON for each record: time, level, logger, message, and whatever it is about."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Takes no notice of what a configuration file asks of other formatters."""
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        """Gives the line."""
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_ids_of(record),
        }
        if record.exc_info:
            content["error"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False, default=str)


def _ids_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a record is about: what it says itself counts more than the block around it, and that than the run."""
    run = {"run": os.environ[_RUN]} if _RUN in os.environ else {}
    told = {name: getattr(record, key) for key, name in _OF_PREFECT.items() if getattr(record, key, None)}
    own = getattr(record, "about", None)
    return {**run, **(_ABOUT.get() or {}), **told, **(own if isinstance(own, dict) else {}), **_trace()}


def _trace() -> dict[str, str]:
    # Whoever never asked for traces has not imported this either.
    traces = sys.modules.get("earthfield.traces")
    return {"trace": found} if traces is not None and (found := traces.trace_id()) else {}
