"""The registry of sources: what a sensor product holds, independent of who reads it.

A source is declared in one file and found through the entry-point group `earthfield.sources`;
the service that ingests adds to the same object how its STAC items are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from earthfield.errors import NotFound
from earthfield.grid import PIXEL_M, Tile, Window

Role = Literal["input", "target"]
Transform = Literal["log_reflectance", "linear"]
Loss = Literal["l1", "cross_entropy"]
Cadence = Literal["instant", "interval", "static"]
Layout = Literal["raster", "series", "footprints"]
Pace = Literal["day", "month"]


@dataclass(frozen=True)
class Lattice:
    """An endless grid of square pixels on which a source keeps what it measured."""

    crs: str
    """Coordinate system, as `EPSG:4326` or a PROJ text."""
    pixel: float
    """Side of a pixel in the units of the CRS."""
    origin: tuple[float, float] = (0.0, 0.0)
    """x and y of a corner of some pixel."""

    def geobox(self, tile: Tile) -> GeoBox:
        """Gives the smallest part of the grid that covers a tile, north up."""
        extent = tile.geobox.extent.to_crs(self.crs, resolution=PIXEL_M * 64)
        if extent.boundingbox.span_x > 180 and extent.crs is not None and extent.crs.geographic:
            # Across the antimeridian the columns go on beyond 180 degrees.
            extent = extent.transform(lambda x, y: (x % 360.0, y))
        box = extent.boundingbox
        (x, y), side = self.origin, self.pixel
        left, right = math.floor((box.left - x) / side), math.ceil((box.right - x) / side)
        bottom, top = math.floor((box.bottom - y) / side), math.ceil((box.top - y) / side)
        transform = Affine(side, 0.0, x + left * side, 0.0, -side, y + top * side)
        return GeoBox((top - bottom, right - left), transform, self.crs)


@dataclass(frozen=True)
class Band:
    """One measured quantity of a source, and how a cube stores it."""

    name: str
    """The band's name in the cube, in the field's words (B02, vv, swir16)."""
    gsd_m: float
    """Ground sample distance of the product, metres."""
    assets: tuple[str, ...]
    """Asset keys under which providers publish it, most common first."""
    scale: float = 1.0
    """Physical value = stored x scale + offset."""
    offset: float = 0.0
    """See `scale`."""
    unit: str = "1"
    """Unit of the physical value: `1` for reflectance, `K`, `dB`."""
    transform: Transform = "log_reflectance"
    """What a stem applies to the physical value before it standardises."""
    index: int = 1
    """Which band of a raster asset it is, from 1."""
    variables: tuple[str, ...] = ()
    """Names of its variable inside a file that is no raster (NetCDF, Zarr, HDF5)."""
    nodata: float | None = None
    """Raw value of a pixel that was not measured, where neither the file nor its item tells one."""


class ClearDecoder(Protocol):
    """Turns a quality asset's values into True where the surface was seen."""

    def __call__(self, quality: NDArray[Any], /) -> NDArray[np.bool_]: ...


@dataclass(frozen=True)
class Quality:
    """The asset that says which pixels show the surface."""

    assets: tuple[str, ...]
    """Asset keys under which providers publish it."""
    is_clear: ClearDecoder
    """Decodes its values."""
    required: bool = True
    """Whether an item without it is left out; one that is not required hides nothing where it is absent."""
    nodata: float | None = None
    """Value that says nothing, where neither the file nor its item tells one; of unsigned files it is else 0, which
    in a bit field often is what a clear pixel has."""


@dataclass(frozen=True)
class Source:
    """A declared sensor product."""

    name: str
    """Its id, also the group's name in a cube: `sentinel-2-l2a`."""
    title: str
    """What a person calls it."""
    bands: tuple[Band, ...]
    """Bands in the order in which cubes store them."""
    dtype: str
    """Integer type of the stored values."""
    nodata: int
    """Stored value of a pixel that was not measured."""
    collections: tuple[str, ...]
    """STAC collection ids that carry it."""
    to_stored: Callable[[Mapping[str, Any], Band, NDArray[Any]], NDArray[Any]]
    """`(item as a dict, band, raw values) -> stored values`: scale and offset are functions of the item. Raw
    values come as float64 with NaN where the asset had none; the result has the source's dtype and nodata."""
    quality: tuple[Quality, ...] = ()
    """How clear pixels are told: a pixel is clear where all agree; empty where every measured pixel counts."""
    refuses: Callable[[Mapping[str, Any]], str | None] = lambda item: None
    """`(item as a dict) -> why it cannot be used`, naming the field that says so, or None."""
    keeps: tuple[str, ...] = ()
    """Item properties (without their prefix) that a cube keeps for every step: orbit, angles, platform."""
    lattice: Lattice | None = None
    """The source's own grid where it is too coarse for 10 m pixels; None stores it on the tile's."""
    resampling: Literal["bilinear", "nearest"] = "bilinear"
    """How files that do not nest in the grid are brought to it; `nearest` for classes."""
    cadence: Cadence = "instant"
    """Whether an item is an acquisition, stands for an interval (a year's land cover), or for all time."""
    layout: Layout = "raster"
    """How its files are built: rasters, gridded time series (NetCDF, Zarr), or footprints (HDF5)."""
    pace: Pace = "month"
    """How far the times of a series lie apart; days are averaged over the 5-day step that holds them."""
    classes: Mapping[int, str] | None = None
    """Names of the stored values where they are classes."""
    roles: frozenset[Role] = field(default_factory=lambda: frozenset({"input", "target"}))
    """Whether the model sees it, reconstructs it, or both."""
    loss: Loss = "l1"
    """Reconstruction loss."""
    loss_weight: float = 1.0
    """Weight of that loss."""
    shift_m: float = 0.0
    """How far its frames may lie beside the truth, metres: the loss is the least over shifts up to it."""
    regrid_m: float = 0.0
    """Cells on which its values are compared, as means, metres; 0 where pixel by pixel."""
    stem_width: int = 32
    """Features that the model's stem gives it by default."""

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands, in order."""
        return tuple(band.name for band in self.bands)

    def grid(self, tile: Tile) -> GeoBox:
        """Gives the pixels that a cube of the tile holds of this source."""
        return tile.geobox if self.lattice is None else self.lattice.geobox(tile)

    def window(self, tile: Tile, window: Window) -> Window:
        """Turns a window of the tile's 10 m array into one of the source's: on a lattice always all of it."""
        if self.lattice is None:
            return window
        rows, cols = self.lattice.geobox(tile).shape
        return Window(0, rows, 0, cols)

    def physical(self, values: NDArray[Any], *, band_axis: int) -> NDArray[np.float32]:
        """Turns stored integers into physical values, NaN where nothing was measured."""
        shape = [1] * values.ndim
        shape[band_axis] = len(self.bands)
        scale = np.array([b.scale for b in self.bands], np.float32).reshape(shape)
        offset = np.array([b.offset for b in self.bands], np.float32).reshape(shape)
        return np.where(values == self.nodata, np.float32("nan"), values.astype(np.float32) * scale + offset)


@cache
def known_sources() -> Mapping[str, Source]:
    """Gives every declared source by name, in the order of their names."""
    found = (point.load() for point in entry_points(group="earthfield.sources"))
    return {source.name: source for source in sorted(found, key=lambda source: source.name)}


def source_named(name: str) -> Source:
    """Gives one source.

    Raises:
        NotFound: nobody declared it.
    """
    try:
        return known_sources()[name]
    except KeyError:
        have = ", ".join(known_sources()) or "none"
        raise NotFound(f"source {name!r} is not declared; the declared ones are: {have}") from None
