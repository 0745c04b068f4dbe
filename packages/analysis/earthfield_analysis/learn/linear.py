"""Linear estimators: least squares with a penalty tuned on left-out labels, and probabilities fitted on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from earthfield_analysis.leastsquares import Fit, fit_targets

_LOG_SHARPEST = np.log(64.0)
_LOG_DULLEST = np.log(0.25)
_UNTOLD = 2.0
"""Sharpness where no label can be left out to find it."""


@dataclass(frozen=True)
class LinearClasses:
    """Ridge classifier whose scores become probabilities by a softmax of one sharpness."""

    weights: NDArray[np.float32]
    """(F, C) slopes of the scores."""
    offset: NDArray[np.float32]
    """(C,) scores at the origin."""
    classes: NDArray[np.integer]
    """(C,) codes."""
    sharpness: float
    """What scores are multiplied with before the softmax, the inverse of a temperature."""
    penalty: float
    """Penalty that was chosen, in units of squared features."""
    calibrated: bool
    """Whether the sharpness was fitted on left-out labels."""

    @classmethod
    def fit(
        cls,
        vectors: NDArray[np.floating],
        codes: NDArray[np.integer],
        *,
        groups: NDArray[np.intp] | None = None,
    ) -> LinearClasses:
        """Fits +1 and -1 of each class against the others; arguments as in `fit_classes`.

        Source: sharpness as temperature scaling (Guo et al. 2017), on scores of left-out labels instead of a
        validation set, towards targets a little short of certain (Platt 1999).
        """
        classes, number, counts = np.unique(codes, return_inverse=True, return_counts=True)
        targets = np.where(np.eye(len(classes), dtype=bool)[number], 1.0, -1.0)
        tune = bool(counts.min() > 1)
        apart = tuning_groups(number, groups)
        weights = None if (counts == counts[0]).all() else 1.0 / counts[number]
        fit = fit_targets(
            np.asarray(vectors, np.float64),
            targets,
            groups=apart,
            weights=weights,
            tune=len(codes) > len(classes),
        )
        sharpness = _sharpness(fit, number, weights) if tune else _UNTOLD
        return cls(
            fit.weights.astype(np.float32),
            fit.offset.astype(np.float32),
            classes,
            sharpness,
            fit.penalty,
            tune,
        )

    def scores(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Gives (M, C) scores; the largest wins."""
        return np.asarray(vectors @ self.weights + self.offset, np.float32)

    def probabilities(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """As `Classifier.probabilities`."""
        return softmax(self.scores(vectors) * np.float32(self.sharpness))


@dataclass(frozen=True)
class LinearNumbers:
    """Ridge regression."""

    weights: NDArray[np.float32]
    """(F,) slopes."""
    offset: float
    """Value at the origin."""
    penalty: float
    """Penalty that was chosen, in units of squared features."""

    @classmethod
    def fit(
        cls,
        vectors: NDArray[np.floating],
        values: NDArray[np.floating],
        *,
        groups: NDArray[np.intp] | None = None,
    ) -> LinearNumbers:
        """Fits numbers; arguments as in `fit_numbers`."""
        apart = groups if groups is not None and len(np.unique(groups)) > 1 else None
        fit = fit_targets(
            np.asarray(vectors, np.float64),
            np.asarray(values, np.float64)[:, None],
            groups=apart,
            tune=len(values) > 2,
        )
        return cls(fit.weights[:, 0].astype(np.float32), float(fit.offset[0]), fit.penalty)

    def numbers(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """As `Regressor.numbers`."""
        return np.asarray(vectors @ self.weights + np.float32(self.offset), np.float32)


def tuning_groups(number: NDArray[np.intp], groups: NDArray[np.intp] | None) -> NDArray[np.intp] | None:
    """Gives groups that can be left out without losing a class: labels of a class in one group alone stand alone.

    Args:
        number: (N,) number of the class of each label, 0..C-1.
        groups: (N,) groups; None where each label is one.
    """
    if groups is None:
        return None
    _, own = np.unique(groups, return_inverse=True)
    found, last = own.astype(np.intp), int(own.max()) + 1
    for code in np.unique(number):
        rows = np.flatnonzero(number == code)
        if len(np.unique(own[rows])) < 2:
            found[rows] = last + np.arange(len(rows))
            last += len(rows)
    return found


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gives probabilities (M, C) of scores, each row summing to 1."""
    raised = scores - scores.max(axis=1, keepdims=True)
    np.exp(raised, out=raised)
    raised /= raised.sum(axis=1, keepdims=True)
    return raised


def _sharpness(fit: Fit, number: NDArray[np.intp], weights: NDArray[np.float64] | None) -> float:
    """The factor under which left-out scores give the least cross entropy, classes weighing the same."""
    scores = fit.left_out
    count, classes = scores.shape
    own = 1.0 / np.bincount(number)[number] if weights is None else weights
    own = own / own.sum()
    sure = (count / classes + 1) / (count / classes + 2)
    target = np.full(scores.shape, (1 - sure) / (classes - 1))
    target[np.arange(count), number] = sure

    def entropy(logarithm: float) -> float:
        raised = scores * np.exp(logarithm)
        raised = raised - raised.max(axis=1, keepdims=True)
        told = raised - np.log(np.exp(raised).sum(axis=1, keepdims=True))
        return float(-(own @ (target * told)).sum())

    best = minimize_scalar(entropy, bounds=(_LOG_DULLEST, _LOG_SHARPEST), method="bounded")
    return float(np.exp(best.x))
