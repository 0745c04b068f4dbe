"""Progress of runs: bars for whoever waits at a terminal, progress artefacts for whoever watches from afar."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from earthfield.progress import Progress, silent
from earthfield_flows.engine import is_private

log = logging.getLogger(__name__)

_TOLD: ContextVar[Progress | None] = ContextVar("progress", default=None)
_EVERY_S = 2.0
"""Seconds between two messages about one loop; loops that are done sooner are not told of at all."""


@contextmanager
def telling(progress: Progress) -> Iterator[None]:
    """Has flows that run in this process tell how far they are."""
    token = _TOLD.set(progress)
    try:
        yield
    finally:
        _TOLD.reset(token)


def told() -> Progress | None:
    """Gives what the caller of a flow in this process wants to be told by, None where it said nothing."""
    return _TOLD.get()


def teller(progress: Progress | None) -> Progress:
    """Gives what a task tells its job: the caller's, artefacts where a server keeps the run, else silence."""
    if progress is not None:
        return progress
    return silent if is_private() else ProgressArtefacts()


@dataclass
class _Loop:
    """A loop that is told of."""

    told: float
    """When it was last told of, seconds of the clock that never turns back."""
    id: Any = None
    """Its artefact, once it has one."""


class ProgressArtefacts:
    """Tells of loops by progress artefacts of the task that runs; what cannot be told is let go."""

    def __init__(self) -> None:
        """Knows of no loop yet."""
        self._loops: dict[str, _Loop] = {}

    def __call__(self, task: str, done: int, total: int) -> None:
        """Args: what is being done; units done so far; units in all."""
        now = time.monotonic()
        loop = self._loops.setdefault(task, _Loop(now))
        is_over = done >= total
        if is_over:
            del self._loops[task]
        if now - loop.told >= _EVERY_S or (is_over and loop.id is not None):
            loop.told = now
            self._tell(loop, task, done, total)

    def _tell(self, loop: _Loop, task: str, done: int, total: int) -> None:
        import httpx
        from prefect.artifacts import create_progress_artifact, update_progress_artifact
        from prefect.exceptions import PrefectException

        share, words = 100 * done / max(total, 1), f"{task}: {done} of {total}"
        try:
            if loop.id is None:
                loop.id = create_progress_artifact(share, description=words)
            else:
                update_progress_artifact(loop.id, share, description=words)
        except (PrefectException, httpx.HTTPError) as error:
            log.warning("the progress of %s was not kept (%s); the run goes on", task, error)
