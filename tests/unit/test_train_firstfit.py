"""The first fit: the closed form is the known one, noise has no part in it, and a new model starts spread out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_land import one_thread  # noqa: F401

from earthfield_train.firstfit import Moments, reduced_rank, turn_towards


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
