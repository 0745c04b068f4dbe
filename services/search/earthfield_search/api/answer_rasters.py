"""Rasters of answers in colour: classes as their file tells them, numbers from dark to light."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from earthfield.errors import BrokenArtefact, NotFound
from earthfield.grid import PIXEL_M, Window, geobox_of
from earthfield_search.api.palette import Ramp, RampName, hex_of, limits_of
from earthfield_search.api.tiling import Sheet, bounds_of, drawn, level_of, packed

_SAMPLE_PX = 512
_KEPT_TAGS = ("model", "period", "before", "after", "method", "rule", "query", "threshold", "false_alarms")


@dataclass(frozen=True)
class ClassColour:
    """A class of a raster, and its colour."""

    value: int
    """Number of the class in the raster."""
    name: str
    """What it is called; the number where it has no name."""
    colour: str
    """#RRGGBB."""


@dataclass(frozen=True, eq=False)
class AnswerRaster:
    """A raster of an answer, on a zone's grid."""

    path: Path
    """The file."""
    stamp: tuple[int, int, int]
    """Another one when the file is."""
    epsg: int
    """The zone."""
    window: Window
    """What it covers of the zone's grid."""
    num_overviews: int
    """How often its file holds it smaller, each time by half."""
    nodata: float | None
    """What stands where nothing is known."""
    meaning: str
    """What its values are."""
    unit: str
    """Unit of numbers."""
    tags: dict[str, str]
    """What the file tells of the question."""
    table: NDArray[np.uint8] | None
    """(256, 4) RGBA of each class; None for numbers."""
    classes: tuple[ClassColour, ...]
    """The classes; none for numbers."""
    limits: tuple[float, float]
    """What the first and the last colour of numbers mean where nobody says."""

    @property
    def extent(self) -> list[float]:
        """West, south, east, north in degrees."""
        box = geobox_of(self.epsg, self.window).footprint("EPSG:4326").boundingbox
        return [box.left, box.bottom, box.right, box.top]

    def ramp(self, name: RampName, low: float | None, high: float | None) -> Ramp:
        """Gives how numbers become colours, between found limits where none are given."""
        return Ramp(self.limits[0] if low is None else low, self.limits[1] if high is None else high, name)

    def tile(self, ramp: Ramp, z: int, x: int, y: int) -> bytes:
        """Gives a map tile as PNG; classes have their own colours.

        Raises:
            InvalidInput: there is no such tile.
            NotFound: the answer was removed meanwhile.
            BrokenArtefact: the file cannot be read.
        """
        bounds = bounds_of(z, x, y)
        level = min(level_of(z, bounds), self.num_overviews)

        def colours(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.uint32]:
            return packed(self._colours(self._values(rows, cols, level), ramp))

        return drawn(bounds, [Sheet(self.epsg, self.window, colours)])

    def _values(self, rows: NDArray[np.int64], cols: NDArray[np.int64], level: int) -> NDArray[Any]:
        """Reads the values (n,) at pixels of the zone's grid from an overview, or from the pixels themselves."""
        with _opened(self.path, level) as data:
            # Halves are rounded up, so the ratio of an overview is not always a power of two.
            y = (rows - self.window.y0) * data.height // self.window.shape[0]
            x = (cols - self.window.x0) * data.width // self.window.shape[1]
            top, left = int(y.min()), int(x.min())
            part = data.read(1, window=((top, int(y.max()) + 1), (left, int(x.max()) + 1)))
        return np.asarray(part[y - top, x - left])

    def _colours(self, values: NDArray[Any], ramp: Ramp) -> NDArray[np.uint8]:
        return ramp.colours(_numbers(values, self.nodata)) if self.table is None else self.table[values]


class AnswerTiles:
    """Paints tiles of answers, and keeps what was painted last."""

    def __init__(self) -> None:
        """Keeps about 15 MB of tiles."""
        self._raster = lru_cache(maxsize=64)(_raster_of)
        self._tile = lru_cache(maxsize=256)(_tile_of)

    def raster(self, path: Path) -> AnswerRaster:
        """Opens a raster of an answer; one that was written again is opened again.

        Raises:
            NotFound: it is not there, or not a raster of one band on a zone's grid.
            BrokenArtefact: it cannot be read.
        """
        try:
            told = path.stat()
        except OSError as error:
            raise _gone(path) from error
        return self._raster(path, (told.st_mtime_ns, told.st_ino, told.st_size))

    def tile(self, raster: AnswerRaster, ramp: Ramp, z: int, x: int, y: int) -> bytes:
        """Gives a map tile as PNG, as `AnswerRaster.tile`."""
        return self._tile(raster, ramp, z, x, y)


def _tile_of(raster: AnswerRaster, ramp: Ramp, z: int, x: int, y: int) -> bytes:
    return raster.tile(ramp, z, x, y)


def _raster_of(path: Path, stamp: tuple[int, int, int]) -> AnswerRaster:
    with _opened(path) as data:
        at, epsg = data.transform, data.crs.to_epsg() if data.crs else None
        if data.count != 1 or epsg is None or (at.a, at.e) != (PIXEL_M, -PIXEL_M):
            raise NotFound(f"{path.name} is not a map of one layer on a zone's grid: it has no tiles")
        top, left = round(-at.f / PIXEL_M), round(at.c / PIXEL_M)
        tags, meaning = data.tags(), data.descriptions[0] or ""
        table = _table_of(data)
        classes = () if table is None else _classes_of(table, tags, meaning)
        unit, nodata = tags.get("unit", ""), data.nodata
        return AnswerRaster(
            path, stamp, epsg, Window(top, top + data.height, left, left + data.width),
            len(data.overviews(1)), nodata, meaning, unit,
            {name: tags[name] for name in _KEPT_TAGS if name in tags}, table, classes,
            _limits_of(data, unit) if table is None else (0.0, 1.0),
        )  # fmt: skip


def _limits_of(data: Any, unit: str) -> tuple[float, float]:
    """The limits of numbers: all that percent can be, or what most of the raster holds."""
    if unit == "percent":
        return 0.0, 100.0
    shape = tuple(min(side, _SAMPLE_PX) for side in data.shape)
    return limits_of(_numbers(data.read(1, out_shape=shape), data.nodata))


def _numbers(values: NDArray[Any], nodata: float | None) -> NDArray[np.float32]:
    found = values.astype(np.float32)
    if nodata is not None and not np.isnan(nodata):
        found[values == nodata] = np.nan
    return found


def _table_of(data: Any) -> NDArray[np.uint8] | None:
    """The colours of classes as the file has them; a TIFF's table has no gaps, those are black."""
    if data.dtypes[0] != "uint8" or data.colorinterp[0] != rasterio.enums.ColorInterp.palette:
        return None
    table = np.zeros((256, 4), np.uint8)
    for value, colour in data.colormap(1).items():
        if any(colour[:3]) and value != data.nodata:
            table[value] = (*colour[:3], 255)
    return table


def _classes_of(table: NDArray[np.uint8], tags: dict[str, str], meaning: str) -> tuple[ClassColour, ...]:
    noise = {"255": "noise"} if meaning == "cluster" else {}
    return tuple(
        ClassColour(
            value, tags.get(f"class_{value}", noise.get(str(value), str(value))), hex_of(table[value])
        )
        for value in map(int, np.flatnonzero(table[:, 3]))
    )


@contextmanager
def _opened(path: Path, level: int = 0) -> Iterator[Any]:
    try:
        with rasterio.open(path, **({"overview_level": level - 1} if level else {})) as data:
            yield data
    except rasterio.errors.RasterioError as error:
        if not path.exists():
            raise _gone(path) from error
        raise BrokenArtefact(f"{path} cannot be read ({error}): ask the question again") from error


def _gone(path: Path) -> NotFound:
    return NotFound(f"the answer's {path.name} was removed: ask the question again")
