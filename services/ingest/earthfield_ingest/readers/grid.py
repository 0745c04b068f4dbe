"""The pixels that are read, whatever their coordinate system."""

from __future__ import annotations

from dataclasses import dataclass

from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.transform import Affine

from earthfield.grid import Tile, Window, geobox_of
from earthfield.sources import Source


@dataclass(frozen=True)
class Grid:
    """Pixels that are read."""

    geobox: GeoBox
    """Where they lie, north up."""

    @classmethod
    def over(cls, epsg: int, window: Window) -> Grid:
        """Gives the 10 m pixels of a window of a zone's grid."""
        return cls(geobox_of(epsg, window))

    @classmethod
    def of(cls, source: Source, tile: Tile, window: Window) -> Grid:
        """Gives what a source stores over a window of its array of a tile."""
        return cls(source.grid(tile)[window.slices])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, cols = self.geobox.shape
        return int(rows), int(cols)

    @property
    def crs(self) -> CRS:
        """Coordinate system."""
        return CRS.from_user_input(str(self.geobox.crs))

    @property
    def transform(self) -> Affine:
        """From (column, row) to (x, y)."""
        return self.geobox.affine
