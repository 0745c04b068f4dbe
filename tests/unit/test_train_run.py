"""A training run: it learns, it can be killed and resumed, and it leaves a model that can be used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from training_land import SOURCES, Land, made_frames, one_thread, write_cube  # noqa: F401

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, Conflict, Internal, NotFound
from earthfield.timeline import Period
from earthfield_model.encoder import load_encoder, model_folder
from earthfield_train.checkpoint import CHECKPOINT_FILE
from earthfield_train.jobs import TrainReport, TrainRequest, train_model
from earthfield_train.trainer import read_log

SMALL = (
    "batch=2",
    "data.chip_px=16",
    "data.plot_px=32",
    "data.max_frames.sentinel-2-l2a=5",
    "checkpoint_every=3",
    "health_every=100",
)
STEPS = 8


class Killed(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_cube(folder, made_frames(Land(48)))
    return folder


def trained(root: Path, data: Path, *settings: str, steps: int = STEPS, watch=None, **more) -> TrainReport:
    request = TrainRequest(
        root=root, name="m", preset="nano", data=(data,), steps=steps, settings=(*SMALL, *settings), **more
    )
    return train_model(request, sources=SOURCES, **({"watch": watch} if watch else {}))


def losses(root: Path) -> list[float]:
    return [row["loss"] for row in read_log(Catalog(root).report("train", "m").with_suffix(".jsonl"))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    root = tmp_path_factory.mktemp("whole")
    trained(root, data)
    return root


def test_leaves_a_model_that_encodes(whole: Path) -> None:
    folder = model_folder("m", Catalog(whole))
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "model.safetensors", "metrics.json", "card.md", CHECKPOINT_FILE}
    encoder = load_encoder(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["fingerprint"] == encoder.fingerprint
    assert metrics["steps"] == STEPS
    assert set(metrics["health"]) == {"effective_rank", "mean_norm", "period_response", "sample_spread"}
    assert "## Losses" in (folder / "card.md").read_text()
    frames = made_frames(Land(32, seed=4))
    field = encoder.encode(frames, [Period.parse("2018")])
    seen = np.any([one.valid.any(0) for one in frames.values()], 0)
    assert np.array_equal(np.isfinite(field[0]).all(-1), seen)


def test_a_killed_run_goes_on_bit_for_bit(whole: Path, data: Path, tmp_path: Path) -> None:
    def kill(step: int, row: dict[str, float]) -> None:
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        trained(tmp_path, data, watch=kill)
    log = Catalog(tmp_path).report("train", "m").with_suffix(".jsonl")
    log.write_text(log.read_text() + '{"step": 5, "lo')
    torch.manual_seed(99)
    report = trained(tmp_path, data, resume=True)
    assert report.steps_done == STEPS - 3
    assert losses(tmp_path) == losses(whole)
    same = [load_encoder(model_folder("m", Catalog(root))).fingerprint for root in (whole, tmp_path)]
    assert same[0] == same[1]


def test_it_learns(data: Path, tmp_path: Path) -> None:
    # Whole years only: periods of a month with few targets make short runs noisy.
    years = ('data.valid_odds={"year": 1.0}', "data.alone=0.0")
    report = trained(tmp_path, data, *years, "optim.learning_rate=3e-3", steps=50)
    rows = read_log(Catalog(tmp_path).report("train", "m").with_suffix(".jsonl"))
    errors = [row["reconstruction"] for row in rows]
    assert np.mean(errors[-10:]) < 0.93 * np.mean(errors[:5])
    assert report.health["period_response"] > 0.01
    assert report.health["mean_norm"] < 0.98


def test_what_is_there_is_not_overwritten_unasked(whole: Path, data: Path) -> None:
    with pytest.raises(Conflict, match="--overwrite"):
        trained(whole, data)
    with pytest.raises(Conflict, match="another configuration"):
        trained(whole, data, "optim.learning_rate=1e-4", resume=True)


def test_resuming_from_nothing_or_rubble_is_told(data: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="--resume"):
        trained(tmp_path, data, resume=True)
    checkpoint = Catalog(tmp_path).model("m") / CHECKPOINT_FILE
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"rubble")
    with pytest.raises(BrokenArtefact, match="is broken"):
        trained(tmp_path, data, resume=True)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(data: Path, tmp_path: Path) -> None:
    with pytest.raises(Internal, match="step"):
        trained(tmp_path, data, "optim.learning_rate=1e30", "optim.warmup=0.0", "checkpoint_every=1")
    assert (Catalog(tmp_path).model("m") / CHECKPOINT_FILE).is_file()


def test_data_without_a_declared_source_is_told(data: Path, tmp_path: Path) -> None:
    request = TrainRequest(root=tmp_path, name="m", preset="nano", data=(data,), steps=1)
    with pytest.raises(NotFound, match="no cube"):
        train_model(request, sources={"palsar": SOURCES["sentinel-1-rtc"]})


def test_a_run_starts_from_another_models_weights(whole: Path, data: Path, tmp_path: Path) -> None:
    request = TrainRequest(
        root=whole, name="further", preset="nano", start="m", data=(data,), steps=1,
        settings=(*SMALL, "optim.learning_rate=0.0"),
    )  # fmt: skip
    train_model(request, sources=SOURCES)
    before, after = (load_encoder(Catalog(whole).model(name)).model for name in ("m", "further"))
    assert after.config.name == "further"
    assert after.config.sources == before.config.sources
    assert all(torch.equal(one, after.state_dict()[name]) for name, one in before.state_dict().items())
    with pytest.raises(Conflict, match="preset"):
        train_model(request.model_copy(update={"name": "other", "preset": "tiny"}), sources=SOURCES)
    with pytest.raises(NotFound, match="nonesuch"):
        train_model(request.model_copy(update={"name": "other", "start": "nonesuch"}), sources=SOURCES)
