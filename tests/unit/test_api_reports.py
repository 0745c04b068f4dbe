"""What the service tells of models: their card, how their training went, how they scored; and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from earthfield_search.api.app import create_app

NAN = float("nan")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a model `mine` that was trained and scored here."""
    folder = tmp_path / "root" / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "card.md").write_text("# mine\n")
    write(folder / "metrics.json", {
        "model": "mine", "parameters": 7, "steps": 6, "samples": 48, "seconds": 12.5, "first": {"loss": 2.0},
        "last": {"loss": 0.5}, "health": {"effective_rank": 3.0}, "data": {"land": {"plots": 2, "square_km": 1.5}},
        "config": {"preset": "nano", "objective": "pretrain", "home": "/home/ann"},
    })  # fmt: skip
    rows = [{"step": step, "loss": float(step), "l1/sentinel-2-l2a": 1.0} for step in range(6)]
    rows[5]["health/effective_rank"] = 3.0
    log = tmp_path / "root" / "reports" / "train" / "mine.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write(tmp_path / "root" / "reports" / "evaluate" / "mine_2018_LC_block.json", evaluation())
    return tmp_path / "root"


@pytest.fixture
def client(root: Path) -> Iterator[TestClient]:
    with TestClient(create_app(root)) as client:
        yield client


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def evaluation(**changed: Any) -> dict[str, Any]:
    """A report of `earthfield evaluate`, shortened."""
    score = {"features": "mine field", "shots": "1", "probe": "knn", "mean": 0.6, "sem": 0.01}
    margin = {
        "field": "mine field", "shots": "1", "accuracy": 0.6, "rival": "harmonics", "rival_probe": "knn",
        "rival_accuracy": 1.0, "error_reduction": NAN, "paper": None,
    }  # fmt: skip
    return {
        "models": ["mine"], "period": "2018", "labels": "/home/ann/secret/LC.tif", "protocol": "block",
        "rules": {"grid": 4}, "classes": [{"code": 1, "name": "wheat", "pixels": 90}], "left_out": {},
        "shots": [{"shots": "1", "labels": 1, "mean": 1.0, "fewest": 1}], "splits": 8, "partial_splits": 0,
        "test_px": 20.0, "chance": 0.5, "place_px": 100, "dropped_px": 0, "features": {"mine field": 64},
        "kinds": {"mine field": "field"}, "scores": [score, {**score, "probe": "ridge", "mean": 0.7}],
        "margins": [margin], "report": "/home/ann/root/x.json", "picture": "/home/ann/root/x.png", "seconds": 1.0,
    } | changed  # fmt: skip


def test_a_model_tells_its_card_and_the_figures_of_its_training(client: TestClient) -> None:
    told = client.get("/models/mine/report").json()
    assert told["card"] == "# mine\n" and told["bundled"] is False
    figures = told["figures"]
    assert figures["preset"] == "nano" and figures["data"] == {"land": {"plots": 2, "square_km": 1.5}}
    assert figures["last"] == {"loss": 0.5} and figures["health"] == {"effective_rank": 3.0}
    assert "/home/ann" not in json.dumps(told), "only what is named is told of the configuration"


def test_curves_are_thinned_to_means(client: TestClient) -> None:
    told = client.get("/models/mine/curves", params={"most": 3}).json()
    curves = {one["name"]: one for one in told["curves"]}
    assert told["steps"] == 6
    assert curves["loss"]["steps"] == [1, 3, 5] and curves["loss"]["values"] == [0.5, 2.5, 4.5]
    assert (
        curves["health/effective_rank"]["steps"] == [5]
        and curves["health/effective_rank"]["part"] == "health"
    )
    assert curves["l1/sentinel-2-l2a"]["part"] == "source" and curves["loss"]["part"] == "loss"


def test_a_training_that_goes_on_shows_the_steps_that_were_written_whole(
    client: TestClient, root: Path
) -> None:
    with (root / "reports" / "train" / "mine.jsonl").open("a") as log:
        log.write(
            '{"step": 6, "loss": NaN}\n{"step": 7, "loss": 8.0}\n{"step": 2, "loss": 9.0}\n{"step": 8, "lo'
        )
    shutil.rmtree(root / "models" / "mine")
    [loss, *_] = client.get("/models/mine/curves").json()["curves"]
    assert loss["steps"] == [0, 1, 2, 3, 4, 5, 7] and loss["values"][-1] == 8.0


def test_evaluations_name_no_folder_and_no_number_that_is_none(client: TestClient) -> None:
    answer = client.get("/models/mine/evaluations")
    [one] = answer.json()["evaluations"]
    assert (
        one["labels"] == "LC.tif" and one["name"] == "mine_2018_LC_block" and "/home/ann" not in answer.text
    )
    assert [score["mean"] for score in one["scores"]] == [0.6, 0.7]
    assert one["margins"][0]["error_reduction"] is None


def test_evaluations_of_other_models_are_left_out_and_broken_ones_named(
    client: TestClient, root: Path
) -> None:
    folder = root / "reports" / "evaluate"
    write(folder / "other.json", evaluation(models=["other"]))
    write(folder / "both.json", evaluation(models=["other", "mine"]))
    (folder / "torn.json").write_text('{"models": ["mine"')
    write(folder / "old.json", {"models": ["mine"]})
    told = client.get("/models/mine/evaluations").json()
    assert {one["name"] for one in told["evaluations"]} == {"mine_2018_LC_block", "both"}
    assert sorted(told["unreadable"]) == ["old", "torn"]


def test_a_model_that_came_along_is_told_and_has_no_curves_here(client: TestClient) -> None:
    told = client.get("/models/starter/report").json()
    assert told["bundled"] and told["card"].startswith("# starter") and told["figures"]["steps"] > 0
    assert client.get("/models/starter/curves").json() == {"model": "starter", "steps": 0, "curves": []}
    assert client.get("/models/starter/evaluations").json()["evaluations"] == []


@pytest.mark.parametrize("part", ["report", "curves", "evaluations"])
def test_a_model_that_is_not_there_and_a_name_that_is_none_are_refused(client: TestClient, part: str) -> None:
    assert client.get(f"/models/absent/{part}").json()["error"] == "NotFound"
    for name in ("..", ".mine", "a b", "%2e%2e", "x" * 65, "..%5cmine"):
        answer = client.get(f"/models/{name}/{part}")
        assert answer.status_code in (404, 422), name
        assert "mine\n" not in answer.text


def test_figures_that_break_their_schema_are_a_broken_file_and_say_so(client: TestClient, root: Path) -> None:
    (root / "models" / "mine" / "metrics.json").write_text('{"steps": "many"}')
    answer = client.get("/models/mine/report")
    assert answer.status_code == 500 and answer.json()["error"] == "BrokenArtefact"
    assert "metrics.json" in answer.json()["message"] and "steps" in answer.json()["message"]


def test_figures_without_numbers_are_told_as_absent(client: TestClient, root: Path) -> None:
    write(root / "models" / "mine" / "metrics.json", {"seconds": NAN, "parameters": 7})
    figures = client.get("/models/mine/report").json()["figures"]
    assert figures["seconds"] is None and figures["parameters"] == 7
