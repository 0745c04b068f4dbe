"""Footprints: GEDI's shots, each put into the 10 m pixel that holds its centre."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from earthfield.errors import BrokenArtefact
from earthfield.sources import Band, Source
from earthfield_ingest.dialect import asset_key
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers.grid import Grid
from earthfield_ingest.readers.gridded import telling
from earthfield_ingest.readers.hdf5 import HDF5_MAGIC, is_hdf5, member
from earthfield_ingest.readers.raster import naming
from earthfield_ingest.scene import Scene

MIN_SENSITIVITY = 0.95
"""A footprint counts where the beam would have found the ground under a canopy of more than this cover."""

_MARGIN_DEG = 0.01


@dataclass(frozen=True)
class Shots:
    """The footprints of a granule that count, inside one grid."""

    rows: NDArray[np.int64]
    """(N,) rows of the grid."""
    cols: NDArray[np.int64]
    """(N,) columns of the grid."""
    sensitivity: NDArray[np.float64]
    """(N,) 0..1."""
    values: NDArray[np.float64]
    """(B, N) values of the bands, NaN where there is none."""

    def best(self) -> NDArray[np.int64]:
        """Gives the places of the most sensitive shot of each pixel."""
        order = np.lexsort((-self.sensitivity, self.cols, self.rows))
        rows, cols = self.rows[order], self.cols[order]
        first = np.ones(len(order), bool)
        first[1:] = (np.diff(rows) != 0) | (np.diff(cols) != 0)
        best: NDArray[np.int64] = order[first]
        return best


class FootprintReader:
    """Reads GEDI granules over one grid: footprints of good quality, the most sensitive one of each pixel.

    A footprint counts where its `quality_flag` is 1, its `degrade_flag` 0, its sensitivity above `MIN_SENSITIVITY`.
    """

    def __init__(self, source: Source, grid: Grid, fetcher: Fetcher) -> None:
        """Args: the source; the pixels wanted; what opens files."""
        self._source, self._grid, self._fetcher = source, grid, fetcher
        extent = grid.geobox.extent.to_crs("EPSG:4326").boundingbox
        self._south, self._north = extent.bottom - _MARGIN_DEG, extent.top + _MARGIN_DEG
        self._to_grid = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
        self.bytes_read = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self._grid.shape

    def clear(self, scene: Scene) -> NDArray[np.bool_]:
        """See `SceneReader`: every footprint that counts is clear."""
        return self.bands(scene)[1]

    def bands(self, scene: Scene) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See `SceneReader`; all but a few pixels are nodata."""
        source = self._source
        values = np.full((len(source.bands), *self.shape), source.nodata, source.dtype)
        key = asset_key(scene.assets, source.bands[0].assets)
        if key is None:
            raise BrokenArtefact(f"item {scene.id} has no granule among its assets")
        with naming(scene, key), granule(str(scene.assets[key]["href"]), self._fetcher) as file:
            shots = self._shots(file)
        best = shots.best()
        for place, band in enumerate(source.bands):
            stored = source.to_stored(scene.item, band, shots.values[place, best])
            values[place, shots.rows[best], shots.cols[best]] = stored
        return values, (values != source.nodata).any(axis=0)

    def _shots(self, file: Granule) -> Shots:
        parts = [self._beam(file, beam) for beam in file.beams]
        return Shots(
            np.concatenate([one.rows for one in parts]),
            np.concatenate([one.cols for one in parts]),
            np.concatenate([one.sensitivity for one in parts]),
            np.concatenate([one.values for one in parts], axis=1),
        )

    def _beam(self, file: Granule, beam: str) -> Shots:
        """The shots of one beam that count and lie in the grid."""
        lon, lat = file.read(beam, "lon_lowestmode"), file.read(beam, "lat_lowestmode")
        near = np.flatnonzero((lat >= self._south) & (lat <= self._north) & np.isfinite(lon))
        x, y = self._to_grid.transform(lon[near], lat[near])
        cols, rows = ~self._grid.transform @ (np.asarray(x), np.asarray(y))
        num_rows, num_cols = self.shape
        with np.errstate(invalid="ignore"):
            inside = (rows >= 0) & (rows < num_rows) & (cols >= 0) & (cols < num_cols)
        where = near[inside]
        sensitivity = file.read(beam, "sensitivity")[where]
        good = (file.read(beam, "quality_flag")[where] == 1) & (sensitivity > MIN_SENSITIVITY)
        if file.has(beam, "degrade_flag"):
            good &= file.read(beam, "degrade_flag")[where] == 0
        where = where[good]
        values = np.stack([self._values(file, beam, band, where) for band in self._source.bands])
        return Shots(
            np.floor(rows[inside][good]).astype(np.int64),
            np.floor(cols[inside][good]).astype(np.int64),
            sensitivity[good],
            values,
        )

    def _values(self, file: Granule, beam: str, band: Band, where: NDArray[np.int64]) -> NDArray[np.float64]:
        """Values of one band at some shots, (N,), in the order of `where`, which ascends."""
        if not len(where):
            return np.empty(0)
        data = file.dataset(beam, band.variables[0])
        run = slice(int(where[0]), int(where[-1]) + 1)
        if data.ndim == 2 and data.shape[1] < band.index:
            raise BrokenArtefact(f"{file.address}: {beam}/{band.variables[0]} has {data.shape[1]} columns")
        block = np.asarray(data[run, band.index - 1] if data.ndim == 2 else data[run], np.float64)
        self.bytes_read += block.nbytes
        found = block[where - where[0]]
        # The product writes -9999 and the like where it has no value.
        return np.where(found > -999.0, found, np.nan)


class Granule:
    """An open GEDI file, of which nothing that leads to another file is read."""

    def __init__(self, file: Any, address: str) -> None:
        """Args: an open `h5py.File`; its address, for messages."""
        self._file, self.address = file, address

    @property
    def beams(self) -> tuple[str, ...]:
        """Names of the beams that hold shots.

        Raises:
            BrokenArtefact: there is none.
        """
        named = (name for name in self._file if name.startswith("BEAM"))
        found = tuple(name for name in named if self.has(name, "lat_lowestmode"))
        if not found:
            raise BrokenArtefact(
                f"{self.address} holds no beam with footprints: it is no GEDI Level 2A granule"
            )
        return found

    def has(self, beam: str, name: str) -> bool:
        """Tells whether a beam has a data set."""
        group = member(self._file, beam, self.address)
        return group is not None and name in group

    def dataset(self, beam: str, name: str) -> Any:
        """Gives a data set of a beam.

        Raises:
            BrokenArtefact: it is absent, or lies in another file.
        """
        found = member(self._file[beam], name, self.address) if self.has(beam, name) else None
        if found is None:
            raise BrokenArtefact(f"{self.address} has no {beam}/{name}")
        return found

    def read(self, beam: str, name: str) -> NDArray[np.float64]:
        """Gives all values of a data set of one value a shot, (N,)."""
        return np.asarray(self.dataset(beam, name)[:], np.float64)


@contextmanager
def granule(address: str, fetcher: Fetcher) -> Iterator[Granule]:
    """Opens a GEDI file.

    Raises:
        BrokenArtefact: it is missing, no HDF5, or cut short.
        Unavailable: the network fails.
    """
    import h5py

    with telling(address), fetcher.file(address) as file:
        start = file.read(len(HDF5_MAGIC))
        file.seek(0)
        if not is_hdf5(start):
            raise BrokenArtefact(f"{address} is not HDF5: unpack it, or fetch it again")
        with h5py.File(file, "r") as opened:
            yield Granule(opened, address)
