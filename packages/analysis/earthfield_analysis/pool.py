"""Pooling vectors onto coarser cells: sums, from which means and their purity follow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pooled(
    vectors: NDArray[np.float32], *, side: int, top: int = 0, left: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Sums vectors over square cells.

    Args:
        vectors: (h, w, D), NaN where there is none.
        side: side of a cell in pixels.
        top: how far the first row lies below the top of its cell, pixels.
        left: how far the first column lies right of the left side of its cell, pixels.

    Returns:
        Sums (rows, cols, D) and how many vectors went in (rows, cols), for every cell that is touched. Cells at the
        borders may be incomplete: sums of neighbouring pieces add up to those of the whole.
    """
    h, w, d = vectors.shape
    there = np.asarray(~np.isnan(vectors).any(axis=-1))
    bottom, right = -(top + h) % side, -(left + w) % side
    around = ((top, bottom), (left, right))
    held = np.pad(np.where(there[..., None], vectors, np.float32(0)), (*around, (0, 0)))
    rows, cols = held.shape[0] // side, held.shape[1] // side
    sums = held.reshape(rows, side, cols, side, d).sum(axis=(1, 3))
    counts = np.pad(there, around).reshape(rows, side, cols, side).sum(axis=(1, 3))
    return sums.astype(np.float32), counts.astype(np.int32)


def purity(sums: NDArray[np.float32], counts: NDArray[np.int32]) -> NDArray[np.float32]:
    """Gives the length (rows, cols) of the mean of unit vectors: 1 where all agree, NaN where there is none."""
    length = np.sqrt(np.square(sums).sum(axis=-1))
    return np.asarray(length / np.where(counts > 0, counts, np.nan), np.float32)
