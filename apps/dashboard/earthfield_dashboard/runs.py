"""Prefect over HTTP: it starts runs and knows how far they are."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from earthfield.errors import Conflict, InvalidInput, NotFound, Unavailable
from earthfield.hosts import certificates

_LAST_WORDS = timedelta(seconds=10)
_TRIES = 6
_ANSWERS_APART, _REMEMBERED = 10, 4
"""Looks are as far apart as so many answers take, of which about the last four count."""


@dataclass(frozen=True)
class Run:
    """A run of a flow."""

    id: str
    """Its id."""
    name: str
    """Its name, two words."""
    state: str
    """PENDING, RUNNING, COMPLETED, FAILED, CRASHED, CANCELLED ..."""
    message: str
    """What the state says."""
    started: datetime | None
    """When it began."""
    ended: datetime | None
    """When it ended."""
    seconds: float
    """How long it has run."""
    request: Mapping[str, Any]
    """What it was asked for."""
    flow: str = ""
    """Name of its flow, where that was asked for."""
    due: datetime | None = None
    """When it is to begin, or was."""
    is_auto: bool = False
    """Whether a schedule asked for it."""
    tries: int = 0
    """How often it has begun."""
    is_served: bool = True
    """Whether it can be begun again from here; those of the command line cannot."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

    @property
    def is_told(self) -> bool:
        """Whether its last words have arrived too; they come some seconds after its end."""
        return self.is_over and (self.ended is None or datetime.now(UTC) - self.ended > _LAST_WORDS)


@dataclass(frozen=True)
class Step:
    """A task of a run."""

    id: str
    """Its id."""
    name: str
    """What it does and where: `embed 32631_0048_0549`."""
    state: str
    """As in `Run`."""
    message: str
    """What the state says."""


@dataclass(frozen=True)
class Artefact:
    """What a run shows beside its log."""

    kind: str
    """`table`, `markdown`, `image` or `progress`."""
    title: str
    """What it is."""
    data: Any
    """Rows, text, the address of a picture, or a share in percent."""


@dataclass(frozen=True)
class Upcoming:
    """What Prefect knows of a schedule."""

    name: str
    """Its name."""
    active: bool
    """Whether it runs by itself."""
    next: datetime | None
    """When it begins next."""


@dataclass(frozen=True)
class LogLine:
    """A line of a run's log."""

    at: datetime
    """When."""
    level: str
    """INFO, WARNING, ERROR."""
    step: str
    """Name of the task that said it, empty for the run itself."""
    message: str
    """What was said."""


class RunClient:
    """Prefect, which starts runs and knows how far they are."""

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """Talks to Prefect's API at `url`; nothing is asked before the first call."""
        self.url = url.rstrip("/")
        self._took_s = 0.0
        # No proxy: it is on this machine or in its network.
        self._http = httpx.Client(
            base_url=self.url, verify=certificates(), timeout=60.0, transport=transport, trust_env=False
        )

    def pace(self, usual_s: float) -> float:
        """Gives the seconds between two looks at what goes on: more than usual where an answer takes long.

        Prefect is on the machine that computes, and who keeps asking keeps it from that.
        """
        return max(usual_s, _ANSWERS_APART * self._took_s)

    def start(self, request: Mapping[str, Any], *, deployment: str = "map/map") -> str:
        """Starts a run; gives its id.

        Args:
            request: what it is asked for.
            deployment: flow and name, `refresh/refresh`; the main job unless another is named.

        Raises:
            Unavailable: nobody serves the job.
        """
        try:
            found = self._ask("GET", f"/deployments/name/{deployment}").json()
        except NotFound as error:
            raise Unavailable(
                f"no process serves the job `{deployment}`: start it with `earthfield up`"
            ) from error
        content = {"parameters": {"request": dict(request)}, "state": {"type": "SCHEDULED"}}
        return str(
            self._ask("POST", f"/deployments/{found['id']}/create_flow_run", json=content).json()["id"]
        )

    def run(self, run_id: str) -> Run:
        """Gives one run."""
        return _run(self._ask("GET", f"/flow_runs/{run_id}").json())

    def named(self, run_id: str) -> Run:
        """Gives one run with the name of its flow."""
        told = self._ask("GET", f"/flow_runs/{run_id}").json()
        return replace(_run(told), flow=str(self._ask("GET", f"/flows/{told['flow_id']}").json()["name"]))

    def recent(self, *, limit: int = 10) -> list[Run]:
        """Lists the last runs of the main job, newest first."""
        content = {"flows": {"name": {"any_": ["map"]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": limit}
        return [_run(one) for one in self._ask("POST", "/flow_runs/filter", json=content).json()]

    def last(
        self, *, flows: Sequence[str] = (), states: Sequence[str] = (), limit: int = 25, offset: int = 0
    ) -> list[Run]:
        """Lists the last runs of flows, newest first; runs that are not due yet are left out.

        Args:
            flows: names of flows; any where empty.
            states: states as in `Run`; any where empty.
            limit: how many.
            offset: how many to leave out before.
        """
        due = {"expected_start_time": {"before_": (datetime.now(UTC) + timedelta(minutes=1)).isoformat()}}
        content: dict[str, Any] = {"flow_runs": due, "sort": "EXPECTED_START_TIME_DESC"}
        if flows:
            content["flows"] = {"name": {"any_": list(flows)}}
        if states:
            content["flow_runs"] = {**due, "state": {"type": {"any_": list(states)}}}
        found = self._ask(
            "POST", "/flow_runs/filter", json={**content, "limit": limit, "offset": offset}
        ).json()
        names = self.flows() if found else {}
        return [replace(_run(one), flow=names.get(one["flow_id"], "")) for one in found]

    def flows(self) -> dict[str, str]:
        """Gives the names of flows by their ids."""
        return {one["id"]: one["name"] for one in self._ask("POST", "/flows/filter", json={}).json()}

    def steps(self, run_id: str) -> list[Step]:
        """Lists the tasks of a run that Prefect knows by now, in the order in which they were made.

        Of a run that has begun again those of its last try are given.
        """
        content = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
        found, offset = [], 0
        while page := self._ask("POST", "/task_runs/filter", json={**content, "offset": offset}).json():
            found += page
            offset += len(page)
            if len(page) < 200:
                break
        last = max((one.get("flow_run_run_count") or 0 for one in found), default=0)
        now = [one for one in found if (one.get("flow_run_run_count") or 0) == last]
        return [Step(one["id"], one["name"], one["state_type"] or "PENDING", _said(one)) for one in now]

    def artefacts(self, run_id: str) -> list[Artefact]:
        """Lists what a run shows: tables, links, pictures, how far its loops are, its report; oldest first."""
        content = {
            "artifacts": {"flow_run_id": {"any_": [run_id]}}, "sort": "CREATED_DESC", "limit": 100,
        }  # fmt: skip
        found = self._ask("POST", "/artifacts/filter", json=content).json()
        return [
            Artefact(one["type"], one.get("description") or one.get("key") or "", _data(one))
            for one in reversed(found)
        ]

    def upcoming(self, deployment: str = "refresh/refresh") -> list[Upcoming]:
        """Lists the schedules that are in force, with the time of the next run of each."""
        try:
            found = self._ask("GET", f"/deployments/name/{deployment}").json()
        except NotFound:
            return []
        content = {
            "deployments": {"id": {"any_": [found["id"]]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
            "sort": "EXPECTED_START_TIME_ASC", "limit": 200,
        }  # fmt: skip
        times: dict[str, datetime] = {}
        for one in self._ask("POST", "/flow_runs/filter", json=content).json():
            name = (((one.get("parameters") or {}).get("request")) or {}).get("name")
            if name and one["auto_scheduled"] and one["expected_start_time"]:
                times.setdefault(name, _instant(one["expected_start_time"]))
        return [
            Upcoming(one["slug"], bool(one["active"]), times.get(one["slug"]))
            for one in found["schedules"] if one["slug"]
        ]  # fmt: skip

    def logs(self, run_id: str, steps: Sequence[Step], *, limit: int = 200) -> list[LogLine]:
        """Gives the last lines of a run's log, oldest first.

        Args:
            run_id: which run.
            steps: its tasks, for their names.
            limit: how many lines.
        """
        names = {one.id: one.name for one in steps}
        content = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_DESC", "limit": limit}
        lines = self._ask("POST", "/logs/filter", json=content).json()
        return [
            LogLine(
                at=_instant(one["timestamp"]), level=_level(one["level"]),
                step=names.get(one["task_run_id"] or "", ""), message=one["message"],
            )
            for one in reversed(lines)
        ]  # fmt: skip

    def cancel(self, run_id: str) -> None:
        """Asks for a run to be ended."""
        state = {
            "state": {"type": "CANCELLING", "name": "Cancelling", "message": "cancelled on the dashboard"}
        }
        self._ask("POST", f"/flow_runs/{run_id}/set_state", json=state)

    def retry(self, run_id: str) -> None:
        """Begins a run that is over again; it goes on where it was.

        Raises:
            Conflict: Prefect does not let it, as with a run of the command line.
        """
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "begun again on the dashboard"}
        told = self._ask("POST", f"/flow_runs/{run_id}/set_state", json={"state": state}).json()
        if told["status"] != "ACCEPT":
            reason = (told.get("details") or {}).get("reason") or "Prefect gives no reason"
            raise Conflict(f"the run cannot be begun again ({reason}): ask for the same once more instead")

    def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        for number in range(_TRIES):
            began = time.monotonic()
            try:
                answer = self._http.request(method, path, **content)
                self._took_s += (time.monotonic() - began - self._took_s) / _REMEMBERED
            except httpx.HTTPError as error:
                raise Unavailable(
                    f"Prefect, which runs the jobs, does not answer at {self.url}: "
                    "start it with `earthfield up`, then reload this page"
                ) from error
            if answer.status_code != 503 or number == _TRIES - 1:
                break
            time.sleep(0.1 * 2**number)  # its database is busy for a moment
        if answer.is_success:
            return answer
        kind = {404: NotFound, 422: InvalidInput}.get(answer.status_code, Unavailable)
        raise kind(_message(answer))


def _run(one: Mapping[str, Any]) -> Run:
    started, ended = one.get("start_time"), one.get("end_time")
    return Run(
        id=one["id"],
        name=one["name"],
        state=one.get("state_type") or "PENDING",
        message=_said(one),
        started=_instant(started) if started else None,
        ended=_instant(ended) if ended else None,
        seconds=float(one.get("estimated_run_time") or one.get("total_run_time") or 0.0),
        request=(one.get("parameters") or {}).get("request") or {},
        due=_instant(one["expected_start_time"]) if one.get("expected_start_time") else None,
        is_auto=bool(one.get("auto_scheduled")),
        tries=int(one.get("run_count") or 0),
        is_served=bool(one.get("deployment_id")),
    )


def _data(one: Mapping[str, Any]) -> Any:
    """The content of an artefact; tables come as JSON in a string."""
    data = one.get("data")
    if one.get("type") == "table" and isinstance(data, str):
        try:
            return json.loads(data)
        except ValueError:
            return []
    return data


def _said(one: Mapping[str, Any]) -> str:
    return ((one.get("state") or {}).get("message")) or ""


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _level(number: int) -> str:
    return "ERROR" if number >= 40 else "WARNING" if number >= 30 else "INFO"


def _message(answer: httpx.Response) -> str:
    try:
        content = answer.json()
        return str(content.get("message") or content.get("detail") or content)
    except (ValueError, AttributeError):
        return f"Prefect answered {answer.status_code}: see its log in ROOT/run"
