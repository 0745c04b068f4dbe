"""How the stack of a root is: which parts are there and answer, and what to do where one does not."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from earthfield_flows.parts import POLLED_S, Part, is_polled, parts_of
from earthfield_flows.processes import Running, left_by, recorded
from earthfield_flows.stack import kept

State = Literal["answers", "does not answer", "ended", "not started"]


@dataclass(frozen=True)
class PartStatus:
    """How one part is."""

    name: str
    """What it is: `search`."""
    state: State
    """Whether it is there and answers. The flows answer when they asked for work within a minute."""
    address: str
    """Where it answers."""
    pid: int | None
    """Id of its process, None where there is none."""
    seconds: float
    """How long it has been running."""
    memory_mb: float
    """Memory of it and what it has started, megabytes."""
    log: str
    """File with everything it says."""


@dataclass(frozen=True)
class Status:
    """How a stack is."""

    root: str
    """Its root."""
    dashboard: str
    """Address of the pages, empty where no stack was started."""
    parts: tuple[PartStatus, ...]
    """Its parts, those first that others need."""
    encoder: str
    """Where runs encode: an address, or `in the process of each run`."""
    advice: str
    """What to do now, one sentence."""

    @property
    def is_well(self) -> bool:
        """Whether every part answers."""
        return bool(self.parts) and all(one.state == "answers" for one in self.parts)


def status_of(root: Path) -> Status:
    """Looks at every part of the stack of a root; starts and changes nothing."""
    folder = root.absolute()
    wanted = kept(folder)
    records = {one.name: one for one in recorded(folder / "run")}
    if wanted is None or not records:
        return Status(
            str(folder), "", (), "", f"Nothing is running under {folder}: `earthfield up` starts everything."
        )
    parts = parts_of(wanted)
    told = tuple(_look(part, records.get(part.name)) for part in parts)
    dashboard = next(one.address for one in parts if one.name == "dashboard")
    encoder = next((one.address for one in parts if one.name == "encoder"), "in the process of each run")
    return Status(str(folder), dashboard, told, encoder, _advice(told, dashboard))


def _look(part: Part, running: Running | None) -> PartStatus:
    if running is None or running.process is None:
        state: State = "ended" if running else "not started"
        return PartStatus(part.name, state, part.address, None, 0.0, 0.0, running.log if running else "")
    is_well = is_polled(part.address, within_s=POLLED_S) if part.name == "flows" else part.is_well(running)
    memory = sum(map(_memory_mb, left_by(running)))
    state = "answers" if is_well else "does not answer"
    seconds = time.time() - running.started
    return PartStatus(part.name, state, part.address, running.pid, seconds, memory, running.log)


def _memory_mb(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        return float(process.memory_info().rss) / 1e6
    return 0.0


def _advice(parts: tuple[PartStatus, ...], dashboard: str) -> str:
    gone = [one.name for one in parts if one.pid is None]
    silent = [one for one in parts if one.state == "does not answer"]
    if gone:
        return f"Not running: {', '.join(gone)}. `earthfield up` starts just that again, and runs go on."
    if silent:
        logs = ", ".join(one.log for one in silent)
        return (
            f"{', '.join(one.name for one in silent)} may still be starting. Where it stays silent see {logs}; "
            "`earthfield down` and `earthfield up` start afresh."
        )
    return f"Everything answers: {dashboard}"
