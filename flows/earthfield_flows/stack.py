"""Everything that a person needs on one machine: Prefect, flows, the search service, an encoder, the dashboard."""

from __future__ import annotations

import fcntl
import json
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from earthfield.errors import Conflict, NotFound, Unavailable
from earthfield.progress import Progress, silent
from earthfield.settings import Settings
from earthfield.storage import make_folder, write_json
from earthfield_flows.parts import HOST, Part, Ports, Wanted, environment_of, parts_of
from earthfield_flows.processes import Running, last_words, recorded, start, stop

__all__ = ["Ports", "Stack", "has_encoder", "kept", "start_stack", "stop_stack"]

_KEPT, _LOCK = "stack.json", "stack.lock"


@dataclass(frozen=True)
class Stack:
    """What is running."""

    services: tuple[Running, ...]
    """Every process, those first that others need."""
    started: tuple[str, ...] = ()
    """Names of those that were started now; the others were running."""
    seconds: float = 0.0
    """How long it took until all of them answered."""

    @property
    def was_running(self) -> bool:
        """Whether all of it was there before."""
        return not self.started

    @property
    def dashboard(self) -> str:
        """Address of the pages."""
        return next(one.address for one in self.services if one.name == "dashboard")


def start_stack(
    root: Path,
    *,
    ports: Ports | None = None,
    catalog: str = "",
    encoder: bool = False,
    timeout_s: float = 300.0,
    progress: Progress = silent,
) -> Stack:
    """Starts over a root what of the stack is not running, and waits until every part of it answers.

    A stack of which a part has died is mended: that part alone is started again, as the stack was asked for first.

    Args:
        root: folder that holds every artefact; pid files and logs go to `run` in it.
        ports: where the servers listen; those of the settings when absent.
        catalog: STAC catalogue that the dashboard offers first.
        encoder: whether an encoder is a part of its own; otherwise each run encodes in its own process.
        timeout_s: how long one part may take to answer.
        progress: told how many parts are up.

    Raises:
        Conflict: a port is taken, or the stack that is running was asked for otherwise.
        Unavailable: a part did not start; nothing that was started here is left running.
    """
    began, folder = time.monotonic(), make_folder(root.absolute() / "run")
    with _alone(folder):
        before = {one.name: one for one in recorded(folder)}
        is_there = any(one.process is not None for one in before.values())
        wanted = _mended(folder, ports, catalog) if is_there else None
        if wanted is None:
            wanted = Wanted(ports or Ports.of(Settings()), catalog, encoder)
        parts = parts_of(wanted)
        missing = [one for one in parts if one.name not in before or before[one.name].process is None]
        # What it left would be in the way: runs that nobody watches over, ports.
        for one in before.values():
            if one.process is None:
                stop(one, folder=folder)
        _check_free(missing, wanted.ports)
        write_json(folder / _KEPT, asdict(wanted))
        services = _started(folder, parts, missing, before, wanted, timeout_s, progress)
    return Stack(tuple(services), tuple(one.name for one in missing), time.monotonic() - began)


def stop_stack(root: Path) -> list[str]:
    """Ends exactly the processes that `start_stack` started over a root; gives the names of those alive."""
    folder = root.absolute() / "run"
    found = recorded(folder)
    # The flows first: a run that is ended tells Prefect so.
    first, others = (
        [one for one in found if one.name == "flows"],
        [one for one in found if one.name != "flows"],
    )
    ended = [one.name for one in first if stop(one, folder=folder)]
    with ThreadPoolExecutor(len(others) or 1) as pool:
        alive = list(pool.map(lambda one: stop(one, folder=folder), others))
    return ended + [one.name for one, was_alive in zip(others, alive, strict=True) if was_alive]


def kept(root: Path) -> Wanted | None:
    """Gives what the stack of a root was last asked to be, None where none was started."""
    try:
        content = json.loads((root.absolute() / "run" / _KEPT).read_text())
        return Wanted(**{**content, "ports": Ports(**content["ports"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def has_encoder(root: Path) -> bool:
    """Tells whether an encoder can be served over a root: the server's files are there, and a model to serve."""
    from earthfield.errors import InvalidInput
    from earthfield_infer.serving.install import server_files

    try:
        server_files()
    except (NotFound, InvalidInput):
        return False
    from earthfield_flows.encoder import model_to_serve

    return model_to_serve(root) is not None


def _mended(folder: Path, ports: Ports | None, catalog: str) -> Wanted | None:
    """What the stack that is partly there was asked to be."""
    found = kept(folder.parent)
    if found is None:
        raise Conflict(
            f"parts of another stack are running under {folder.parent}: run `earthfield down` first"
        )
    if ports is not None and ports != found.ports:
        raise Conflict(
            f"the stack under {folder.parent} is running, its dashboard at port {found.ports.dashboard}: leave "
            "--port-base out, or run `earthfield down` first"
        )
    if catalog and catalog != found.catalog:
        raise Conflict(
            f"the stack under {folder.parent} is running with the catalogue {found.catalog or '(none)'}: leave "
            "--catalog out, or run `earthfield down` first"
        )
    return found


def _started(
    folder: Path,
    parts: Sequence[Part],
    missing: Sequence[Part],
    before: dict[str, Running],
    wanted: Wanted,
    timeout_s: float,
    progress: Progress,
) -> list[Running]:
    """Starts parts side by side and waits for all; where one fails those that were started are ended."""
    environment, made = environment_of(folder.parent, wanted), dict[str, Running]()
    try:
        for part in missing:
            made[part.name] = start(
                part.name, part.command, folder=folder, address=part.address, environment=environment
            )
        running = [(made.get(part.name) or before[part.name], part) for part in parts]
        for done, (one, part) in enumerate(running):
            progress("starting", done, len(parts))
            _wait(one, part, timeout_s)
        progress("starting", len(parts), len(parts))
    except BaseException:
        for one in reversed(made.values()):
            stop(one, folder=folder)
        raise
    return [one for one, _ in running]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Has a second `earthfield up` wait for the first."""
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_free(parts: Sequence[Part], ports: Ports) -> None:
    for name in (name for part in parts for name in part.ports):
        port = getattr(ports, name)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise Conflict(
                    f"port {port} for the {name.replace('_', ' ')} is taken by another program ({error.strerror}): "
                    "choose others with --port-base 9000"
                ) from error


def _wait(running: Running, part: Part, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not part.is_well(running):
        if running.process is None:
            raise Unavailable(
                f"{running.name} ended while starting ({last_words(running)}): see {running.log}"
            )
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{running.name} did not answer within {timeout_s:.0f} s: see {running.log}, and start afresh with "
                "`earthfield down` and `earthfield up`"
            )
        time.sleep(0.25)
