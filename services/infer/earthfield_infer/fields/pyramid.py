"""A raster of many tiles with overviews of full-resolution vectors, written block by block."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from earthfield.codec import is_missing, normalised, stored, values_of
from earthfield.field import BLOCK_PX, Embedding, file_dtype_of, nodata_of
from earthfield.grid import TILE_PX, Window, geobox_of
from earthfield_analysis.pool import pooled
from earthfield_infer.fields.choose import Part, strips

_TILE_LEVEL = 10
"""At this level a tile is one pixel: up to here overviews are made tile by tile."""
_BLOCK_LEVEL = 2
"""Up to this level a tile is made of whole blocks of the file."""
_ROWS = 64
"""Rows that are coded at once."""


class Pyramid:
    """A GeoTIFF and its overviews as a chain of `.ovr` files; use it as a context.

    Sums of vectors go up level by level, so that every overview is the mean of full-resolution vectors. Blocks are
    written once and whole: GDAL may fill the rest of a part-written one with zeros. Levels whose blocks several
    tiles share wait in memory as stored numbers, an eighth of the sheet's side at most.
    """

    def __init__(self, path: Path, epsg: int, window: Window, embedding: Embedding) -> None:
        """Args: the file; the zone; the pixels that it covers; how vectors are stored."""
        self._window, self._embedding = window, embedding
        self._side = window.shape[0]
        self._num_levels = self._side.bit_length() - 1
        self._stack = ExitStack()
        self._files = [self._created(path, epsg, level) for level in range(self._num_levels + 1)]
        self._shared = {
            level: self._empty(self._side >> level, self._side >> level)
            for level in range(_BLOCK_LEVEL + 1, self._num_levels + 1)
        }
        tiles = self._side // TILE_PX
        self._tops = np.zeros((tiles, tiles, embedding.dimensions), np.float32)
        self.num_pixels = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._stack.close()

    def add(self, part: Part) -> None:
        """Writes a tile, and what overviews it alone decides."""
        top, left = part.key.tile.window.y0, part.key.tile.window.x0
        y, x = top - self._window.y0, left - self._window.x0
        sums = np.zeros((TILE_PX // 2, TILE_PX // 2, self._embedding.dimensions), np.float32)
        for strip in strips(part.window, BLOCK_PX):
            self._add_strip(part, strip, sums, strip.y0 // BLOCK_PX * BLOCK_PX - top, (y, x))
        for level in range(1, _TILE_LEVEL + 1):
            codes = self._coded(sums)
            rows = codes.shape[1]
            if level in self._shared:
                row, col = y >> level, x >> level
                self._shared[level][:, row : row + rows, col : col + rows] = codes
            else:
                self._put(level, codes, y >> level, x >> level)
            if rows > 1:
                sums = sums.reshape(rows // 2, 2, rows // 2, 2, -1).sum(axis=(1, 3))
        self._tops[y // TILE_PX, x // TILE_PX] = sums[0, 0]

    def _add_strip(
        self, part: Part, strip: Window, sums: NDArray[np.float32], down: int, place: tuple[int, int]
    ) -> None:
        """Writes a row of blocks, `down` pixels below the top of its tile, which lies at `place`."""
        codes = part.codes(strip)
        if part.embedding.dtype != self._embedding.dtype:
            codes = stored(part.vectors(strip), self._embedding.dtype)
        row = self._empty(BLOCK_PX, TILE_PX)
        local = part.key.tile.local(strip).shifted(-down, 0)
        row[:, *local.slices] = codes
        there = ~is_missing(row)
        self.num_pixels += int(there.sum())
        for left in range(0, TILE_PX, BLOCK_PX):
            block = slice(left, left + BLOCK_PX)
            if there[:, block].any():
                self._put(0, row[:, :, block], place[0] + down, place[1] + left)
                half, _ = pooled(np.moveaxis(values_of(row[:, :, block]), 0, -1), side=2)
                sums[down // 2 : down // 2 + len(half), left // 2 : left // 2 + half.shape[1]] = half

    def _finish(self) -> None:
        sums = self._tops
        for level in range(_TILE_LEVEL + 1, self._num_levels + 1):
            rows = len(sums) // 2
            sums = sums.reshape(rows, 2, rows, 2, -1).sum(axis=(1, 3))
            self._shared[level][:] = self._coded(sums)
        for level, codes in self._shared.items():
            side = codes.shape[1]
            for y in range(0, side, BLOCK_PX):
                for x in range(0, side, BLOCK_PX):
                    block = codes[:, y : y + BLOCK_PX, x : x + BLOCK_PX]
                    if not is_missing(block).all():
                        self._put(level, block, y, x)

    def _coded(self, sums: NDArray[np.float32]) -> NDArray[Any]:
        """Gives mean directions of sums (rows, cols, D) as the file holds them, some rows at a time."""
        codes = self._empty(*sums.shape[:2])
        for y in range(0, len(sums), _ROWS):
            codes[:, y : y + _ROWS] = stored(normalised(sums[y : y + _ROWS]), self._embedding.dtype)
        return codes

    def _put(self, level: int, codes: NDArray[Any], y: int, x: int) -> None:
        view = RasterWindow(x, y, codes.shape[2], codes.shape[1])
        self._files[level].write(codes.astype(file_dtype_of(self._embedding.dtype), copy=False), window=view)

    def _empty(self, rows: int, cols: int) -> NDArray[Any]:
        dtype = self._embedding.dtype
        return np.full((self._embedding.dimensions, rows, cols), nodata_of(dtype), dtype)

    def _created(self, path: Path, epsg: int, level: int) -> Any:
        side = self._side >> level
        geobox = geobox_of(epsg, self._window).zoom_to((side, side))
        data = self._stack.enter_context(rasterio.open(
            path.with_name(path.name + ".ovr" * level), "w", driver="GTiff", width=side, height=side,
            count=self._embedding.dimensions, dtype=file_dtype_of(self._embedding.dtype),
            nodata=nodata_of(self._embedding.dtype), crs=f"EPSG:{epsg}", transform=geobox.transform, tiled=True,
            blockxsize=BLOCK_PX, blockysize=BLOCK_PX, interleave="pixel", sparse_ok=True, bigtiff="YES",
            compress="ZSTD", zstd_level=1,
        ))  # fmt: skip
        data.descriptions = self._embedding.bands
        return data
