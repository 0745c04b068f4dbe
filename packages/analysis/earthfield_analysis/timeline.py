"""A place through time: how like its references it is in every period, and which period came before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield.timeline import Period


def own_references(vectors: NDArray[np.floating]) -> dict[str, NDArray[np.float32]]:
    """Gives what a place can be compared with of its own: its first vector, and its mean direction.

    Args:
        vectors: (P, D) unit vectors by period, NaN where there is none.

    Returns:
        `first` and `mean`, (D,) unit vectors.

    Raises:
        InvalidInput: no period has one.
    """
    there = np.asarray(vectors, np.float32)[np.isfinite(vectors).all(axis=1)]
    if not len(there):
        raise InvalidInput("the place has a vector in no period, so there is nothing to compare")
    return {"first": there[0], "mean": normalised(there.sum(axis=0))}


def likeness(
    vectors: NDArray[np.floating], references: Mapping[str, NDArray[np.floating]]
) -> dict[str, NDArray[np.float32]]:
    """Gives the cosine of a place to each reference, period by period.

    Args:
        vectors: (P, D) unit vectors by period, NaN where there is none.
        references: by name: (D,) the same in every period, or (P, D) its own in each; NaN where there is none.

    Returns:
        (P,) float32 by name, NaN where either is missing.
    """
    own = np.asarray(vectors, np.float32)
    found = {}
    for name, reference in references.items():
        other = np.asarray(reference, np.float32)
        if other.shape not in (own.shape, own.shape[1:]):
            raise InvalidInput(f"reference {name!r} has shape {other.shape}, the place's vectors {own.shape}")
        found[name] = np.clip((own * other).sum(axis=1), -1, 1)
    return found


def predecessors(periods: Sequence[Period]) -> list[int | None]:
    """Gives for each period the number of the last one that was over when it began.

    Of those that end together the shortest counts. A period that overlaps another is no change of it: a year says
    nothing new of its own first half.
    """
    found: list[int | None] = []
    for one in periods:
        over = [number for number, other in enumerate(periods) if other.end <= one.start]
        found.append(max(over, key=lambda number: (periods[number].end, periods[number].start), default=None))
    return found
