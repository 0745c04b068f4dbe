"""Areas of interest: read from what people have, split into zones and tiles."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from rasterio.features import geometry_mask
from shapely.geometry.base import BaseGeometry, BaseMultipartGeometry

from earthfield.areafile import is_vector_file, polygons_in_file
from earthfield.areaosm import is_osm, polygon_of
from earthfield.errors import InvalidInput, NotFound
from earthfield.grid import PIXEL_M, Tile, TileWindow, Window, geobox_of, tiles_over, zone_of

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
    """Reads `--aoi` in any of its forms.

    Args:
        text: WKT or GeoJSON (every feature) in degrees; or a file: GeoJSON, a Shapefile (zipped too), a GeoPackage
            (`path.gpkg:layer` for one layer); or an OpenStreetMap relation, `osm:relation/54413`.

    Raises:
        InvalidInput: none of these, or not an area.
        NotFound: it looks like a file that is not there, or a relation that nobody knows.
        Unavailable: the server of OpenStreetMap does not answer.
    """
    if text.lstrip().startswith("{"):
        return area_from_geojson(text)
    if _WKT.match(text):
        try:
            return _checked(shapely.from_wkt(text))
        except shapely.errors.ShapelyError as error:
            raise InvalidInput(f"the area {text[:60]!r} is not readable WKT ({error})") from error
    if is_osm(text):
        return _checked(polygon_of(text))
    if is_vector_file(text):
        return _checked(polygons_in_file(text))
    path = Path(text)
    if not path.is_file():
        raise NotFound(
            f"the area {text[:200]!r} is neither WKT, osm:relation/<id> nor an existing file: check --aoi"
        )
    try:
        return area_from_geojson(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, OSError) as error:
        raise InvalidInput(
            f"the area file {text!r} cannot be read as GeoJSON ({error}); known by their ending are .shp, .gpkg, "
            ".fgb and .zip"
        ) from error


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
    return _checked(found)


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
        shapely.prepare(part.geom)
        for tile in tiles_over(epsg, extent):
            inside = _cut(part, tile)
            window = _touched(epsg, inside, tile.window & extent) if inside is not None else None
            if inside is not None and window:
                found.append(TileWindow(tile, window, inside))
    return sorted(found, key=lambda one: one.tile)


def _cut(part: Geometry, tile: Tile) -> Geometry | None:
    """Gives what a prepared part has in a tile; only tiles on its border are worth the cutting."""
    box = tile.geobox.extent
    if part.geom.contains_properly(box.geom):
        return box
    if not part.geom.intersects(box.geom):
        return None
    inside = _polygonal(part.geom.intersection(box.geom))
    return None if inside.is_empty else Geometry(inside, part.crs)


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
            strip = _polygonal(shape.intersection(shapely.box(zone * 6 - 180, low, zone * 6 - 174, high)))
            if strip.is_empty:
                continue
            epsg = zone_of(zone * 6 - 177, 1.0 if low >= 0 else -1.0)
            # Edges are densified first: a parallel is a curve in UTM.
            fine = Geometry(shapely.segmentize(strip, 0.01), "EPSG:4326")
            turned = shapely.make_valid(fine.to_crs(f"EPSG:{epsg}").geom)
            parts.append((epsg, Geometry(_polygonal(turned), f"EPSG:{epsg}")))
    return parts


def _checked(shape: BaseGeometry) -> Geometry:
    kinds = Counter(part.geom_type for part in _parts(shape) if not part.is_empty)
    whole = _polygonal(shapely.union_all([shapely.make_valid(part) for part in _parts(shape)]))
    if whole.is_empty:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
        raise InvalidInput(
            f"the area is empty (it holds {told}): give a polygon, or a box with west < east and south < north"
        )
    west, south, east, north = whole.bounds
    if west < -180 or east > 180 or south < _LAT_LIMITS[0] or north > _LAT_LIMITS[1]:
        raise InvalidInput(
            f"the area {west:.4f} {south:.4f} {east:.4f} {north:.4f} leaves longitude -180..180, latitude -80..84"
        )
    return Geometry(whole, "EPSG:4326")


def _polygonal(shape: BaseGeometry) -> BaseGeometry:
    """Leaves away the points and lines that cutting and repairing leave behind."""
    flat = [part for part in _parts(shape) if isinstance(part, shapely.Polygon) and part.area > 0]
    return flat[0] if len(flat) == 1 else shapely.MultiPolygon(flat)


def _parts(shape: BaseGeometry) -> Iterator[BaseGeometry]:
    for part in shapely.get_parts(shape):
        if isinstance(part, shapely.GeometryCollection | BaseMultipartGeometry):
            yield from _parts(part)
        else:
            yield part
