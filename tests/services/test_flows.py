"""Flows against a real Prefect server: one request in, the job's report out, and nothing done twice."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from flow_parts import S2, Held, answered, deployment, inherited, listening, prefect_server
from small import small_land, small_model

from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput, NotFound, Unavailable
from earthfield.grid import Tile
from earthfield.schedules import checked_schedule, store_schedule
from earthfield.storage import hash_of

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, catalog: Path) -> Iterator[str]:
    """A server that keeps the runs of this process."""
    folder = tmp_path_factory.mktemp("server")
    server = prefect_server(folder / "run", folder / "root", meanwhile=lambda: small_land(catalog))
    with server as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", address)
        patch.setenv("PREFECT_HOME", str(folder / "home"))
        patch.delenv("EARTHFIELD_WEBHOOK", raising=False)
        # Prefect reads the environment when it is first imported; another test may have done that.
        from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOGGING_LEVEL, temporary_settings

        values = {PREFECT_API_URL: address, PREFECT_HOME: folder / "home", PREFECT_LOGGING_LEVEL: "WARNING"}
        with temporary_settings(values):
            yield address


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("catalog") / "land"


@dataclass
class Land:
    """A catalogue, and a root with two schedules over it."""

    folder: Path
    """The catalogue."""
    root: Path
    """The root."""
    held: Held
    """A scene that is not there yet."""

    def refresh(self, **rest: Any) -> dict[str, Any]:
        """Refreshes the schedule `here` as of June 2023; gives what is told of it."""
        from earthfield_flows.refresh import refresh_flow

        report = refresh_flow({"root": str(self.root), "name": "here", "at": "2023-07-01", **rest})
        return report["schedules"][0]

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Every file of the root with the time of its last change and its bytes."""
        paths = sorted(path for path in self.root.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


@pytest.fixture(scope="module")
def land(api: str, catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Land:
    made = Catalog(tmp_path_factory.mktemp("flows") / "root")
    held = Held.back(catalog, begins="_2023")
    here = {"catalog": str(catalog), "late_days": 300, "agreement": False, "model": small_model(made.folder)}
    store_schedule(made, checked_schedule(name="here", **here))
    return Land(catalog, made.folder, held)


def shown(api: str) -> list[dict[str, Any]]:
    """Artefacts, newest first."""
    content = {"sort": "CREATED_DESC", "limit": 100}
    return answered("POST", f"{api}/artifacts/filter", json=content).raise_for_status().json()


def test_a_refresh_reads_makes_and_indexes_what_is_new_and_nothing_else(
    api: str, land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = land.refresh()
    assert first["periods"] == ["2022", "2023"]
    assert {one["period"] for one in first["fields"]} == {"2022", "2023"}
    assert first["cells"] > 0
    kinds = {(one["type"], one["key"]) for one in shown(api) if one["key"]}
    assert {("table", "refresh"), ("table", "fields"), ("markdown", "refresh-report")} <= kinds
    pictures = [one for one in shown(api) if one["type"] == "image"]
    assert pictures
    assert all(one["data"].startswith("data:image/png;base64,") for one in pictures)

    before = land.files()
    again = land.refresh()
    assert land.files() == before, "nothing new: nothing is written"
    assert (again["sources"], again["fields"], again["cells"], again["kept"]) == ({}, [], 0, 2)

    land.held.drop()
    with listening() as hook:
        monkeypatch.setenv("EARTHFIELD_WEBHOOK", hook.address)
        news = land.refresh()
    assert news["sources"].keys() == {S2}
    assert news["sources"][S2]["named"] == [land.held.id]
    assert len(news["sources"][S2]["steps"]) == 1
    assert [one["period"] for one in news["fields"]] == ["2023"]
    assert news["kept"] == 1
    changed = {path for path, told in land.files().items() if before.get(path) != told}
    assert not [path for path in changed if "20220101_20230101" in path]
    (told,) = hook.told
    assert (told["event"], told["schedule"]) == ("new", "here")
    assert "1 of sentinel-2-l2a" in told["text"]


def test_what_a_killed_run_left_is_made_up_for(land: Land) -> None:
    from earthfield_search.cells.opening import open_index

    catalog = Catalog(land.root)
    (key,) = [one for one in catalog.fields() if str(one.period) == "2023"]
    kept = catalog.field(key) / "embedding.tif"
    expected = kept.read_bytes()
    # As after a kill between the cube and the field: the scene is in the cube, the field is not there.
    (catalog.field(key) / "manifest.json").unlink()
    news = land.refresh()
    assert (news["sources"], news["ingested"]) == ({}, [])
    assert [one["period"] for one in news["fields"]] == ["2023"]
    assert kept.read_bytes() == expected
    assert open_index(catalog, key.model).fingerprint(tile=key.tile.id, period=key.period.id)


def test_a_schedule_that_fails_holds_up_only_itself_and_is_told_of(
    api: str, land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    from earthfield_flows.refresh import refresh_flow

    catalog = Catalog(land.root)
    store_schedule(catalog, checked_schedule(name="gone", catalog=str(land.root / "nowhere")))
    asked = {"root": str(land.root), "at": "2023-07-01"}
    with listening() as hook:
        monkeypatch.setenv("EARTHFIELD_WEBHOOK", hook.address)
        with pytest.raises(NotFound, match="no catalogue at"):
            refresh_flow(asked)
    catalog.schedule("gone").unlink()
    (told,) = hook.told
    assert (told["event"], told["flow"], told["kind"]) == ("failed", "refresh", "NotFound")
    assert "no catalogue at" in told["text"]
    (report,) = [one for one in shown(api) if one["key"] == "refresh-report"][:1]
    assert '"schedule": "here"' in report["data"], "the other one was done"


def test_the_flows_of_single_jobs_take_one_request_and_give_the_jobs_report(land: Land) -> None:
    from earthfield_flows.embed import embed_flow
    from earthfield_flows.index import index_flow
    from earthfield_flows.ingest import ingest_flow
    from earthfield_flows.map import map_flow

    request = {"root": str(land.root), "catalog": str(land.folder), "periods": ["2023"]}
    ingested = ingest_flow(request)
    assert ingested["sources"][S2]["read"] == 0
    assert ingested["sources"][S2]["used"] > 0
    own = {"root": str(land.root), "periods": ["2023"], "agreement": False, "model": "untrained"}
    (field,) = embed_flow(own)["fields"]
    assert not field["written"]
    indexed = index_flow({"root": str(land.root), "model": "untrained"})
    assert (indexed["fields"], indexed["written"]) == (2, 0)
    report = map_flow({**request, "agreement": False, "model": "untrained"})
    assert report["embed"]["fields"][0]["path"] == field["path"]
    with pytest.raises(InvalidInput, match="periods"):
        ingest_flow({**request, "periods": []})


def test_a_root_that_is_not_named_is_that_of_the_worker(land: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    from earthfield_flows.index import index_flow

    monkeypatch.setenv("EARTHFIELD_ROOT", str(land.root))
    assert index_flow({"model": "untrained"})["fields"] == 2


def test_only_what_may_be_there_next_time_is_tried_again(api: str) -> None:
    from prefect import flow, task

    from earthfield_flows.tasks import RETRIED

    tried: list[str] = []

    @task(**{**RETRIED, "retry_delay_seconds": 0})
    def fails(error: Exception) -> None:
        tried.append(type(error).__name__)
        raise error

    @flow(validate_parameters=False)
    def both() -> None:
        for error in (Unavailable("the disk sleeps"), InvalidInput("no such thing")):
            with pytest.raises(type(error)):
                fails(error)

    both()
    assert tried == ["Unavailable"] * 4 + ["InvalidInput"]


def test_one_run_at_a_time_holds_a_tile_and_a_person_may_change_the_number(api: str) -> None:
    from earthfield_flows.limits import PROVIDER_SLOTS, held, limits_of

    tile = Tile.parse("32631_0048_0549")
    limits = limits_of(tile, "earth-search")
    assert limits == {f"tile-{tile.id}": 1, "provider-earth-search": PROVIDER_SLOTS}
    assert limits_of(tile, "/data/landscape") == {f"tile-{tile.id}": 1}
    assert limits_of(tile, "https://stac.example.org/api") == {
        f"tile-{tile.id}": 1,
        "provider-stac.example.org": PROVIDER_SLOTS,
    }
    order, inside = [], threading.Event()

    def second() -> None:
        inside.wait()
        with held(limits):
            order.append("second")

    # A thread begins without Prefect's settings, and would count its slots on a server of its own.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(second,))
    thread.start()
    with held(limits):
        inside.set()
        thread.join(timeout=1.5)
        order.append("first")
    thread.join(timeout=600)
    assert order == ["first", "second"]
    address = f"{api}/v2/concurrency_limits/provider-earth-search"
    answered("PATCH", address, json={"limit": 2}).raise_for_status()
    with held(limits):
        told = answered("GET", address).json()
    assert (told["limit"], told["active_slots"]) == (2, 1)
    assert answered("GET", address).json()["active_slots"] == 0


def test_progress_is_told_now_and_then_and_never_stops_a_run(
    api: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from earthfield_flows import progress
    from earthfield_flows.progress import ProgressArtefacts

    tell = ProgressArtefacts()
    monkeypatch.setattr(progress, "_EVERY_S", 1e9)
    for done in range(11):
        tell("quick", done, 10)
    assert not [one for one in shown(api) if "quick" in (one["description"] or "")]
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    for done in range(4):
        tell("slow", done, 3)
    (one,) = [one for one in shown(api) if "slow" in (one["description"] or "")]
    assert (one["type"], one["data"], one["description"]) == ("progress", 100.0, "slow: 3 of 3")

    def unreachable(*args: object, **rest: object) -> None:
        raise httpx.ConnectError("no route")

    monkeypatch.setattr("prefect.artifacts.create_progress_artifact", unreachable)
    with caplog.at_level(logging.WARNING):
        tell("lost", 0, 3)
    assert "the progress of lost was not kept" in caplog.text


def test_an_evaluation_of_the_same_inputs_is_remembered(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from earthfield_flows import evaluate

    calls: list[int] = []
    report = {"report": str(tmp_path / "report.json"), "picture": "", "labels": "l", "scores": []}

    @dataclass
    class Scored:
        content: dict[str, Any]

    def scored(request: Any, *, progress: Any) -> Scored:
        calls.append(1)
        Path(report["report"]).write_text("{}")
        return Scored(report)

    inputs = ["a"]
    monkeypatch.setattr("earthfield_train.evaluation.jobs.evaluate_fields", scored)
    monkeypatch.setattr(evaluate, "as_json", lambda one: one.content)
    monkeypatch.setattr(
        evaluate, "inputs_of", lambda request: hash_of([str(tmp_path), *inputs]) if inputs else None
    )
    request = {"root": str(tmp_path), "labels": "labels.tif", "period": "2023"}
    assert evaluate.evaluate_flow(request) == evaluate.evaluate_flow(request) == report
    assert len(calls) == 1
    Path(report["report"]).unlink()
    evaluate.evaluate_flow(request)
    assert len(calls) == 2, "its files were gone"
    inputs[0] = "b"
    evaluate.evaluate_flow(request)
    assert len(calls) == 3, "other inputs"
    inputs.clear()
    evaluate.evaluate_flow(request)
    evaluate.evaluate_flow(request)
    assert len(calls) == 5, "inputs that cannot be told are never remembered"


def test_what_an_evaluation_follows_from_changes_with_labels_and_fields(land: Land, tmp_path: Path) -> None:
    from earthfield_flows.evaluate import inputs_of
    from earthfield_train.evaluation.jobs import EvaluateRequest

    labels = tmp_path / "labels.tif"
    labels.write_bytes(b"one")
    own = {"root": land.root, "labels": labels, "models": ("untrained",)}
    first = inputs_of(EvaluateRequest(**own, period="2023"))
    assert first == inputs_of(EvaluateRequest(**own, period="2023"))
    labels.write_bytes(b"two")
    others = [
        inputs_of(EvaluateRequest(**own, period="2023")),
        inputs_of(EvaluateRequest(**own, period="2022")),
        inputs_of(EvaluateRequest(**own, period="2023", draws=3)),
    ]
    assert len({first, *others}) == 4
    assert inputs_of(EvaluateRequest(**own, period="1999")) is None
    labels.unlink()
    assert inputs_of(EvaluateRequest(**own, period="2023")) is None


def test_a_training_that_is_stopped_is_cancelled_and_a_retry_goes_on(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.exceptions import CancelledRun

    from earthfield_flows import train
    from earthfield_train.jobs import TrainReport

    asked: list[bool] = []

    def trained(request: Any, *, watch: Any) -> TrainReport:
        asked.append(request.resume)
        watch(1, {})
        stopped = 15 if len(asked) == 1 else 0
        return TrainReport(
            "m", str(tmp_path), 1, 1, 10, 1, stopped=stopped, first={"loss": 2.0}, last={"loss": 1.0}
        )

    monkeypatch.setattr("earthfield_train.jobs.train_model", trained)
    request = {"root": str(tmp_path), "name": "m", "preset": "nano", "steps": 2}
    with pytest.raises(CancelledRun):
        train.train_flow(request)
    monkeypatch.setattr("earthfield_train.checkpoint.checkpoints", lambda folder: [folder / "1"])
    monkeypatch.setattr(train, "_tries", lambda: 2)
    assert train.train_flow(request)["last"] == {"loss": 1.0}
    assert asked == [False, True]


def test_tiles_are_spread_over_dask_where_that_is_asked_for(land: Land, tmp_path: Path) -> None:
    from earthfield_flows.ingest import ingest_flow

    request = {"catalog": str(land.folder), "periods": ["2023-05..2023-08"], "sources": [S2]}
    far = ingest_flow({**request, "root": str(tmp_path / "far"), "dask": "local"})
    near = ingest_flow({**request, "root": str(tmp_path / "near")})
    assert far["sources"][S2]["read"] == near["sources"][S2]["read"] > 0
    assert far["tiles"].keys() == near["tiles"].keys()


def test_prefect_takes_every_deployment_of_the_repository(api: str) -> None:
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    environment = {**inherited(), **{name: value for name, value in os.environ.items() if "PREFECT" in name}}
    for pool in ("ingest", "train", "infer", "search", "flows"):
        content = {"name": f"earthfield-{pool}", "type": "process"}
        answered("POST", f"{api}/work_pools/", json=content).raise_for_status()
    done = subprocess.run(
        [*prefect, "deploy", "--all"], cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    names = ("ingest/ingest", "train/train", "embed/embed", "index/index", "map/map", "evaluate/evaluate")
    told = {name: deployment(api, name) for name in (*names, "refresh/refresh", "refresh/rebuild")}
    assert None not in told.values(), done.stdout
    crons = {name: [own["schedule"]["cron"] for own in one["schedules"]] for name, one in told.items() if one}
    assert crons["refresh/refresh"] == ["0 3 */5 * *"]
    assert crons["refresh/rebuild"] == ["0 4 1 * *"]
    pools = {name: one["work_pool_name"] for name, one in told.items() if one}
    assert pools["embed/embed"] == "earthfield-infer"
    assert all(one["global_concurrency_limit"] for one in told.values() if one)
    assert json.dumps([one["pull_steps"] for one in told.values() if one]) == json.dumps([[]] * len(told))


@pytest.mark.parametrize(("status", "is_told"), [(200, True), (500, False), (302, False)])
def test_a_webhook_is_told_once_in_json_and_its_address_is_never_logged(
    status: int, is_told: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from earthfield_flows.notify import notify

    with listening(status=status) as hook, caplog.at_level(logging.DEBUG):
        monkeypatch.setenv("EARTHFIELD_WEBHOOK", f"{hook.address}?key=secret")
        assert notify("new", "something", {"schedule": "here"}) is is_told
    (told,) = hook.told
    assert {name: told[name] for name in ("event", "text", "schedule")} == {
        "event": "new",
        "text": "something",
        "schedule": "here",
    }
    assert "secret" not in caplog.text
    assert logging.getLogger("httpx").disabled is False
