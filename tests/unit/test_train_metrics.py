"""Health of embeddings, against cases made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from earthfield_train.metrics import Look, effective_rank, health_from, nearest_distances


def look(year: torch.Tensor, early: torch.Tensor | None = None, late: torch.Tensor | None = None) -> Look:
    return Look(year, year if early is None else early, year if late is None else late)


def axis(number: int, shape: tuple[int, ...], dim: int = 8) -> torch.Tensor:
    return torch.eye(dim)[number].expand(*shape, dim)


def test_a_collapse_to_one_point_is_seen() -> None:
    health = health_from(look(axis(0, (3, 4, 4))))
    assert health.mean_norm == pytest.approx(1)
    assert health.sample_mean_norm == pytest.approx(1)
    assert (health.nearest, health.nearest_across) == pytest.approx((0, 0))
    assert (health.period_response, health.sample_spread) == pytest.approx((0, 0))


def test_samples_that_are_flat_and_apart() -> None:
    # Three samples, each of one direction, all at right angles.
    year = torch.stack([axis(number, (4, 4)) for number in range(3)])
    health = health_from(look(year))
    assert health.sample_mean_norm == pytest.approx(1)
    assert health.mean_norm == pytest.approx(math.sqrt(3) / 3)
    assert health.nearest == pytest.approx(0)
    assert health.nearest_across == pytest.approx(1)
    assert health.sample_spread == pytest.approx(1)
    # Three points at equal distances span a plane.
    assert health.effective_rank == pytest.approx(2)


def test_the_nearest_is_the_nearest() -> None:
    degrees = torch.tensor([0.0, 10.0, 40.0, 100.0]) * math.pi / 180
    u = torch.stack([degrees.cos(), degrees.sin()], 1)
    near, across = nearest_distances(u, torch.tensor([0, 0, 1, 1]))
    # Nearest: 10, 10, 30 and 60 degrees; of the other group: 40, 30, 30 and 90. Of an even number the lower middle.
    assert near == pytest.approx(1 - math.cos(math.radians(10)), abs=1e-6)
    assert across == pytest.approx(1 - math.cos(math.radians(30)), abs=1e-6)


def test_nothing_to_compare_with_gives_zero() -> None:
    assert nearest_distances(torch.eye(3)[:1], torch.tensor([0])) == (0.0, 0.0)
    near, across = nearest_distances(torch.eye(3), torch.zeros(3))
    assert (near, across) == (pytest.approx(1), 0.0)


def test_the_response_to_the_period_is_the_angle_between_the_halves() -> None:
    turned = normalize(axis(0, (2, 2, 2)) + axis(1, (2, 2, 2)), dim=-1)
    health = health_from(look(axis(0, (2, 2, 2)), axis(0, (2, 2, 2)), turned))
    assert health.period_response == pytest.approx(1 - math.sqrt(0.5), abs=1e-6)


def test_the_rank_counts_directions_in_equal_use() -> None:
    u = torch.cat([torch.eye(6), -torch.eye(6)])
    assert effective_rank(u) == pytest.approx(6)
    assert effective_rank(u * torch.tensor([1, 1, 0, 0, 0, 0])) == pytest.approx(2)


def test_many_vectors_are_thinned_out() -> None:
    torch.manual_seed(0)
    year = normalize(torch.randn(3, 40, 40, 16), dim=-1)
    health = health_from(look(year))
    assert 0.05 < health.nearest < 0.5
    assert health.nearest <= health.nearest_across < 0.6
