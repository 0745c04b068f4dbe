"""Map tiles: which pixels of a zone lie under a tile's pixels, and the colours of fields, block by block."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pyproj import Transformer

from earthfield.errors import InvalidInput
from earthfield.field import BLOCK_PX, Field
from earthfield.grid import PIXEL_M, TILE_PX, Window
from earthfield.kept import Kept
from earthfield_search.api.palette import Paint
from earthfield_search.api.shelf import Layer

MIN_ZOOM, MAX_ZOOM = 8, 18
SIDE_PX = 256
_WORLD_M = 2 * math.pi * 6_378_137.0
_KNOTS = 17
_COARSEST = 4
"""Levels beyond the overviews take every second, every fourth pixel of the last one."""
_BLOCK_BYTES, _TILE_BYTES = 96 << 20, 24 << 20


def bounds_of(z: int, x: int, y: int) -> tuple[float, float, float, float]:
    """Gives left, bottom, right, top of a tile in Web Mercator, metres.

    Raises:
        InvalidInput: there is no such tile, or none is made at this zoom.
    """
    if not MIN_ZOOM <= z <= MAX_ZOOM:
        raise InvalidInput(f"there are no tiles at zoom {z}: choose {MIN_ZOOM}..{MAX_ZOOM}")
    if not (0 <= x < 2**z and 0 <= y < 2**z):
        raise InvalidInput(f"there is no tile {z}/{x}/{y}: x and y lie in 0..{2**z - 1} at this zoom")
    side = _WORLD_M / 2**z
    left, top = x * side - _WORLD_M / 2, _WORLD_M / 2 - y * side
    return left, top - side, left + side, top


def middle_of(box: NDArray[np.float64], z: int) -> tuple[int, int, int]:
    """Gives zoom, column and row of the tile over the middle of a box: left, bottom, right, top in Web Mercator."""
    side, (left, bottom, right, top) = _WORLD_M / 2**z, box
    x, y = (left + right + _WORLD_M) / 2, (_WORLD_M - bottom - top) / 2
    return z, int(x // side), int(y // side)


@dataclass(frozen=True, eq=False)
class Sheet:
    """Pixels of a zone's grid that have colours."""

    epsg: int
    """The zone."""
    window: Window
    """Its pixels in the zone's grid."""
    colours: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.uint32]]
    """Gives colours (n,) of pixels in the window, by row and column (n,) of the zone's grid, `packed`."""


def drawn(bounds: tuple[float, float, float, float], sheets: Sequence[Sheet]) -> bytes:
    """Gives a tile as PNG, RGBA, transparent where no sheet has a colour; of several the first counts.

    Args:
        bounds: left, bottom, right, top in Web Mercator, metres.
        sheets: what may lie in it.
    """
    canvas = np.zeros((SIDE_PX, SIDE_PX), np.uint32)
    for epsg in sorted({one.epsg for one in sheets}):
        rows, cols = under(epsg, bounds)
        for one in sheets:
            if one.epsg == epsg:
                _lay(canvas, one, rows, cols)
    return png(canvas.view(np.uint8).reshape(SIDE_PX, SIDE_PX, 4)) if canvas.any() else EMPTY


def packed(rgba: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Gives (..., 4) RGBA as one number a pixel, 0 where it is transparent: four times fewer to move."""
    return np.ascontiguousarray(rgba).view(np.uint32)[..., 0]


def _lay(canvas: NDArray[np.uint32], sheet: Sheet, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> None:
    """Lays a sheet's colours where the canvas is still empty."""
    window = sheet.window
    here = (rows >= window.y0) & (rows < window.y1) & (cols >= window.x0) & (cols < window.x1)
    here &= canvas == 0
    if here.any():
        canvas[here] = sheet.colours(rows[here], cols[here])


class Tiler:
    """Paints tiles, and keeps the blocks and the tiles that were painted last."""

    def __init__(self) -> None:
        """Keeps nothing yet, and later at most `_BLOCK_BYTES` of blocks and `_TILE_BYTES` of tiles."""
        self._blocks: Kept[NDArray[np.uint32]] = Kept(_BLOCK_BYTES, size_of=lambda one: one.nbytes)
        self._tiles: Kept[bytes] = Kept(_TILE_BYTES, size_of=len)

    def tile(self, layer: Layer, paint: Paint, z: int, x: int, y: int) -> bytes:
        """Gives a tile as PNG, RGBA, transparent where there is no field."""
        bounds = bounds_of(z, x, y)
        level = level_of(z, bounds)

        def painted() -> bytes:
            return drawn(bounds, [self._sheet(one, paint, level) for one in layer.touching(*bounds)])

        return self._tiles.get((layer, paint, z, x, y), painted)

    def _sheet(self, field: Field, paint: Paint, level: int) -> Sheet:
        colours = partial(self._colours, field, paint, level)
        return Sheet(field.key.tile.epsg, field.window, colours)

    def _colours(
        self, field: Field, paint: Paint, level: int, rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> NDArray[np.uint32]:
        """Gives the colours (n,) of a field's pixels, block by block."""
        tile = field.key.tile.window
        y, x = (rows - tile.y0) >> level, (cols - tile.x0) >> level
        side = min(BLOCK_PX, TILE_PX >> level)
        top, left = int(y.min()) // side, int(x.min()) // side
        bottom, right = int(y.max()) // side + 1, int(x.max()) // side + 1
        lines = [
            [self._painted(field, paint, level, row, col) for col in range(left, right)]
            for row in range(top, bottom)
        ]
        return np.block(lines)[y - top * side, x - left * side]

    def _painted(self, field: Field, paint: Paint, level: int, row: int, col: int) -> NDArray[np.uint32]:
        key = (field, paint, level, row, col)
        return self._blocks.get(key, partial(_block, field, paint, level, row, col))


def under(
    epsg: int, bounds: tuple[float, float, float, float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Gives row and column (256, 256) of the zone's grid under the centre of each pixel of a tile.

    Projected at 17 x 17 points and straight between them: off by less than a tenth of a tile's pixel.
    """
    left, _, right, top = bounds
    at = np.linspace(0, SIDE_PX, _KNOTS)
    step = (right - left) / SIDE_PX
    xs, ys = np.meshgrid(left + at * step, top - at * step)
    east, north = _to_zone(epsg).transform(xs, ys)
    return _floor(-_between(np.asarray(north)) / PIXEL_M), _floor(_between(np.asarray(east)) / PIXEL_M)


def _between(knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gives the values at pixel centres, linear between knots."""
    weights = _weights()
    return np.asarray(weights @ knots @ weights.T)


@lru_cache(maxsize=1)
def _weights() -> NDArray[np.float64]:
    place = (np.arange(SIDE_PX) + 0.5) / SIDE_PX * (_KNOTS - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(_KNOTS)))


def _floor(values: NDArray[np.float64]) -> NDArray[np.int64]:
    # A zone's projection gives infinity for points on the other side of the Earth.
    return np.floor(np.where(np.isfinite(values), values, -1e12)).astype(np.int64)


@lru_cache(maxsize=120)
def _to_zone(epsg: int) -> Transformer:
    return Transformer.from_crs(3857, epsg, always_xy=True)


def level_of(z: int, bounds: tuple[float, float, float, float]) -> int:
    """Gives the level that is about as fine as a tile: each halves the pixels, 0 is the pixels themselves."""
    middle = math.cos(2 * math.atan(math.exp((bounds[1] + bounds[3]) / 2 / 6_378_137.0)) - math.pi / 2)
    ground_m = _WORLD_M / 2**z / SIDE_PX * middle
    return min(_COARSEST, max(0, round(math.log2(ground_m / PIXEL_M)))) if ground_m > PIXEL_M else 0


def _block(field: Field, paint: Paint, level: int, row: int, col: int) -> NDArray[np.uint32]:
    """Gives a block of a field in colour, (h, w) as `packed`; beyond the overviews every so manieth pixel."""
    base = min(level, paint.num_overviews)
    step, side = 2 ** (level - base), min(BLOCK_PX, TILE_PX >> level)
    count = side * step // BLOCK_PX

    def part(y: int, x: int) -> NDArray[np.uint32]:
        read = paint.read(field, base, row * count + y, col * count + x)
        return packed(paint.colours(read[..., step // 2 :: step, step // 2 :: step]))

    return np.block([[part(y, x) for x in range(count)] for y in range(count)])


def png(picture: NDArray[np.uint8], *, compress: int = 1) -> bytes:
    """Gives (h, w, 4) RGBA as PNG; of repetitions only runs are looked for, which is quicker and finds most."""
    stream = io.BytesIO()
    Image.fromarray(picture, "RGBA").save(stream, "PNG", compress_level=compress, compress_type=zlib.Z_RLE)
    return stream.getvalue()


EMPTY = png(np.zeros((SIDE_PX, SIDE_PX, 4), np.uint8), compress=9)
"""The tile where nothing is."""


def extent_of(fields: Sequence[Field]) -> list[float]:
    """Gives west, south, east, north of fields, degrees."""
    boxes = [one.area.to_crs("EPSG:4326").geom.bounds for one in fields]
    west, south, east, north = zip(*boxes, strict=True)
    return [min(west), min(south), max(east), max(north)]
