"""The first fit: the closed form is the known one, noise has no part in it, and a new model starts spread out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_land import OPTICAL, SOURCES, Land, made_frames, one_thread, write_cube  # noqa: F401
from training_targets import ALL, COVER, made_targets

from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import SourceConfig, model_config
from earthfield_model.widths import widths_named
from earthfield_train.config import DataConfig
from earthfield_train.dataset import Sampler, TrainBatch
from earthfield_train.firstfit import Moments, fit_embedding, reduced_rank, turn_towards
from earthfield_train.plots import PlotStore, find_plots
from earthfield_train.statistics import measured_sources


def drawn(*, signals: int = 3, features: int = 10, pixels: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Two looks at the same few signals, each with noise of its own that is louder than they are."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mixing, loud = normal(signals, features), normal(2, features)
    signal = normal(pixels, signals) @ mixing
    looks = [signal + 5 * normal(pixels, 2) @ loud + 0.1 * normal(pixels, features) for _ in range(2)]
    return looks[0] - looks[0].mean(0), looks[1] - looks[1].mean(0)


def moments_of(x: torch.Tensor, y: torch.Tensor, *, pieces: int = 1) -> Moments:
    moments = Moments()
    for one, other in zip(x.chunk(pieces), y.chunk(pieces), strict=True):
        moments.add(one, other)
    return moments


def test_moments_are_those_of_all_pixels_together() -> None:
    x, y = drawn(pixels=999)
    x, y = x + 3, y - 2
    moments = moments_of(x, y, pieces=4)
    both = np.cov(x.numpy().T, y.numpy().T, bias=True)
    np.testing.assert_allclose(moments.mean_x, x.mean(0))
    np.testing.assert_allclose(moments.covariance, both[:10, :10], atol=1e-9)
    np.testing.assert_allclose(moments.cross, both[:10, 10:], atol=1e-9)
    assert moments.variance_y == pytest.approx(np.trace(both[10:, 10:]))


def test_at_full_rank_it_tells_what_least_squares_tells() -> None:
    x, y = drawn()
    _, told = reduced_rank(moments_of(x, y), rank=10, ridge=0.01)
    best = np.linalg.lstsq(x.numpy(), y.numpy(), rcond=None)[0]
    expected = 1 - np.square(y.numpy() - x.numpy() @ best).sum() / np.square(y.numpy()).sum()
    assert told == pytest.approx(expected, abs=0.02)


def test_what_two_looks_do_not_share_has_no_part_in_it() -> None:
    x, y = drawn()
    weight, _ = reduced_rank(moments_of(x, y), rank=3)
    numbers, again = x @ weight, y @ weight
    agreement = (numbers * again).sum(0) / (numbers.square().sum(0) * again.square().sum(0)).sqrt()
    assert agreement.min() > 0.8
    loudest = torch.linalg.svd(x, full_matrices=False).Vh[:3].T
    plain = (x @ loudest * (y @ loudest)).sum(0) / (x @ loudest).square().sum(0)
    assert plain.abs().min() < 0.2


def test_directions_that_say_nothing_are_left_at_zero() -> None:
    x, y = drawn()
    weight, _ = reduced_rank(moments_of(x, y[:, :2]), rank=6)
    assert torch.linalg.matrix_rank(weight) == 2


def test_a_turn_brings_a_map_back_to_one_that_differs_by_a_turn_only() -> None:
    x, _ = drawn()
    generator = torch.Generator().manual_seed(2)
    before = torch.randn(10, 4, generator=generator, dtype=torch.float64)
    turned = before @ torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))[0]
    turn = turn_towards(turned, before, moments_of(x, x).covariance)
    np.testing.assert_allclose(turned @ turn, before, atol=1e-9)
    np.testing.assert_allclose(turn.T @ turn, np.eye(4), atol=1e-12)


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[TrainBatch]:
    """Samples of land where one class is brighter than the other, and fields differ far more."""
    root, land = tmp_path_factory.mktemp("land"), Land(48, days=730)
    pattern = np.kron(np.random.default_rng(5).integers(0, 2, (12, 12)), np.ones((4, 4), int))
    frames, targets = made_frames(land), made_targets(land)
    optical, cover = frames[OPTICAL.name], targets[COVER.name]
    brighter = np.where(optical.valid[:, None], optical.values + 500 * pattern, optical.values)
    codes = np.broadcast_to(10 + 10 * pattern, cover.values.shape)
    write_cube(root, {**frames, OPTICAL.name: replace(optical, values=brighter.astype(np.int16))})
    stands_for = [f"{year}-01-01T00:00:00+00:00" for year in (2018, 2019)]
    about = [{"stands_for": [first, first.replace("01-01", "12-31")]} for first in stands_for]
    write_cube(root, {COVER.name: replace(cover, values=codes.astype(np.uint8))}, made_cover=about)
    config, store = DataConfig(chip_px=32, valid_odds={"year": 1.0}), PlotStore(ALL, limit_gb=1)
    plots = find_plots([root], ALL, config)
    told = model_config("test", measured_sources(ALL, plots, store), widths_named("nano"))
    sampler = Sampler(plots, store, config, seed=3)
    return [sampler.batch(number, 4, told) for number in range(2)]


def fitted(batches: list[TrainBatch]) -> AlphaEarth:
    sources = [SourceConfig.of(one) for one in (*SOURCES.values(), COVER)]
    config = model_config("test", sources, widths_named("nano"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AlphaEarth(config)
    assert 0 < fit_embedding(model, batches, seed=0) <= 1
    return model


def told_apart(model: AlphaEarth, batch: TrainBatch) -> float:
    """Distance between the classes' means in the vectors, in deviations within a class; mean of samples."""
    with torch.no_grad():
        field = model(batch.inputs, batch.periods).flatten(1, 2)
    is_bright = (batch.targets[COVER.name].stored[:, 0, 0] == 20).flatten(1)
    apart = []
    for vectors, bright in zip(field, is_bright, strict=True):
        along = vectors @ (vectors[bright].mean(0) - vectors[~bright].mean(0))
        wide = (along[bright].var() + along[~bright].var()).div(2).sqrt()
        apart.append(float((along[bright].mean() - along[~bright].mean()) / wide))
    return float(np.mean(apart))


def test_maps_of_classes_decide_what_the_layer_tells(batches: list[TrainBatch]) -> None:
    with_map = fitted(batches)
    without = fitted([replace(one, targets={}) for one in batches])
    found = [np.mean([told_apart(model, one) for one in batches]) for model in (with_map, without)]
    assert found[0] > 1.1 * found[1], found
    again = fitted(batches)
    assert torch.equal(again.summary.direct.weight, with_map.summary.direct.weight)
