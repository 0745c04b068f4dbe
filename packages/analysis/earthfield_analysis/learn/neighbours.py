"""Nearest neighbours by cosine, for classes and for numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earthfield_analysis.probes import NEIGHBOURS

_NUMBERS_NEIGHBOURS = 5
_BLOCK = 4_000_000
"""Likenesses held at once."""


@dataclass(frozen=True)
class NearestClasses:
    """Votes of the nearest labels; of equally many the nearer win."""

    vectors: NDArray[np.float32]
    """(N, F) labelled vectors of length 1."""
    number: NDArray[np.intp]
    """(N,) number of the class of each."""
    classes: NDArray[np.integer]
    """(C,) codes."""
    k: int
    """How many vote."""
    calibrated: bool = False
    """Votes are shares, and not fitted to anything."""

    @classmethod
    def fit(cls, vectors: NDArray[np.floating], codes: NDArray[np.integer]) -> NearestClasses:
        """Keeps the labels; three vote, one alone where a class has a single label."""
        classes, number, counts = np.unique(codes, return_inverse=True, return_counts=True)
        k = 1 if counts.min() == 1 else min(NEIGHBOURS, len(codes))
        return cls(_unit(vectors), np.asarray(number, np.intp), classes, k)

    def probabilities(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Shares of the votes, with one more vote spread over all classes; see `Classifier.probabilities`."""
        votes = np.zeros((len(vectors), len(self.classes)), np.float32)
        every = np.arange(len(vectors))
        for rows, near in _nearest(self.vectors, vectors, self.k):
            for place in range(self.k):
                # Of equal votes the nearer neighbour's weighs a little more.
                weight = 1 + (self.k - place) / (self.k + 1) ** 2
                votes[every[rows], self.number[near[:, place]]] += np.float32(weight)
        votes += np.float32(1 / len(self.classes))
        return np.asarray(votes / votes.sum(axis=1, keepdims=True), np.float32)


@dataclass(frozen=True)
class NearestNumbers:
    """Mean of the nearest labels."""

    vectors: NDArray[np.float32]
    """(N, F) labelled vectors of length 1."""
    values: NDArray[np.float32]
    """(N,) their numbers."""
    k: int
    """Over how many the mean goes."""

    @classmethod
    def fit(cls, vectors: NDArray[np.floating], values: NDArray[np.floating]) -> NearestNumbers:
        """Keeps the labels; the mean goes over five, or over all where there are fewer."""
        return cls(_unit(vectors), np.asarray(values, np.float32), min(_NUMBERS_NEIGHBOURS, len(values)))

    def numbers(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """As `Regressor.numbers`."""
        found = np.empty(len(vectors), np.float32)
        for rows, near in _nearest(self.vectors, vectors, self.k):
            found[rows] = self.values[near].mean(axis=1)
        return found


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    x = np.asarray(vectors, np.float32)
    return np.asarray(x / np.maximum(np.sqrt(np.square(x).sum(axis=1, keepdims=True)), 1e-12), np.float32)


def _nearest(
    labelled: NDArray[np.float32], vectors: NDArray[np.floating], k: int
) -> Iterator[tuple[slice, NDArray[np.intp]]]:
    """Yields rows with the (rows, k) labels most like each of them, nearest first."""
    step = max(1, _BLOCK // len(labelled))
    for start in range(0, len(vectors), step):
        rows = slice(start, min(start + step, len(vectors)))
        likeness = np.asarray(vectors[rows], np.float32) @ labelled.T
        every = np.arange(len(likeness))
        near = np.empty((len(likeness), k), np.intp)
        for place in range(k):
            # A few times the largest is less work than sorting.
            near[:, place] = likeness.argmax(axis=1)
            likeness[every, near[:, place]] = -np.inf
        yield rows, near
