"""Labels on the grid of some fields, from a raster or from polygons, and the parcels that must not be split."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject

from earthfield.errors import InvalidInput, NotFound
from earthfield.field import Field
from earthfield.grid import Window, geobox_of
from earthfield_analysis.protocol import connected
from earthfield_train.evaluation.polygons import Polygons, is_vector

NODATA = 0
_MOST_PX = 40_000_000


@dataclass(frozen=True)
class LabelledArea:
    """Labels laid onto the pixels of one zone's fields."""

    epsg: int
    """The zone."""
    window: Window
    """Pixels that the arrays cover, in the zone's grid: the place."""
    codes: NDArray[np.int32]
    """(H, W) class codes, 0 where there is no label or no field."""
    parcels: NDArray[np.int32]
    """(H, W) pixels that belong together, from 1; 0 where there is no label."""
    names: Mapping[int, str]
    """What each code is called; the code itself where the labels are a raster."""


class LabelFile(Protocol):
    """Labels in a file, of whatever form."""

    def extent(self, epsg: int) -> Window:
        """Gives the window of a zone's grid that it touches."""
        ...

    def read(self, epsg: int, window: Window) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Reads codes and parcels, (H, W) each; 0 where there is none."""
        ...

    def names(self, codes: Collection[int]) -> dict[int, str]:
        """Tells what codes are called."""
        ...


def read_labels(
    path: Path,
    fields: Sequence[Field],
    *,
    classes: Collection[str] = (),
    ignore: Collection[str] = (),
    parcels_path: Path | None = None,
    column: str | None = None,
) -> LabelledArea:
    """Reads class labels onto the pixels of fields: a raster by nearest neighbour, polygons by pixel centres.

    Args:
        path: a raster of whole numbers, where its nodata value and 0 mean no label; or polygons (GeoJSON,
            GeoPackage, Shapefile).
        fields: fields of one period; where they lie in several zones, the zone with most labels is taken.
        classes: codes or names to keep, all when empty.
        ignore: codes or names that count as no label.
        parcels_path: a raster whose connected pixels are the parcels; when absent connected pixels of one code, or
            the polygons.
        column: column of the polygons that holds the class.

    Raises:
        NotFound: there is no such file, column or class, or no label lies on a field.
        InvalidInput: it is not what it should be.
    """
    if not path.is_file():
        raise NotFound(f"there are no labels {path}: give a raster of class codes or a file of polygons")
    file: LabelFile = Polygons(path, column) if is_vector(path) else Raster(path)
    best: LabelledArea | None = None
    for epsg in sorted({one.key.tile.epsg for one in fields}):
        inside = [one for one in fields if one.key.tile.epsg == epsg]
        area = _on_zone(file, path, epsg, inside, parcels_path)
        if best is None or np.count_nonzero(area.codes) > np.count_nonzero(best.codes):
            best = area
    if best is None or not best.codes.any():
        raise NotFound(f"no label of {path} lies on a field: check that both cover the same area")
    return _of_classes(best, path, classes, ignore)


def _on_zone(
    file: LabelFile, path: Path, epsg: int, fields: Sequence[Field], parcels_path: Path | None
) -> LabelledArea:
    window = fields[0].window
    for one in fields[1:]:
        window |= one.window
    window = window & file.extent(epsg)
    if not window:
        nothing = np.zeros((0, 0), np.int32)
        return LabelledArea(epsg, window, nothing, nothing, {})
    if window.shape[0] * window.shape[1] > _MOST_PX:
        raise InvalidInput(
            f"{path} covers {window.shape} px of fields, which is too much at once: cut a part out"
        )
    codes, own = file.read(epsg, window)
    shapes = own
    if parcels_path is not None:
        # A parcel raster may lump labels together; labels it leaves out keep parcels of their own.
        given = connected(Raster(parcels_path).read(epsg, window)[0])
        shapes = np.where(given > 0, given, np.where(own > 0, own + given.max(), 0))
    found = [int(code) for code in np.unique(codes) if code != NODATA]
    return LabelledArea(
        epsg, window, codes, np.where(codes != NODATA, shapes, 0).astype(np.int32), file.names(found)
    )


def _of_classes(
    area: LabelledArea, path: Path, classes: Collection[str], ignore: Collection[str]
) -> LabelledArea:
    """Keeps the labels of some classes, named by code or name."""
    for wanted in (*classes, *ignore):
        if wanted not in area.names.values():
            have = ", ".join(area.names.values())
            raise NotFound(
                f"no pixel of {path} has class {wanted} where there are fields; its classes are: {have}"
            )
    kept = {
        code: name
        for code, name in area.names.items()
        if (not classes or name in classes) and name not in ignore
    }
    codes = np.where(np.isin(area.codes, list(kept)), area.codes, NODATA).astype(np.int32)
    parcels = np.where(codes != NODATA, area.parcels, 0).astype(np.int32)
    return LabelledArea(area.epsg, area.window, codes, parcels, kept)


class Raster:
    """A raster of class codes."""

    def __init__(self, path: Path) -> None:
        """Args: where it is. Nothing is opened yet."""
        self._path = path

    def extent(self, epsg: int) -> Window:
        """Gives the window of a zone's grid that it touches."""
        with self._opened() as data:
            bounds = rasterio.warp.transform_bounds(data.crs, epsg, *data.bounds)
        left, bottom, right, top = (edge / 10 for edge in bounds)
        return Window(int(np.floor(-top)), int(np.ceil(-bottom)), int(np.floor(left)), int(np.ceil(right)))

    def read(self, epsg: int, window: Window) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Reads codes, and connected pixels of one code as parcels."""
        found = np.full(window.shape, NODATA, np.int32)
        with self._opened() as data:
            reproject(
                rasterio.band(data, 1), found,
                dst_transform=geobox_of(epsg, window).transform, dst_crs=f"EPSG:{epsg}",
                dst_nodata=NODATA, resampling=Resampling.nearest,
            )  # fmt: skip
        return found, connected(found)

    def names(self, codes: Collection[int]) -> dict[int, str]:
        """A code is its own name."""
        return {code: str(code) for code in codes}

    def _opened(self) -> Any:
        if not self._path.is_file():
            raise NotFound(f"there is no raster {self._path}: check the path")
        try:
            data = rasterio.open(self._path)
        except rasterio.errors.RasterioError as error:
            raise InvalidInput(
                f"{self._path} cannot be read as a raster ({error}); polygons must be GeoJSON, "
                "GeoPackage or Shapefile"
            ) from error
        if data.crs is None or not np.issubdtype(np.dtype(data.dtypes[0]), np.integer):
            data.close()
            raise InvalidInput(
                f"{self._path} must be a georeferenced raster of whole numbers, one code per class"
            )
        return data
