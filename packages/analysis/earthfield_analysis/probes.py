"""Probes: what a few labelled vectors say about others, by nearest neighbours and by a ridge classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from earthfield_analysis.leastsquares import PENALTIES as PENALTIES
from earthfield_analysis.leastsquares import fit_targets

Probe = Literal["knn", "ridge"]
PROBES: tuple[Probe, ...] = ("knn", "ridge")
NEIGHBOURS = 3
_ROWS = 8192


def balanced_accuracy(truth: NDArray[np.integer], guess: NDArray[np.integer]) -> float:
    """Gives the mean over the classes in `truth` of the share that was found."""
    return float(np.mean([(guess[truth == code] == code).mean() for code in np.unique(truth)]))


def nearest(
    train: NDArray[np.floating],
    labels: NDArray[np.integer],
    test: NDArray[np.floating],
    *,
    k: int = NEIGHBOURS,
) -> NDArray[np.integer]:
    """Guesses the class that most of the `k` nearest training vectors by cosine have.

    Args:
        train: (N, F) training vectors of length 1.
        labels: (N,) their classes.
        test: (M, F) vectors of length 1.
        k: neighbours that vote, at most N; of equally many votes those of nearer neighbours win.

    Returns:
        (M,) classes.
    """
    classes, number = np.unique(labels, return_inverse=True)
    found = np.empty(len(test), classes.dtype)
    for start in range(0, len(test), _ROWS):
        rows = slice(start, start + _ROWS)
        found[rows] = classes[_voted(test[rows] @ train.T, number, len(classes), min(k, len(train)))]
    return found


def _voted(
    likeness: NDArray[np.floating], number: NDArray[np.intp], classes: int, count: int
) -> NDArray[np.intp]:
    """Number of the class with most votes of the `count` most alike columns, for each row."""
    if count == 1:
        return np.asarray(number[likeness.argmax(axis=1)])
    # The few nearest first, then those in order: far less work than sorting all.
    near = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
    ranks = np.argsort(-np.take_along_axis(likeness, near, axis=1), axis=1, kind="stable")
    voted = number[np.take_along_axis(near, ranks, axis=1)]
    votes = np.zeros((len(likeness), classes))
    for place in range(count):
        # Of equal votes the nearer neighbour's weighs a little more.
        votes[np.arange(len(votes)), voted[:, place]] += 1 + (count - place) / (count + 1) ** 2
    return np.asarray(votes.argmax(axis=1))


@dataclass(frozen=True)
class Ridge:
    """A linear classifier: the class with the largest score wins."""

    weights: NDArray[np.float64]
    """(F, C) slopes."""
    offset: NDArray[np.float64]
    """(C,) scores at the origin."""
    classes: NDArray[np.integer]
    """(C,) codes."""
    penalty: float
    """Penalty that was used, in units of squared features."""
    left_out_error: float
    """Mean squared error of each training vector left out of the fit alone; NaN for one label a class."""

    def guess(self, values: NDArray[np.floating]) -> NDArray[np.integer]:
        """Guesses the classes of (M, F) vectors, (M,)."""
        return np.asarray(self.classes[(values @ self.weights + self.offset).argmax(axis=1)])


def ridge(
    values: NDArray[np.floating], labels: NDArray[np.integer], *, penalty: float | None = None
) -> Ridge:
    """Fits a ridge classifier: least squares on +1 and -1 of each class against the others, free intercept.

    Without a penalty the one of `PENALTIES` is taken whose leave-one-out squared error over the training vectors is
    least; it is known in closed form from one decomposition. One label a class leaves nothing to leave out: then
    the share 1 is taken.

    Args:
        values: (N, F) training vectors, scaled.
        labels: (N,) their classes, at least two.
        penalty: in units of squared features, as scikit-learn's `alpha`.
    """
    classes, number = np.unique(labels, return_inverse=True)
    targets = np.where(np.eye(len(classes), dtype=bool)[number], 1.0, -1.0)
    fit = fit_targets(values, targets, penalty=penalty, tune=len(values) > len(classes))
    return Ridge(fit.weights, fit.offset, classes, fit.penalty, fit.left_out_error)
