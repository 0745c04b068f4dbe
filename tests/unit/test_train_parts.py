"""The parts of training: samples, perturbations, losses, schedule, health and configuration."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_land import SOURCES, TILE, Land, made_frames, one_thread, write_cube  # noqa: F401

from earthfield.errors import InvalidInput, NotFound
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import model_config
from earthfield_model.timecode import days_of
from earthfield_model.widths import widths_named
from earthfield_train.config import DataConfig, LossConfig, OptimConfig, train_config
from earthfield_train.dataset import Plot, PlotStore, Sampler, find_plots
from earthfield_train.losses import consistency_loss, reconstruction_loss, step_losses, uniformity_loss
from earthfield_train.metrics import effective_rank, health_of
from earthfield_train.optim import learning_rate
from earthfield_train.perturb import student_view
from earthfield_train.statistics import measured_sources

DATA = DataConfig(
    chip_px=16, plot_px=32, max_frames={"sentinel-2-l2a": 6, "sentinel-1-rtc": 4, "landsat-c2-l2": 3}
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    write_cube(folder, made_frames(Land(48, days=730)))
    return folder


@pytest.fixture(scope="module")
def plots(root: Path) -> list[Plot]:
    return find_plots([root], tuple(SOURCES), DATA)


@pytest.fixture(scope="module")
def sampler(plots: list[Plot]) -> Sampler:
    return Sampler(plots, PlotStore(tuple(SOURCES), limit_gb=1), DATA, seed=5)


@pytest.fixture(scope="module")
def model(plots: list[Plot]) -> AlphaEarth:
    torch.manual_seed(0)
    sources = measured_sources(SOURCES, plots, PlotStore(tuple(SOURCES), limit_gb=1))
    return AlphaEarth(model_config("test", sources, widths_named("nano")))


def test_plots_cover_what_holds_data_and_nothing_else(plots: list[Plot]) -> None:
    covered = np.zeros((1024, 1024), int)
    for plot in plots:
        local = TILE.local(plot.window)
        assert plot.window.shape == (32, 32)
        covered[local.slices] += 1
    assert covered[100:148, 200:248].all()
    assert covered.sum() == covered[100:148, 200:248].sum()


def test_no_cube_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="earthfield ingest"):
        find_plots([tmp_path], tuple(SOURCES), DATA)


def test_statistics_standardise_what_was_seen(model: AlphaEarth, sampler: Sampler) -> None:
    # A band whose noise outweighs the season is the strictest: mean 0 and spread 1 within a few per cent.
    batch = sampler.batch(0, 8, model.config)
    for name, one in batch.inputs.items():
        x, seen = model.measured(name, one.stored.flatten(0, 1), one.valid.flatten(0, 1))
        values = x.movedim(1, 0)[seen.movedim(1, 0)]
        assert abs(float(values.mean())) < 0.5, name
        assert 0.5 < float(values.std()) < 1.5, name


def test_targets_lie_in_the_valid_period_and_leave_the_inputs(sampler: Sampler, plots: list[Plot]) -> None:
    rng = np.random.default_rng(0)
    lengths, num_targets = set(), 0
    for _ in range(60):
        sample = sampler.sample(plots[0], rng)
        start, end = sample.period
        lengths.add(round(end - start))
        for name, target in sample.targets.items():
            days = days_of(target.acquired)
            assert 1 <= len(days) <= DATA.num_targets
            assert start <= days.min() <= days.max() < end
            if name in sample.inputs:
                assert not np.isin(target.acquired, sample.inputs[name].acquired).any()
                num_targets += 1
        for name, one in sample.inputs.items():
            assert 0 < len(one.acquired) <= DATA.max_frames[name]
            days = days_of(one.acquired)
            assert days.max() - days.min() <= DATA.support_days
    assert lengths == {365, 182, 91, 35}
    assert num_targets > 50


def test_inputs_and_targets_are_turned_alike(plots: list[Plot]) -> None:
    # A land without noise that changes from place to place only: every frame shows the same picture.
    frames = made_frames(Land(32, days=365))
    picture = np.arange(32 * 32, dtype=np.int16).reshape(32, 32)
    for one in frames.values():
        one.values[:] = picture.astype(one.values.dtype)
        one.valid[:] = True
    store = PlotStore((), limit_gb=1)
    store._held[plots[0]] = frames
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(12):
        sample = Sampler([plots[0]], store, DATA, seed=0).sample(plots[0], rng)
        pictures = [
            v for one in (*sample.inputs.values(), *sample.targets.values()) for b in one.values for v in b
        ]
        assert all(np.array_equal(one, pictures[0]) for one in pictures)
        seen.add(
            (
                int(np.sign(pictures[0][0, 1] - int(pictures[0][0, 0]))),
                bool(abs(int(pictures[0][0, 1]) - int(pictures[0][0, 0])) == 1),
            )
        )
    assert len(seen) > 2


def test_batches_are_functions_of_seed_and_number(
    sampler: Sampler, plots: list[Plot], model: AlphaEarth
) -> None:
    again = Sampler(plots, PlotStore(tuple(SOURCES), limit_gb=0), DATA, seed=5)
    other = Sampler(plots, PlotStore(tuple(SOURCES), limit_gb=0), DATA, seed=6)
    one, same, different = (x.batch(7, 3, model.config) for x in (sampler, again, other))
    assert all(torch.equal(one.inputs[name].stored, same.inputs[name].stored) for name in one.inputs)
    assert torch.equal(one.periods, same.periods)
    assert not torch.equal(one.periods, different.periods)
    assert not torch.equal(one.periods, sampler.batch(8, 3, model.config).periods)


def test_the_student_misses_frames_and_never_all(sampler: Sampler, model: AlphaEarth) -> None:
    batch = sampler.batch(1, 4, model.config).inputs
    generator = torch.Generator().manual_seed(0)
    config = LossConfig()
    dropped = dict.fromkeys(batch, 0)
    for _ in range(200):
        view = student_view(batch, config, generator)
        left = torch.stack([one.valid.flatten(1).any(1) for one in view.values()]).any(0)
        assert left.all()
        for name, one in view.items():
            assert torch.equal(one.stored, batch[name].stored)
            assert not (one.valid & ~batch[name].valid).any()
            had = batch[name].valid.flatten(1).any(1)
            dropped[name] += int((had & ~one.valid.flatten(1).any(1)).sum())
    assert dropped["sentinel-1-rtc"] > 150
    # Sentinel-2 is never dropped whole, though a half of the period may hold none of it.
    assert dropped["sentinel-2-l2a"] < 0.6 * dropped["sentinel-1-rtc"]


def test_losses_equal_float64_references() -> None:
    rng = np.random.default_rng(0)
    predicted, target = rng.normal(size=(3, 5, 4, 2)), rng.normal(size=(3, 2, 5, 4))
    seen = rng.random((3, 2, 5, 4)) < 0.4
    by_hand = np.abs(predicted.transpose(0, 3, 1, 2) - target)[seen].mean()
    given = [torch.from_numpy(x).float() for x in (predicted, target)]
    assert float(reconstruction_loss(*given, torch.from_numpy(seen))) == pytest.approx(by_hand, rel=1e-5)
    u, v = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in rng.normal(size=(2, 4, 3, 3, 64)))
    rolled = np.abs(np.einsum("bhwd,bhwd->bhw", u, u[[3, 0, 1, 2]])).mean()
    assert float(uniformity_loss(torch.from_numpy(u))) == pytest.approx(rolled, rel=1e-9)
    apart = ((1 - np.einsum("bhwd,bhwd->bhw", u, v)) / 2).mean()
    assert float(consistency_loss(torch.from_numpy(u), torch.from_numpy(v))) == pytest.approx(apart, rel=1e-9)


def test_masked_values_never_reach_the_reconstruction() -> None:
    target = torch.zeros(1, 2, 3, 3)
    seen = torch.zeros(1, 2, 3, 3, dtype=torch.bool)
    seen[0, 0, 1, 1] = True
    target[~seen] = 1e6
    assert float(reconstruction_loss(torch.ones(1, 3, 3, 2), target, seen)) == 1.0
    assert float(reconstruction_loss(torch.ones(1, 3, 3, 2), target, torch.zeros_like(seen))) == 0.0


def test_uniformity_compares_samples_not_neighbours() -> None:
    one, other = torch.eye(64)[:2]
    u = torch.stack([one.expand(4, 4, -1), other.expand(4, 4, -1)])
    assert float(uniformity_loss(u)) == 0.0


def test_teacher_gets_no_gradient_from_the_student_and_weights_get_it(
    sampler: Sampler, model: AlphaEarth
) -> None:
    teacher = torch.nn.functional.normalize(torch.randn(1, 2, 2, 64), dim=-1).requires_grad_()
    student = torch.nn.functional.normalize(torch.randn(1, 2, 2, 64), dim=-1).requires_grad_()
    consistency_loss(teacher, student).backward()
    assert teacher.grad is None
    assert student.grad is not None
    batch = sampler.batch(2, 2, model.config)
    losses = step_losses(model, batch, LossConfig(), torch.Generator().manual_seed(0))
    model.zero_grad()
    losses.consistency.backward()
    assert float(model.stems["sentinel-2-l2a"].near.weight.grad.abs().sum()) > 0
    model.zero_grad()


def test_every_weight_gets_a_gradient(plots: list[Plot], model: AlphaEarth) -> None:
    # Two cells a side at L/16: with one, distances between cells would have nothing to say.
    wide = Sampler(plots, PlotStore(tuple(SOURCES), limit_gb=1), replace(DATA, chip_px=32), seed=5)
    batch = wide.batch(0, 3, model.config)
    model.zero_grad()
    step_losses(model, batch, LossConfig(), torch.Generator().manual_seed(0)).total(LossConfig()).backward()
    without = [name for name, one in model.named_parameters() if one.grad is None or not one.grad.abs().sum()]
    # The vectors that stand for an absent source wait for a sample without it, and nobody listens to what the
    # last exchange tells the coarser operators.
    last = f"trunk.blocks.{model.config.widths.num_blocks - 1}.exchange."
    silent = (
        "summary.absent",
        *(last + part for part in ("precision_to_", "space_to_time", "time_to_space")),
    )
    assert [name for name in without if not name.startswith(silent)] == []
    model.zero_grad()


def test_health_tells_collapse_and_blindness(sampler: Sampler, model: AlphaEarth) -> None:
    assert effective_rank(torch.randn(20_000, 64, generator=torch.Generator().manual_seed(0))) > 60
    line = torch.randn(500, 1) * torch.ones(64)
    assert effective_rank(line) == pytest.approx(1, abs=1e-3)
    health = health_of(model, sampler.batch(0, 3, model.config))
    assert 1 < health.effective_rank < 64
    assert 0 <= health.mean_norm <= 1
    assert health.period_response > 0


def test_the_rate_rises_and_falls_to_zero() -> None:
    config = OptimConfig(learning_rate=1.0, warmup=0.1)
    for decay in ("cosine", "linear"):
        rates = [learning_rate(step, 100, OptimConfig(1.0, 0.1, decay)) for step in range(100)]
        assert rates[0] == pytest.approx(0.1)
        assert max(rates) == 1.0 == rates[10]
        assert rates[-1] < 0.02
        assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    with pytest.raises(InvalidInput):
        learning_rate(50, 100, OptimConfig(decay="steps"))
    assert config.beta2 < 1


def test_settings_change_what_they_name() -> None:
    changes = [
        "optim.learning_rate=1e-3",
        "data.max_frames.sentinel-2-l2a=20",
        "optim.decay=linear",
        "batch=3",
    ]
    config = train_config("nano", steps=7, settings=changes)
    assert config.optim.learning_rate == 1e-3
    assert config.data.max_frames == {"sentinel-2-l2a": 20, "sentinel-1-rtc": 4, "landsat-c2-l2": 3}
    assert (config.optim.decay, config.batch, config.steps) == ("linear", 3, 7)


@pytest.mark.parametrize(
    "wrong",
    ["batch", "batch=two", "batch=2.5", "optim.lr=1", "seed.x=1", "data.chip_px=20", "batch=0", "data=1"],
)
def test_wrong_settings_are_told(wrong: str) -> None:
    with pytest.raises(InvalidInput):
        train_config("nano", settings=[wrong])


def test_unknown_presets_are_told() -> None:
    with pytest.raises(NotFound, match="tiny"):
        train_config("huge")
