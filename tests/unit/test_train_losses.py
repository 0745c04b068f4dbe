"""Losses: each equals what loops in float64 make of the same figures, and has the properties it is named for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from training_land import OPTICAL, one_thread  # noqa: F401
from training_targets import HEIGHT, WEATHER

from earthfield_model.config import SourceConfig
from earthfield_train.losses import Losses, consistency_loss, uniformity_loss
from earthfield_train.reconstruction import (
    coarse_mean,
    cross_entropy_loss,
    l1_loss,
    regridded,
    shifted_l1_loss,
    source_loss,
)

N, C, H, W = 3, 2, 7, 8


def drawn(seed: int, shape=(N, C, H, W), share: float = 0.6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape), rng.normal(size=shape), rng.random(shape) < share


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(one)) for one in arrays]


def l1_by_hand(predicted, target, seen, frames=None, shift=(0, 0)) -> tuple[float, int]:
    """Sum and count over pixels that both hold when the target is moved."""
    total, count = 0.0, 0
    for n in range(len(target)) if frames is None else frames:
        for c in range(target.shape[1]):
            for y in range(target.shape[2]):
                for x in range(target.shape[3]):
                    ty, tx = y + shift[0], x + shift[1]
                    inside = 0 <= ty < target.shape[2] and 0 <= tx < target.shape[3]
                    if inside and seen[n, c, ty, tx]:
                        total += abs(predicted[n, c, y, x] - target[n, c, ty, tx])
                        count += 1
    return total, count


def shifted_by_hand(predicted, target, seen, reach: int) -> float:
    total, count = 0.0, 0
    for n in range(len(target)):
        measured, best = int(seen[n].sum()), (math.inf, 0.0, 0)
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                one_total, one_count = l1_by_hand(predicted, target, seen, [n], (dy, dx))
                if one_count and one_count >= measured / 2:
                    best = min(best, (one_total / one_count, one_total, one_count))
        total, count = total + best[1], count + best[2]
    return total / count


@pytest.mark.parametrize("seed", range(3))
def test_l1_equals_loops(seed: int) -> None:
    predicted, target, seen = drawn(seed)
    total, count = l1_by_hand(predicted, target, seen)
    assert float(l1_loss(*tensors(predicted, target, seen))) == pytest.approx(total / count, rel=1e-12)


@pytest.mark.parametrize("share", [1.0, 0.6, 0.1])
@pytest.mark.parametrize("reach", [1, 2])
def test_shifted_l1_equals_loops(reach: int, share: float) -> None:
    for seed in range(3):
        predicted, target, seen = drawn(seed, share=share)
        # One frame that is nearly a moved prediction, so that shifts differ.
        target[0] = np.roll(predicted[0], (1, -reach), (1, 2)) + 0.01 * target[0]
        found = shifted_l1_loss(*tensors(predicted, target, seen), reach_px=reach)
        assert float(found) == pytest.approx(shifted_by_hand(predicted, target, seen, reach), rel=1e-12)


@pytest.mark.parametrize("shift", [(1, 0), (0, -1), (2, 2), (-2, 1)])
def test_a_moved_target_costs_what_the_unmoved_does_where_they_overlap(shift: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    scene = rng.normal(size=(1, C, 24, 24))
    (dy, dx), inner = shift, slice(4, 20)
    truth, moved = scene[..., inner, inner], scene[..., 4 - dy : 20 - dy, 4 - dx : 20 - dx]
    predicted = truth + 0.1 * rng.normal(size=truth.shape)
    seen = np.ones(truth.shape, bool)
    by_hand = np.divide(*l1_by_hand(predicted, moved, seen, shift=shift))
    found = shifted_l1_loss(*tensors(predicted, moved, seen), reach_px=2)
    assert float(found) == pytest.approx(float(by_hand), rel=1e-12)
    assert float(found) < 0.1 < 0.9 < float(l1_loss(*tensors(predicted, moved, seen)))
    rows, cols = (slice(max(-d, 0), 16 - max(d, 0)) for d in shift)
    unmoved = l1_loss(*(one[..., rows, cols] for one in tensors(predicted, truth, seen)))
    assert float(found) == pytest.approx(float(unmoved), rel=1e-12)


def test_a_shift_that_hides_what_was_measured_is_no_way_out() -> None:
    # All that was measured lies in the first row: moved up by one it would cost nothing.
    predicted, target = np.ones((1, 1, 6, 6)), np.zeros((1, 1, 6, 6))
    seen = np.zeros((1, 1, 6, 6), bool)
    seen[..., 0, :] = True
    assert float(shifted_l1_loss(*tensors(predicted, target, seen), reach_px=2)) == 1.0


def test_the_gradient_of_the_shifted_loss_is_that_of_the_best_shift() -> None:
    predicted, target, seen = tensors(*drawn(7))
    predicted.requires_grad_()
    shifted_l1_loss(predicted, target, seen, reach_px=1).backward()
    found, step = predicted.grad, 1e-6
    for place in ((0, 0, 3, 3), (1, 1, 0, 7), (2, 0, 6, 2)):
        sides = []
        for sign in (1, -1):
            moved = predicted.detach().clone()
            moved[place] += sign * step
            sides.append(float(shifted_l1_loss(moved, target, seen, reach_px=1)))
        assert float(found[place]) == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-8)


def cells_by_hand(x: np.ndarray, seen: np.ndarray, side: int) -> dict[tuple[int, ...], float]:
    sums: dict[tuple[int, ...], list[float]] = {}
    for n, c, y, col in np.ndindex(*x.shape):
        if seen[n, c, y, col]:
            sums.setdefault((n, c, y // side, col // side), []).append(x[n, c, y, col])
    return {place: sum(one) / len(one) for place, one in sums.items()}


@pytest.mark.parametrize("share", [1.0, 0.3, 0.05])
def test_regridded_means_and_their_l1_equal_loops(share: float) -> None:
    predicted, target, seen = drawn(1, share=share)
    truth, found = cells_by_hand(target, seen, 3), cells_by_hand(predicted, seen, 3)
    means, known = regridded(*tensors(target, seen), cell_px=3)
    assert means.shape == (N, C, 3, 3)
    assert {tuple(place) for place in known.nonzero().tolist()} == set(truth)
    assert all(float(means[place]) == pytest.approx(value, rel=1e-6) for place, value in truth.items())
    by_hand = sum(abs(truth[place] - found[place]) for place in truth) / len(truth)
    config = SourceConfig.of(HEIGHT)
    assert float(source_loss(config, *tensors(predicted, target, seen))) == pytest.approx(by_hand, rel=1e-5)


def test_cross_entropy_equals_loops() -> None:
    rng = np.random.default_rng(2)
    logits, classes = rng.normal(size=(N, 4, H, W)), rng.integers(0, 4, (N, H, W))
    seen = rng.random((N, H, W)) < 0.5
    total, cells = 0.0, {}
    for n, y, x in np.ndindex(N, H, W):
        if seen[n, y, x]:
            chances = np.exp(logits[n, :, y, x]) / np.exp(logits[n, :, y, x]).sum()
            total -= math.log(chances[classes[n, y, x]])
            cells.setdefault((n, y // 3, x // 3), []).append((classes[n, y, x], chances))
    given = tensors(logits, classes, seen)
    assert float(cross_entropy_loss(*given)) == pytest.approx(total / seen.sum(), rel=1e-9)
    of_cells = 0.0
    for pixels in cells.values():
        mean = sum(chances for _, chances in pixels) / len(pixels)
        of_cells -= sum(math.log(mean[kind]) for kind, _ in pixels) / len(pixels)
    found = cross_entropy_loss(*given, cell_px=3)
    assert float(found) == pytest.approx(of_cells / len(cells), rel=1e-6)


def test_sparse_targets_count_only_where_they_lie() -> None:
    target, seen = torch.full((1, 2, 3, 3), 1e6), torch.zeros(1, 2, 3, 3, dtype=torch.bool)
    seen[0, 0, 1, 1], target[0, 0, 1, 1] = True, 0.0
    for loss in (l1_loss, lambda *x: shifted_l1_loss(*x, reach_px=2)):
        assert float(loss(torch.ones(1, 2, 3, 3), target, seen)) == 1.0
        assert float(loss(torch.ones(1, 2, 3, 3), target, torch.zeros_like(seen))) == 0.0
    logits = torch.zeros(1, 5, 3, 3)
    nothing = cross_entropy_loss(logits, torch.zeros(1, 3, 3, dtype=torch.long), torch.zeros(1, 3, 3).bool())
    assert float(nothing) == 0.0


def test_coarse_sources_see_the_mean_of_the_middle() -> None:
    predicted = torch.arange(N * C * 16 * 16, dtype=torch.float64).view(N, C, 16, 16)
    weather = SourceConfig.of(WEATHER)
    assert torch.equal(coarse_mean(predicted, weather)[..., 0, 0], predicted.mean((-2, -1)))
    narrow = SourceConfig("x", 0, weather.bands, regrid_m=60.0, is_coarse=True)
    assert torch.equal(coarse_mean(predicted, narrow)[..., 0, 0], predicted[..., 5:11, 5:11].mean((-2, -1)))
    target, seen = torch.zeros(N, C, 1, 1), torch.ones(N, C, 1, 1, dtype=torch.bool)
    by_hand = np.mean([abs(float(predicted[n, c].mean())) for n in range(N) for c in range(C)])
    assert float(source_loss(weather, predicted, target, seen)) == pytest.approx(by_hand, rel=1e-6)


def test_losses_are_taken_in_float32_whatever_the_decoder_gives() -> None:
    predicted, target, seen = tensors(*drawn(0))
    found = source_loss(SourceConfig.of(OPTICAL), predicted.bfloat16(), target.float(), seen)
    assert found.dtype == torch.float32


def test_uniformity_and_consistency_equal_loops() -> None:
    rng = np.random.default_rng(0)
    u, v = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in rng.normal(size=(2, 4, 3, 3, 64)))
    rolled, apart = [], []
    for b, y, x in np.ndindex(4, 3, 3):
        rolled.append(abs(sum(u[b, y, x, d] * u[b - 1, y, x, d] for d in range(64))))
        apart.append((1 - sum(u[b, y, x, d] * v[b, y, x, d] for d in range(64))) / 2)
    one, other = tensors(u, v)
    assert float(uniformity_loss(one)) == pytest.approx(np.mean(rolled), rel=1e-12)
    assert float(consistency_loss(one, other)) == pytest.approx(np.mean(apart), rel=1e-12)


def test_uniformity_compares_samples_not_neighbours() -> None:
    one, other = torch.eye(64)[:2]
    u = torch.stack([one.expand(4, 4, -1), other.expand(4, 4, -1)])
    assert float(uniformity_loss(u)) == 0.0


def test_figures_come_as_plain_numbers() -> None:
    losses = Losses(torch.tensor(3.0), {"a": torch.tensor(1.5), "l1/b": torch.tensor(0.25)})
    assert losses.figures() == {"a": 1.5, "l1/b": 0.25}
    assert Losses(torch.tensor(0.0)).figures() == {}
