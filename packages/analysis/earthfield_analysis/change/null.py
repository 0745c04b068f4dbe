"""How far apart two periods of a pixel lie when nothing has changed, and how likely a distance is then."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize, special

from earthfield.errors import InvalidInput

BULK = 0.8
"""Share of the pixels that are taken not to have changed: those of the smallest distances for their noise."""
GUARD = 2.0
"""By how much the degrees of freedom that fit best are divided: the bulk says little about the tail."""
FEWEST = 200
"""Pixels below which there is nothing to fit on."""
_LEAST_DOF_BELOW = 5.0
_BINS = 20
_QUANTILES = 60
_LOWEST = 0.02
_DOF_ABOVE = np.geomspace(1, 400, 60)
_DOF_BELOW = np.geomspace(_LEAST_DOF_BELOW, 400, 28)
_TINY = 1e-7
_POOL_PX = 3


def split_half_noise(
    before: NDArray[np.floating], after: NDArray[np.floating], *, pool_px: int = _POOL_PX
) -> NDArray[np.float32]:
    """Gives the 1 - cosine that two periods would show by their frames' noise alone.

    Independent noise of variance s (summed over the dimensions) moves two unit vectors apart by 1 - cosine = s. A
    half of the frames has twice the variance of all of them, so the halves' 1 - agreement is 2 s; two periods of s1
    and s2 lie (s1 + s2) / 2 apart.

    Args:
        before: (H, W) agreement of the two halves of the frames, first period; NaN where unknown.
        after: (H, W) the same of the second period.
        pool_px: side of the square that is averaged over, odd: an agreement is itself an uncertain number.

    Returns:
        (H, W) float32, 0 or more; NaN where no pixel of the square has both.
    """
    own = (2 - np.asarray(before, np.float64) - np.asarray(after, np.float64)) / 4
    known = np.isfinite(own)
    total = ndimage.uniform_filter(np.where(known, own, 0.0), pool_px, mode="constant")
    share = ndimage.uniform_filter(known.astype(np.float64), pool_px, mode="constant")
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = np.where(share > 0.5 / pool_px**2, total / share, np.nan)
    return np.maximum(pooled, 0.0).astype(np.float32)


@dataclass(frozen=True)
class Null:
    """Distances where nothing has changed: expected by their noise, spread about that as an F distribution."""

    gain: float
    """How much a pixel's own noise counts: 1 where halves and periods differ by independent noise alone."""
    floor: float
    """1 - cosine that comes on top for every pixel: land is never quite the same twice."""
    scale: float
    """Of the F distribution of distance / expected distance."""
    dof_above: float
    """Its degrees of freedom: over how many directions a pixel's differences spread."""
    dof_below: float
    """Its degrees of freedom below: how well a pixel's expected distance is known."""
    pixels: int
    """Pixels that it was fitted on."""

    def expected(self, noise: NDArray[np.floating]) -> NDArray[np.float32]:
        """Gives the expected 1 - cosine (...) of pixels with that noise, as `split_half_noise` gives it."""
        return np.maximum(self.gain * np.asarray(noise, np.float32) + self.floor, _TINY).astype(np.float32)

    def probability(
        self, distances: NDArray[np.floating], noise: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Gives how likely at least such a distance is without change: the probability of a false alarm.

        Args:
            distances: (...) 1 - cosine, NaN where there is no data.
            noise: (...) as `split_half_noise` gives it, NaN where unknown.

        Returns:
            (...) float64 in 0..1, NaN where either is unknown.
        """
        ratio = np.asarray(distances, np.float64) / self.expected(noise) / self.scale
        return np.asarray(special.fdtrc(self.dof_above, self.dof_below, ratio))


def fit_null(
    distances: NDArray[np.floating],
    noise: NDArray[np.floating],
    *,
    bulk: float = BULK,
    guard: float = GUARD,
) -> Null:
    """Fits the null on pixels of which most have not changed.

    The expected distance is a line in the pixel's noise through the medians of classes of equal noise; the spread
    is fitted to the quantiles of distance / expected distance below `bulk`, so what has changed does not count as
    long as it is less than the rest.

    Args:
        distances: (N,) 1 - cosine between the periods.
        noise: (N,) as `split_half_noise` gives it; pixels where either is NaN do not count.
        bulk: share of pixels taken not to have changed, 0..1.
        guard: makes the tail heavier than the bulk alone suggests: 1 is as fitted, which suits noise that is known.

    Raises:
        InvalidInput: fewer than 200 pixels have both.

    Source: empirical null of the central part, Efron, Large-scale simultaneous hypothesis testing, JASA 99 (2004);
    we fit an F distribution instead of a normal one, because distances are sums of squares.
    """
    there = np.isfinite(distances) & np.isfinite(noise)
    d, n = np.asarray(distances, np.float64)[there], np.asarray(noise, np.float64)[there]
    if d.size < FEWEST:
        raise InvalidInput(
            f"{d.size} pixels have data and agreement in both periods, and {FEWEST} are the fewest that false "
            "alarms can be calibrated on: take a larger area, or another rule"
        )
    gain, floor = _line(d, n)
    first = Null(gain, floor, 1.0, 1.0, 1.0, int(d.size))
    ratio = np.maximum(d, _TINY) / first.expected(n)
    scale, above, below = _spread(np.log(np.quantile(ratio, _shares(bulk))), bulk, guard)
    return Null(gain, floor, scale, above, below, int(d.size))


def _line(distances: NDArray[np.float64], noise: NDArray[np.float64]) -> tuple[float, float]:
    """Fits distance = gain x noise + floor, neither below 0, to medians of classes, by least absolute errors."""
    edges = np.unique(np.quantile(noise, np.linspace(0, 1, _BINS + 1)))
    place = np.clip(np.searchsorted(edges, noise, side="right") - 1, 0, max(len(edges) - 2, 0))
    medians = np.array(
        [
            (np.median(noise[own]), np.median(distances[own]))
            for b in range(_BINS)
            if (own := place == b).any()
        ]
    )
    sides, weights = np.stack([medians[:, 0], np.ones(len(medians))], 1), np.ones(len(medians))
    found = np.zeros(2)
    for _ in range(5):
        root = np.sqrt(weights)
        found, _ = optimize.nnls(sides * root[:, None], medians[:, 1] * root)
        off = np.abs(medians[:, 1] - sides @ found)
        weights = 1 / np.maximum(off / max(medians[:, 1].mean(), _TINY), 0.1)
    return float(found[0]), float(found[1])


def _shares(bulk: float) -> NDArray[np.float64]:
    """The shares at whose quantiles distributions are compared; the very smallest distances are rounding."""
    return (np.arange(_QUANTILES) + 0.5) / _QUANTILES * (bulk - _LOWEST) + _LOWEST


def _spread(logs: NDArray[np.float64], bulk: float, guard: float) -> tuple[float, float, float]:
    """Gives scale and degrees of freedom of the F distribution whose quantiles' logarithms are nearest.

    Those below are divided by the guard, and the others fitted again to that.
    """

    def best(below: float) -> tuple[float, float, float, float]:
        # The scale moves all logarithms alike.
        off = logs - _quantiles(below, bulk)
        place = int(off.std(axis=1).argmin())
        return float(off[place].std()), float(np.exp(off[place].mean())), float(_DOF_ABOVE[place]), below

    fitted = min(best(float(below)) for below in _DOF_BELOW)[3]
    return best(max(fitted / guard, _LEAST_DOF_BELOW))[1:]


@lru_cache(maxsize=256)
def _quantiles(below: float, bulk: float) -> NDArray[np.float64]:
    """Logarithms of the quantiles of F distributions, one row for each of `_DOF_ABOVE`."""
    return np.asarray(np.log(special.fdtri(_DOF_ABOVE[:, None], below, _shares(bulk))))
