"""A raster of embeddings as it was published: what it says of itself, and its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.windows import Window as RasterWindow

from earthfield.errors import BrokenArtefact, InvalidInput
from earthfield.grid import Window
from earthfield_infer.importing.reach import File, Reach, reading_options


@dataclass(frozen=True)
class Raster:
    """An embedding raster; pixels are read only when asked for."""

    file: File
    """Where it lies."""
    opened: str
    """What GDAL opens."""
    num_bytes: int
    """Size of the file."""
    identity: str
    """By what the file is known again."""
    crs: CRS
    """Its coordinate system."""
    epsg: int | None
    """Its code, where it has one."""
    transform: Affine
    """From columns and rows to coordinates; the y step is positive where it is stored south-up."""
    shape: tuple[int, int]
    """Rows and columns."""
    bands: tuple[str | None, ...]
    """Name of each band, where the file has one."""
    dtype: str
    """Type of its numbers."""
    nodata: float | None
    """The number that means no data, where the file declares one."""
    scales: tuple[float, ...]
    """What each band's numbers are multiplied by, 1 where the file tells nothing."""
    offsets: tuple[float, ...]
    """What is added afterwards, 0 where the file tells nothing."""

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return len(self.bands)

    @property
    def geobox(self) -> GeoBox:
        """Its own georeferenced grid."""
        return GeoBox(self.shape, self.transform, self.crs)

    def read(self, window: Window) -> NDArray[Any]:
        """Reads (D, h, w) numbers as stored, of a window of its own rows and columns, in its own order.

        Raises:
            BrokenArtefact: the file is cut short or damaged there.
        """
        view = RasterWindow(window.x0, window.y0, window.shape[1], window.shape[0])
        with _opened(self.file, self.opened) as data:
            return np.asarray(data.read(window=view))


def open_raster(file: File, reach: Reach) -> Raster:
    """Looks at a raster.

    Raises:
        NotFound: it is not there.
        Unavailable: its server does not answer.
        BrokenArtefact: it is no readable GeoTIFF.
        InvalidInput: it says not where it lies, its bands are of several types, or it may not be read.
    """
    known = reach.know(file)
    with _opened(file, known.opened) as data:
        kinds = set(data.dtypes)
        if len(kinds) > 1 or len(set(map(str, data.nodatavals))) > 1:
            raise InvalidInput(f"{file.name} has bands of several types or nodata values: write them as one")
        if data.crs is None or data.transform.is_identity:
            raise InvalidInput(f"{file.name} does not say where on Earth it lies: georeference it first")
        return Raster(
            file=file, opened=known.opened, num_bytes=known.num_bytes, identity=known.identity, crs=data.crs,
            epsg=data.crs.to_epsg(), transform=data.transform, shape=data.shape, bands=tuple(data.descriptions),
            dtype=str(kinds.pop()), nodata=data.nodatavals[0], scales=tuple(data.scales),
            offsets=tuple(data.offsets),
        )  # fmt: skip


@contextmanager
def _opened(file: File, path: str) -> Iterator[Any]:
    """Opens GeoTIFFs alone: other formats may lead to further files and addresses."""
    try:
        with rasterio.Env(**reading_options()), rasterio.open(path, driver="GTiff") as data:
            yield data
    except rasterio.errors.RasterioError as error:
        cause = error.__cause__ or error.__context__ or error
        raise BrokenArtefact(
            f"{file.name} cannot be read as a GeoTIFF ({cause}): fetch it again, or look at it with gdalinfo"
        ) from error
