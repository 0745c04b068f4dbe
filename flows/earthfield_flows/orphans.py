"""Runs whose process is gone without a word: they are told of, and go on where they were.

Also those that were to be cancelled and are still there: Prefect's own watch over its runs ends when its server is
away for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import httpx
import psutil

from earthfield.hosts import certificates
from earthfield_flows.limits import free
from earthfield_flows.notify import notify

log = logging.getLogger(__name__)

MOST_TRIES = 3
"""How often a run whose process was lost is begun in all; a run that ends its machine must not do so for ever."""
LOOKED_EVERY_S = 30.0
"""Seconds between two looks at what is running."""

_OPEN = ("PENDING", "RUNNING", "CANCELLING")
_CARRIED = "PREFECT__FLOW_RUN_ID"
"""Prefect tells the process of a run which one it is."""


class Orphans:
    """What a worker knows of runs that lost their process."""

    def __init__(self, api: str) -> None:
        """Asks the server at `api`; nothing is asked before the first call."""
        self.api = api
        self._suspected: set[str] = set()
        self._cancelled: set[str] = set()

    def settle(self, *, at_once: bool = False) -> list[str]:
        """Ends what says that it is running and is not: it is begun again, or marked as crashed or cancelled.

        Args:
            at_once: believe it at the first look, as when nothing is served yet. Otherwise at the second: whoever
                runs a process may be about to tell of its end.

        Returns:
            Ids of the runs that were settled.

        Raises:
            httpx.HTTPError: the server does not answer, or refuses.
        """
        with httpx.Client(base_url=self.api, verify=certificates(), timeout=30.0, trust_env=False) as client:
            asked = {
                "flow_runs": {
                    "state": {"type": {"any_": list(_OPEN)}}, "deployment_id": {"is_null_": False},
                },
            }  # fmt: skip
            found = client.post("/flow_runs/filter", json=asked).raise_for_status().json()
            alive = _alive() if found else {}
            self._end_cancelled({one["id"] for one in found if one["state_type"] == "CANCELLING"}, alive)
            lost = {one["id"]: one for one in found if one["id"] not in alive}
            sure = lost if at_once else {run: one for run, one in lost.items() if run in self._suspected}
            self._suspected = set(lost) - set(sure)
            if sure:
                _free(sure)
            for one in sure.values():
                _settle(client, one)
        return list(sure)

    def _end_cancelled(self, cancelling: set[str], alive: Mapping[str, list[psutil.Process]]) -> None:
        """Ends processes of runs that were to be cancelled at the last look too."""
        for run in cancelling & self._cancelled:
            log.warning("run %s was to be cancelled and went on: its process is ended", run)
            for process in alive.get(run, ()):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self._cancelled = cancelling


def _free(runs: Collection[str]) -> None:
    try:
        free(runs)
    except (httpx.HTTPError, OSError) as error:
        log.warning("slots of lost runs come free within a minute only (%s)", error)


def _alive() -> dict[str, list[psutil.Process]]:
    """Processes on this machine by the run that they are of."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and (run := process.environ().get(_CARRIED)):
                found.setdefault(run, []).append(process)
        except (psutil.Error, OSError):
            continue  # it has ended, or is somebody else's
    return found


def _settle(client: httpx.Client, run: Mapping[str, Any]) -> None:
    what, tries = run["name"], int(run.get("run_count") or 0)
    if run["state_type"] == "CANCELLING":
        _set(client, run, "CANCELLED", "Cancelled", "It was to be cancelled when its process ended.")
        return
    why = "The process that ran it was ended before it could say anything: killed, or the machine stopped."
    _set(client, run, "CRASHED", "Crashed", why)
    if tries < MOST_TRIES:
        log.warning("run %s lost its process: it begins again and goes on where it was", what)
        again = f"{why} It begins again and goes on where it was."
        _set(client, run, "SCHEDULED", "AwaitingRetry", again)
        return
    log.error("run %s lost its process for the %dth time: it stays crashed", what, tries)
    about = {"run": what, "run_id": run["id"], "kind": "Crashed"}
    notify("failed", f"{what} failed: it lost its process {tries} times, and is not begun again", about)


def _set(client: httpx.Client, run: Mapping[str, Any], kind: str, name: str, message: str) -> None:
    state = {"type": kind, "name": name, "message": message}
    for wait_s in (0.5, 1.0, 2.0, 4.0, 0.0):
        answer = client.post(f"/flow_runs/{run['id']}/set_state", json={"state": state, "force": False})
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(wait_s)  # its database is busy for a moment
    told = answer.raise_for_status().json()
    if told["status"] != "ACCEPT":
        log.info("run %s did not become %s: %s", run["name"], name, told.get("details", {}).get("reason"))
