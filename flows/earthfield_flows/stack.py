"""Everything that a person needs on one machine: Prefect, the flows, the search service and the dashboard."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from earthfield.errors import Conflict, Unavailable
from earthfield.progress import Progress, silent
from earthfield.settings import Settings
from earthfield.storage import make_folder
from earthfield_flows.processes import Running, last_words, recorded, start, stop

_HOST = "127.0.0.1"
_LOGGERS = "earthfield,earthfield_ingest,earthfield_infer,earthfield_search"


@dataclass(frozen=True)
class Ports:
    """Where the servers listen, all on the loopback address."""

    dashboard: int = 8800
    """The pages."""
    search: int = 8801
    """The search service."""
    prefect: int = 8802
    """Prefect's API."""

    @classmethod
    def of(cls, settings: Settings) -> Ports:
        """Gives the ports of the settings' addresses."""
        search, prefect = urlsplit(settings.search_url).port, urlsplit(settings.prefect_url).port
        return cls(settings.dashboard_port, search or cls.search, prefect or cls.prefect)

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """Gives three ports in a row."""
        return cls(base, base + 1, base + 2)


@dataclass(frozen=True)
class Stack:
    """What is running."""

    services: tuple[Running, ...]
    """Every process, in the order in which they were started."""
    was_running: bool = False
    """Whether it was there before."""

    @property
    def dashboard(self) -> str:
        """Address of the pages."""
        return next(one.address for one in self.services if one.name == "dashboard")


def start_stack(
    root: Path,
    *,
    ports: Ports | None = None,
    catalog: str = "",
    timeout_s: float = 120.0,
    progress: Progress = silent,
) -> Stack:
    """Starts the stack over a root and waits until every part of it answers.

    Args:
        root: folder that holds every artefact; pid files and logs go to `run` in it.
        ports: where the servers listen; those of the settings when absent.
        catalog: STAC catalogue that the dashboard offers first.
        timeout_s: how long one part may take to answer.
        progress: told how many parts are up.

    Raises:
        Conflict: a port is taken, or a part of an earlier stack is still running.
        Unavailable: a part did not start; nothing of the stack is left running.
    """
    folder = make_folder(root.absolute() / "run")
    before = recorded(folder)
    alive = [one for one in before if one.process is not None]
    if alive and len(alive) == len(before) == len(_PARTS):
        return Stack(tuple(before), was_running=True)
    if alive:
        names = ", ".join(one.name for one in alive)
        raise Conflict(
            f"a part of the stack ({names}) is still running under {root}: run `earthfield down` first"
        )
    chosen = ports or Ports.of(Settings())
    _check_free(chosen)
    environment = _environment(root.absolute(), chosen, catalog)
    services: list[Running] = []
    try:
        for name, command, address, _ in _parts(chosen):
            if name == "flows":
                _wait(services[0], _parts(chosen)[0][3], timeout_s)
            services.append(start(name, command, folder=folder, address=address, environment=environment))
        for done, (running, part) in enumerate(zip(services, _parts(chosen), strict=True)):
            progress("starting", done, len(services))
            _wait(running, part[3], timeout_s)
        progress("starting", len(services), len(services))
    except BaseException:
        stop_stack(root)
        raise
    return Stack(tuple(services))


def stop_stack(root: Path) -> list[str]:
    """Ends exactly the processes that `start_stack` started over a root; gives the names of those alive."""
    folder = root.absolute() / "run"
    return [one.name for one in reversed(recorded(folder)) if stop(one, folder=folder)]


_PARTS = ("prefect", "search", "dashboard", "flows")
_Part = tuple[str, list[str], str, Callable[[Running], bool]]


def _parts(ports: Ports) -> list[_Part]:
    """Name, command, address and health check of each part; flows come last, because they need Prefect."""
    python, api = [sys.executable, "-m"], f"http://{_HOST}:{ports.prefect}/api"
    search, dashboard = f"http://{_HOST}:{ports.search}", f"http://{_HOST}:{ports.dashboard}"
    health = f"{dashboard}/_stcore/health"
    prefect = [*python, "prefect", "server", "start", "--host", _HOST, "--port", str(ports.prefect)]
    return [
        ("prefect", prefect, api, lambda _: _answers(f"{api}/health")),
        ("search", [*python, "earthfield_search.api.server"], search, lambda _: _answers(f"{search}/health")),
        ("dashboard", [*python, "earthfield_dashboard"], dashboard, lambda _: _answers(health)),
        ("flows", [*python, "earthfield_flows.deploy"], api, lambda one: _is_polled(api, one)),
    ]  # fmt: skip


def _environment(root: Path, ports: Ports, catalog: str) -> dict[str, str]:
    found = Path(catalog) if catalog else None
    api = f"http://{_HOST}:{ports.prefect}/api"
    return {
        "EARTHFIELD_ROOT": str(root),
        "EARTHFIELD_CATALOG": str(found.absolute()) if found and found.exists() else catalog,
        "EARTHFIELD_SEARCH_URL": f"http://{_HOST}:{ports.search}",
        "EARTHFIELD_PREFECT_URL": api,
        "EARTHFIELD_DASHBOARD_PORT": str(ports.dashboard),
        "PREFECT_HOME": str(root / "run" / "prefect"),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # What the services say goes into the log of the run.
        "PREFECT_LOGGING_EXTRA_LOGGERS": _LOGGERS,
        "PREFECT_LOGGING_ROOT_LEVEL": "INFO",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _check_free(ports: Ports) -> None:
    for name, port in vars(ports).items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError as error:
                raise Conflict(
                    f"port {port} for the {name} is taken by another program ({error.strerror}): "
                    "choose three others with --port-base 9000"
                ) from error


def _wait(running: Running, is_well: Callable[[Running], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_well(running):
        if running.process is None:
            raise Unavailable(
                f"{running.name} ended while starting ({last_words(running)}): see {running.log}"
            )
        if time.monotonic() > deadline:
            raise Unavailable(f"{running.name} did not answer within {timeout_s:.0f} s: see {running.log}")
        time.sleep(0.25)


def _answers(address: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(address, timeout=2.0).is_success
    return False


def _is_polled(api: str, running: Running) -> bool:
    """The flow server has no address of its own: Prefect tells when it last asked for work."""
    with contextlib.suppress(httpx.HTTPError, KeyError, ValueError):
        deployment = httpx.get(f"{api}/deployments/name/map/map", timeout=2.0).raise_for_status().json()
        polled = deployment["last_polled"]
        return polled is not None and datetime.fromisoformat(polled).timestamp() >= running.started
    return False
