"""Texts taught to a model that is there: its fields stay what they are, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pyproj import Transformer
from training_land import SOURCES, TILE, Land, made_frames, one_thread, write_cube  # noqa: F401

from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput, NotFound
from earthfield.grid import PIXEL_M
from earthfield_ingest.texts.records import Record
from earthfield_ingest.texts.table import write_table
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import TextConfig
from earthfield_model.encoder import fingerprint_of, load_encoder
from earthfield_model.sentences.encoder import sentence_encoder
from earthfield_model.text import text_config
from earthfield_train.config import DataConfig, TrainConfig, train_config
from earthfield_train.dataset import Sampler
from earthfield_train.jobs import TrainReport, TrainRequest, train_model
from earthfield_train.journal import read_log
from earthfield_train.plots import PlotStore, find_plots
from earthfield_train.texts.alone import TextsObjective, with_texts

LAND = Land(96, every=(30, 45, 60))
AT = (100, 200)
WORDS = ("arable fields", "a dark forest", "houses of a town")
SETTINGS = (
    "data.chip_px=16", "data.plot_px=32", "data.max_frames.sentinel-2-l2a=6", "first_fit=4",
    "run.checkpoint_every=10", "run.health_every=1000",
)  # fmt: skip


def write_texts(root: Path) -> None:
    """Says of every parcel of the land what grows there."""
    rng = np.random.default_rng(LAND.seed)
    kinds = rng.integers(0, 3, (LAND.size // 8,) * 2)  # as `made_frames` draws them
    corner = np.array([TILE.window.y0 + AT[0], TILE.window.x0 + AT[1]])
    lonlat = Transformer.from_crs(TILE.epsg, 4326, always_xy=True)
    records = []
    for place, kind in np.ndenumerate(kinds):
        row, col = (corner + np.array(place) * 8 + 4) * PIXEL_M
        at = lonlat.transform(col, -row)
        records.append(Record(*at, WORDS[kind], "note", str(place), "", "CC0-1.0", "", "", "en"))
    write_table(Catalog(root).texts("t"), records)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root without texts, with a model `before` that knows none."""
    root = tmp_path_factory.mktemp("silent")
    write_cube(root, made_frames(LAND), at=AT)
    run(root, name="before", steps=2)
    return root


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, silent: Path) -> Path:
    """A root with the same land, and texts about it."""
    root = tmp_path_factory.mktemp("spoken")
    write_cube(root, made_frames(LAND), at=AT)
    write_texts(root)
    return root


def run(root: Path, *settings: str, **more) -> TrainReport:
    asked = {"name": "after", "preset": "nano", "steps": 40} | more
    return train_model(TrainRequest(root=root, settings=(*SETTINGS, *settings), **asked), sources=SOURCES)


def taught(root: Path, data: Path, *settings: str, **more) -> TrainReport:
    more = {"start": "before"} | more
    return run(root, "objective=texts", "batch=16", *settings, data=(data,), **more)


def weights(root: Path, name: str) -> dict[str, torch.Tensor]:
    return load_encoder(Catalog(root).model(name)).model.state_dict()


def test_a_model_learns_texts_and_its_fields_stay(silent: Path, spoken: Path) -> None:
    taught(silent, spoken, "optim.learning_rate=5e-3", steps=60)
    before, after = weights(silent, "before"), weights(silent, "after")
    assert all(torch.equal(after[name], one) for name, one in before.items())
    new = {name.split(".")[0] for name in after if name not in before}
    assert new == {"text"}
    rows = read_log(Catalog(silent).report("train", "after").with_suffix(".jsonl"))
    losses = [row["text"] for row in rows]
    assert np.mean(losses[-20:]) < 0.9 * np.mean(losses[:5])
    told = load_encoder(Catalog(silent).model("after")).encode_text(["a wood"])
    assert np.linalg.norm(told, axis=1) == pytest.approx(1)


def test_fields_of_a_model_outlive_its_texts(silent: Path) -> None:
    model = AlphaEarth.from_pretrained(Catalog(silent).model("before"))
    spoken = with_texts(model, text_config(sentence_encoder(TextConfig.encoder)), seed=0)
    assert spoken.text is not None
    assert fingerprint_of(spoken) == fingerprint_of(model)
    spoken.summary.direct.bias.data += 1
    assert fingerprint_of(spoken) != fingerprint_of(model)


def test_a_model_that_knows_texts_goes_on_from_there(silent: Path, spoken: Path) -> None:
    taught(silent, spoken, name="once", steps=2)
    taught(silent, spoken, "optim.learning_rate=0.0", name="twice", start="once", steps=1)
    once, twice = weights(silent, "once"), weights(silent, "twice")
    assert all(torch.equal(twice[name], one) for name, one in once.items())

    taught(silent, spoken, "optim.learning_rate=0.0", "new_texts=true", name="anew", start="once", steps=1)
    anew = weights(silent, "anew")
    changed = {name for name, one in once.items() if not torch.equal(anew[name], one)}
    assert changed
    assert {name.split(".")[0] for name in changed} == {"text"}


def test_a_run_goes_on_exactly_where_it_stopped(silent: Path, spoken: Path) -> None:
    asked, settings = {"name": "whole", "steps": 6}, ("run.checkpoint_every=3", "new_texts=true")
    taught(silent, spoken, *settings, **asked)
    whole = weights(silent, "whole")
    taught(silent, spoken, *settings, **asked, start=None, resume=True, previous=True)
    again = weights(silent, "whole")
    assert all(torch.equal(again[name], one) for name, one in whole.items())


def test_what_is_missing_is_told(silent: Path, spoken: Path) -> None:
    with pytest.raises(InvalidInput, match="name it with --from"):
        taught(silent, spoken, name="x", start=None)
    with pytest.raises(NotFound, match="earthfield texts"):
        taught(silent, silent, name="x")
    with pytest.raises(InvalidInput, match="leave refit out"):
        train_config("nano", settings=("objective=texts", "refit=true"))


def test_a_batch_without_texts_costs_nothing(silent: Path) -> None:
    sources = {name: SOURCES[name] for name in load_encoder(Catalog(silent).model("before")).sources}
    config = TrainConfig(data=DataConfig(chip_px=16, plot_px=32))
    plots = find_plots((silent,), sources, config.data)
    model = AlphaEarth.from_pretrained(Catalog(silent).model("before"))
    model = with_texts(model, text_config(sentence_encoder(TextConfig.encoder)), seed=0)
    batch = Sampler(plots, PlotStore(sources, limit_gb=1.0), config.data, seed=0).batch(0, 4, model.config)
    assert float(TextsObjective(model)(batch, 0).total) == 0
    assert {name.split(".")[0] for name, one in model.named_parameters() if one.requires_grad} == {"text"}
