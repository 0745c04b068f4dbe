"""Where the landscape lies: its UTM zone, its nested pixel grids and its outline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pyproj import Transformer
from rasterio import Affine

from earthfield.simulate.arrays import Floats
from earthfield.simulate.spec import Landscape

PIXEL_M = 10
"""Side of a pixel of the maps, metres."""
SNAP_M = 60
"""The corner lies on multiples of this, so that 10, 20, 30 and 60 m pixels share edges."""
PAD_PX = SNAP_M // PIXEL_M


@dataclass(frozen=True)
class Canvas:
    """The pixel grids of one landscape."""

    width: int
    """Columns at 10 m that were asked for."""
    height: int
    """Rows at 10 m that were asked for."""
    epsg: int
    """UTM zone, 326zz or 327zz."""
    west: int
    """Easting of the left edge, metres, a multiple of 60."""
    north: int
    """Northing of the upper edge, metres, a multiple of 60."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the working maps: the size asked for, rounded up to whole 60 m cells."""
        return (-(-self.height // PAD_PX) * PAD_PX, -(-self.width // PAD_PX) * PAD_PX)

    def shape_at(self, gsd_m: int) -> tuple[int, int]:
        """Rows and columns of a raster with pixels of `gsd_m` metres."""
        step = gsd_m // PIXEL_M
        return (-(-self.height // step), -(-self.width // step))

    def transform_at(self, gsd_m: int) -> Affine:
        """Pixel to map coordinates for pixels of `gsd_m` metres."""
        return Affine(gsd_m, 0.0, self.west, 0.0, -gsd_m, self.north)

    def crop(self, values: Floats, gsd_m: int) -> Floats:
        """Cut the padding off a map whose pixels are `gsd_m` metres."""
        rows, cols = self.shape_at(gsd_m)
        return values[:rows, :cols]

    def outline(self) -> list[list[float]]:
        """The closed ring of the area as [lon, lat] pairs, counter-clockwise from the lower right."""
        return _outline(self)

    def lonlat(self, x: float, y: float) -> tuple[float, float]:
        """Longitude and latitude in degrees of map coordinates in metres."""
        lon, lat = Transformer.from_crs(self.epsg, 4326, always_xy=True).transform(x, y)
        return (float(lon), float(lat))


@lru_cache(maxsize=8)
def _outline(canvas: Canvas) -> list[list[float]]:
    """See `Canvas.outline`."""
    east, south = canvas.west + canvas.width * PIXEL_M, canvas.north - canvas.height * PIXEL_M
    corners = [
        (east, south),
        (east, canvas.north),
        (canvas.west, canvas.north),
        (canvas.west, south),
        (east, south),
    ]
    return [list(canvas.lonlat(x, y)) for x, y in corners]


def canvas_of(spec: Landscape) -> Canvas:
    """The grids of a landscape: the zone of its centre, the corner on multiples of 60 m."""
    zone = min(60, int((spec.lon + 180.0) // 6.0) + 1)
    epsg = (32600 if spec.lat >= 0 else 32700) + zone
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(spec.lon, spec.lat)
    width, height = spec.size_px
    west = math.floor((x - width * PIXEL_M / 2) / SNAP_M + 0.5) * SNAP_M
    north = math.floor((y + height * PIXEL_M / 2) / SNAP_M + 0.5) * SNAP_M
    return Canvas(width=width, height=height, epsg=epsg, west=west, north=north)


def block_mean(values: Floats, step: int) -> Floats:
    """Mean over step x step pixels; both sides of `values` are multiples of step."""
    if step == 1:
        return values
    rows, cols = values.shape
    total = np.zeros((rows // step, cols // step), np.float32)
    for down in range(step):
        for across in range(step):
            total += values[down::step, across::step]
    total /= np.float32(step * step)
    return total
