"""The parts of the stack: what each is started with, where it answers, and how it is told that it is well."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from earthfield.hosts import certificates
from earthfield.settings import Settings
from earthfield_flows.logs import LOGGERS, settings_of_log
from earthfield_flows.processes import Running

HOST = "127.0.0.1"
"""Where all parts listen."""
POLLED_S = 60.0
"""A worker that has not asked for work for so long is not well; it asks every ten seconds."""

_LEASES = "prefect.server.concurrency.lease_storage.filesystem"


@dataclass(frozen=True)
class Ports:
    """Where the servers listen, all on the loopback address."""

    dashboard: int = 8800
    """The pages."""
    search: int = 8801
    """The search service."""
    prefect: int = 8802
    """Prefect's API."""
    encoder: int = 8803
    """The encoder, gRPC."""
    encoder_http: int = 8804
    """The encoder's health."""
    encoder_metrics: int = 8805
    """What Prometheus asks of the encoder."""

    @classmethod
    def of(cls, settings: Settings) -> Ports:
        """Gives the ports of the settings' addresses."""
        search, prefect = urlsplit(settings.search_url).port, urlsplit(settings.prefect_url).port
        return cls(settings.dashboard_port, search or cls.search, prefect or cls.prefect)

    @classmethod
    def from_base(cls, base: int) -> Ports:
        """Gives six ports in a row."""
        return cls(*range(base, base + 6))


@dataclass(frozen=True)
class Wanted:
    """What a stack was asked to be; kept beside its pid files, so that it can be mended as it was."""

    ports: Ports
    """Where its servers listen."""
    catalog: str = ""
    """STAC catalogue that the dashboard offers first."""
    encoder: bool = False
    """Whether an encoder is a part of its own; otherwise each run encodes in its own process."""


@dataclass(frozen=True)
class Part:
    """One process of the stack."""

    name: str
    """What it is: `search`."""
    command: list[str]
    """How it is started."""
    address: str
    """Where it answers; for the flows, where they ask for work."""
    ports: tuple[str, ...]
    """Its ports, as `Ports` names them."""
    is_well: Callable[[Running], bool]
    """Whether it does what it is there for."""


def parts_of(wanted: Wanted) -> list[Part]:
    """Lists the parts of a stack, those that others need first."""
    python, ports = [sys.executable, "-m"], wanted.ports
    api = f"http://{HOST}:{ports.prefect}/api"
    search, dashboard = f"http://{HOST}:{ports.search}", f"http://{HOST}:{ports.dashboard}"
    prefect = [*python, "prefect", "server", "start", "--host", HOST, "--port", str(ports.prefect)]
    flows = Part(
        "flows", [*python, "earthfield_flows.deploy"], api, (), lambda one: is_polled(api, since=one.started)
    )
    pages = _asking(f"{dashboard}/_stcore/health")
    return [
        Part("prefect", prefect, api, ("prefect",), _asking(f"{api}/health")),
        Part("search", [*python, "earthfield_search.api.server"], search, ("search",), _asking(f"{search}/health")),
        *([_encoder(ports)] if wanted.encoder else []),
        Part("dashboard", [*python, "earthfield_dashboard"], dashboard, ("dashboard",), pages),
        flows,
    ]  # fmt: skip


def _encoder(ports: Ports) -> Part:
    numbers = (ports.encoder, ports.encoder_http, ports.encoder_metrics)
    command = [sys.executable, "-m", "earthfield_flows.encoder", *map(str, numbers)]
    ready = _asking(f"http://{HOST}:{ports.encoder_http}/v2/health/ready")
    names = ("encoder", "encoder_http", "encoder_metrics")
    return Part("encoder", command, f"grpc://{HOST}:{ports.encoder}", names, ready)


def environment_of(root: Path, wanted: Wanted) -> dict[str, str]:
    """Gives what every part of a stack is told by its environment."""
    ports, catalog = wanted.ports, wanted.catalog
    found = Path(catalog) if catalog else None
    api = f"http://{HOST}:{ports.prefect}/api"
    return {
        "EARTHFIELD_ROOT": str(root),
        "EARTHFIELD_CATALOG": str(found.absolute()) if found and found.exists() else catalog,
        "EARTHFIELD_SEARCH_URL": f"http://{HOST}:{ports.search}",
        "EARTHFIELD_PREFECT_URL": api,
        "EARTHFIELD_ENCODER_URL": f"grpc://{HOST}:{ports.encoder}" if wanted.encoder else "",
        "EARTHFIELD_ENCODER_HTTP": f"http://{HOST}:{ports.encoder_http}" if wanted.encoder else "",
        "EARTHFIELD_DASHBOARD_PORT": str(ports.dashboard),
        "PREFECT_HOME": str(root / "run" / "prefect"),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Its SQLite database has one writer at a time: on a busy machine writers wait, and are not refused.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        # Who holds a slot is kept in files: a server that is killed would forget it, and the slot with it.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": _LEASES,
        # What the services say goes into the log of the run.
        "PREFECT_LOGGING_EXTRALOGGERS": LOGGERS,
        "PREFECT_LOGGING_ROOT_LEVEL": "INFO",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
        **settings_of_log(),
    }


def is_polled(api: str, *, since: float = 0.0, within_s: float | None = None) -> bool:
    """Tells whether flows are served: Prefect knows when somebody last asked for work.

    Args:
        api: Prefect's address.
        since: seconds since 1970 after which it must have been.
        within_s: how long ago it may be, in seconds; any time when absent.
    """
    with contextlib.suppress(httpx.HTTPError, KeyError, ValueError):
        deployment = (
            httpx.get(f"{api}/deployments/name/map/map", verify=certificates(), timeout=2.0)
            .raise_for_status()
            .json()
        )
        polled = deployment["last_polled"]
        at = datetime.fromisoformat(polled).timestamp() if polled else 0.0
        return at >= since and at > 0 and (within_s is None or time.time() - at < within_s)
    return False


def _asking(address: str) -> Callable[[Running], bool]:
    def is_well(_: Running) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(address, verify=certificates(), timeout=2.0).is_success
        return False

    return is_well
