"""Distances between two periods, a threshold that stands out from the rest of the same comparison, patches."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from earthfield.errors import InvalidInput

ThresholdRule = Literal["mad", "otsu"]
_MAD_TO_SIGMA = 1.4826
_BINS = 512


def distance(before: NDArray[np.floating], after: NDArray[np.floating]) -> NDArray[np.float32]:
    """Gives 1 - cosine between two fields of the same pixels.

    Args:
        before: (..., D) unit vectors, NaN where there is no data.
        after: (..., D) likewise.

    Returns:
        (...) float32 in 0..2, NaN where either has no data.
    """
    if np.shape(before) != np.shape(after):
        raise InvalidInput(f"fields of shapes {np.shape(before)} and {np.shape(after)} cannot be compared")
    # Half the squared chord equals 1 - cosine for unit vectors, and keeps its digits where they are nearly equal.
    gap = np.asarray(before, np.float32) - np.asarray(after, np.float32)
    return np.asarray(np.square(gap).sum(axis=-1) / 2, np.float32)


def threshold(
    distances: NDArray[np.floating], *, rule: ThresholdRule = "mad", num_sigmas: float = 4.0
) -> float:
    """Gives the distance above which a pixel stands out from the rest.

    Args:
        distances: (...) distances, NaN where there is no data.
        rule: `mad`, median + num_sigmas x 1.4826 x median absolute deviation, suits change that touches less than
            half of the area; `otsu` splits the histogram in two, whether there are two groups or not.
        num_sigmas: for `mad`, in robust standard deviations.

    Raises:
        InvalidInput: there is no data, or the rule is unknown.
    """
    known = np.asarray(distances, np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        raise InvalidInput("no pixel has data in both periods, so there is no threshold")
    if rule == "mad":
        middle = np.median(known)
        return float(middle + num_sigmas * _MAD_TO_SIGMA * np.median(np.abs(known - middle)))
    if rule == "otsu":
        return _otsu(known)
    raise InvalidInput(f"threshold rule {rule!r} is unknown; take 'mad' or 'otsu'")


def patches(changed: NDArray[np.bool_], *, min_pixels: int = 1) -> NDArray[np.int32]:
    """Numbers connected patches (edges and corners connect) of at least `min_pixels`.

    Returns:
        (H, W) int32: 1..P from the largest to the smallest, equal sizes from the north-west; 0 elsewhere.
    """
    found, count = ndimage.label(changed, structure=np.ones((3, 3)))
    if not count:
        return np.zeros(np.shape(changed), np.int32)
    sizes = np.bincount(found.ravel())
    sizes[0] = 0
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] >= max(min_pixels, 1)]
    number = np.zeros(count + 1, np.int32)
    number[order] = np.arange(1, len(order) + 1)
    return np.asarray(number[found], np.int32)


def _otsu(values: NDArray[np.float64]) -> float:
    """Otsu's threshold: the split with the largest variance between the two sides."""
    counts, edges = np.histogram(values, bins=_BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = below[-1] + counts[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    return float(edges[1:-1][np.nanargmax(below * above * np.square(gap))])
