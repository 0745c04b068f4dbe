"""False alarms: a stated rate holds on vectors whose noise is known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield_analysis.change import distance, fit_null, fit_shift, split_half_noise

SIDE, DIM, DIRECTIONS = 128, 64, 6
RATES = (0.1, 0.05, 0.01)


def land(seed: int = 0) -> NDArray[np.float32]:
    """Six kinds of land in squares of 8 px."""
    rng = np.random.default_rng(seed)
    kinds = normalised(rng.normal(size=(6, DIM)))
    return kinds[rng.integers(0, 6, (SIDE // 8, SIDE // 8)).repeat(8, 0).repeat(8, 1)]


def spread(seed: int = 1) -> NDArray[np.float64]:
    """How noisy each pixel is: smooth over the land, by a factor of some three."""
    rng = np.random.default_rng(seed)
    rough = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 6)
    return np.asarray(0.03 * np.exp(0.4 * rough / rough.std()))


def seen(truth: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A period: vectors of all frames, and the agreement of halves, whose noise has twice the variance."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(9).normal(size=(DIM, DIRECTIONS)))[0].T

    def noisy(factor: float) -> NDArray[np.float32]:
        noise = rng.normal(size=(SIDE, SIDE, DIRECTIONS)) @ axes
        return normalised(truth + factor * spread()[..., None] * noise)

    return noisy(1.0), (noisy(2**0.5) * noisy(2**0.5)).sum(axis=-1)


def compared(
    before: NDArray[np.float32], after: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distances and noise of two periods of the same, or of changed land."""
    (x, x_agreed), (y, y_agreed) = seen(before, 2), seen(after, 3)
    return distance(x, y), split_half_noise(x_agreed, y_agreed)


def test_halves_tell_how_far_apart_two_periods_without_change_lie() -> None:
    distances, noise = compared(land(), land())
    assert noise.mean() == pytest.approx(distances.mean(), rel=0.03)
    blocks = [one.reshape(8, 16, 8, 16).mean(axis=(1, 3)).ravel() for one in (distances, noise)]
    assert np.corrcoef(*blocks)[0, 1] > 0.95


def test_known_noise_gives_the_stated_rate_within_sampling_error() -> None:
    distances, noise = compared(land(), land())
    chance = fit_null(distances.ravel(), noise.ravel(), guard=1.0).probability(distances, noise)
    for rate in RATES:
        found = float((chance <= rate).mean())
        # Four standard errors, and a twentieth for the shape that is fitted below the tail.
        assert abs(found - rate) < 4 * np.sqrt(rate / chance.size) + 0.05 * rate, (rate, found)


def test_the_usual_null_never_flags_more_than_the_rate_but_does_flag() -> None:
    distances, noise = compared(land(), land())
    chance = fit_null(distances.ravel(), noise.ravel()).probability(distances, noise)
    found = [float((chance <= rate).mean()) for rate in RATES]
    assert all(own <= rate for own, rate in zip(found, RATES, strict=True)), found
    assert found[0] > 0.05


def test_changes_on_a_tenth_of_the_land_are_found_and_do_not_spoil_the_rate() -> None:
    after = land()
    changed = np.zeros((SIDE, SIDE), bool)
    changed[:40, :40] = True
    after[changed] = normalised(np.random.default_rng(5).normal(size=DIM))
    distances, noise = compared(land(), after)
    null = fit_null(distances.ravel(), noise.ravel())
    chance = null.probability(distances, noise)
    assert (chance[changed] <= 0.01).mean() > 0.99
    assert (chance[~changed] <= 0.1).mean() <= 0.1


def test_the_same_distance_is_less_surprising_where_pixels_are_noisier() -> None:
    distances, noise = compared(land(), land())
    null = fit_null(distances.ravel(), noise.ravel())
    quiet, loud = null.probability(np.full(2, 0.02), np.array([0.005, 0.02]))
    assert quiet < loud / 3


def test_a_pixel_without_agreement_is_averaged_from_its_neighbours_or_unknown() -> None:
    agreed = np.full((9, 9), 0.9, np.float32)
    agreed[2, 2] = np.nan
    agreed[5:, 5:] = np.nan
    noise = split_half_noise(agreed, agreed)
    assert noise[2, 2] == pytest.approx(0.05)
    assert noise[5, 5] == pytest.approx(0.05)
    assert np.isnan(noise[7, 7])
    assert np.isnan(fit_null(np.linspace(0, 1, 300), np.full(300, 0.1)).probability(0.5, noise[7, 7]))


def test_what_all_land_has_in_common_is_removed_and_changes_stay() -> None:
    rng = np.random.default_rng(0)
    before = normalised(rng.normal(size=(3000, 16)))
    turn = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    after = normalised(before @ turn + 0.01 * rng.normal(size=before.shape))
    after[:90] = np.eye(16)[0]
    shift = fit_shift(before, after)
    # What has changed does not count.
    assert np.abs(shift.after_mean - after[90:].mean(axis=0)).max() < 0.004
    left = distance(shift.apply(before), after)
    assert np.median(left[90:]) < 0.01
    assert np.median(left[:90]) > 0.5
    assert shift.size > 0.5


def test_few_pixels_move_by_their_means_alone() -> None:
    rng = np.random.default_rng(0)
    before = normalised(rng.normal(size=(40, 16)) + 1)
    after = normalised(before + 0.3)
    shift = fit_shift(before, after)
    assert np.array_equal(shift.rotation, np.eye(16))
    assert np.median(distance(shift.apply(before), after)) < np.median(distance(before, after)) / 2


def test_too_few_pixels_cannot_be_calibrated_on() -> None:
    with pytest.raises(InvalidInput, match="199 pixels"):
        fit_null(np.linspace(0, 1, 199), np.full(199, 0.1))


def test_fields_that_are_equal_have_no_surprise() -> None:
    chance = fit_null(np.zeros(500), np.zeros(500)).probability(np.zeros(3), np.zeros(3))
    assert (chance > 0.1).all()
