"""Learning from labels, arrays in and arrays out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield_analysis.learn import (
    METHODS,
    Blocks,
    fit_classes,
    fit_numbers,
    lay_blocks,
    score_classes,
    score_numbers,
)
from earthfield_analysis.learn.blocks import deal_blocks
from earthfield_analysis.leastsquares import fit_targets
from earthfield_analysis.probes import balanced_accuracy, nearest, ridge

RNG = np.random.default_rng(0)
KINDS = normalised(RNG.normal(size=(4, 16)))


def drawn(count: int, *, noise: float, seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(count) % 4)
    return normalised(KINDS[codes] + noise * rng.normal(size=(count, 16))), codes


def spread(
    count: int, *, extent_m: float = 5000.0, seed: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.random.default_rng(seed).random((2, count)) * extent_m / 111_195
    return 3 + x / np.cos(np.radians(50.8)), 50.8 + y


def laid(codes: NDArray[np.intp], **told: float) -> Blocks:
    lon, lat = spread(len(codes), **told)  # type: ignore[arg-type]
    return lay_blocks(lon, lat, np.arange(len(codes)), codes)


@pytest.mark.parametrize("count", [30, 120])
@pytest.mark.parametrize("sizes", [(1, 2, 7), (40,)])
def test_groups_left_out_in_closed_form_are_what_a_fit_without_them_gives(
    count: int, sizes: tuple[int, ...]
) -> None:
    x, codes = drawn(count, noise=0.2)
    targets, weights = np.eye(4)[codes], RNG.random(count) + 0.2
    groups = np.repeat(np.arange(count), np.resize(sizes, count))[:count]
    if len(np.unique(groups)) < 2:
        groups[: count // 2] = -1
    found = fit_targets(x, targets, penalty=0.7, groups=groups, weights=weights)
    scale = count / weights.sum()
    for group in np.unique(groups):
        out = groups == group
        # The same weights without the group, as scikit-learn would get them.
        w = weights[~out] * scale
        middle, level = w @ x[~out] / w.sum(), w @ targets[~out] / w.sum()
        a, b = (x[~out] - middle) * np.sqrt(w)[:, None], (targets[~out] - level) * np.sqrt(w)[:, None]
        slopes = np.linalg.solve(a.T @ a + 0.7 * np.eye(16), a.T @ b)
        assert np.allclose(found.left_out[out], (x[out] - middle) @ slopes + level, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_tells_classes_apart_with_probabilities(method: str) -> None:
    x, codes = drawn(80, noise=0.15)
    test, truth = drawn(400, noise=0.15, seed=5)
    fitted = fit_classes(x, codes + 10, method=method)  # type: ignore[arg-type]
    shares = fitted.probabilities(test)
    assert fitted.classes.tolist() == [10, 11, 12, 13]
    assert shares.dtype == np.float32 and np.allclose(shares.sum(axis=1), 1, atol=1e-5) and shares.min() >= 0
    assert balanced_accuracy(truth, shares.argmax(axis=1)) > 0.9


def test_linear_and_nearest_guess_as_the_probes_of_the_evaluation_do() -> None:
    x, codes = drawn(60, noise=0.5)
    test, _ = drawn(500, noise=0.5, seed=5)
    assert (fit_classes(x, codes).probabilities(test).argmax(axis=1) == ridge(x, codes).guess(test)).all()
    votes = fit_classes(x, codes, method="knn").probabilities(test).argmax(axis=1)
    assert (votes == nearest(x, codes, test)).all()


def test_one_label_a_class_is_enough_to_begin_with() -> None:
    test, truth = drawn(200, noise=0.1, seed=5)
    for method in METHODS:
        fitted = fit_classes(KINDS, np.arange(4), method=method)
        assert not fitted.calibrated
        assert (fitted.probabilities(test).argmax(axis=1) == truth).mean() > 0.8


def test_probabilities_of_the_linear_method_say_how_often_it_is_right() -> None:
    x, codes = drawn(400, noise=0.6)
    test, truth = drawn(8000, noise=0.6, seed=5)
    fitted = fit_classes(x, codes)
    shares = fitted.probabilities(test)
    right = shares.argmax(axis=1) == truth
    assert fitted.calibrated and 0.6 < right.mean() < 0.95
    for low, high in ((0.4, 0.6), (0.6, 0.8), (0.8, 1.0)):
        rows = (shares.max(axis=1) >= low) & (shares.max(axis=1) < high)
        assert abs(shares.max(axis=1)[rows].mean() - right[rows].mean()) < 0.08


def test_classes_weigh_the_same_however_many_labels_they_have() -> None:
    x, codes = drawn(400, noise=0.8)
    test, truth = drawn(4000, noise=0.8, seed=5)
    few = np.flatnonzero((codes != 0) | (np.cumsum(codes == 0) <= 8))
    guess = fit_classes(x[few], codes[few]).probabilities(test).argmax(axis=1)
    plain = ridge(x[few], codes[few]).guess(test)
    assert (guess[truth == 0] == 0).mean() > (plain[truth == 0] == 0).mean() + 0.1


def test_pixels_of_one_polygon_do_not_vouch_for_each_other() -> None:
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(24), 15)
    codes = unit % 4
    own = KINDS[codes] + 0.5 * rng.normal(size=(24, 16))[unit]
    x = normalised(own + 0.02 * rng.normal(size=own.shape))
    alone, together = fit_classes(x, codes), fit_classes(x, codes, groups=unit)
    assert together.penalty > 10 * alone.penalty  # type: ignore[attr-defined]
    assert together.sharpness < alone.sharpness  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_tells_numbers(method: str) -> None:
    rng = np.random.default_rng(4)
    x = normalised(rng.normal(size=(600, 4)))
    y = 20 + 5 * x @ np.array([1.0, -2.0, 0.5, 3.0])
    told = fit_numbers(x[:400], y[:400], method=method).numbers(x[400:])  # type: ignore[arg-type]
    assert 1 - np.mean((told - y[400:]) ** 2) / y[400:].var() > 0.9


def test_wrong_labels_are_refused_in_a_sentence() -> None:
    x, codes = drawn(8, noise=0.1)
    with pytest.raises(InvalidInput, match="one class"):
        fit_classes(x, np.zeros(8, int))
    with pytest.raises(InvalidInput, match="same number"):
        fit_numbers(x, np.ones(8))
    with pytest.raises(InvalidInput, match="do not fit"):
        fit_classes(x, codes[:3])
    x[0, 0] = np.nan
    with pytest.raises(InvalidInput, match="not a number"):
        fit_classes(x, codes)


# ---- blocks and scores ----


def test_blocks_are_squares_of_the_ground_on_both_sides_of_a_zone_s_border() -> None:
    north, east = np.mgrid[0:8, 0:8] * 1000.0 + 500.0
    lat = 50.0 + north.ravel() / 111_195
    lon = 6.0 + (east.ravel() - 4000) / 111_195 / np.cos(np.radians(lat))
    blocks = lay_blocks(lon, lat, np.arange(64), np.zeros(64, int), side_m=2000)
    assert 16 <= blocks.count <= 20
    for one in np.unique(blocks.number):
        own = blocks.number == one
        assert np.ptp(north.ravel()[own]) <= 2000 and np.ptp(east.ravel()[own]) <= 2010
    away = blocks.outside(np.arange(64) == 0, 1500)
    assert np.flatnonzero(~away).tolist() == [0, 1, 8, 9]


def test_a_polygon_is_never_on_both_sides_of_a_split() -> None:
    lon, lat = spread(200)
    unit = np.arange(200) // 10
    codes = unit % 2
    blocks = lay_blocks(lon, lat, unit, codes, side_m=1000)
    for test in deal_blocks(blocks, codes):
        train = blocks.outside(test, 0.001)
        assert not set(unit[train]) & set(unit[test])
        assert not (train & test).any()


def test_a_score_is_what_labels_elsewhere_tell_and_not_what_neighbours_do() -> None:
    # Vectors that only know where they are: neighbours look right, other blocks know nothing.
    lon, lat = spread(400)
    there = lay_blocks(lon, lat, np.arange(400), np.zeros(400, int), side_m=700)
    rng = np.random.default_rng(6)
    x = normalised(rng.normal(size=(there.count, 16))[there.number] + 0.05 * rng.normal(size=(400, 16)))
    codes = rng.integers(0, 2, there.count)[there.number]
    score = score_classes(x, codes, there, method="knn")
    assert score.balanced_accuracy is not None and score.balanced_accuracy < 0.65
    assert np.sum(score.confusion) == 400 and (score.folds, score.why_not) == (5, "")
    assert balanced_accuracy(codes[1::2], nearest(x[::2], codes[::2], x[1::2])) > 0.9


def test_scores_of_classes_that_can_be_told_are_high_and_know_how_sure_they_are() -> None:
    x, codes = drawn(120, noise=0.2)
    score = score_classes(x, codes, laid(codes))
    assert score.balanced_accuracy is not None and score.sem is not None
    assert score.balanced_accuracy > 0.9 and 0 <= score.sem < 0.05
    assert np.diag(score.confusion).sum() / 120 == pytest.approx(score.accuracy)
    assert score.recall == pytest.approx(np.diag(score.confusion) / np.sum(score.confusion, axis=1))


def test_too_few_labels_give_a_reason_instead_of_a_score() -> None:
    x, codes = drawn(120, noise=0.2)
    few = np.flatnonzero((codes != 2) | (np.cumsum(codes == 2) <= 3))
    score = score_classes(x[few], codes[few], laid(codes[few]), names=["a", "b", "c", "d"])
    assert score.balanced_accuracy is None and score.confusion == []
    assert "'c' has 3 labels" in score.why_not
    near = laid(codes, extent_m=50.0)
    packed = lay_blocks(*spread(120), np.arange(120), codes, side_m=1e6)
    assert "lie within" in score_classes(x, codes, packed).why_not
    assert near.side_m >= 12
    assert "too few" in score_numbers(x[:6], np.arange(6.0), laid(codes[:6])).why_not


def test_scores_of_numbers_are_those_of_labels_elsewhere() -> None:
    rng = np.random.default_rng(7)
    x = normalised(rng.normal(size=(200, 8)))
    y = 10 + 4 * x[:, 0] + 0.5 * rng.normal(size=200)
    score = score_numbers(x, y, laid(np.zeros(200, int)))
    assert score.r2 is not None and score.rmse is not None and score.mae is not None
    assert 0.6 < score.r2 < 1 and 0.4 < score.rmse < 0.8 and score.mae < score.rmse
    shuffled = score_numbers(x, rng.permutation(y), laid(np.zeros(200, int)))
    assert shuffled.r2 is not None and shuffled.r2 < 0.1
