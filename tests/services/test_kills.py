"""Whatever part of the stack is killed: runs go on or fail with a reason, and make what they would have made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from flow_parts import HELD_S, WAIT_S, answered, deployment, until
from local_http import Answer, Asked, Server, serving
from small import small_land, small_model
from stack_parts import free_ports

from earthfield.catalog import Catalog
from earthfield.client import Client
from earthfield.errors import Unavailable
from earthfield.field import Field, fields_of
from earthfield.schemas import IndexRequest, MapRequest
from earthfield_flows.processes import Running, left_by, recorded
from earthfield_flows.stack import has_encoder, start_stack, stop_stack
from earthfield_flows.status import status_of
from earthfield_search.cells.opening import open_index
from earthfield_search.cells.rows import fingerprint_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PERIODS = {"flows": "2022-01..2022-08", "prefect": "2022-09..2023-04", "encoder": "2023-05..2023-12"}
"""Which period is being made when a part is killed: each run has scenes to read."""


@dataclass
class Killed:
    """A root with its stack, and an archive that gives hardly a pixel when it is told so."""

    root: Path
    """The root."""
    archive: Server
    """Where scenes are."""
    gate: threading.Event
    """Set while pixels are given at once."""
    held: threading.Event
    """Set once somebody waits for pixels."""
    expected: dict[str, bytes] = field(default_factory=dict)
    """The bytes of each period's field, made without a stack and without a kill."""

    @property
    def api(self) -> str:
        """Prefect's address."""
        return self.part("prefect").address

    def part(self, name: str) -> Running:
        """The process of a part."""
        return next(one for one in recorded(self.root / "run") if one.name == name)

    def kill(self, name: str) -> None:
        """Ends a part as a machine does that has no memory left."""
        process = self.part(name).process
        assert process is not None
        process.kill()
        psutil.wait_procs([process], timeout=10)
        told = {one.name: one.state for one in status_of(self.root).parts}
        assert {name: one for name, one in told.items() if one == "ended"} == {name: "ended"}

    def mend(self, name: str) -> None:
        """Runs `earthfield up`, which starts what was killed and nothing else."""
        assert start_stack(self.root, timeout_s=WAIT_S).started == (name,)

    def begin(self, period: str) -> str:
        """Starts a run of the main job and waits until it reads pixels; gives its id."""
        self.held.clear()
        self.gate.clear()
        request = {
            "root": str(self.root), "catalog": f"{self.archive.url}/catalog.json", "periods": [period],
            "model": "untrained", "agreement": False,
        }  # fmt: skip
        served = deployment(self.api, "map/map")
        assert served is not None
        content = {"parameters": {"request": request}, "state": {"type": "SCHEDULED"}}
        address = f"{self.api}/deployments/{served['id']}/create_flow_run"
        run: str = answered("POST", address, json=content).raise_for_status().json()["id"]
        assert self.held.wait(WAIT_S), "it reads pixels"
        return run

    def ended(self, run: str) -> dict[str, Any]:
        """Lets pixels through, waits for the end of a run, and gives what Prefect tells of it."""
        self.gate.set()

        def over() -> dict[str, Any] | None:
            told = answered("GET", f"{self.api}/flow_runs/{run}").raise_for_status().json()
            return told if told["state_type"] in ("COMPLETED", "FAILED", "CANCELLED") else None

        found: dict[str, Any] = until(over, WAIT_S, "the end of the run")
        return found

    def check(self, period: str) -> None:
        """The field of a period is what it would have been, and the index holds just that."""
        catalog = Catalog(self.root)
        (made,) = [one for one in fields_of(catalog, "untrained") if str(one.key.period) == period]
        assert _bytes(made) == self.expected[period]
        marked = open_index(catalog, "untrained").fingerprint(
            tile=made.key.tile.id, period=made.key.period.id
        )
        assert marked == fingerprint_of(made, cell_px=8)


def _bytes(one: Field) -> bytes:
    return (one.folder / "embedding.tif").read_bytes()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    folder = tmp_path_factory.mktemp("kills")
    root, land, gate, held = folder / "root", folder / "land", threading.Event(), threading.Event()
    gate.set()
    small_land(land)
    small_model(root)

    def answer(asked: Asked) -> Answer:
        path = land / asked.path.lstrip("/")
        if path.suffix == ".tif" and not gate.is_set():
            held.set()
            gate.wait(HELD_S)
        return Answer(path.read_bytes()) if path.is_file() else Answer(status=404)

    with serving(answer) as archive, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_RUNNER_POLL_FREQUENCY", "3")
        patch.setenv("EARTHFIELD_THREADS", "1")
        patch.delenv("EARTHFIELD_WEBHOOK", raising=False)
        killed = Killed(root, archive, gate, held)
        try:
            start_stack(root, ports=free_ports(), encoder=has_encoder(root), timeout_s=WAIT_S)
            killed.expected = _made_without_a_stack(folder / "plain", land)
            yield killed
        finally:
            gate.set()
            stop_stack(root)


def _made_without_a_stack(root: Path, land: Path) -> dict[str, bytes]:
    from earthfield_infer.jobs import embed
    from earthfield_ingest.jobs import ingest
    from earthfield_search.jobs.index import index_fields

    model, periods = small_model(root), tuple(PERIODS.values())
    asked = MapRequest(root=root, catalog=str(land), periods=periods, model=model, agreement=False)
    ingest(asked.ingest())
    embed(asked.embed())
    index_fields(IndexRequest(root=root, model=model))
    return {str(one.key.period): _bytes(one) for one in fields_of(Catalog(root), model)}


def test_a_run_whose_worker_is_killed_is_told_of_and_goes_on_with_the_next(stack: Killed) -> None:
    period = PERIODS["flows"]
    run = stack.begin(period)
    worker = stack.part("flows")
    stack.kill("flows")
    assert left_by(worker), "the run itself lives on, and nobody watches over it"

    stack.mend("flows")
    assert left_by(worker) == []
    told = stack.ended(run)
    assert (told["state_type"], told["run_count"]) == ("COMPLETED", 2), told["state"]
    states = answered("GET", f"{stack.api}/flow_run_states/", params={"flow_run_id": run}).json()
    (crashed,) = [one for one in states if one["type"] == "CRASHED"]
    assert "process that ran it was ended" in crashed["message"]
    stack.check(period)


def test_a_run_outlives_the_prefect_server_and_no_slot_stays_taken(stack: Killed) -> None:
    period = PERIODS["prefect"]
    run = stack.begin(period)
    stack.kill("prefect")
    stack.mend("prefect")
    told = stack.ended(run)
    assert (told["state_type"], told["run_count"]) == ("COMPLETED", 1), told["state"]
    stack.check(period)
    limits = answered("POST", f"{stack.api}/v2/concurrency_limits/filter", json={}).json()
    assert [one["name"] for one in limits if one["name"].startswith("tile-")]
    assert [one["name"] for one in limits if one["active_slots"]] == []


def test_a_question_to_a_search_service_that_was_killed_is_refused_in_a_sentence(stack: Killed) -> None:
    def ask() -> Any:
        with Client(stack.part("search").address) as client:
            area = next(client.areas())
            west, south, east, north = area["bounds"]
            at = ((west + east) / 2, (south + north) / 2)
            found = client.similar("untrained", [at], period=area["period"], k=5)
            return [one["properties"] for one in found["features"]]

    before = ask()
    assert before
    stack.kill("search")
    with pytest.raises(Unavailable, match=r"no search service answers at .*: start it"):
        ask()
    stack.mend("search")
    assert ask() == before


def test_a_run_outlives_the_encoder(stack: Killed) -> None:
    if not has_encoder(stack.root):
        pytest.skip("no tritonserver on this machine: `earthfield serve encoder DIR --install` fetches it")
    period = PERIODS["encoder"]
    run = stack.begin(period)
    stack.kill("encoder")
    stack.mend("encoder")
    told = stack.ended(run)
    assert (told["state_type"], told["run_count"]) == ("COMPLETED", 1), told["state"]
    stack.check(period)
    lines = answered(
        "POST", f"{stack.api}/logs/filter", json={"logs": {"flow_run_id": {"any_": [run]}}}
    ).json()
    assert not [one["message"] for one in lines if "encoded in this process" in one["message"]]
