"""Emulation: a student learns to match published fields, on land that it never saw too."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from training_land import SOURCES, TILE, Land, made_frames, one_thread, write_cube  # noqa: F401

from earthfield.catalog import Catalog
from earthfield.codec import NODATA, dequantise, quantise
from earthfield.errors import InvalidInput, NotFound
from earthfield.timeline import Period
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import ModelConfig, SourceConfig, model_config
from earthfield_model.encoder import load_encoder
from earthfield_model.timecode import period_days
from earthfield_model.widths import widths_named
from earthfield_train.checkpoint import checkpoints
from earthfield_train.config import TrainConfig, train_config
from earthfield_train.course import Course, open_course
from earthfield_train.emulate import (
    Chip,
    EmulateObjective,
    Lesson,
    _turned,
    decoded,
    emulation_loss,
    parted,
    seen_pixels,
)
from earthfield_train.heldout import match_of
from earthfield_train.jobs import TrainReport, TrainRequest, train_model
from earthfield_train.journal import read_log
from earthfield_train.plots import Plot, PlotStore, find_plots

LAND = Land(96, every=(30, 45, 60))
AT = (100, 200)
YEAR = Period.parse("2018")
SETTINGS = (
    "objective=emulate", "batch=4", "data.chip_px=16", "data.plot_px=32", "data.max_frames.sentinel-2-l2a=6",
    "optim.learning_rate=5e-3", "emulate.held_out=0.2", "run.checkpoint_every=3", "run.health_every=1000",
)  # fmt: skip


def taught_vectors(land: Land) -> np.ndarray:
    """Gives a made-up field (H, W, 64): a direction for each crop of the land, and a slope across it."""
    rng = np.random.default_rng(land.seed)
    parcels = rng.integers(0, 3, (-(-land.size // 8),) * 2)  # as `made_frames` draws them
    kind = np.kron(parcels, np.ones((8, 8), int))[: land.size, : land.size]
    directions = np.random.default_rng(5).normal(size=(4, 64))
    slope = np.linspace(0, 0.3, land.size)[None, :, None] * directions[3]
    vectors = directions[kind] + slope
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def write_teacher(path: Path, codes: np.ndarray) -> Path:
    left = (TILE.window.x0 + AT[1]) * 10.0
    top = -(TILE.window.y0 + AT[0]) * 10.0
    # South-up, as some of the published files are.
    transform = Affine(10, 0, left, 0, 10, top - codes.shape[1] * 10)
    with rasterio.open(
        path, "w", driver="GTiff", count=64, height=codes.shape[1], width=codes.shape[2], dtype="int8",
        crs=f"EPSG:{TILE.epsg}", transform=transform, nodata=NODATA,
    ) as data:  # fmt: skip
        data.write(codes[:, ::-1])
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_cube(root, made_frames(LAND), at=AT)
    return root


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    codes = np.moveaxis(quantise(taught_vectors(LAND)), -1, 0).copy()
    codes[:, :5, :40] = NODATA
    return write_teacher(tmp_path_factory.mktemp("teacher") / "field_2018.tif", codes)


def config_of(*settings: str) -> TrainConfig:
    return train_config("nano", settings=(*SETTINGS, *settings))


def course_of(data: Path, teacher: Path, config: TrainConfig) -> Course:
    plots = find_plots([data], SOURCES, config.data)
    return open_course([str(teacher)], plots, PlotStore(SOURCES, limit_gb=1.0), config)


def request_of(root: Path, data: Path, teachers: tuple[str, ...], *settings: str, **more) -> TrainRequest:
    return TrainRequest(
        root=root,
        name="m",
        preset="nano",
        data=(data,),
        teachers=teachers,
        settings=(*SETTINGS, *settings),
        **more,
    )


def student(seed: int = 0) -> AlphaEarth:
    torch.manual_seed(seed)
    return AlphaEarth(small_config())


def small_config() -> ModelConfig:
    return model_config("m", [SourceConfig.of(one) for one in SOURCES.values()], widths_named("nano"))


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    x = rng.normal(size=(*shape, 64))
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_loss_equals_a_float64_reference_over_the_pixels_that_count() -> None:
    rng = np.random.default_rng(0)
    mu, target, counts = unit(rng, 2, 4, 5), unit(rng, 2, 4, 5), rng.random((2, 4, 5)) < 0.6
    cosines, errors = [], []
    for b, y, x in zip(*np.nonzero(counts), strict=True):
        cosines.append(sum(mu[b, y, x, d] * target[b, y, x, d] for d in range(64)))
        errors.append(sum((mu[b, y, x, d] - target[b, y, x, d]) ** 2 for d in range(64)) / 64)
    total, cosine, mse = emulation_loss(
        torch.from_numpy(mu).float(), torch.from_numpy(target).float(), torch.from_numpy(counts), 0.1
    )
    assert float(cosine) == pytest.approx(np.mean(cosines), abs=1e-6)
    assert float(mse) == pytest.approx(np.mean(errors), abs=1e-6)
    assert float(total) == pytest.approx(1 - np.mean(cosines) + 0.1 * np.mean(errors), abs=1e-6)


def test_a_batch_without_a_pixel_that_counts_costs_nothing() -> None:
    x = torch.from_numpy(unit(np.random.default_rng(0), 1, 2, 2)).float().requires_grad_()
    total, _, _ = emulation_loss(x, x.detach(), torch.zeros(1, 2, 2, dtype=torch.bool), 0.1)
    total.backward()
    assert float(total.detach()) == 0 and x.grad is not None and not x.grad.any()


def test_codes_become_unit_vectors_and_no_data_counts_nowhere() -> None:
    codes = quantise(unit(np.random.default_rng(1), 1, 3, 3).astype(np.float32))
    codes[0, 1, 2] = NODATA
    vectors, known = decoded(torch.from_numpy(codes))
    expected = dequantise(codes[0, 0, 0]).astype(np.float64)
    assert np.allclose(vectors[0, 0, 0].numpy(), expected / np.linalg.norm(expected), atol=1e-6)
    assert not known[0, 1, 2] and int(known.sum()) == 8
    assert not vectors[0, 1, 2].any()


@pytest.fixture(scope="module")
def batch(data: Path, teacher: Path):
    return course_of(data, teacher, config_of()).sampler().batch(3, 4, small_config())


def test_pixels_that_the_teacher_or_the_frames_lack_change_nothing(batch) -> None:
    model, config = student(), config_of()
    objective = EmulateObjective(model, config)
    codes = batch.codes.clone()
    codes[:, :8] = NODATA
    masked = replace(batch, codes=codes)
    before = objective(masked, 0)
    changed = replace(
        masked, codes=torch.where(torch.arange(16)[None, :, None, None] < 8, codes, -codes.clamp(min=-127))
    )
    assert float(objective(changed, 0).total.detach()) != float(before.total.detach())
    # The frames of one sample show nothing in a corner: what the teacher says there is not heard.
    inputs = {name: replace(one, valid=one.valid.clone()) for name, one in batch.inputs.items()}
    for one in inputs.values():
        one.valid[:, :, 12:, 12:] = False
    hidden = replace(batch, inputs=inputs)
    other = hidden.codes.clone()
    other[:, 12:, 12:] = 100
    first, second = (objective(one, 0) for one in (hidden, replace(hidden, codes=other)))
    assert float(first.total.detach()) == float(second.total.detach())
    assert not seen_pixels(inputs, model.config)[:, 12:, 12:].any()
    assert float(first.parts["pixels"]) < float(objective(batch, 0).parts["pixels"])


def test_a_pixel_whose_every_band_is_missing_is_not_seen(batch) -> None:
    stored = {name: one.stored.clone() for name, one in batch.inputs.items()}
    for name, x in stored.items():
        x[:, :, :, 2, 3] = small_config().source(name).nodata
    inputs = {name: replace(one, stored=stored[name]) for name, one in batch.inputs.items()}
    seen = seen_pixels(inputs, small_config())
    assert not seen[:, 2, 3].any() and seen.any()


def test_a_batch_is_a_function_of_seed_and_number(data: Path, teacher: Path, batch) -> None:
    again = course_of(data, teacher, config_of()).sampler().batch(3, 4, small_config())
    assert torch.equal(again.codes, batch.codes)
    assert all(torch.equal(again.inputs[name].stored, one.stored) for name, one in batch.inputs.items())
    other = course_of(data, teacher, config_of("seed=1")).sampler().batch(3, 4, small_config())
    assert not torch.equal(other.codes, batch.codes)


def test_frames_are_of_the_teachers_period_and_often_few(data: Path, teacher: Path) -> None:
    start, end = period_days([YEAR])[0].tolist()
    half = train_config("nano", settings=(*SETTINGS, "emulate.few=1.0"))
    for config, most in ((half, 3), (config_of(), 6)):
        sampler = course_of(data, teacher, config).sampler()
        counts = set()
        for number in range(6):
            drawn = sampler.batch(number, 2, small_config())
            for one in drawn.inputs.values():
                shows = one.shows()
                assert ((one.days[shows] >= start) & (one.days[shows] < end)).all()
            counts |= set(drawn.inputs["sentinel-2-l2a"].shows().sum(1).tolist())
            assert torch.equal(drawn.periods, period_days([YEAR, YEAR]))
        assert max(counts) <= most
    assert max(counts) > 3


def test_frames_and_codes_are_turned_alike() -> None:
    frames = made_frames(Land(16))["sentinel-2-l2a"]
    pattern = np.random.default_rng(0).integers(1, 100, (16, 16))
    frames = replace(frames, values=np.broadcast_to(pattern, frames.values.shape).astype(np.int16))
    codes = np.broadcast_to(pattern, (64, 16, 16)).astype(np.int8)
    seen = set()
    for seed in range(60):
        chip = _turned(Chip({frames.source: frames}, codes, YEAR), np.random.default_rng(seed))
        assert np.array_equal(chip.inputs[frames.source].values[0, 0], chip.codes[0])
        seen.add(chip.codes[0].tobytes())
    assert len(seen) == 8


def test_whole_plots_are_held_out_by_the_seed() -> None:
    from earthfield.grid import Window

    lessons = [Lesson(Plot(Path("r"), 32631, Window(0, 32, x, x + 32)), (YEAR,)) for x in range(0, 320, 32)]
    learned, out = parted(lessons, share=0.2, seed=0)
    assert len(out) == 2 and len(learned) == 8
    assert {one.plot for one in learned}.isdisjoint({one.plot for one in out})
    assert parted(lessons, share=0.2, seed=0) == (learned, out)
    assert parted(lessons, share=0.2, seed=1) != (learned, out)
    assert parted(lessons[:1], share=0.2, seed=0) == (lessons[:1], [])
    assert parted(lessons, share=0.0, seed=0) == (lessons, [])


def test_the_match_equals_one_worked_out_by_hand(data: Path, teacher: Path) -> None:
    config = config_of("data.min_clear=0.0")
    course = course_of(data, teacher, config)
    model = student()
    match = match_of(model, course.held_out, course.store, course.teacher, config)
    assert match.plots == 2 and match.chips == 8
    assert match.pixels <= 2 * 32 * 32
    assert match.cosine is not None and abs(match.cosine) < 0.5
    assert 0.4 < match.constant < 0.9
    assert match.by_period == {"2018": match.cosine}
    assert match_of(model, [], course.store, course.teacher, config).cosine is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path, teacher: Path) -> tuple[Path, TrainReport]:
    root = tmp_path_factory.mktemp("trained")
    report = train_model(
        request_of(root, data, (str(teacher),), "run.checkpoint_every=100", steps=100), sources=SOURCES
    )
    return root, report


def test_it_learns_a_field_and_matches_it_where_it_never_looked(
    trained: tuple[Path, TrainReport], data: Path, teacher: Path
) -> None:
    root, _ = trained
    folder = Catalog(root).model("m")
    told = json.loads((folder / "metrics.json").read_text())["emulation"]
    match = told["held_out"]
    config = config_of()
    course = course_of(data, teacher, config)
    before = match_of(student(), course.held_out, course.store, course.teacher, config)
    assert match["cosine"] > before.cosine + 0.4
    assert match["cosine"] > match["constant"] + 0.05
    assert told["periods"] == ["2018"]
    model = load_encoder(folder).model
    again = match_of(model, course.held_out, course.store, course.teacher, config)
    assert again.cosine == pytest.approx(match["cosine"], abs=1e-5)
    card = (folder / "card.md").read_text()
    assert "## Match with the teacher" in card and f"{match['cosine']:.3f}" in card


def test_a_killed_emulation_goes_on_bit_for_bit(
    data: Path, teacher: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Killed(Exception):
        """Stands for a kill."""

    def kill(step: int, row: dict[str, float]) -> None:
        if step == 5:
            raise Killed

    def losses(root: Path) -> list[float]:
        return [row["loss"] for row in read_log(Catalog(root).report("train", "m").with_suffix(".jsonl"))]

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_model(request_of(whole, data, (str(teacher),), steps=7), sources=SOURCES)
    with pytest.raises(Killed):
        train_model(request_of(broken, data, (str(teacher),), steps=7), sources=SOURCES, watch=kill)
    assert checkpoints(Catalog(broken).model("m"))
    train_model(request_of(broken, data, (str(teacher),), steps=7, resume=True), sources=SOURCES)
    assert losses(broken) == losses(whole)
    other = write_teacher(tmp_path / "other_2018.tif", np.ones((64, 64, 96), np.int8))
    with caplog.at_level(logging.WARNING):
        train_model(request_of(broken, data, (str(other),), steps=7, resume=True), sources=SOURCES)
    assert "teacher" in caplog.text


def test_a_teacher_of_other_land_or_none_at_all_is_told(data: Path, teacher: Path, tmp_path: Path) -> None:
    empty = write_teacher(tmp_path / "empty_2018.tif", np.full((64, 96, 96), NODATA, np.int8))
    with pytest.raises(NotFound, match="no vector over any of the 9 plots"):
        train_model(request_of(tmp_path, data, (str(empty),)), sources=SOURCES)
    with pytest.raises(InvalidInput, match="--teacher"):
        train_model(request_of(tmp_path, data, ()), sources=SOURCES)
    with pytest.raises(InvalidInput, match="goes with --objective emulate"):
        train_model(request_of(tmp_path, data, (str(teacher),), "objective=pretrain"), sources=SOURCES)
    with pytest.raises(NotFound, match="2011"):
        train_model(request_of(tmp_path, data, (f"{teacher}:2011",)), sources=SOURCES)
