"""Labelled pixels on the grid of some fields, and the groups that must not be split."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject

from earthfield.errors import InvalidInput, NotFound
from earthfield.field import Field
from earthfield.grid import Window, geobox_of
from earthfield_analysis.fewshot import parcels

NODATA = 0
_MOST_PX = 40_000_000


@dataclass(frozen=True)
class LabelledArea:
    """Labels laid onto the pixels of one zone's fields."""

    epsg: int
    """The zone."""
    window: Window
    """Pixels that the arrays cover, in the zone's grid."""
    codes: NDArray[np.int32]
    """(H, W) class codes, 0 where there is no label or no field."""
    parcels: NDArray[np.int32]
    """(H, W) connected pixels of one code, from 1; 0 where there is no label."""


def read_labels(
    path: Path, fields: Sequence[Field], *, ignore: Collection[int] = (), parcels_path: Path | None = None
) -> LabelledArea:
    """Reads a raster of class codes onto the pixels of fields, by nearest neighbour.

    Args:
        path: a raster of whole numbers; its nodata value and 0 mean no label.
        fields: fields of one period; where they lie in several zones, the zone with most labels is taken.
        ignore: codes that count as no label.
        parcels_path: a raster whose connected pixels are the parcels; that of the labels when absent.

    Raises:
        NotFound: there is no such file, or no label lies on a field.
        InvalidInput: it is not a raster of whole numbers.
    """
    best: LabelledArea | None = None
    for epsg in sorted({one.key.tile.epsg for one in fields}):
        inside = [one for one in fields if one.key.tile.epsg == epsg]
        area = _on_zone(path, epsg, inside, ignore, parcels_path)
        if best is None or np.count_nonzero(area.codes) > np.count_nonzero(best.codes):
            best = area
    if best is None or not best.codes.any():
        raise NotFound(f"no label of {path} lies on a field: check that both cover the same area")
    return best


def _on_zone(
    path: Path, epsg: int, fields: Sequence[Field], ignore: Collection[int], parcels_path: Path | None
) -> LabelledArea:
    window = fields[0].window
    for one in fields[1:]:
        window |= one.window
    window = window & (_extent(path, epsg) or window)
    if not window:
        return LabelledArea(epsg, window, np.zeros((0, 0), np.int32), np.zeros((0, 0), np.int32))
    if window.shape[0] * window.shape[1] > _MOST_PX:
        raise InvalidInput(
            f"{path} covers {window.shape} px of fields, which is too much at once: cut a part out"
        )
    codes = _read(path, epsg, window)
    codes[np.isin(codes, list(ignore))] = NODATA
    shapes = parcels(_read(parcels_path, epsg, window) if parcels_path else codes)
    # A parcel raster may lump labels together; labels it leaves out keep parcels of their own.
    own = parcels(np.where(shapes == 0, codes, NODATA))
    shapes = np.where(shapes > 0, shapes, np.where(own > 0, own + shapes.max(), 0))
    return LabelledArea(epsg, window, codes, np.where(codes != NODATA, shapes, 0).astype(np.int32))


def _extent(path: Path, epsg: int) -> Window | None:
    """The window of the zone's grid that a raster touches."""
    with _opened(path) as data:
        bounds = rasterio.warp.transform_bounds(data.crs, epsg, *data.bounds)
    left, bottom, right, top = (edge / 10 for edge in bounds)
    return Window(int(np.floor(-top)), int(np.ceil(-bottom)), int(np.floor(left)), int(np.ceil(right)))


def _read(path: Path, epsg: int, window: Window) -> NDArray[np.int32]:
    found = np.full(window.shape, NODATA, np.int32)
    with _opened(path) as data:
        reproject(
            rasterio.band(data, 1), found,
            dst_transform=geobox_of(epsg, window).transform, dst_crs=f"EPSG:{epsg}",
            dst_nodata=NODATA, resampling=Resampling.nearest,
        )  # fmt: skip
    return found


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise NotFound(f"there is no label raster {path}")
    try:
        data = rasterio.open(path)
    except rasterio.errors.RasterioError as error:
        raise InvalidInput(f"{path} cannot be read as a raster ({error})") from error
    if data.crs is None or not np.issubdtype(np.dtype(data.dtypes[0]), np.integer):
        data.close()
        raise InvalidInput(f"{path} must be a georeferenced raster of whole numbers, one code per class")
    return data
