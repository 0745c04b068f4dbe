"""What an import takes its fields from: pieces to make, the files behind each, and what their numbers mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from odc.geo.geom import Geometry

from earthfield.area import inside_mask
from earthfield.grid import Tile, TileWindow, Window, geobox_of, tiles_over
from earthfield.timeline import Period
from earthfield_infer.importing.place import Resample, extent_of
from earthfield_infer.importing.raster import Raster
from earthfield_infer.importing.reach import File, Reach
from earthfield_infer.importing.request import LeftOut
from earthfield_infer.importing.stored import Stored

_UTM = shapely.box(-180.0, -80.0, 180.0, 84.0)

Frames = Mapping[str, list[dict[str, Any]]]
"""By source the scenes behind vectors, as a field's manifest lists them."""


@dataclass(frozen=True)
class Origin:
    """Who made the vectors."""

    kind: str
    """aef, betaearth or raster."""
    name: str
    """Name that the fields are kept under."""
    title: str
    """What people call it."""
    fingerprint: str
    """Hash that tells vectors that can be compared from others; all fields of a name share it."""
    licence: str
    """Licence and attribution, one line; empty where nobody told."""


@dataclass(frozen=True)
class Piece:
    """A field to make: part of a tile, in a period."""

    part: TileWindow
    """What of the tile is wanted."""
    period: Period
    """What the vectors summarise."""
    files: tuple[File, ...]
    """The files that may hold it; of two that hold the same pixel the first counts."""
    frames: Frames = field(default_factory=dict)
    """The scenes behind it, where the publisher tells them."""


@dataclass
class Supply:
    """Everything an import is to do."""

    origin: Origin
    """Who made the vectors."""
    reach: Reach
    """What may be read."""
    pieces: list[Piece]
    """The fields to make."""
    stored: Callable[[Raster], Stored]
    """Tells what a raster's numbers mean, and makes sure that it is one of this origin; raises InvalidInput, or
    BrokenArtefact where the file is at fault."""
    resample: Resample = "nearest"
    """How pixels of another grid become ours."""
    opened: dict[File, Raster] = field(default_factory=dict)
    """Rasters that were looked at already."""
    left_out: list[LeftOut] = field(default_factory=list)
    """Files that are not needed, each with the reason."""
    num_rows: int = 0
    """Rows of the index."""
    num_broken: int = 0
    """Rows of it that could not be understood."""


def parts_in_own_zone(raster: Raster, epsg: int, area: Geometry | None) -> list[TileWindow]:
    """Splits a raster whose pixels nest in a zone's grid into that zone's tiles, also beyond the zone's edge.

    Args:
        raster: the raster.
        epsg: the zone.
        area: in degrees, what of it is wanted; all of it when absent.
    """
    extent = extent_of(raster)
    wanted = None if area is None else _in_zone(area, raster, epsg)
    if wanted is not None and wanted.is_empty:
        return []
    found = []
    for tile in tiles_over(epsg, extent):
        if part := _part(tile, extent, wanted):
            found.append(part)
    return found


def _part(tile: Tile, extent: Window, wanted: Geometry | None) -> TileWindow | None:
    window = extent & tile.window
    box = geobox_of(tile.epsg, window).extent
    if wanted is None:
        return TileWindow(tile, window, box)
    inside = wanted & box
    if inside.is_empty or inside.area == 0:
        return None
    mask = inside_mask(tile.epsg, window, inside)
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    touched = Window(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1)
    return TileWindow(tile, touched.shifted(window.y0, window.x0), inside)


def _in_zone(area: Geometry, raster: Raster, epsg: int) -> Geometry:
    """Cuts an area to what is near a raster before it is reprojected: far from its zone UTM means nothing."""
    near = raster.geobox.extent.to_crs("EPSG:4326", resolution=1000, wrapdateline=True).geom.buffer(0.05)
    fine = shapely.segmentize(area.geom & near, 0.01)
    return Geometry(shapely.make_valid(fine), "EPSG:4326").to_crs(f"EPSG:{epsg}")


def footprint(raster: Raster) -> Geometry:
    """Gives what a raster covers in degrees as far as UTM reaches, its edges bent as they are."""
    extent = raster.geobox.extent
    if raster.crs.is_geographic:
        found = extent.to_crs("EPSG:4326")
    else:
        found = extent.to_crs("EPSG:4326", resolution=2000, wrapdateline=True)
    return Geometry(shapely.intersection(found.geom, _UTM), "EPSG:4326")
