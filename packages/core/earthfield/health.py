"""How an installation is: each part asked over HTTP, with what to do about one that is down."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from earthfield.hosts import certificates
from earthfield.settings import Settings

State = Literal["ok", "down", "off"]
"""`off`: this installation is not meant to have it, or it cannot be asked; nothing is wrong."""

ASK_S = 4.0
"""How long a part may take to answer."""
SEEN_S = 90.0
"""How long ago whoever serves the flows may have asked for work; it does every 10 s, and every 15 s in a pool."""
LEAST_GB = 2.0
"""Free space below which the disk counts as full."""


@dataclass(frozen=True)
class Part:
    """How one part is."""

    name: str
    """dashboard, search, prefect, worker, encoder or disk."""
    state: State
    """How it is."""
    told: str
    """What was found, one sentence."""
    todo: str = ""
    """What to do now; empty where nothing is."""
    address: str = ""
    """Where it was asked."""
    version: str = ""
    """What it runs, where it says so."""
    figures: Mapping[str, float] | None = None
    """What was measured: seconds, gigabytes, runs."""


@dataclass(frozen=True)
class Health:
    """How all of them are."""

    parts: tuple[Part, ...]
    """Each of them."""
    at: str
    """When, UTC."""
    versions: Mapping[str, str]
    """What this process runs."""

    @property
    def is_well(self) -> bool:
        """Whether none is down."""
        return all(one.state != "down" for one in self.parts)

    def as_json(self, *, whole: bool = True) -> dict[str, Any]:
        """Gives `status` and `at`; with `whole`, which tells addresses and folders, every part and version too."""
        told: dict[str, Any] = {"status": "ok" if self.is_well else "down", "at": self.at}
        if whole:
            told |= {"parts": [asdict(one) for one in self.parts], "versions": dict(self.versions)}
        return told


def check_health(settings: Settings, *, dashboard: bool = True) -> Health:
    """Asks every part at the same time; never raises because one is down.

    Args:
        settings: where they are.
        dashboard: whether the dashboard is asked too; one that answers this needs not ask itself.
    """
    checks: list[Callable[[Settings], Part]] = [
        check_search,
        check_prefect,
        check_worker,
        check_encoder,
        check_disk,
    ]
    if dashboard:
        checks.insert(0, check_dashboard)
    with ThreadPoolExecutor(len(checks), thread_name_prefix="health") as pool:
        parts = tuple(pool.map(lambda check: check(settings), checks))
    return Health(parts, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", versions())


def versions() -> dict[str, str]:
    """Gives the versions of Earthfield and of Python here."""
    return {"earthfield": version("earthfield"), "python": ".".join(map(str, sys.version_info[:3]))}


def check_dashboard(settings: Settings) -> Part:
    """Asks whether the pages are served."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.dashboard_host, settings.dashboard_host)
    address = f"http://{host}:{settings.dashboard_port}"
    return _asked("dashboard", address, "/_stcore/health", lambda answer: ("the pages are served", ""))


def check_search(settings: Settings) -> Part:
    """Asks whether the search service can answer questions."""

    def told(answer: httpx.Response) -> tuple[str, str]:
        indexes = int(answer.json()["indexes"])
        return f"answers questions, over {indexes} index{'' if indexes == 1 else 'es'}", ""

    part = _asked("search", settings.search_url, "/ready", told)
    return part if part.state == "down" else _with_version(part, settings.search_url, "/health", "version")


def check_prefect(settings: Settings) -> Part:
    """Asks whether the Prefect server, which keeps runs and schedules, is there."""
    part = _asked("prefect", settings.prefect_url, "/health", lambda answer: ("keeps runs and schedules", ""))
    return part if part.state == "down" else _with_version(part, settings.prefect_url, "/admin/version", "")


def check_worker(settings: Settings) -> Part:
    """Asks Prefect who lately asked it for work, and how many runs wait."""
    try:
        with _client(settings.prefect_url) as prefect:
            seen = _last_seen(prefect)
            figures = _counted(prefect)
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return Part(
            "worker", "down", f"nobody can tell who does the work: Prefect does not answer ({_why(error)})",
            "bring Prefect back first", settings.prefect_url,
        )  # fmt: skip
    if seen is None:
        words, todo = "no process has ever asked for work", _start("the flows")
        return Part("worker", "down", words, todo, settings.prefect_url, figures=figures)
    ago = max(0.0, time.time() - seen.timestamp())
    figures["seconds_ago"] = round(ago, 1)
    if ago > SEEN_S:
        words = f"no process has asked for work since {seen:%Y-%m-%d %H:%M:%S} UTC"
        todo = f"{_start('the flows')}; runs that wait are done then"
        return Part("worker", "down", words, todo, settings.prefect_url, figures=figures)
    words = (
        f"asked for work {ago:.0f} s ago; {figures['running']:.0f} running, {figures['waiting']:.0f} waiting"
    )
    return Part("worker", "ok", words, "", settings.prefect_url, figures=figures)


def check_encoder(settings: Settings) -> Part:
    """Asks Triton whether its models are loaded, where this installation has one."""
    if settings.encoder_http:
        part = _asked(
            "encoder", settings.encoder_http, "/v2/health/ready", lambda answer: ("its models are loaded", "")
        )
        return part if part.state == "down" else _with_version(part, settings.encoder_http, "/v2", "version")
    if not settings.encoder_url:
        return Part(
            "encoder", "off", "fields are made inside the runs themselves, without a server of its own"
        )
    at = urlsplit(settings.encoder_url)
    try:
        socket.create_connection((at.hostname or "", at.port or 8001), timeout=ASK_S).close()
    except (OSError, ValueError):
        return Part(
            "encoder",
            "down",
            "does not answer (nobody listens there)",
            _start("the encoder"),
            settings.encoder_url,
        )
    return Part("encoder", "ok", "listens; EARTHFIELD_ENCODER_HTTP would tell more", "", settings.encoder_url)


def check_disk(settings: Settings) -> Part:
    """Asks how much space is left where artefacts lie: the search service, which always sees it, else here."""
    where = str(settings.root)
    told = _space_of_search(settings.search_url)
    if told is None:
        if not isinstance(settings.root, Path):
            return Part("disk", "off", "artefacts lie in a bucket, whose space is its keeper's", "", where)
        folder = settings.root.absolute()
        if not folder.is_dir():
            words = "nobody can tell how full it is: it is not here, and the search service does not say"
            return Part("disk", "off", words, "", where)
        usage, where = shutil.disk_usage(folder), str(folder)
        told = usage.free / 1e9, usage.total / 1e9
    free, total = told
    figures = {"free_gb": round(free, 2), "total_gb": round(total, 2)}
    words = f"{free:.1f} GB of {total:.1f} GB free"
    if free < LEAST_GB:
        todo = f"remove what is not needed any more, or enlarge the disk: below {LEAST_GB:g} GB runs fail"
        return Part("disk", "down", words, todo, where, figures=figures)
    return Part("disk", "ok", words, "", where, figures=figures)


def _space_of_search(url: str) -> tuple[float, float] | None:
    with suppress(httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError), _client(url) as client:
        disk = client.get("/ready").raise_for_status().json()["disk"]
        return float(disk["free_gb"]), float(disk["total_gb"])
    return None


def count_runs(prefect_url: str) -> dict[str, float]:
    """Counts runs by what they do now: `waiting` for a worker although their time has come, or `running`.

    Raises:
        httpx.HTTPError: Prefect does not answer.
    """
    with _client(prefect_url) as prefect:
        return _counted(prefect)


def _counted(prefect: httpx.Client) -> dict[str, float]:
    waiting, running = _count(prefect, "SCHEDULED", "PENDING"), _count(prefect, "RUNNING")
    return {"waiting": float(waiting), "running": float(running)}


def _asked(name: str, base: str, path: str, told: Callable[[httpx.Response], tuple[str, str]]) -> Part:
    began = time.monotonic()
    try:
        with _client(base) as client:
            answer = client.get(path)
            seconds = time.monotonic() - began
            if not answer.is_success:
                words = f"answers {answer.status_code}: {_message(answer)}"
                return Part(name, "down", words, _look(name), base, figures={"seconds": round(seconds, 3)})
            words, todo = told(answer)
    except httpx.TimeoutException as error:
        return Part(
            name, "down", f"does not answer ({_why(error)})", f"it is busy or stuck: {_look(name)}", base
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Part(name, "down", f"does not answer ({_why(error)})", _start(_NAMES[name]), base)
    except (ValueError, KeyError, TypeError):
        words, todo = (
            "something else answers there",
            f"set the address of {_NAMES[name]} right, or free its port",
        )
        return Part(name, "down", words, todo, base)
    return Part(name, "ok", words, todo, base, figures={"seconds": round(seconds, 3)})


_NAMES = {
    "dashboard": "the dashboard", "search": "the search service", "prefect": "Prefect", "encoder": "the encoder",
}  # fmt: skip


def _start(what: str) -> str:
    return f"start {what}: `earthfield up` does, or whoever runs the containers"


def _look(name: str) -> str:
    return f"look into its log, {name}.log in ROOT/run or that of its container"


def _with_version(part: Part, base: str, path: str, key: str) -> Part:
    """Adds what a part runs; one that does not say is as well as before."""
    with suppress(httpx.HTTPError, ValueError, KeyError, TypeError), _client(base) as client:
        content = client.get(path).raise_for_status().json()
        found = str(content[key] if key else content)[:40]
        return Part(**{**vars(part), "version": found})
    return part


def _client(base: str) -> httpx.Client:
    # No proxy: parts are on this machine or in its network.
    return httpx.Client(base_url=base.rstrip("/"), verify=certificates(), timeout=ASK_S, trust_env=False)


def _last_seen(prefect: httpx.Client) -> datetime | None:
    """When a served flow was last asked for, or a worker of a pool last told that it lives."""
    found = _posted(prefect, "/deployments/filter", {"sort": "UPDATED_DESC", "limit": 100})
    seen = [one.get("last_polled") for one in found]
    for pool in _posted(prefect, "/work_pools/filter", {"limit": 50}):
        workers = _posted(prefect, f"/work_pools/{pool['name']}/workers/filter", {"limit": 50})
        seen += [one.get("last_heartbeat_time") for one in workers]
    return max((datetime.fromisoformat(one) for one in seen if one), default=None)


def _count(prefect: httpx.Client, *states: str) -> int:
    # Runs that a schedule put into the future do not wait.
    until = {"before_": datetime.now(UTC).isoformat()}
    wanted = {"state": {"type": {"any_": list(states)}}, "expected_start_time": until}
    return int(_posted(prefect, "/flow_runs/count", {"flow_runs": wanted}))


def _posted(prefect: httpx.Client, path: str, content: Mapping[str, Any]) -> Any:
    """Asks Prefect, and again while its database is busy."""
    for wait_s in (0.2, 0.5, 0.0):
        answer = prefect.post(path, json=content)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(wait_s)
    return answer.raise_for_status().json()


def _message(answer: httpx.Response) -> str:
    with suppress(ValueError, TypeError, KeyError):
        return str(answer.json()["message"])[:300]
    return answer.reason_phrase


def _why(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {ASK_S:g} s"
    if isinstance(error, httpx.ConnectError):
        return "nobody listens there"
    return type(error).__name__
