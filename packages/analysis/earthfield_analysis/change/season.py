"""What all land has in common between two periods: season, light, another mix of sensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield_analysis.change.distances import distance

_KEPT = 0.95
_ROUNDS = 6
_FEWEST_PER_BAND = 10
"""Pixels for each dimension below which a rotation would follow single pixels; the means alone are moved then."""


@dataclass(frozen=True)
class Shift:
    """A rotation about the means: it moves all vectors together and keeps the distances among them."""

    before_mean: NDArray[np.float64]
    """(D,) mean of the first period."""
    after_mean: NDArray[np.float64]
    """(D,) mean of the second period."""
    rotation: NDArray[np.float64]
    """(D, D) orthogonal; a deviation from the first mean, as a row, times this is one from the second."""
    size: float
    """What it removes: median of 1 - cosine without it, less that with it."""

    def apply(self, before: NDArray[np.floating]) -> NDArray[np.float32]:
        """Gives (..., D) unit vectors of the first period as they would look in the second without a change."""
        mean, after, rotation = (
            one.astype(np.float32) for one in (self.before_mean, self.after_mean, self.rotation)
        )
        return normalised((np.asarray(before, np.float32) - mean) @ rotation + after)


def fit_shift(before: NDArray[np.floating], after: NDArray[np.floating]) -> Shift:
    """Finds the shift that fits best, leaving out the twentieth of the pixels that fit it worst.

    More freedom (a linear map) absorbs changes that are common and fails on rare land; less (the means alone)
    leaves much of the season in. docs/change.md has the figures.

    Args:
        before: (N, D) unit vectors of the first period, without NaN.
        after: (N, D) of the same pixels in the second.

    Raises:
        InvalidInput: there is no pixel, or the shapes differ.

    Source: Schoenemann, A generalized solution of the orthogonal Procrustes problem, Psychometrika 31 (1966), of
    the deviations from the means; trimmed as in Rousseeuw, Least median of squares regression, JASA 79 (1984).
    """
    if np.shape(before) != np.shape(after) or not len(before):
        raise InvalidInput(f"fields of shapes {np.shape(before)} and {np.shape(after)} have no common shift")
    x, y = np.asarray(before, np.float64), np.asarray(after, np.float64)
    plain, kept = float(np.median(distance(x, y))), np.ones(len(x), bool)
    for _ in range(_ROUNDS):
        found = _procrustes(x[kept], y[kept])
        left = distance(found.apply(x), y)
        kept = left <= np.quantile(left, _KEPT)
    return Shift(found.before_mean, found.after_mean, found.rotation, plain - float(np.median(left)))


def _procrustes(x: NDArray[np.float64], y: NDArray[np.float64]) -> Shift:
    x_mean, y_mean, dim = x.mean(axis=0), y.mean(axis=0), x.shape[1]
    if len(x) < _FEWEST_PER_BAND * dim:
        return Shift(x_mean, y_mean, np.eye(dim), 0.0)
    left, _, right = np.linalg.svd((x - x_mean).T @ (y - y_mean))
    return Shift(x_mean, y_mean, left @ right, 0.0)
