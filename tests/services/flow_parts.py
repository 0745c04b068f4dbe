"""What tests of flows need: a small catalogue that scenes are dropped into, Prefect, and a webhook that listens."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from stack_parts import free_ports

from earthfield.hosts import certificates
from earthfield_flows.processes import start, stop

S2 = "sentinel-2-l2a"
WAIT_S = 600.0
"""Seconds that a process may take on a machine with much else to do."""
HELD_S = 20.0
"""Seconds that an archive holds an answer back: it is slow, and not yet taken for dead, which a run gives up on."""


@dataclass(frozen=True)
class Held:
    """A scene that the catalogue does not tell of yet."""

    collection: Path
    """File of its collection."""
    link: dict[str, Any]
    """Its link there."""
    place: int
    """Where the link stood."""

    @property
    def id(self) -> str:
        """Its STAC id."""
        return Path(self.link["href"]).stem

    @classmethod
    def back(cls, land: Path, *, begins: str) -> Held:
        """Takes the clearest Sentinel-2 scene whose id holds `begins` out of a catalogue."""
        path = land / S2 / "collection.json"
        content = json.loads(path.read_text())
        named = [
            (_clouds(path.parent / one["href"]), place, one)
            for place, one in enumerate(content["links"])
            if one["rel"] == "item" and begins in one["href"]
        ]
        _, place, link = min(named, key=lambda one: one[0])
        del content["links"][place]
        path.write_text(json.dumps(content))
        return cls(path, link, place)

    def drop(self) -> None:
        """Puts it into the catalogue, as an archive does with a new acquisition."""
        content = json.loads(self.collection.read_text())
        content["links"].insert(self.place, self.link)
        whole = self.collection.with_suffix(".new")
        whole.write_text(json.dumps(content))
        whole.replace(self.collection)


def _clouds(item: Path) -> float:
    return float(json.loads(item.read_text())["properties"]["eo:cloud_cover"])


@dataclass
class Hook:
    """A webhook that listens on this machine."""

    address: str
    """Where."""
    told: list[dict[str, Any]]
    """What it was told."""


@contextmanager
def listening(*, status: int = 200) -> Iterator[Hook]:
    """Listens for messages inside the block, and answers each with a status."""
    hook = Hook("", [])

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    hook.address = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()


def environment(root: Path, api: str) -> dict[str, str]:
    """Settings of processes that work with a Prefect server of their own."""
    return {
        "EARTHFIELD_ROOT": str(root),
        "EARTHFIELD_STATE": str(root.parent / "state"),
        "PREFECT_HOME": str(root.parent / "prefect"),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_RUNNER_POLL_FREQUENCY": "3",
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def prefect_server(
    folder: Path, root: Path, *, serve: bool = False, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[str]:
    """Runs a real Prefect server, and whoever serves the flows of a root; gives the address of the API.

    Args:
        folder: where logs and pid files lie.
        root: whose flows are served.
        serve: whether they are.
        meanwhile: done while the server starts.
    """
    api = f"http://127.0.0.1:{free_ports().prefect}/api"
    port, python = api.split(":")[2].split("/")[0], [sys.executable, "-m"]
    folder.mkdir(exist_ok=True)
    how: dict[str, Any] = {"folder": folder, "address": api, "environment": environment(root, api)}
    command = [*python, "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    running = [start("prefect", command, **how)]
    try:
        meanwhile()
        until(lambda: is_well(api), WAIT_S, "the server")
        if serve:
            running.append(start("flows", [*python, "earthfield_flows.deploy"], **how))
        yield api
    finally:
        for one in reversed(running):
            stop(one, folder=folder)


def is_well(api: str) -> bool:
    """Tells whether the server answers."""
    try:
        return httpx.get(f"{api}/health", verify=certificates(), timeout=2).is_success
    except httpx.HTTPError:
        return False


def until(is_so: Callable[[], Any], seconds: float, what: str) -> Any:
    """Waits until something is so, and gives it."""
    deadline, pause_s = time.monotonic() + seconds, 0.2
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:.0f} s"
        time.sleep(pause_s)
        pause_s = min(1.2 * pause_s, 2.0)  # who keeps asking keeps the machine from what is waited for
    return found


def answered(method: str, address: str, **content: Any) -> httpx.Response:
    """Asks Prefect, and asks again while its database is busy: it answers 503 then."""

    def once() -> httpx.Response | None:
        answer = httpx.request(method, address, verify=certificates(), timeout=WAIT_S, **content)
        return None if answer.status_code == 503 else answer

    return until(once, WAIT_S, f"an answer of {address}")


def deployment(api: str, name: str) -> dict[str, Any] | None:
    """Gives what the server tells of a deployment, `refresh/refresh`, None where it knows none."""
    answer = answered("GET", f"{api}/deployments/name/{name}")
    return answer.json() if answer.is_success else None


def runs(api: str, flow: str) -> list[dict[str, Any]]:
    """Lists the runs of a flow that began, oldest first."""
    content = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
    found = answered("POST", f"{api}/flow_runs/filter", json=content).raise_for_status().json()
    return [one for one in found if one["start_time"]]


def inherited() -> dict[str, str]:
    """The environment without anything of Prefect."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
