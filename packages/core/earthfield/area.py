"""Areas of interest: read from what people have, split into zones and tiles."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from rasterio.features import geometry_mask
from shapely.geometry.base import BaseGeometry

from earthfield.errors import InvalidInput, NotFound
from earthfield.grid import PIXEL_M, TileWindow, Window, geobox_of, tiles_over, zone_of

_LAT_LIMITS = (-80.0, 84.0)
_WKT = re.compile(r"\s*(MULTI)?(POINT|LINESTRING|POLYGON|GEOMETRYCOLLECTION)\b", re.IGNORECASE)


def area_from_bbox(bbox: Sequence[float]) -> Geometry:
    """Gives the area of a box west, south, east, north in degrees; west > east crosses the antimeridian.

    Raises:
        InvalidInput: not four finite numbers, south not below north, or outside UTM's latitudes.
    """
    if len(bbox) != 4 or not all(math.isfinite(value) for value in bbox):
        raise InvalidInput(f"bbox {list(bbox)} must be four numbers: WEST SOUTH EAST NORTH in degrees")
    west, south, east, north = bbox
    if not south < north:
        raise InvalidInput(
            f"bbox {list(bbox)}: south {south} is not below north {north}; the order is W S E N"
        )
    if west == east or max(abs(west), abs(east)) > 180:
        raise InvalidInput(f"bbox {list(bbox)}: west and east must differ and lie in -180..180 degrees")
    if west > east:
        parts = [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
        return _checked(shapely.MultiPolygon(parts))
    return _checked(shapely.box(west, south, east, north))


def area_from_text(text: str) -> Geometry:
    """Reads `--aoi`: a GeoJSON file (every feature), GeoJSON text, or WKT, in degrees.

    Raises:
        InvalidInput: none of these, or not an area.
        NotFound: it looks like a file that is not there.
    """
    if text.lstrip().startswith("{"):
        return area_from_geojson(text)
    if _WKT.match(text):
        try:
            return _checked(shapely.from_wkt(text))
        except shapely.errors.ShapelyError as error:
            raise InvalidInput(f"the area {text[:60]!r} is not readable WKT ({error})") from error
    path = Path(text)
    if not path.is_file():
        raise NotFound(f"the area {text!r} is neither WKT nor an existing GeoJSON file")
    return area_from_geojson(path.read_text())


def area_from_geojson(text: str) -> Geometry:
    """Gives the union of every feature of GeoJSON text.

    Raises:
        InvalidInput: not GeoJSON, or no polygon in it.
    """
    try:
        found = shapely.from_geojson(text)
    except shapely.errors.ShapelyError as error:
        raise InvalidInput(f"the area is not readable GeoJSON ({error})") from error
    crs = (json.loads(text).get("crs") or {}).get("properties", {}).get("name", "")
    if crs and not crs.endswith(("CRS84", "4326")):
        raise InvalidInput(f"the area's GeoJSON is in {crs}; GeoJSON must be in longitude and latitude")
    return _checked(shapely.union_all(shapely.get_parts(found)))


def area_of_footprints(footprints: Iterable[BaseGeometry]) -> Geometry:
    """Gives the area that footprints in degrees cover together."""
    return _checked(shapely.union_all([shapely.make_valid(shape) for shape in footprints]))


def tile_windows(area: Geometry) -> list[TileWindow]:
    """Splits an area (EPSG:4326) into tiles with the window of pixels that it touches in each, sorted.

    Each 6-degree zone and hemisphere keeps its own part. A pixel belongs to the area when its centre does.
    """
    found = []
    for epsg, part in _by_zone(area):
        bounds = part.boundingbox
        extent = Window(
            math.floor(-bounds.top / PIXEL_M), math.ceil(-bounds.bottom / PIXEL_M),
            math.floor(bounds.left / PIXEL_M), math.ceil(bounds.right / PIXEL_M),
        )  # fmt: skip
        for tile in tiles_over(epsg, extent):
            inside = part.intersection(tile.geobox.extent)
            if inside.is_empty:
                continue
            window = _touched(epsg, inside, tile.window & extent)
            if window:
                found.append(TileWindow(tile, window, inside))
    return sorted(found, key=lambda one: one.tile)


def _touched(epsg: int, part: Geometry, extent: Window) -> Window:
    """The smallest window that holds every pixel whose centre lies in the part."""
    mask = inside_mask(epsg, extent, part)
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Window(0, 0, 0, 0)
    return Window(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1).shifted(
        extent.y0, extent.x0
    )


def inside_mask(epsg: int, window: Window, area: Geometry) -> NDArray[np.bool_]:
    """Gives True for each pixel of a window whose centre lies in the area (in the zone's CRS), (y, x) bool."""
    transform = geobox_of(epsg, window).transform
    return geometry_mask([area.geom], out_shape=window.shape, transform=transform, invert=True)


def _by_zone(area: Geometry) -> list[tuple[int, Geometry]]:
    shape = area.geom
    parts = []
    west, south, east, north = shape.bounds
    for zone in range(int((west + 180) // 6), min(int((east + 180) // 6), 59) + 1):
        for low, high in ((-90.0, 0.0), (0.0, 90.0)):
            if high <= south or low > north:
                continue
            strip = shape.intersection(shapely.box(zone * 6 - 180, low, zone * 6 - 174, high))
            if strip.is_empty or strip.area == 0:
                continue
            epsg = zone_of(zone * 6 - 177, 1.0 if low >= 0 else -1.0)
            # Edges are densified first: a parallel is a curve in UTM.
            fine = Geometry(shapely.segmentize(strip, 0.01), "EPSG:4326")
            parts.append((epsg, fine.to_crs(f"EPSG:{epsg}")))
    return parts


def _checked(shape: BaseGeometry) -> Geometry:
    if shape.is_empty or shape.area == 0:
        raise InvalidInput("the area is empty: give a polygon, or a box with west < east and south < north")
    west, south, east, north = shape.bounds
    if west < -180 or east > 180 or south < _LAT_LIMITS[0] or north > _LAT_LIMITS[1]:
        raise InvalidInput(
            f"the area {west:.4f} {south:.4f} {east:.4f} {north:.4f} leaves longitude -180..180, latitude -80..84"
        )
    return Geometry(shapely.make_valid(shape), "EPSG:4326")
