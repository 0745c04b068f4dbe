"""Space: pixels, chips, tiles and sheets of a UTM zone, and areas of interest laid over them.

Every zone (an EPSG code, so the hemispheres are apart) has one endless grid of 10 m pixels anchored at the
zone's origin. Pixel columns count eastward; pixel rows count southward from the origin, so that a row number
times -10 is a northing and arrays, windows and grids all run the same way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyproj import Transformer

from earthfield.errors import InvalidInput

PIXEL_M = 10.0
CHIP_PX = 128
TILE_PX = 1024
SHEET_PX = 8192

_TILE_ID = re.compile(r"^(32[67]\d{2})_(\d{4})_(\d{4})$")


@dataclass(frozen=True, order=True)
class Window:
    """A half-open rectangle of pixels: rows [y0, y1), columns [x0, x1)."""

    y0: int
    """First row."""
    y1: int
    """First row after it."""
    x0: int
    """First column."""
    x1: int
    """First column after it."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """For indexing the last two axes of an array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def __bool__(self) -> bool:
        return self.y1 > self.y0 and self.x1 > self.x0

    def __and__(self, other: Window) -> Window:
        return Window(
            max(self.y0, other.y0), min(self.y1, other.y1), max(self.x0, other.x0), min(self.x1, other.x1)
        )

    def __or__(self, other: Window) -> Window:
        return Window(
            min(self.y0, other.y0), max(self.y1, other.y1), min(self.x0, other.x0), max(self.x1, other.x1)
        )

    def __contains__(self, other: Window) -> bool:
        return (self & other) == other

    def shifted(self, dy: int, dx: int) -> Window:
        """Moves it by whole pixels."""
        return Window(self.y0 + dy, self.y1 + dy, self.x0 + dx, self.x1 + dx)

    def padded(self, margin: int) -> Window:
        """Grows it by `margin` pixels on each side."""
        return Window(self.y0 - margin, self.y1 + margin, self.x0 - margin, self.x1 + margin)


@dataclass(frozen=True, order=True)
class Tile:
    """1,024 x 1,024 px of a zone: the unit of work and of storage."""

    epsg: int
    """UTM zone as an EPSG code, 32601..32660 north, 32701..32760 south."""
    col: int
    """Tiles east of the zone's origin (easting 0)."""
    row: int
    """Tiles north of the zone's origin (northing 0)."""

    @property
    def id(self) -> str:
        """`32631_0048_0549`: zone, column, row."""
        return f"{self.epsg}_{self.col:04d}_{self.row:04d}"

    @classmethod
    def parse(cls, text: str) -> Tile:
        """Reads a tile id.

        Raises:
            InvalidInput: the text is not one.
        """
        match = _TILE_ID.match(text)
        if match is None:
            raise InvalidInput(f"{text!r} is not a tile id such as 32631_0048_0549")
        return cls(int(match[1]), int(match[2]), int(match[3]))

    @property
    def window(self) -> Window:
        """Its pixels in the zone's grid."""
        y1, x0 = -self.row * TILE_PX, self.col * TILE_PX
        return Window(y1 - TILE_PX, y1, x0, x0 + TILE_PX)

    @property
    def geobox(self) -> GeoBox:
        """Its georeferenced grid, north up."""
        return geobox_of(self.epsg, self.window)

    def local(self, window: Window) -> Window:
        """Turns a window of the zone's grid into one of this tile's array."""
        return window.shifted(-self.window.y0, -self.window.x0)


@dataclass(frozen=True)
class TileWindow:
    """The part of a tile that an area touches."""

    tile: Tile
    """The tile."""
    window: Window
    """Pixels in the zone's grid, inside the tile."""
    area: Geometry
    """The area itself, in the tile's CRS, clipped to the tile."""


def geobox_of(epsg: int, window: Window) -> GeoBox:
    """Gives the georeferenced 10 m grid of a window of a zone."""
    left, top = window.x0 * PIXEL_M, -window.y0 * PIXEL_M
    bottom, right = -window.y1 * PIXEL_M, window.x1 * PIXEL_M
    return GeoBox.from_bbox((left, bottom, right, top), crs=f"EPSG:{epsg}", shape=window.shape)


def zone_of(lon: float, lat: float) -> int:
    """Gives the EPSG code of the plain 6-degree UTM zone (no Norwegian exceptions) of a point in degrees."""
    zone = min(int((lon + 180.0) // 6.0) + 1, 60)
    return (32600 if lat >= 0 else 32700) + zone


def pixel_at(epsg: int, lon: float, lat: float) -> tuple[int, int]:
    """Gives the (row, column) of the zone's grid that holds a point given in degrees."""
    east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    return math.floor(-north / PIXEL_M), math.floor(east / PIXEL_M)


def tile_at(epsg: int, row: int, col: int) -> Tile:
    """Gives the tile that holds a pixel of the zone's grid."""
    return Tile(epsg, col // TILE_PX, (-row - 1) // TILE_PX)


def tiles_over(epsg: int, window: Window) -> list[Tile]:
    """Lists the tiles that a window of the zone's grid touches, sorted."""
    first, last = tile_at(epsg, window.y1 - 1, window.x0), tile_at(epsg, window.y0, window.x1 - 1)
    cols, rows = range(first.col, last.col + 1), range(first.row, last.row + 1)
    return [Tile(epsg, col, row) for col in cols for row in rows]


def windows_over(extent: Window, *, size: int, stride: int) -> Iterator[Window]:
    """Yields overlapping square windows that cover `extent`, on a lattice fixed to the zone's origin.

    The lattice does not depend on the extent, so a pixel is always seen by the same windows.

    Args:
        extent: what must be covered, in the zone's grid.
        size: side of a window, pixels.
        stride: distance between neighbours, at most `size`.
    """
    margin = size - stride
    for y in range((extent.y0 - margin) // stride, (extent.y1 - 1) // stride + 1):
        for x in range((extent.x0 - margin) // stride, (extent.x1 - 1) // stride + 1):
            window = Window(y * stride, y * stride + size, x * stride, x * stride + size)
            if window & extent:
                yield window
