"""How alike embeddings are: cosine against one vector, on floats or straight on codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import InvalidInput


def cosine(vectors: NDArray[np.floating], query: NDArray[np.floating]) -> NDArray[np.float32]:
    """Gives the cosine between each vector and one query.

    Args:
        vectors: (..., D) of any length, NaN where there is no data.
        query: (D,) of any length above 0.

    Returns:
        (...) float32 in -1..1, NaN where there is no data.

    Raises:
        InvalidInput: the query has no data, or another dimension.
    """
    x, unit = np.asarray(vectors, np.float32), _unit(query)
    if x.shape[-1] != len(unit):
        raise InvalidInput(f"vectors of {x.shape[-1]} numbers cannot be compared with a query of {len(unit)}")
    norm = np.sqrt(np.square(x).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip((x @ unit) / np.where(norm > 0, norm, np.float32("nan")), -1, 1).astype(np.float32)


def cosine_of_codes(codes: NDArray[np.int8], query: NDArray[np.floating]) -> NDArray[np.float32]:
    """Gives what `cosine` gives for the decoded vectors, without ever holding them.

    Args:
        codes: (D, H, W) int8 codes, -128 where there is no data.
        query: (D,) of any length above 0.

    Returns:
        (H, W) float32 in -1..1, NaN where there is no data.
    """
    # Not at the top: whoever only compares floats needs no numba.
    from earthfield_analysis.exact import scores

    flat = np.ascontiguousarray(codes).reshape(len(codes), -1)
    return np.clip(scores(flat, query), -1, 1).reshape(codes.shape[1:])


def _unit(query: NDArray[np.floating]) -> NDArray[np.float32]:
    x = np.asarray(query, np.float32)
    norm = float(np.sqrt(np.square(x).sum()))
    if x.ndim != 1 or not np.isfinite(norm) or norm == 0:
        raise InvalidInput("the query must be one vector with data")
    return x / np.float32(norm)
