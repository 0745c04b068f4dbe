"""The two services that the pages talk to: the search service and Prefect, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx

from earthfield.errors import EarthfieldError, InvalidInput, NotFound, Unavailable

_ERRORS: Mapping[int, type[EarthfieldError]] = {404: NotFound, 422: InvalidInput}
_LAST_WORDS = timedelta(seconds=10)
Place = tuple[float, float]
Bounds = tuple[float, float, float, float]


class _Service:
    """One HTTP service, with its failures turned into sentences."""

    def __init__(self, url: str, *, title: str, transport: httpx.BaseTransport | None = None) -> None:
        """Nothing is asked before the first call."""
        self.url = url.rstrip("/")
        self._title = title
        # No proxy: both services are on this machine or in its network.
        self._http = httpx.Client(base_url=self.url, timeout=60.0, transport=transport, trust_env=False)

    def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"{self._title} does not answer at {self.url}: start it with `earthfield up`, then reload this page"
            ) from error
        if answer.is_success:
            return answer
        raise _ERRORS.get(answer.status_code, Unavailable)(_message(answer, self._title))


def _message(answer: httpx.Response, title: str) -> str:
    try:
        content = answer.json()
        return str(content.get("message") or content.get("detail") or content)
    except (ValueError, AttributeError):
        return f"{title} answered {answer.status_code}: see its log in ROOT/run"


@dataclass(frozen=True)
class Layer:
    """The fields of one model and period, which is one picture on the map."""

    model: str
    """Name of the model."""
    period: str
    """The valid period as text."""
    period_id: str
    """Its id in addresses."""
    tiles: tuple[str, ...]
    """Tiles that it covers."""
    outlines: tuple[Mapping[str, Any], ...]
    """GeoJSON geometries of what it covers in each tile, degrees."""
    bounds: Bounds
    """West, south, east, north of all of it."""
    stamp: str
    """Changes when one of the fields was made again."""

    @property
    def title(self) -> str:
        """What a person reads."""
        num = len(self.tiles)
        return f"{self.period} · {self.model} ({num} tile{'s' if num != 1 else ''})"


class Heat(NamedTuple):
    """A picture of how alike every pixel is."""

    png: bytes
    """The picture, in Web Mercator."""
    low: float
    """Cosine of the darkest colour."""
    high: float
    """Cosine of the brightest colour."""


class SearchClient(_Service):
    """The search service."""

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """Talks to the service at `url`."""
        super().__init__(url, title="The search service", transport=transport)

    def layers(self) -> list[Layer]:
        """Lists what maps there are, newest period first."""
        groups: dict[tuple[str, str], list[Any]] = {}
        for one in self._ask("GET", "/areas").json()["areas"]:
            groups.setdefault((one["model"], one["period_id"]), []).append(one)
        found = [_layer(model, period_id, parts) for (model, period_id), parts in groups.items()]
        return sorted(found, key=lambda one: (one.period_id, one.model), reverse=True)

    def models(self) -> list[str]:
        """Lists the names of models."""
        return [one["name"] for one in self._ask("GET", "/models").json()["models"]]

    def catalog(self) -> dict[str, Any] | None:
        """Tells where the installation's STAC catalogue holds scenes, or None where it has none."""
        try:
            found: dict[str, Any] = self._ask("GET", "/catalog").json()
        except (NotFound, InvalidInput):
            return None
        return found

    def bounds(self, layer: Layer) -> Bounds:
        """Tells where the pictures of a layer lie."""
        west, south, east, north = self._ask("GET", f"/fields/{layer.model}/{layer.period_id}/bounds").json()[
            "bounds"
        ]
        return west, south, east, north

    def picture(self, layer: Layer, style: str) -> bytes:
        """Gives a layer in colour."""
        path = f"/fields/{layer.model}/{layer.period_id}/picture.png"
        return self._ask("GET", path, params={"style": style}).content

    def heat(self, layer: Layer, place: Place) -> Heat:
        """Gives how alike every pixel is to a place."""
        answer = self._ask("GET", "/similarity/map.png", params=_query(layer, place))
        return Heat(
            answer.content, float(answer.headers["X-Score-Low"]), float(answer.headers["X-Score-High"])
        )

    def similar(self, layer: Layer, place: Place, *, k: int, apart_m: float) -> dict[str, Any]:
        """Gives the k places most alike as GeoJSON, best first, at least `apart_m` metres from one another."""
        content = {**_query(layer, place), "k": k, "min_distance_m": apart_m}
        found: dict[str, Any] = self._ask("POST", "/similarity", json=content).json()
        return found

    def embedding(self, layer: Layer, place: Place) -> dict[str, Any]:
        """Gives the numbers at a place and the scenes behind them."""
        found: dict[str, Any] = self._ask("GET", "/embeddings", params=_query(layer, place)).json()
        return found


def _query(layer: Layer, place: Place) -> dict[str, Any]:
    return {"model": layer.model, "period": layer.period_id, "lon": place[0], "lat": place[1]}


def _layer(model: str, period_id: str, parts: Sequence[Any]) -> Layer:
    west, south, east, north = zip(*(one["bounds"] for one in parts), strict=True)
    return Layer(
        model, parts[0]["period"], period_id, tuple(one["tile"] for one in parts),
        tuple(one["geometry"] for one in parts), (min(west), min(south), max(east), max(north)),
        "/".join(one["fingerprint"] for one in parts),
    )  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A run of the main job."""

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


class RunClient(_Service):
    """Prefect, which starts runs and knows how far they are."""

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """Talks to Prefect's API at `url`."""
        super().__init__(url, title="Prefect, which runs the jobs,", transport=transport)

    def start(self, request: Mapping[str, Any]) -> str:
        """Starts a run of the main job; gives its id.

        Raises:
            Unavailable: nobody serves the job.
        """
        try:
            deployment = self._ask("GET", "/deployments/name/map/map").json()
        except NotFound as error:
            raise Unavailable("no process serves the job `map/map`: start it with `earthfield up`") from error
        content = {"parameters": {"request": dict(request)}, "state": {"type": "SCHEDULED"}}
        return str(
            self._ask("POST", f"/deployments/{deployment['id']}/create_flow_run", json=content).json()["id"]
        )

    def run(self, run_id: str) -> Run:
        """Gives one run."""
        return _run(self._ask("GET", f"/flow_runs/{run_id}").json())

    def recent(self, *, limit: int = 10) -> list[Run]:
        """Lists the last runs of the main job, newest first."""
        content = {"flows": {"name": {"any_": ["map"]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": limit}
        return [_run(one) for one in self._ask("POST", "/flow_runs/filter", json=content).json()]

    def steps(self, run_id: str) -> list[Step]:
        """Lists the tasks of a run that Prefect knows by now, in the order in which they were made."""
        content = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
        found, offset = [], 0
        while page := self._ask("POST", "/task_runs/filter", json={**content, "offset": offset}).json():
            found += page
            offset += len(page)
            if len(page) < 200:
                break
        return [Step(one["id"], one["name"], one["state_type"] or "PENDING", _said(one)) for one in found]

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
    )


def _said(one: Mapping[str, Any]) -> str:
    return ((one.get("state") or {}).get("message")) or ""


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _level(number: int) -> str:
    return "ERROR" if number >= 40 else "WARNING" if number >= 30 else "INFO"
