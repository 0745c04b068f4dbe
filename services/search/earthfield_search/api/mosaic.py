"""The fields of one model and period as one picture in Web Mercator, which is what a web map lays over itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from rasterio.enums import Resampling
from rasterio.warp import reproject

from earthfield.codec import is_missing, normalised, values_of
from earthfield.errors import BrokenArtefact, InvalidInput
from earthfield.field import Field
from earthfield.grid import geobox_of

MERCATOR = "EPSG:3857"
MAX_SIDE_PX = 1536
_MIN_SIDE_PX = 512
_OVERSAMPLE = 2
_STRIP_PX = 256
_MAX_FIELDS = 400

Colour = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""(h, w, D) unit vectors, NaN without data, to (h, w, 4) RGBA."""


def mercator_grid(fields: Sequence[Field]) -> GeoBox:
    """Gives the grid of the picture: all the fields, on at most `MAX_SIDE_PX` pixels a side.

    It is finer than the fields where they are small, so that their pixels stay squares.

    Raises:
        InvalidInput: the fields are too many, or lie on both sides of the antimeridian.
    """
    if len(fields) > _MAX_FIELDS:
        raise InvalidInput(f"{len(fields)} tiles are too many for one picture: at most {_MAX_FIELDS}")
    boxes = [geobox_of(one.key.tile.epsg, one.window).footprint(MERCATOR).boundingbox for one in fields]
    west, south = min(box.left for box in boxes), min(box.bottom for box in boxes)
    east, north = max(box.right for box in boxes), max(box.top for box in boxes)
    width, height = east - west, north - south
    if width > 20_000_000:
        raise InvalidInput(
            "these fields lie on both sides of the antimeridian: there is no one picture of them"
        )
    finest_m = max(width, height) / MAX_SIDE_PX
    coarsest_m = max(width, height) / _MIN_SIDE_PX
    side_m = min(max(_pixel_m(south, north) / _OVERSAMPLE, finest_m), max(coarsest_m, finest_m))
    shape = (max(1, math.ceil(height / side_m)), max(1, math.ceil(width / side_m)))
    bounds = (west, north - shape[0] * side_m, west + shape[1] * side_m, north)
    return GeoBox.from_bbox(bounds, crs=MERCATOR, shape=shape)


def _pixel_m(south: float, north: float) -> float:
    """Side of a 10 m pixel in Mercator metres, which stretch with the latitude."""
    latitude = 2 * math.atan(math.exp((south + north) / 2 / 6_378_137.0)) - math.pi / 2
    return 10.0 / math.cos(latitude)


def degrees_of(grid: GeoBox) -> BoundingBox:
    """Gives the grid's bounds in degrees."""
    return grid.footprint("EPSG:4326").boundingbox


def paint(fields: Sequence[Field], grid: GeoBox, colour: Colour) -> NDArray[np.uint8]:
    """Gives the fields in colour on a grid, (h, w, 4) RGBA; transparent where there is no vector."""
    canvas = np.zeros((4, *grid.shape), np.uint8)
    for one in fields:
        codes, source = _read(one, _level(grid))
        picture = np.concatenate([colour(strip) for strip in _strips(codes)])
        drawn = np.zeros_like(canvas)
        reproject(
            np.ascontiguousarray(np.moveaxis(picture, -1, 0)), drawn,
            src_transform=source.transform, src_crs=str(source.crs),
            dst_transform=grid.transform, dst_crs=MERCATOR, resampling=Resampling.nearest,
        )  # fmt: skip
        canvas = np.where(drawn[3] > 0, drawn, canvas)
    return np.moveaxis(canvas, 0, -1)


def sample(fields: Sequence[Field], *, num: int = 60_000) -> NDArray[np.float32]:
    """Gives about `num` vectors spread evenly over the fields, (n, D), without gaps."""
    share = max(64, num // len(fields))
    parts = []
    for one in fields:
        codes, _ = _read(one, 2 if max(one.window.shape) > 512 else 0)
        flat = codes.reshape(len(codes), -1)
        known = np.flatnonzero(~is_missing(flat[:, None])[0])
        parts.append(values_of(flat[:, known[:: max(1, len(known) // share)]].T))
    return normalised(np.concatenate(parts))


def _level(grid: GeoBox) -> int:
    """The overview that is about as fine as the grid, 0 for the pixels themselves."""
    ratio = abs(grid.resolution.x) / _pixel_m(grid.boundingbox.bottom, grid.boundingbox.top)
    return min(2, max(0, round(math.log2(ratio))))


def _read(one: Field, level: int) -> tuple[NDArray[Any], GeoBox]:
    """Gives (D, h, w) as stored of all that a field covers, from an overview, with their grid."""
    shrink, local = 2**level, one.key.tile.local(one.window)
    rows = slice(local.y0 // shrink, math.ceil(local.y1 / shrink))
    cols = slice(local.x0 // shrink, math.ceil(local.x1 / shrink))
    path = one.folder / "embedding.tif"
    try:
        with rasterio.open(path, **({"overview_level": level - 1} if level else {})) as data:
            codes = data.read(window=((rows.start, rows.stop), (cols.start, cols.stop)))
    except rasterio.errors.RasterioError as error:
        raise BrokenArtefact(
            f"{path} cannot be read ({error}): make the field again with --overwrite"
        ) from error
    return codes, one.key.tile.geobox.zoom_out(shrink)[rows, cols]


def _strips(codes: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
    for row in range(0, codes.shape[1], _STRIP_PX):
        yield normalised(np.moveaxis(values_of(codes[:, row : row + _STRIP_PX]), 0, -1))
