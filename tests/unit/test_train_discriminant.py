"""Directions that tell classes apart: measured within samples, the known answer found, and used where maps are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from training_land import one_thread  # noqa: F401

from earthfield_train.discriminant import Scatter, class_directions

NUM_CLASSES, LEAST = 4, 15
NOTHING = torch.zeros(0, dtype=torch.int64)


def drawn(*, samples: int = 6, features: int = 8, pixels: int = 600) -> tuple[Tensor, Tensor]:
    """Pixels of several samples: classes differ in two features only, noise and places are louder elsewhere."""
    rng = np.random.default_rng(3)
    means = np.zeros((NUM_CLASSES, features))
    means[:, :2] = rng.normal(size=(NUM_CLASSES, 2))
    sample = np.repeat(np.arange(samples), pixels)
    kind = rng.integers(0, NUM_CLASSES, len(sample))
    loud = np.r_[0.3, 0.3, np.full(features - 2, 3.0)]
    places = 20 * rng.normal(size=(samples, features))
    x = means[kind] + loud * rng.normal(size=(len(sample), features)) + places[sample]
    return torch.from_numpy(x), torch.from_numpy(sample * NUM_CLASSES + kind)


def by_hand(x: NDArray[np.float64], groups: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    between = within = 0
    samples = np.unique(groups // NUM_CLASSES)
    for sample in samples:
        own = [x[groups == sample * NUM_CLASSES + kind] for kind in range(NUM_CLASSES)]
        own = [one for one in own if len(one) >= LEAST]
        weights = np.sqrt([len(one) for one in own]) / np.sqrt([len(one) for one in own]).sum()
        middle = sum(w * one.mean(0) for w, one in zip(weights, own, strict=True))
        for w, one in zip(weights, own, strict=True):
            between = between + w * np.outer(one.mean(0) - middle, one.mean(0) - middle) / len(samples)
            within = within + w * np.cov(one.T, bias=True) / len(samples)
    return between, within


def scattered(x: Tensor, groups: Tensor) -> Scatter:
    scatter = Scatter()
    scatter.add(x, groups, NUM_CLASSES)
    return scatter


def test_scatter_is_what_is_written_by_hand_whatever_the_pieces() -> None:
    x, groups = drawn(pixels=90)
    between, within = by_hand(x.numpy(), groups.numpy())
    whole, pieces = scattered(x, groups), Scatter()
    for first in range(0, len(x), 180):
        pieces.add(x[first : first + 180], groups[first : first + 180], NUM_CLASSES)
    for one in (whole, pieces):
        assert one.num_samples == 6
        np.testing.assert_allclose(one.between, between, atol=1e-12)
        np.testing.assert_allclose(one.within, within, atol=1e-12)


def test_unknown_pixels_small_classes_and_samples_of_one_class_say_nothing() -> None:
    x, groups = drawn(samples=2, pixels=300)
    known = scattered(x, groups)
    lone = torch.full((200,), 2 * NUM_CLASSES)
    few = torch.arange(LEAST - 1) * 0 + 3 * NUM_CLASSES
    more = torch.cat([groups, lone, few, few + 1, torch.full((50,), -1)])
    noise = torch.full((len(more) - len(groups), x.shape[1]), 1e6, dtype=x.dtype)
    again = scattered(torch.cat([x, noise]), more)
    assert again.num_samples == known.num_samples == 2
    np.testing.assert_allclose(again.between, known.between)
    np.testing.assert_allclose(again.within, known.within)
    assert scattered(x, torch.full_like(groups, -1)).num_samples == 0


def test_the_first_numbers_are_those_that_tell_classes() -> None:
    x, groups = drawn()
    nothing = torch.eye(x.shape[1], dtype=torch.float64) * 1e-9
    weight, told = class_directions(scattered(x, groups), nothing, rank=2, trusted=NOTHING)
    share = weight[:2].square().sum(0) / weight.square().sum(0)
    assert share.min() > 0.98
    assert told > 0.5
    # What is loudest says nothing of them: it is where the samples lie.
    loudest = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[0]
    assert loudest[:2].square().sum() < 0.6


def test_what_both_parts_agree_on_fills_the_numbers_that_classes_leave() -> None:
    x, groups = drawn()
    agreed = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    agreed[5, 5] = 1.0
    weight, _ = class_directions(scattered(x, groups), agreed, rank=3, trusted=NOTHING)
    assert (weight[5].square() / weight.square().sum(0)).max() > 0.8


def test_of_two_features_that_say_the_same_the_trusted_one_is_taken() -> None:
    x, groups = drawn(features=4)
    twice = torch.cat([x, x], 1)
    agreed = torch.eye(8, dtype=torch.float64) * 1e-9
    for trusted, other in ((torch.arange(4), torch.arange(4, 8)), (torch.arange(4, 8), torch.arange(4))):
        weight, _ = class_directions(scattered(twice, groups), agreed, rank=2, trusted=trusted)
        assert weight[trusted].norm() > 10 * weight[other].norm()
