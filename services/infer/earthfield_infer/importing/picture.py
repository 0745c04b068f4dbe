"""The picture of an imported field, painted strip by strip."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.codec import normalised, values_of
from earthfield_analysis.project import bands_rgb, fit_axes, pca_rgb

_SAMPLE = 100_000
_ROWS = 128
_TUTORIAL_BANDS = (1, 16, 9)
"""Bands that Earth Engine's tutorial shows; they mean something in AlphaEarth's vectors alone."""


def preview_of(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """Gives the first three principal axes in colour, (h, w, 4), of (D, h, w) as a field keeps them."""
    height, width = codes.shape[1:]
    step = max(1, int(np.sqrt(height * width / _SAMPLE)))
    sample = _vectors(codes[:, ::step, ::step])
    if np.isnan(sample).any(axis=-1).all():
        sample, step = _vectors(codes), 1
    axes = fit_axes(sample)
    return np.concatenate([pca_rgb(_vectors(strip), axes) for strip in _strips(codes)])


def axes_of(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """Gives three bands in colour, (h, w, 4), as Earth Engine's tutorial shows AlphaEarth's vectors."""
    return np.concatenate([bands_rgb(_vectors(strip), bands=_TUTORIAL_BANDS) for strip in _strips(codes)])


def _strips(codes: NDArray[Any]) -> list[NDArray[Any]]:
    return [codes[:, row : row + _ROWS] for row in range(0, codes.shape[1], _ROWS)]


def _vectors(codes: NDArray[Any]) -> NDArray[np.float32]:
    vectors = normalised(np.moveaxis(values_of(codes), 0, -1))
    if vectors.shape[-1] >= 3:
        return vectors
    # A picture has three axes, also of vectors of two numbers.
    return np.concatenate([vectors, np.zeros_like(vectors[..., :1])], axis=-1)
