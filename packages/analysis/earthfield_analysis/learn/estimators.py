"""The estimators behind one door: linear, nearest neighbours and random forest, for classes and for numbers."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from earthfield.errors import InvalidInput
from earthfield_analysis.learn.linear import LinearClasses, LinearNumbers
from earthfield_analysis.learn.neighbours import NearestClasses, NearestNumbers

Method = Literal["linear", "knn", "forest"]
METHODS: tuple[Method, ...] = ("linear", "knn", "forest")


class Classifier(Protocol):
    """Tells classes from vectors."""

    @property
    def classes(self) -> NDArray[np.integer]:
        """(C,) codes, sorted."""
        ...

    @property
    def calibrated(self) -> bool:
        """Whether probabilities were fitted on labels that had been left out."""
        ...

    def probabilities(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Gives the probability (M, C) of each class for (M, F) vectors of length 1, without gaps."""
        ...


class Regressor(Protocol):
    """Tells numbers from vectors."""

    def numbers(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Gives a number for each of (M, F) vectors of length 1, without gaps: (M,)."""
        ...


def fit_classes(
    vectors: NDArray[np.floating],
    codes: NDArray[np.integer],
    *,
    method: Method = "linear",
    groups: NDArray[np.intp] | None = None,
    seed: int = 0,
) -> Classifier:
    """Learns classes. Every class weighs the same, however many labels it has.

    Args:
        vectors: (N, F) unit vectors without gaps.
        codes: (N,) their classes.
        method: `linear` (ridge with a tuned penalty), `knn` (3 nearest by cosine) or `forest`.
        groups: (N,) numbers of groups of neighbours, such as blocks; penalty and probabilities are then told by
            labels of other groups. Each is a group of its own where absent.
        seed: of the forest.

    Raises:
        InvalidInput: fewer than two classes, arrays that do not fit, or a vector with a gap.
    """
    _check(vectors, codes)
    if len(np.unique(codes)) < 2:
        raise InvalidInput("all labels are of one class: at least two are needed to tell them apart")
    # Fits this small take longer with several threads, and far longer on cores that others use too.
    with threadpool_limits(1):
        if method == "linear":
            return LinearClasses.fit(vectors, codes, groups=groups)
        if method == "knn":
            return NearestClasses.fit(vectors, codes)
        return _forest().ForestClasses.fit(vectors, codes, seed=seed)


def fit_numbers(
    vectors: NDArray[np.floating],
    values: NDArray[np.floating],
    *,
    method: Method = "linear",
    groups: NDArray[np.intp] | None = None,
    seed: int = 0,
) -> Regressor:
    """Learns numbers; arguments and errors as in `fit_classes`, with (N,) finite values."""
    _check(vectors, values)
    if len(np.unique(values)) < 2:
        raise InvalidInput("all labels have the same number: at least two that differ are needed")
    with threadpool_limits(1):
        if method == "linear":
            return LinearNumbers.fit(vectors, values, groups=groups)
        if method == "knn":
            return NearestNumbers.fit(vectors, values)
        return _forest().ForestNumbers.fit(vectors, values, seed=seed)


def _check(vectors: NDArray[np.floating], targets: NDArray[np.generic]) -> None:
    if vectors.ndim != 2 or targets.shape != vectors.shape[:1]:
        raise InvalidInput(
            f"vectors {vectors.shape} and labels {targets.shape} do not fit: give (N, F) and (N,)"
        )
    whole = np.isfinite(vectors).all() and (targets.dtype.kind != "f" or np.isfinite(targets).all())
    if not whole:
        raise InvalidInput("a vector or a label is not a number: leave out pixels without data first")


def _forest():  # type: ignore[no-untyped-def]
    # scikit-learn takes a second to import.
    from earthfield_analysis.learn import forest

    return forest
