"""The int8 code of an embedding, byte-compatible with the published AlphaEarth files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import InvalidInput

DIM = 64
NODATA = -128
BANDS = tuple(f"A{band:02d}" for band in range(DIM))
_SCALE = np.float32(127.5)

_VALUES = np.arange(-128, 128, dtype=np.float32)
_TABLE = np.sign(_VALUES) * np.square(_VALUES / _SCALE)
_TABLE[0] = np.nan


def quantise(vectors: NDArray[np.floating]) -> NDArray[np.int8]:
    """Gives the codes of unit vectors: q = round(127.5 sign(x) sqrt(|x|)), NaN as no data.

    Args:
        vectors: (..., D), each value in -1..1 or NaN; a vector with one NaN is no data as a whole.

    Raises:
        InvalidInput: a value lies outside -1..1 by more than rounding.

    Source: the published AlphaEarth Satellite Embedding files.
    """
    x = np.asarray(vectors, np.float32)
    missing = np.isnan(x).any(axis=-1, keepdims=True)
    x = np.where(missing, np.float32(0), x)
    if x.size and np.abs(x).max() > 1.0001:
        raise InvalidInput(f"a value of {np.abs(x).max():.3f} cannot be coded: embeddings are unit vectors")
    codes = np.clip(np.rint(_SCALE * np.sign(x) * np.sqrt(np.abs(x))), -127, 127)
    return np.where(missing, NODATA, codes).astype(np.int8)


def dequantise(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """Gives the values of codes, x = sign(q) (q / 127.5)^2, NaN for no data. Norms lie near 1, not at 1."""
    return _TABLE[codes.astype(np.int16) + 128]


def normalised(vectors: NDArray[np.floating], *, axis: int = -1) -> NDArray[np.float32]:
    """Gives vectors of length 1 in float32; NaN stays, and a zero vector becomes NaN."""
    x = np.asarray(vectors, np.float32)
    norm = np.sqrt(np.sum(np.square(x), axis=axis, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (x / np.where(norm > 0, norm, np.float32("nan"))).astype(np.float32)


def halved(codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """Gives the next overview of codes (D, H, W): dequantised, summed over 2 x 2 px, renormalised, coded.

    Pixels without data do not count; four of them give one without data. H and W must be even.
    """
    d, h, w = codes.shape
    values = np.nan_to_num(dequantise(codes), nan=0.0)
    total = values.reshape(d, h // 2, 2, w // 2, 2).sum(axis=(2, 4))
    return np.moveaxis(quantise(np.moveaxis(normalised(total, axis=0), 0, -1)), -1, 0)
