"""Pictures of embedding fields: the first principal axes, or three named bands, as colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import InvalidInput

_SAMPLE = 200_000
"""Pixels that axes are fitted on; more only cost time."""


@dataclass(frozen=True)
class Axes:
    """Principal axes of a set of vectors, with the sign fixed."""

    mean: NDArray[np.float32]
    """(D,) mean vector."""
    components: NDArray[np.float32]
    """(K, D) orthonormal axes, widest first; the entry of largest magnitude of each is positive."""
    low: NDArray[np.float32]
    """(K,) 2nd percentile of the coordinates."""
    high: NDArray[np.float32]
    """(K,) 98th percentile of the coordinates."""

    def coordinates(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Gives (..., K) coordinates of (..., D) vectors; NaN stays."""
        return ((np.asarray(vectors, np.float32) - self.mean) @ self.components.T).astype(np.float32)


def fit_axes(vectors: NDArray[np.floating], *, num_axes: int = 3) -> Axes:
    """Finds the principal axes of vectors.

    The result depends on the vectors alone: an even stride picks the sample, and the sign of an axis is the one
    that makes its entry of largest magnitude positive.

    Args:
        vectors: (..., D) in the vectors' own unit; rows with NaN do not count.
        num_axes: K; fewer than that many distinct directions give axes of zeros.

    Raises:
        InvalidInput: no vector has data, or K is larger than D.
    """
    flat = np.asarray(vectors, np.float32).reshape(-1, np.shape(vectors)[-1])
    flat = flat[np.isfinite(flat).all(axis=1)]
    if not len(flat):
        raise InvalidInput("no pixel has data, so there are no principal axes")
    if num_axes > flat.shape[1]:
        raise InvalidInput(f"{num_axes} axes were asked for, the vectors have {flat.shape[1]} dimensions")
    flat = flat[:: max(1, len(flat) // _SAMPLE)].astype(np.float64)
    mean = flat.mean(axis=0)
    centred = flat - mean
    # Eigenvectors of the D x D scatter: cheaper than an SVD of all rows, and as exact as a picture needs.
    values, columns = np.linalg.eigh(centred.T @ centred / len(flat))
    order = np.argsort(values)[::-1][:num_axes]
    components = columns[:, order].T
    components[values[order] <= max(values[order[0]], 0.0) * 1e-9] = 0.0
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    components = components * np.where(largest < 0, -1.0, 1.0)
    low, high = np.percentile(centred @ components.T, (2, 98), axis=0)
    return Axes(*(np.asarray(part, np.float32) for part in (mean, components, low, high)))


def pca_rgb(vectors: NDArray[np.floating], axes: Axes | None = None) -> NDArray[np.uint8]:
    """Paints a field by its first three principal axes: red, green, blue, widest first.

    Args:
        vectors: (H, W, D) float, NaN where there is no data.
        axes: axes to paint with, so that pictures of several fields compare; the field's own when absent.

    Returns:
        (H, W, 4) uint8 RGBA; the 2nd..98th percentile of each axis fills 0..255, no data is transparent black.
    """
    missing = np.isnan(vectors).any(axis=-1)
    if axes is None:
        if missing.all():
            return np.zeros((*missing.shape, 4), np.uint8)
        axes = fit_axes(vectors)
    return _stretched(axes.coordinates(vectors), missing, axes.low, axes.high)


def bands_rgb(
    vectors: NDArray[np.floating], *, bands: Sequence[int] = (1, 16, 9), low: float = -0.3, high: float = 0.3
) -> NDArray[np.uint8]:
    """Paints three bands of a field as they stand.

    Args:
        vectors: (H, W, D) float, NaN where there is no data.
        bands: indices of the bands for red, green and blue.
        low: value that becomes 0.
        high: value that becomes 255.

    Returns:
        (H, W, 4) uint8 RGBA, no data transparent black.

    Source: Earth Engine's Satellite Embedding tutorial (A01, A16, A09, -0.3..0.3).
    """
    picked = np.asarray(vectors, np.float32)[..., list(bands)]
    missing = np.isnan(vectors).any(axis=-1)
    return _stretched(picked, missing, np.full(3, low, np.float32), np.full(3, high, np.float32))


def _stretched(
    values: NDArray[np.float32],
    missing: NDArray[np.bool_],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
) -> NDArray[np.uint8]:
    width = np.where(high > low, high - low, np.float32(np.inf))
    share = np.where(np.isinf(width), np.float32(0.5), (values - low) / width)
    colours = np.rint(np.clip(np.nan_to_num(share), 0, 1) * 255).astype(np.uint8)
    alpha = np.where(missing, 0, 255).astype(np.uint8)[..., None]
    return np.concatenate([np.where(missing[..., None], np.uint8(0), colours), alpha], axis=-1)
