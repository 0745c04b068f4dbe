"""Labels as people draw them: polygons (or points) with a column that tells the class."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from rasterio.features import rasterize

from earthfield.errors import InvalidInput, NotFound, Unavailable
from earthfield.grid import Window, geobox_of

_ENDINGS = frozenset({".geojson", ".json", ".gpkg", ".shp", ".fgb"})
_LARGEST = 2**31 - 1


def is_vector(path: Path) -> bool:
    """Tells by its ending whether a file holds shapes."""
    return path.suffix.lower() in _ENDINGS


class Polygons:
    """Shapes of a file with their classes; later ones lie over earlier ones, a point labels the pixel it is in."""

    def __init__(self, path: Path, column: str | None) -> None:
        """Reads the first layer.

        Raises:
            InvalidInput: it cannot be read, tells no coordinate system, or no column was named.
            NotFound: it has no such column, or no shape with a class.
            Unavailable: pyogrio is not installed.
        """
        self._path = path
        self._crs, shapes, values = _read(path, column)
        held = np.array([_is_told(value) for value in values], bool)
        held &= np.array([one is not None and not one.is_empty for one in shapes], bool)
        if not held.any():
            raise NotFound(f"no shape of {path} has a class in column {column!r}: fill it in")
        self._shapes = [shape for shape, kept in zip(shapes, held, strict=True) if kept]
        self._texts = [_text(value) for value, kept in zip(values, held, strict=True) if kept]

    @cached_property
    def _codes(self) -> dict[str, int]:
        """Code of each class: its own number where all are positive whole numbers, else counted from 1."""
        texts = sorted(set(self._texts))
        if all(text.isdecimal() and 0 < int(text) <= _LARGEST for text in texts):
            return {text: int(text) for text in texts}
        return {text: number for number, text in enumerate(texts, 1)}

    def extent(self, epsg: int) -> Window:
        """Gives the window of a zone's grid that the shapes touch."""
        left, bottom, right, top = shapely.total_bounds(np.array(self._in_zone(epsg), object)) / 10
        return Window(int(np.floor(-top)), int(np.ceil(-bottom)), int(np.floor(left)), int(np.ceil(right)))

    def read(self, epsg: int, window: Window) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Burns codes, and the number of the shape as parcel, into pixels whose centre lies inside a shape."""
        shapes, transform = self._in_zone(epsg), geobox_of(epsg, window).transform
        numbers = rasterize(
            list(zip(shapes, range(1, len(shapes) + 1), strict=True)),
            out_shape=window.shape, transform=transform, fill=0, dtype="int32",
        )  # fmt: skip
        codes = np.array([0, *(self._codes[text] for text in self._texts)], np.int32)
        return codes[numbers], np.asarray(numbers, np.int32)

    def names(self, codes: Collection[int]) -> dict[int, str]:
        """Tells what codes are called."""
        return {code: text for text, code in self._codes.items() if code in codes}

    def _in_zone(self, epsg: int) -> list[Any]:
        return [Geometry(shape, self._crs).to_crs(f"EPSG:{epsg}").geom for shape in self._shapes]


def _read(path: Path, column: str | None) -> tuple[str, list[Any], list[Any]]:
    """Coordinate system, shapes and the column's values."""
    try:
        import pyogrio
    except ModuleNotFoundError as error:
        raise Unavailable(
            "reading polygons needs pyogrio: pip install 'earthfield[ingest]', or burn the labels into a raster"
        ) from error
    try:
        columns = [str(name) for name in pyogrio.read_info(path)["fields"]]
        if column is None:
            raise InvalidInput(
                f"{path} holds polygons: name the column of the class with --label-column, "
                f"one of {', '.join(columns) or 'none there is'}"
            )
        if column not in columns:
            raise NotFound(
                f"{path} has no column {column!r}; its columns are: {', '.join(columns) or 'none'}"
            )
        meta, _, wkb, values = pyogrio.raw.read(path, columns=[column], force_2d=True)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(f"{path} cannot be read as polygons ({reason}): replace it") from error
    if not meta["crs"]:
        raise InvalidInput(
            f"{path} tells no coordinate system: add it, or save the labels as GeoJSON in degrees"
        )
    return str(meta["crs"]), list(shapely.from_wkb(wkb)), list(values[0])


def _is_told(value: Any) -> bool:
    return value is not None and value == value and str(value).strip() != ""


def _text(value: Any) -> str:
    """A class as text: 11.0 is 11, as a column of whole numbers with gaps becomes one of fractions."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()
