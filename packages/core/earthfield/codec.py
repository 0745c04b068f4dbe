"""The int8 code of an embedding, byte-compatible with the published files, and vectors as files hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import InvalidInput

DIM = 64
NODATA = -128
DTYPES = ("int8", "float16", "float32")
"""Types in which vectors are stored: the published code, or plain values with NaN for no data."""
QUANTIZATION = "x = sign(q) * (q / 127.5)^2, q int8, -128 is no data"
_SCALE = np.float32(127.5)

_VALUES = np.arange(-128, 128, dtype=np.float32)
_TABLE = np.sign(_VALUES) * np.square(_VALUES / _SCALE)
_TABLE[0] = np.nan


def band_names(dim: int) -> tuple[str, ...]:
    """Gives A00, A01, ... as the published files have them; three digits from 101 dimensions on."""
    width = max(2, len(str(dim - 1)))
    return tuple(f"A{band:0{width}d}" for band in range(dim))


BANDS = band_names(DIM)


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


def stored(vectors: NDArray[np.floating], dtype: str = "int8") -> NDArray[Any]:
    """Gives vectors as a field's file holds them, bands first.

    Args:
        vectors: (h, w, D) unit vectors, NaN where there is none; a vector with one NaN is no data as a whole.
        dtype: one of `DTYPES`.

    Returns:
        (D, h, w), contiguous: codes, or values in the type that was asked for.

    Raises:
        InvalidInput: another type, or values that are not of unit vectors.
    """
    if dtype not in DTYPES:
        raise InvalidInput(f"{dtype!r} is not a type for vectors: take {', '.join(DTYPES)}")
    if dtype == "int8":
        return np.ascontiguousarray(np.moveaxis(quantise(vectors), -1, 0))
    missing = np.isnan(vectors).any(axis=-1, keepdims=True)
    values = np.where(missing, np.float32("nan"), vectors).astype(dtype)
    return np.ascontiguousarray(np.moveaxis(values, -1, 0))


def values_of(codes: NDArray[Any]) -> NDArray[np.float32]:
    """Gives the float32 values of what a field's file holds, whatever its type; NaN for no data."""
    return dequantise(codes) if codes.dtype == np.int8 else codes.astype(np.float32)


def is_missing(codes: NDArray[Any]) -> NDArray[np.bool_]:
    """Tells which pixels (h, w) of what a field's file holds, (D, h, w), have no vector."""
    return np.asarray(codes[0] == NODATA if codes.dtype == np.int8 else np.isnan(codes[0]))


def shrunk(codes: NDArray[Any], factor: int) -> NDArray[Any]:
    """Gives an overview of (D, H, W) as a file holds it, in the same type: squares summed and renormalised.

    Make every overview from full resolution: an overview of an overview counts pixels unevenly and rounds twice.
    Pixels without data do not count; where there are no others the overview has none either.

    Args:
        codes: as `stored` gives them.
        factor: side of a square, must divide H and W.
    """
    d, h, w = codes.shape
    values = np.nan_to_num(values_of(codes), nan=0.0)
    total = values.reshape(d, h // factor, factor, w // factor, factor).sum(axis=(2, 4))
    return stored(np.moveaxis(normalised(total, axis=0), 0, -1), str(codes.dtype))
