"""Onto our grid: pixels copied where the grids nest, else the nearest pixel, or the mean of several vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject

from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield.grid import PIXEL_M, Window, geobox_of
from earthfield_infer.importing.raster import Raster
from earthfield_infer.importing.stored import Stored

Resample = Literal["nearest", "mean"]
Placing = Literal["copied", "nearest", "mean"]

_BLOCK_PX = 256
"""Side of what is resampled at once, in our pixels."""
_MOST_PIXELS = 500_000
"""Source pixels that may lie under such a block."""


def nests(raster: Raster, epsg: int) -> bool:
    """Tells whether a raster's pixels are pixels of a zone's grid, whichever way up they are stored."""
    a, b, left, d, e, top = tuple(raster.transform)[:6]
    square = b == d == 0 and a == PIXEL_M and abs(e) == PIXEL_M
    return raster.epsg == epsg and square and left % PIXEL_M == 0 and top % PIXEL_M == 0


def own_zone(raster: Raster) -> int | None:
    """Gives the zone in whose grid a raster's pixels nest, if in any."""
    epsg = raster.epsg
    is_utm = epsg is not None and (32601 <= epsg <= 32660 or 32701 <= epsg <= 32760)
    return epsg if is_utm and epsg is not None and nests(raster, epsg) else None


def extent_of(raster: Raster) -> Window:
    """Gives the window of the zone's grid that a raster covers whose pixels nest in it."""
    top = raster.transform.f + (0 if raster.transform.e < 0 else PIXEL_M * raster.shape[0])
    y0, x0 = round(-top / PIXEL_M), round(raster.transform.c / PIXEL_M)
    return Window(y0, y0 + raster.shape[0], x0, x0 + raster.shape[1])


def placing_of(raster: Raster, epsg: int, resample: Resample) -> Placing:
    """Tells how a raster comes onto a zone's grid.

    Raises:
        InvalidInput: means are asked of pixels that are no smaller than ours.
    """
    if nests(raster, epsg):
        return "copied"
    if resample == "mean" and not pixel_m(raster) < PIXEL_M * 0.75:
        raise InvalidInput(
            f"{raster.file.name} has pixels of {pixel_m(raster):.1f} m: a mean over our {PIXEL_M:.0f} m pixels "
            "needs smaller ones; leave --resample mean out"
        )
    return resample


def pixel_m(raster: Raster) -> float:
    """Gives about how large a raster's pixels are, in metres."""
    side = math.sqrt(abs(raster.transform.determinant))
    if raster.crs.is_geographic:
        rows, cols = raster.shape
        _, lat = raster.transform * (cols / 2, rows / 2)
        return side * 111_320 * math.sqrt(max(math.cos(math.radians(lat)), 1e-3))
    factor = raster.crs.linear_units_factor[1]
    return float(side * factor)


def placed(raster: Raster, epsg: int, window: Window, placing: Placing, stored: Stored) -> NDArray[Any]:
    """Gives what a raster says of a window of a zone's grid, as a field's file holds it.

    Args:
        raster: the raster.
        epsg: the zone.
        window: pixels of the zone's grid.
        placing: how its pixels become ours.
        stored: what its numbers mean and how they are kept.

    Returns:
        (D, h, w) codes or values, no data where it has none.

    Raises:
        BrokenArtefact: the file is cut short or damaged there.
        InvalidInput: its vectors are not what they are said to be.
    """
    found = stored.blank(raster.dim, window)
    if placing == "copied":
        inside = extent_of(raster) & window
        if inside:
            ys, xs = inside.shifted(-window.y0, -window.x0).slices
            found[:, ys, xs] = stored.kept(raster, _nested(raster, inside))
        return found
    side = _block_side(raster)
    for block in _blocks(window, side):
        ys, xs = block.shifted(-window.y0, -window.x0).slices
        if placing == "nearest":
            found[:, ys, xs] = _nearest(raster, epsg, block, stored)
        else:
            found[:, ys, xs] = _mean(raster, epsg, block, stored)
    return found


def _nested(raster: Raster, window: Window) -> NDArray[Any]:
    """Reads a window of the zone's grid, north up, of a raster whose pixels nest in it."""
    local = window.shifted(-extent_of(raster).y0, -extent_of(raster).x0)
    if raster.transform.e < 0:
        return raster.read(local)
    rows = raster.shape[0]
    return raster.read(Window(rows - local.y1, rows - local.y0, local.x0, local.x1))[:, ::-1]


def _blocks(window: Window, side: int) -> Iterator[Window]:
    for y in range(window.y0, window.y1, side):
        for x in range(window.x0, window.x1, side):
            yield Window(y, y + side, x, x + side) & window


def _block_side(raster: Raster) -> int:
    finest = pixel_m(raster) / PIXEL_M
    side = min(_BLOCK_PX, int(math.sqrt(_MOST_PIXELS) * finest))
    if side < 1:
        raise InvalidInput(f"{raster.file.name} has pixels of {pixel_m(raster):g} m: make them larger first")
    return side


def _nearest(raster: Raster, epsg: int, block: Window, stored: Stored) -> NDArray[Any]:
    """Takes for every pixel the source pixel that holds its centre."""
    ys, xs = np.mgrid[block.y0 : block.y1, block.x0 : block.x1]
    east, north = (xs + 0.5) * PIXEL_M, -(ys + 0.5) * PIXEL_M
    if epsg != raster.epsg:
        change = Transformer.from_crs(f"EPSG:{epsg}", raster.crs.to_wkt(), always_xy=True)
        east, north = change.transform(east, north)
    cols, rows = (np.floor(one).astype(np.int64) for one in _inverse(raster.transform, east, north))
    inside = (rows >= 0) & (rows < raster.shape[0]) & (cols >= 0) & (cols < raster.shape[1])
    found = stored.blank(raster.dim, block)
    if inside.any():
        top, left = int(rows[inside].min()), int(cols[inside].min())
        view = Window(top, int(rows[inside].max()) + 1, left, int(cols[inside].max()) + 1)
        held = stored.kept(raster, raster.read(view))
        found[:, inside] = held[:, rows[inside] - top, cols[inside] - left]
    return found


def _inverse(
    transform: Affine, east: NDArray[Any], north: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    finite = np.isfinite(east) & np.isfinite(north)
    cols, rows = ~transform * (np.where(finite, east, 0.0), np.where(finite, north, 0.0))
    # What cannot be reprojected lies outside.
    return np.where(finite, cols, -1.0), np.where(finite, rows, -1.0)


def _mean(raster: Raster, epsg: int, block: Window, stored: Stored) -> NDArray[Any]:
    """Takes the mean of the vectors under every pixel, by the area that they cover, of length 1 again."""
    target = geobox_of(epsg, block)
    view = _under(raster, target)
    if not view:
        return stored.blank(raster.dim, block)
    vectors = np.moveaxis(stored.vectors(raster, raster.read(view)), -1, 0)
    means = np.full((raster.dim, *block.shape), np.nan, np.float32)
    reproject(
        np.ascontiguousarray(vectors), means, src_transform=raster.transform * Affine.translation(view.x0, view.y0),
        src_crs=raster.crs, src_nodata=np.nan, dst_transform=target.transform, dst_crs=f"EPSG:{epsg}",
        dst_nodata=np.nan, resampling=Resampling.average,
    )  # fmt: skip
    return stored.encoded(normalised(np.moveaxis(means, 0, -1)))


def _under(raster: Raster, target: GeoBox) -> Window:
    """Gives the rows and columns of a raster that lie under a grid, with a rim."""
    bounds = target.buffered(2 * PIXEL_M).footprint(raster.crs.to_wkt()).boundingbox
    if not np.isfinite(bounds).all():
        return Window(0, 0, 0, 0)
    xs = np.array([bounds.left, bounds.right, bounds.left, bounds.right])
    ys = np.array([bounds.bottom, bounds.bottom, bounds.top, bounds.top])
    cols, rows = _inverse(raster.transform, xs, ys)
    view = Window(
        math.floor(rows.min()) - 1, math.ceil(rows.max()) + 1,
        math.floor(cols.min()) - 1, math.ceil(cols.max()) + 1,
    )  # fmt: skip
    whole = Window(0, raster.shape[0], 0, raster.shape[1])
    return view & whole
