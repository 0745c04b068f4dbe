"""Local processes that outlive the command that starts them, and are ended exactly."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from earthfield.storage import write_json

_SAME_START_S = 1.0
_MARK = "EARTHFIELD_STARTED_AS"
"""In the environment of whatever was started, and of all that it starts: what a process left can be told by it."""


@dataclass(frozen=True)
class Running:
    """A process that was started, as its pid file keeps it."""

    name: str
    """What it is: `search`."""
    pid: int
    """Its id; it leads a process group of its own."""
    started: float
    """When it started, seconds since 1970: a pid alone may be somebody else's by now."""
    address: str
    """Where it answers."""
    log: str
    """File with everything it says."""
    mark: str = ""
    """What its environment carries, and that of its children and theirs."""

    @property
    def process(self) -> psutil.Process | None:
        """The process if it is still this one and alive."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started) < _SAME_START_S
            return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def start(
    name: str, command: Sequence[str], *, folder: Path, address: str, environment: Mapping[str, str]
) -> Running:
    """Starts a process in a group of its own; its log and its pid file lie in `folder`."""
    log, mark = folder / f"{name}.log", f"{name}-{uuid.uuid4().hex}"
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, **environment, _MARK: mark}, start_new_session=True,
        )  # fmt: skip
    started = psutil.Process(process.pid).create_time()
    running = Running(name, process.pid, started, address, str(log), mark)
    write_json(_pid_file(folder, name), asdict(running))
    return running


def recorded(folder: Path) -> list[Running]:
    """Gives what pid files in `folder` tell, in the order in which it was started."""
    found = [Running(**json.loads(path.read_text())) for path in folder.glob("*.pid.json")]
    return sorted(found, key=lambda one: one.started)


def stop(running: Running, *, folder: Path, timeout_s: float = 15.0) -> bool:
    """Ends a process, its group and its children; asks first, and insists after `timeout_s`.

    What a process that was killed has left is ended too, at once: nobody watches over it any more.

    Returns:
        Whether it was still there. Another process that got its pid meanwhile is left alone.
    """
    leader = running.process
    if leader is not None:
        family = _family(leader)
        _signal_group(running.pid, signal.SIGTERM)
        _wait_gone([leader], timeout_s)
        _end([*family, *_members(running.pid), *left_by(running)], 5.0)
    else:
        _end(left_by(running), 0.0)
    _pid_file(folder, running.name).unlink(missing_ok=True)
    return leader is not None


def left_by(running: Running) -> list[psutil.Process]:
    """Lists what a process has started and is still there, whether or not it is itself."""
    return carrying(_MARK, running.mark) if running.mark else []


def carrying(name: str, value: str) -> list[psutil.Process]:
    """Lists the processes of this user whose environment has a variable of a value."""
    return [one for one in psutil.process_iter() if _carries(one, name, value)]


def _carries(process: psutil.Process, name: str, value: str) -> bool:
    try:
        return process.environ().get(name) == value and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False  # it has ended, or is somebody else's


def _end(processes: Sequence[psutil.Process], grace_s: float) -> None:
    """Ends processes; those that are still there after a time are not asked again."""
    family = list({one.pid: one for one in processes}.values())
    if grace_s:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        family = _wait_gone(family, grace_s)
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _wait_gone(family, 5.0)


def last_words(running: Running, *, num: int = 3) -> str:
    """Gives the last lines of a process's log."""
    with contextlib.suppress(OSError):
        lines = Path(running.log).read_text(errors="replace").splitlines()
        return " / ".join(line.strip() for line in lines[-num:] if line.strip())
    return ""


def _pid_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.pid.json"


def _family(leader: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [leader, *leader.children(recursive=True)]
    return [leader]


def _members(group: int) -> list[psutil.Process]:
    """Processes of a group; a child that was orphaned is no longer anyone's child, but keeps its group."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            if os.getpgid(process.pid) == group:
                found.append(process)
    return found


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _wait_gone(processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    return list(psutil.wait_procs(list(processes), timeout=timeout_s)[1])
