"""Reading: a scene's assets over a window of a zone's 10 m grid, through rasterio and GDAL."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from earthfield.errors import BrokenArtefact, Unavailable
from earthfield.grid import PIXEL_M, Window, geobox_of
from earthfield.sources import Band, Source
from earthfield_ingest.dialect import Declared, asset_key, declared
from earthfield_ingest.scene import Scene, is_remote

GDAL_OPTIONS: Mapping[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no look at the neighbours: a third of a small file's time
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_MAX_RETRY": "2",  # of 429, 502, 503 and the like, inside one read
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",  # else a file that once failed is absent for ever
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",  # a COG's header in one request
    "VSI_CACHE": True,
    "GDAL_CACHEMAX": 256,
}
_REMOTE_THREADS = 8
_WIDE_PX = 512 * 512


@dataclass(frozen=True)
class Grid:
    """Pixels that are read: a window of a zone's 10 m grid."""

    epsg: int
    """The zone."""
    window: Window
    """Pixels in the zone's grid."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.window.shape


@dataclass(frozen=True)
class Raster:
    """One band on a grid."""

    values: NDArray[Any]
    """(H, W) raw values in the file's type, or float64 where they were resampled."""
    measured: NDArray[np.bool_]
    """(H, W) False outside the file and where it holds nodata."""


class SceneReader:
    """Reads scenes of one source over one grid, and counts what it decoded."""

    def __init__(self, source: Source, grid: Grid) -> None:
        """Args: how assets are read; the pixels wanted."""
        self._source = source
        self._grid = grid
        self.bytes_read = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self._grid.shape

    def clear(self, scene: Scene) -> NDArray[np.bool_]:
        """Gives where the scene's quality asset says that the surface was seen, (H, W).

        Raises:
            BrokenArtefact: an asset is missing or cannot be decoded.
            Unavailable: the network fails, also after some tries.
        """
        quality = self._source.quality
        assert quality is not None
        raster = self._read(scene, quality.assets, resampling=Resampling.nearest)
        assert raster is not None
        return quality.is_clear(np.where(raster.measured, raster.values, 0)) & raster.measured

    def bands(self, scene: Scene) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
        """Gives stored values (B, H, W) and where any band was measured (H, W); errors as in `clear`."""
        source = self._source
        values = np.full((len(source.bands), *self._grid.shape), source.nodata, source.dtype)
        with self._pool(scene) as each:
            for place, stored in enumerate(each(lambda band: self._band(scene, band), source.bands)):
                if stored is not None:
                    values[place] = stored
        return values, (values != source.nodata).any(axis=0)

    def _band(self, scene: Scene, band: Band) -> NDArray[Any] | None:
        raster = self._read(scene, band.assets, resampling=Resampling.bilinear)
        if raster is None:
            return None
        raw = np.where(raster.measured, raster.values, np.nan).astype(np.float64, copy=False)
        return self._source.to_stored(scene.item, band, raw)

    def _read(self, scene: Scene, names: tuple[str, ...], *, resampling: Resampling) -> Raster | None:
        key = asset_key(scene.assets, names)
        if key is None:
            return None
        asset = scene.assets[key]
        address = _signed(asset["href"]) if scene.signed else asset["href"]
        with _naming(scene, key):
            told = declared(scene.properties, asset)
            raster = read_asset(address, self._grid, resampling=resampling, told=told)
        self.bytes_read += raster.values.nbytes
        return raster

    @contextmanager
    def _pool(self, scene: Scene) -> Iterator[Any]:
        """A map over bands: threads where waiting or decoding dominates, none for small local files."""
        remote = any(is_remote(asset["href"]) for asset in scene.assets.values())
        wide = math.prod(self._grid.shape) >= _WIDE_PX
        if not (remote or wide):
            yield map
            return
        with ThreadPoolExecutor(_REMOTE_THREADS if remote else min(4, os.cpu_count() or 1)) as pool:
            yield pool.map


@retry(
    retry=retry_if_exception_type(Unavailable),
    stop=stop_after_attempt(4),
    wait=wait_exponential_jitter(initial=0.5, max=8),
    reraise=True,
)
def read_asset(
    address: str,
    grid: Grid,
    *,
    resampling: Resampling,
    told: Declared = Declared(),
) -> Raster:
    """Reads the first band of a raster over a grid.

    A file whose pixels nest in the grid (same CRS, sides of whole 10 m pixels, edges on the grid's) is read as is,
    each pixel covering its n x n; any other is warped.

    Args:
        address: path or URL.
        grid: pixels wanted.
        resampling: for files that do not nest.
        told: what to assume where the file itself tells no place or no nodata; where neither tells one, nodata is 0
            for unsigned integers.

    Raises:
        BrokenArtefact: the file is missing or cannot be decoded.
        Unavailable: the network fails, also after some tries.
    """
    try:
        with rasterio.Env(**GDAL_OPTIONS), _opened(address) as file:
            missing = file.nodata if file.nodata is not None else told.nodata
            if missing is None and np.issubdtype(file.dtypes[0], np.unsignedinteger):
                missing = 0
            crs, transform = _place(file, told, address)
            factor = nesting(transform) if crs == CRS.from_epsg(grid.epsg) else None
            if factor is not None:
                return _nested(file, grid, transform, factor, missing)
            return _warped(file, grid, crs, transform, resampling, missing)
    except RasterioError as error:
        reason = " ".join(str(error).split())
        if is_remote(address) and not _is_broken(address, reason):
            raise Unavailable(f"{address} does not answer ({reason}): try again later") from error
        raise BrokenArtefact(f"{address} cannot be read ({reason})") from error


def _is_broken(address: str, reason: str) -> bool:
    """Tells whether a remote file is missing, forbidden or no raster, rather than its server in trouble.

    Where GDAL only says that the file does not exist, which it says of many things, the server is asked itself.
    """
    if "CURL error" in reason or re.search(r"HTTP response code\D*(5\d\d|429|408)", reason):
        return False
    if urlsplit(address).scheme not in ("http", "https"):
        return True
    one_byte = {"Range": "bytes=0-0"}
    try:
        with httpx.stream("GET", address, headers=one_byte, follow_redirects=True, timeout=15) as answer:
            return answer.status_code < 500 and answer.status_code not in (408, 429)
    except httpx.HTTPError:
        return False


@contextmanager
def _opened(address: str) -> Iterator[Any]:
    with warnings.catch_warnings():
        # Such a file takes its place from the item, or is refused.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(address) as file:
            yield file


def _place(file: Any, told: Declared, address: str) -> tuple[CRS, Affine]:
    """Gives a file's CRS and transform, from the item where the file tells none.

    An item's transform belongs to the shape that the item tells: a file of another shape covers the same ground.
    """
    crs = file.crs or (CRS.from_user_input(told.crs) if told.crs else None)
    transform = file.transform
    if transform.is_identity and told.transform is not None:
        rows, cols = told.shape or (file.height, file.width)
        transform = Affine(*told.transform) @ Affine.scale(cols / file.width, rows / file.height)
    if crs is None or transform.is_identity:
        raise BrokenArtefact(f"{address} has no coordinate system, and its item tells none")
    return crs, transform


def nesting(transform: Affine) -> int | None:
    """Gives how many 10 m pixels a side of a file's pixel covers exactly, or None where it does not nest."""
    factor = round(transform.a / PIXEL_M)
    if factor < 1 or (transform.b, transform.d) != (0.0, 0.0):
        return None
    side = factor * PIXEL_M
    on_grid = all(
        abs(value / PIXEL_M - round(value / PIXEL_M)) < 1e-6 for value in (transform.c, transform.f)
    )
    return factor if (transform.a, transform.e) == (side, -side) and on_grid else None


def _nested(file: Any, grid: Grid, transform: Affine, factor: int, nodata: float | None) -> Raster:
    top, left = -round(transform.f / PIXEL_M), round(transform.c / PIXEL_M)
    wanted = grid.window.shifted(-top, -left)
    inside = wanted & Window(0, file.height * factor, 0, file.width * factor)
    dtype = file.dtypes[0]
    if not inside:
        return Raster(np.zeros(grid.shape, dtype), np.zeros(grid.shape, bool))
    y0, x0 = inside.y0 // factor, inside.x0 // factor
    y1, x1 = -(-inside.y1 // factor), -(-inside.x1 // factor)
    data = file.read(1, window=((y0, y1), (x0, x1)))
    if factor > 1:
        fine = data.repeat(factor, axis=0).repeat(factor, axis=1)
        ys, xs = inside.shifted(-y0 * factor, -x0 * factor).slices
        data = fine[ys, xs]
    measured = _is_measured(data, nodata)
    if inside == wanted:
        return Raster(data, measured)
    values, seen = np.zeros(grid.shape, dtype), np.zeros(grid.shape, bool)
    place = inside.shifted(-wanted.y0, -wanted.x0).slices
    values[place], seen[place] = data, measured
    return Raster(values, seen)


def _warped(
    file: Any, grid: Grid, crs: CRS, transform: Affine, resampling: Resampling, nodata: float | None
) -> Raster:
    box = geobox_of(grid.epsg, grid.window)
    rows, cols = grid.shape
    with WarpedVRT(
        file,
        src_crs=crs,
        src_transform=transform,
        crs=CRS.from_epsg(grid.epsg),
        transform=box.affine,
        height=rows,
        width=cols,
        resampling=resampling,
        src_nodata=nodata,
        nodata=math.nan,
        dtype="float64",
    ) as warped:
        data = warped.read(1)
    return Raster(np.nan_to_num(data, nan=0.0), np.isfinite(data))


def _is_measured(data: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    finite = np.isfinite(data) if data.dtype.kind == "f" else np.ones(data.shape, bool)
    return finite if nodata is None or math.isnan(nodata) else finite & (data != nodata)


@contextmanager
def _naming(scene: Scene, key: str) -> Iterator[None]:
    try:
        yield
    except BrokenArtefact as error:
        raise BrokenArtefact(
            f"item {scene.id}, asset {key}: {error}; fetch the file again, or leave such items out with "
            "--skip-unreadable"
        ) from error


def _signed(address: str) -> str:
    import planetary_computer
    import requests

    try:
        return str(planetary_computer.sign(address))
    except requests.RequestException as error:
        raise Unavailable(
            f"the Planetary Computer signs no address now ({error}): try again later"
        ) from error
