"""Teachers: published embedding fields to learn from, Earthfield's own or AlphaEarth's files, read by window."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window as RasterWindow

from earthfield.catalog import Catalog
from earthfield.codec import DIM, NODATA
from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield.grid import PIXEL_M, Window
from earthfield.timeline import Period

_SUFFIXES = (".tif", ".tiff")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")


@dataclass(frozen=True, order=True)
class Layer:
    """One file of a teacher: a field of one period."""

    path: Path
    """A raster of 64 int8 bands."""
    period: Period
    """What its vectors summarise."""
    epsg: int
    """Its coordinate system."""
    transform: tuple[float, float, float, float, float, float]
    """From its columns and rows to metres; the y step is positive where it is stored south-up."""
    shape: tuple[int, int]
    """Rows and columns."""

    def codes(self, epsg: int, window: Window, *, bands: int = DIM) -> NDArray[np.int8]:
        """Reads what it says of a window of a zone's grid: for every pixel the one that holds its centre.

        Codes are never averaged: a mean of codes is the code of nothing.

        Args:
            epsg: the zone.
            window: pixels of its grid.
            bands: how many bands to read; one is enough to see where there is data.

        Returns:
            (bands, h, w) codes, -128 where it has none.

        Raises:
            BrokenArtefact: the file cannot be read.
        """
        found = np.full((bands, *window.shape), NODATA, np.int8)
        rows, cols = self._pixels(epsg, window)
        inside = (rows >= 0) & (rows < self.shape[0]) & (cols >= 0) & (cols < self.shape[1])
        if not inside.any():
            return found
        top, left = int(rows[inside].min()), int(cols[inside].min())
        view = RasterWindow(left, top, int(cols[inside].max()) + 1 - left, int(rows[inside].max()) + 1 - top)
        try:
            with rasterio.open(self.path) as data:
                held = data.read(list(range(1, bands + 1)), window=view)
        except rasterio.errors.RasterioError as error:
            raise BrokenArtefact(
                f"the teacher {self.path} cannot be read ({error}): fetch it again"
            ) from error
        found[:, inside] = held[:, rows[inside] - top, cols[inside] - left]
        return found

    def _pixels(self, epsg: int, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Gives the rows and columns of the file that hold the centres of a window's pixels, (h, w) each."""
        ys, xs = np.mgrid[window.y0 : window.y1, window.x0 : window.x1]
        east, north = (xs + 0.5) * PIXEL_M, -(ys + 0.5) * PIXEL_M
        if epsg != self.epsg:
            east, north = Transformer.from_crs(epsg, self.epsg, always_xy=True).transform(east, north)
        cols, rows = ~Affine(*self.transform) * (east, north)
        return np.floor(rows).astype(np.int64), np.floor(cols).astype(np.int64)


class Teacher:
    """All files to learn from, as one: what one file lacks is taken from the next."""

    def __init__(self, layers: Sequence[Layer], *, cache_gb: float = 1.0) -> None:
        """Args: the files; memory for codes that were read."""
        self._layers, self._limit = tuple(sorted(layers)), cache_gb * 1e9
        self._held: OrderedDict[tuple[int, Window, Period], NDArray[np.int8]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The files, sorted."""
        return self._layers

    def periods(self, epsg: int, window: Window) -> tuple[Period, ...]:
        """Lists the periods of which there is any vector in a window of a zone's grid."""
        every = sorted({one.period for one in self._layers})
        return tuple(one for one in every if (self._read(epsg, window, one, bands=1) != NODATA).any())

    def codes(self, epsg: int, window: Window, period: Period) -> NDArray[np.int8]:
        """Gives the codes (64, h, w) of a window; errors as in `Layer.codes`. Safe to call from several threads."""
        key = (epsg, window, period)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        codes = self._read(epsg, window, period, bands=DIM)
        with self._lock:
            self._held[key] = codes
            while len(self._held) > 1 and sum(one.nbytes for one in self._held.values()) > self._limit:
                self._held.popitem(last=False)
        return codes

    def _read(self, epsg: int, window: Window, period: Period, *, bands: int) -> NDArray[np.int8]:
        found = np.full((bands, *window.shape), NODATA, np.int8)
        same = [one for one in self._layers if one.period == period]
        # Files of the zone itself first: where zones overlap, their pixels need no nearest neighbour.
        for layer in sorted(same, key=lambda one: one.epsg != epsg):
            missing = found[0] == NODATA
            if not missing.any():
                break
            found[:, missing] = layer.codes(epsg, window, bands=bands)[:, missing]
        return found


def open_teacher(texts: Sequence[str], *, cache_gb: float = 1.0) -> Teacher:
    """Opens what `--teacher` names.

    Args:
        texts: each `PATH` or `PATH:PERIOD`. PATH is a raster, a folder of rasters (at any depth), or the folder
            `ROOT/fields/MODEL` of an Earthfield model. Without PERIOD (`2024`, `2024-03..2024-09`) that of a
            raster is the year in its name, or of the nearest folder above it that is named as a year.
        cache_gb: memory for codes that were read.

    Raises:
        NotFound: there is no such path, or no raster under it.
        InvalidInput: a raster has no 64 int8 bands, no UTM grid of 10 m, or no year that can be told.
    """
    layers = [layer for text in texts for layer in _opened(text)]
    if not layers:
        raise InvalidInput(
            "learning from published embeddings needs --teacher PATH[:YEAR]: name at least one"
        )
    return Teacher(layers, cache_gb=cache_gb)


def _opened(text: str) -> Iterator[Layer]:
    path, period = _parted(text)
    if not path.exists():
        raise NotFound(
            f"there is no teacher at {path}: name a raster, a folder of them, or ROOT/fields/MODEL"
        )
    if path.is_file():
        yield _layer(path, period or _year_of(path, path.parents))
        return
    if fields := _own_fields(path):
        chosen = [(one, own) for one, own in fields if period is None or own == period]
        if not chosen:
            have = ", ".join(sorted({str(own) for _, own in fields}))
            raise NotFound(f"the teacher {path} has no field of {period}; it has {have}")
        yield from (_layer(one, own) for one, own in chosen)
        return
    rasters = sorted(one for one in path.rglob("*") if one.suffix.lower() in _SUFFIXES and one.is_file())
    if not rasters:
        raise NotFound(f"no raster ({', '.join(_SUFFIXES)}) lies under the teacher {path}")
    for one in rasters:
        yield _layer(one, period or _year_of(one, one.parents))


def _parted(text: str) -> tuple[Path, Period | None]:
    """Splits `PATH:PERIOD`; a colon that no period follows belongs to the path."""
    path, colon, end = text.rpartition(":")
    if colon:
        try:
            return Path(path), Period.parse(end)
        except InvalidInput:
            pass
    return Path(text), None


def _own_fields(folder: Path) -> list[tuple[Path, Period]]:
    """Lists the finished fields of a model where the folder is `ROOT/fields/MODEL`, else nothing."""
    folder = folder.absolute()
    if folder.parent.name != "fields":
        return []
    catalog = Catalog(folder.parent.parent)
    return [(catalog.field(key) / "embedding.tif", key.period) for key in catalog.fields(folder.name)]


def _year_of(path: Path, folders: Sequence[Path]) -> Period:
    named = next((one.name for one in folders if _YEAR.fullmatch(one.name)), None)
    years = set(_YEAR.findall(path.stem)) or ({named} if named else set())
    if len(years) != 1:
        told = "no year" if not years else f"several years ({', '.join(sorted(years))})"
        raise InvalidInput(f"the name of the teacher {path} tells {told}: add it as {path}:2024")
    return Period.parse(years.pop())


def _layer(path: Path, period: Period) -> Layer:
    try:
        with rasterio.open(path) as data:
            count, kinds, shape = data.count, set(data.dtypes), data.shape
            crs, transform = data.crs, data.transform
    except rasterio.errors.RasterioError as error:
        raise BrokenArtefact(f"the teacher {path} cannot be read ({error}): fetch it again") from error
    if count != DIM or kinds != {"int8"}:
        raise InvalidInput(
            f"the teacher {path} has {count} bands of {', '.join(sorted(kinds))}, not {DIM} of int8: name "
            "files of the AlphaEarth form, as `earthfield embed` writes them too"
        )
    epsg = crs.to_epsg() if crs is not None else None
    steps = (abs(transform.a), abs(transform.e))
    square = transform.b == transform.d == 0 and all(abs(one / PIXEL_M - 1) < 0.01 for one in steps)
    if epsg is None or not crs.is_projected or not square:
        raise InvalidInput(
            f"the teacher {path} is on a grid of {steps[0]:g} x {steps[1]:g} in {crs or 'no CRS'}, not of 10 m in "
            "a UTM zone: name the published files themselves, not a picture of them"
        )
    return Layer(path, period, epsg, tuple(transform)[:6], shape)
