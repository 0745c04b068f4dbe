"""Journal: what every step of a run measured, as JSON lines and as TensorBoard event files."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from earthfield.storage import make_folder, whole_file, writing

logger = logging.getLogger(__name__)

Row = dict[str, float]
"""Figures of one step by name; losses, `l1/<source>`, `ce/<source>`, `health/<figure>`, rate, gradient, speed."""


class Watch(Protocol):
    """Told after every step."""

    def __call__(self, step: int, row: Row) -> None:
        """Args: steps done; figures of the last one."""
        ...


def unwatched(step: int, row: Row) -> None:
    """Tells nobody."""


class Journal:
    """Writes rows; those of steps that are done again after a resume are taken back first."""

    def __init__(self, log: Path, *, events: Path | None) -> None:
        """Args: the JSON lines; the folder of event files, or None for none."""
        self._log, self._events = log, events
        self._lines: Any = None
        self._writer: Any = None

    @contextmanager
    def open(self, step: int) -> Iterator[None]:
        """Opens both for a run that goes on at a step."""
        cut_log(self._log, step)
        self._writer = _event_writer(self._events, step) if self._events is not None else None
        with writing(self._log), self._log.open("a") as self._lines:
            try:
                yield
            finally:
                if self._writer is not None:
                    self._writer.close()

    def write(self, row: Row) -> None:
        """Adds a row, at once readable by others."""
        self._lines.write(json.dumps(row) + "\n")
        self._lines.flush()
        if self._writer is not None:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, int(row["step"]))


def read_log(log: Path) -> list[Row]:
    """Gives the figures of every step that was logged whole."""
    if not log.is_file():
        return []
    rows = []
    for line in log.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            # A killed run may leave half a line; that step is done again.
            break
    return rows


def cut_log(log: Path, step: int) -> None:
    """Takes back the rows of a step and all after it."""
    kept = [row for row in read_log(log) if row["step"] < step]
    make_folder(log.parent)
    with whole_file(log) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))


def _event_writer(folder: Path, step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        logger.warning("no TensorBoard files: pip install 'earthfield[train]' brings tensorboardX")
        return None
    if step == 0:
        # Another run of this name: its curves would be drawn into the new ones.
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
    with writing(folder):
        # TensorBoard hides what an earlier run wrote from this step on.
        return SummaryWriter(str(make_folder(folder)), purge_step=step, flush_secs=30)
