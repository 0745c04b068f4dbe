"""Rasters: a scene's assets over a grid, through rasterio and GDAL."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from earthfield.errors import BrokenArtefact, Unavailable
from earthfield.grid import Window
from earthfield.sources import Band, Quality, Source
from earthfield_ingest.access import shown
from earthfield_ingest.dialect import Declared, asset_key, declared
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers.grid import Grid
from earthfield_ingest.readers.resample import Positions, bilinear, nearest
from earthfield_ingest.scene import Scene


@dataclass(frozen=True)
class Raster:
    """One band on a grid."""

    values: NDArray[Any]
    """(H, W) raw values in the file's type, or float64 where they were resampled; 0 outside the file."""
    nodata: float | None
    """Value that stands for a pixel that was not measured."""
    inside: Window | None = None
    """Pixels that the file covers; None where that is all of them."""

    @property
    def measured(self) -> NDArray[np.bool_]:
        """(H, W) False outside the file and where it holds nodata."""
        return self.covered(_is_measured(self.values, self.nodata), fill=False)

    def covered(self, pixels: NDArray[Any], *, fill: Any) -> NDArray[Any]:
        """Puts `fill` wherever the file does not reach."""
        if self.inside is None:
            return pixels
        ys, xs = self.inside.slices
        pixels[: ys.start], pixels[ys.stop :] = fill, fill
        pixels[:, : xs.start], pixels[:, xs.stop :] = fill, fill
        return pixels


class RasterReader:
    """Reads scenes of one source over one grid, and counts what it decoded."""

    def __init__(self, source: Source, grid: Grid, fetcher: Fetcher) -> None:
        """Args: how assets are read; the pixels wanted; what opens files."""
        self._source = source
        self._grid = grid
        self._fetcher = fetcher
        self._resampling = Resampling[source.resampling]
        self.bytes_read = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self._grid.shape

    def clear(self, scene: Scene) -> NDArray[np.bool_]:
        """See `SceneReader`."""
        clear = np.ones(self.shape, bool)
        for quality in self._source.quality:
            raster = self._read(scene, quality.assets, 1, resampling=Resampling.nearest)
            if raster is not None:
                clear &= _decoded(quality, raster)
        return clear

    def bands(self, scene: Scene) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See `SceneReader`."""
        source = self._source
        values = np.empty((len(source.bands), *self.shape), source.dtype)
        for place, band in enumerate(source.bands):
            raster = self._read(scene, band.assets, band.index, resampling=self._resampling)
            values[place] = source.nodata if raster is None else stored(source, scene.item, band, raster)
        return values, (values != source.nodata).any(axis=0)

    def _read(
        self, scene: Scene, names: tuple[str, ...], index: int, *, resampling: Resampling
    ) -> Raster | None:
        key = asset_key(scene.assets, names)
        if key is None:
            return None
        asset = scene.assets[key]
        with naming(scene, key):
            told = declared(scene.properties, asset)
            raster = read_asset(
                asset["href"],
                self._grid,
                fetcher=self._fetcher,
                resampling=resampling,
                told=told,
                index=index,
            )
        self.bytes_read += raster.values.nbytes
        return raster


def stored(source: Source, item: Mapping[str, Any], band: Band, raster: Raster) -> NDArray[Any]:
    """Turns raw values into a source's stored ones.

    Integers of at most 16 bits go through a table of all their values, so that a source may say what they mean in
    plain float arithmetic and still be read at the speed of memory.
    """
    raw = raster.values
    out = np.empty(raw.shape, source.dtype)
    if raw.dtype.kind in "iu" and raw.dtype.itemsize <= 2:
        places = raw.view(f"u{raw.dtype.itemsize}")
        # No longer than what occurs: making a whole table of 65,536 takes longer than using it.
        kinds = np.arange(int(places.max(initial=0)) + 1, dtype=places.dtype).view(raw.dtype)
        meant = np.where(_is_measured(kinds, raster.nodata), kinds, np.nan)
        np.take(source.to_stored(item, band, meant), places, out=out, mode="clip")
    else:
        out[:] = source.to_stored(item, band, np.where(_is_measured(raw, raster.nodata), raw, np.nan))
    return raster.covered(out, fill=source.nodata)


def _decoded(quality: Quality, raster: Raster) -> NDArray[np.bool_]:
    raw = raster.values
    if raw.dtype.kind == "u" and raw.dtype.itemsize <= 2:
        kinds = np.arange(1 << (8 * raw.dtype.itemsize), dtype=raw.dtype)
        measured = _is_measured(kinds, raster.nodata)
        clear = np.take(quality.is_clear(np.where(measured, kinds, 0).astype(raw.dtype)) & measured, raw)
        return raster.covered(clear, fill=False)
    measured = raster.measured
    return quality.is_clear(np.where(measured, raw, 0)) & measured


def read_asset(
    address: str,
    grid: Grid,
    *,
    fetcher: Fetcher,
    resampling: Resampling,
    told: Declared = Declared(),
    index: int = 1,
) -> Raster:
    """Reads one band of a raster over a grid.

    A file whose pixels nest in the grid (same CRS, sides of whole grid pixels, edges on the grid's) is read as is,
    each pixel covering its n x n; any other is warped.

    Args:
        address: path or URL.
        grid: pixels wanted.
        fetcher: what opens files.
        resampling: for files that do not nest.
        told: what to assume where the file itself tells no place or no nodata; where neither tells one, nodata is 0
            for unsigned integers.
        index: which band, from 1.

    Raises:
        BrokenArtefact: the file is missing, may not be read or cannot be decoded.
        Unavailable: the network fails, also after some tries.
    """
    with fetcher.raster(address) as file:
        if index > file.count:
            raise BrokenArtefact(f"{shown(address)} has {file.count} bands, and band {index} is wanted")
        missing = file.nodata if file.nodata is not None else told.nodata
        if missing is None and np.issubdtype(file.dtypes[index - 1], np.unsignedinteger):
            missing = 0
        crs, transform = _place(file, told, address)
        factor = nesting(transform, grid) if crs == grid.crs else None
        if factor is not None:
            return _nested(file, grid, transform, factor, missing, index)
        if crs == grid.crs and is_coarser(transform, grid):
            return _resampled(file, grid, transform, resampling, missing, index)
        return _warped(file, grid, crs, transform, resampling, missing, index)


def _place(file: Any, told: Declared, address: str) -> tuple[CRS, Affine]:
    """Gives a file's CRS and transform, from the item where the file tells none.

    An item's transform belongs to the shape that the item tells: a file of another shape covers the same ground.
    """
    try:
        crs = file.crs or (CRS.from_user_input(told.crs) if told.crs else None)
        transform = file.transform
        if transform.is_identity and told.transform is not None:
            rows, cols = told.shape or (file.height, file.width)
            transform = Affine(*told.transform) @ Affine.scale(cols / file.width, rows / file.height)
    except (CRSError, TypeError, ValueError) as error:
        raise BrokenArtefact(
            f"{shown(address)} has no place, and what its item tells is none ({error})"
        ) from error
    if crs is None or transform.is_identity:
        raise BrokenArtefact(f"{shown(address)} has no coordinate system, and its item tells none")
    return crs, transform


def nesting(transform: Affine, grid: Grid) -> int | None:
    """Gives how many grid pixels a side of a file's pixel covers exactly, or None where it does not nest."""
    x, y, own = transform.c, transform.f, grid.transform
    factor = round(transform.a / own.a)
    if factor < 1 or (transform.b, transform.d) != (0.0, 0.0):
        return None
    side = factor * own.a
    on_grid = all(abs(value - round(value)) < 1e-6 for value in ((x - own.c) / own.a, (y - own.f) / own.e))
    same_side = math.isclose(transform.a, side, rel_tol=1e-9) and math.isclose(
        transform.e, -side, rel_tol=1e-9
    )
    return factor if same_side and on_grid else None


def _nested(
    file: Any, grid: Grid, transform: Affine, factor: int, nodata: float | None, index: int
) -> Raster:
    own = grid.transform
    top, left = round((transform.f - own.f) / own.e), round((transform.c - own.c) / own.a)
    rows, cols = grid.shape
    wanted = Window(-top, rows - top, -left, cols - left)
    inside = wanted & Window(0, file.height * factor, 0, file.width * factor)
    dtype = file.dtypes[index - 1]
    if not inside:
        return Raster(np.zeros(grid.shape, dtype), nodata, Window(0, 0, 0, 0))
    y0, x0 = inside.y0 // factor, inside.x0 // factor
    y1, x1 = -(-inside.y1 // factor), -(-inside.x1 // factor)
    data = file.read(index, window=((y0, y1), (x0, x1)))
    if factor > 1:
        ys, xs = inside.shifted(-y0 * factor, -x0 * factor).slices
        data = np.ascontiguousarray(_enlarged(data, factor)[ys, xs])
    if inside == wanted:
        return Raster(data, nodata)
    values = np.zeros(grid.shape, dtype)
    place = inside.shifted(-wanted.y0, -wanted.x0)
    values[place.slices] = data
    return Raster(values, nodata, place)


def _enlarged(data: NDArray[Any], factor: int) -> NDArray[Any]:
    rows, cols = data.shape
    fine = np.empty((rows, factor, cols, factor), data.dtype)
    fine[:] = data[:, None, :, None]
    return fine.reshape(rows * factor, cols * factor)


def is_coarser(transform: Affine, grid: Grid) -> bool:
    """Tells whether a file's pixels stand straight and are no smaller than the grid's."""
    straight = (transform.b, transform.d) == (0.0, 0.0) and transform.a > 0 > transform.e
    return straight and transform.a >= grid.transform.a and transform.e <= grid.transform.e


def _resampled(
    file: Any, grid: Grid, transform: Affine, resampling: Resampling, nodata: float | None, index: int
) -> Raster:
    own, (rows, cols) = grid.transform, grid.shape
    at = Positions(
        (own.f + (np.arange(rows) + 0.5) * own.e - transform.f) / transform.e,
        (own.c + (np.arange(cols) + 0.5) * own.a - transform.c) / transform.a,
    )
    part = at.needed((file.height, file.width))
    if not part:
        return Raster(np.zeros(grid.shape, file.dtypes[index - 1]), nodata, Window(0, 0, 0, 0))
    data = file.read(index, window=((part.y0, part.y1), (part.x0, part.x1)))
    at = at.shifted(part.y0, part.x0)
    if resampling == Resampling.nearest:
        values, inside = nearest(data, at)
        return Raster(values, nodata, inside if inside.shape != grid.shape else None)
    return Raster(bilinear(data, _is_measured(data, nodata), at), math.nan)


def _warped(
    file: Any,
    grid: Grid,
    crs: CRS,
    transform: Affine,
    resampling: Resampling,
    nodata: float | None,
    index: int,
) -> Raster:
    rows, cols = grid.shape
    with WarpedVRT(
        file,
        src_crs=crs,
        src_transform=transform,
        crs=grid.crs,
        transform=grid.transform,
        height=rows,
        width=cols,
        resampling=resampling,
        src_nodata=nodata,
        nodata=math.nan,
        dtype="float64",
    ) as warped:
        data = warped.read(index)
    return Raster(data, math.nan)


def _is_measured(data: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    finite = np.isfinite(data) if data.dtype.kind == "f" else np.ones(data.shape, bool)
    return finite if nodata is None or math.isnan(nodata) else finite & (data != nodata)


@contextmanager
def naming(scene: Scene, key: str) -> Iterator[None]:
    """Names the item and the asset of what is broken or does not answer."""
    try:
        yield
    except BrokenArtefact as error:
        raise BrokenArtefact(
            f"item {scene.id}, asset {key}: {error}; fetch the file again, or leave such items out with "
            "--skip-unreadable"
        ) from error
    except Unavailable as error:
        raise Unavailable(f"item {scene.id}, asset {key}: {error}") from error
