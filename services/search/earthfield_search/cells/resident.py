"""The vectors of a table in memory, as they are stored, for exact questions one after the other."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from earthfield.places import Root

MOST_BYTES = 2 * 2**30
"""Largest table that is kept: 16 million vectors of 64."""
_BLOCK = 1024
_SCALE = np.float32(2.0**112)
"""A half's bits, moved into those of a float, are the number divided by this."""
_lock = threading.Lock()
_asked: dict[tuple[str, int], int] = {}
_kept: dict[tuple[str, int], Resident] = {}


@dataclass(frozen=True)
class Resident:
    """One version of a table."""

    halves: NDArray[np.uint16]
    """(N, D) bits of float16."""
    lengths: NDArray[np.float32]
    """(N,) lengths, near 1."""
    rows: NDArray[np.uint64]
    """(N,) by which the table finds them again."""

    def best(self, unit: NDArray[np.float32], k: int) -> NDArray[np.uint64]:
        """Gives the rows of the k largest cosines and of all that equal the least of them, in no order."""
        scores = _dots(self.halves, np.asarray(unit, np.float32) * _SCALE) / self.lengths
        if k >= len(scores):
            return self.rows
        # The k largest of the blocks' largest are k scores, so the k-th of all is no less than the k-th of them.
        starts = np.arange(0, len(scores), _BLOCK)
        tops = np.maximum.reduceat(scores, starts)
        floor = np.partition(tops, -k)[-k] if k <= len(tops) else -np.inf
        places = np.flatnonzero(scores >= floor)
        least = np.partition(scores[places], -k)[-k]
        return self.rows[places[scores[places] >= least]]


def resident(table: Any, path: Root, *, rows: int, dim: int) -> Resident | None:
    """Gives the vectors of a table's version, if they are not too many, from the second wish for them on.

    Only the last version of one table is kept. Safe for threads.
    """
    if rows * dim * 2 > MOST_BYTES:
        return None
    key = (str(path), int(table.version))
    with _lock:
        if key not in _kept:
            if not _asked.get(key):
                _asked.clear()
                _asked[key] = 1
                return None
            _kept.clear()
            _kept[key] = _read(table, rows, dim)
        return _kept[key]


def _read(table: Any, rows: int, dim: int) -> Resident:
    halves, numbers, at = np.empty((rows, dim), np.uint16), np.empty(rows, np.uint64), 0
    for batch in table.search().select(["vector"]).with_row_id(True).to_batches():
        end = at + batch.num_rows
        halves[at:end] = np.asarray(batch["vector"].flatten()).view(np.uint16).reshape(-1, dim)
        numbers[at:end] = batch["_rowid"].to_numpy()
        at = end
    lengths = np.empty(rows, np.float32)
    for first in range(0, rows, 65_536):
        part = halves[first : first + 65_536].view(np.float16).astype(np.float32)
        lengths[first : first + 65_536] = np.linalg.norm(part, axis=1)
    return Resident(halves[:at], lengths[:at], numbers[:at])


@numba.njit(fastmath=True, nogil=True, cache=True)
def _dots(halves: NDArray[np.uint16], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Products of rows of halves with a query that was scaled; no copy in single precision is made."""
    num, dim = halves.shape
    found = np.empty(num, np.float32)
    for row in range(num):
        total = np.float32(0)
        for place in range(dim):
            bits = np.uint32(halves[row, place])
            sign = (bits & np.uint32(0x8000)) << np.uint32(16)
            moved = np.uint32(sign | ((bits & np.uint32(0x7FFF)) << np.uint32(13)))
            total += moved.view(np.float32) * query[place]
        found[row] = total
    return found
