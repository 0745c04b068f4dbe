"""Decoded blocks of fields, kept in memory by processes that look at the same places again and again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from earthfield.field.raster import BLOCK_PX
from earthfield.kept import Kept

_kept: Kept[NDArray[Any]] = Kept(0, size_of=lambda block: block.nbytes)


def keep_blocks(most_bytes: int) -> None:
    """Keeps decoded blocks of every field that this process reads from now on; 0 keeps none, as at the start.

    A block of the published code is 4 MB, a whole tile 67 MB. A file that was written again is another one, so what
    is kept is never older than the file.
    """
    global _kept
    _kept = Kept(most_bytes, size_of=lambda block: block.nbytes)


def keeps_blocks() -> bool:
    """Tells whether this process keeps blocks."""
    return _kept.most_bytes > 0


def block_of(path: Path, dtype: str, level: int, row: int, col: int) -> NDArray[Any]:
    """Gives a block of a file of vectors, (D, 256, 256) as stored, read-only.

    Args:
        path: the file.
        dtype: type in which the vectors are stored.
        level: 0 for the pixels themselves, 1 and 2 for the overviews.
        row: of the block in the level.
        col: of the block in the level.

    Raises:
        RasterioError: it cannot be read.
        OSError: it is not there.
    """
    return _kept.get(_key(path, level, row, col), lambda: _read(path, dtype, level, row, col))


def bands_of(path: Path, dtype: str, level: int, row: int, col: int, bands: tuple[int, ...]) -> NDArray[Any]:
    """Gives some bands (from 0) of a block; reads only those where the file lets them be read alone."""
    if _key(path, level, row, col) not in _kept:
        with _opened(path, level) as data:
            if data.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE") == "TILE" or not keeps_blocks():
                found = data.read([band + 1 for band in bands], window=_window(row, col))
                return np.asarray(found.astype(dtype, copy=False))
    return block_of(path, dtype, level, row, col)[list(bands)]


def _key(path: Path, level: int, row: int, col: int) -> tuple[Any, ...]:
    told = path.stat()
    return str(path), told.st_mtime_ns, told.st_ino, told.st_size, level, row, col


def _read(path: Path, dtype: str, level: int, row: int, col: int) -> NDArray[Any]:
    with _opened(path, level) as data:
        block = np.asarray(data.read(window=_window(row, col)).astype(dtype, copy=False))
    block.flags.writeable = False
    return block


def _opened(path: Path, level: int) -> Any:
    return rasterio.open(path, **({"overview_level": level - 1} if level else {}))


def _window(row: int, col: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (row * BLOCK_PX, (row + 1) * BLOCK_PX), (col * BLOCK_PX, (col + 1) * BLOCK_PX)
