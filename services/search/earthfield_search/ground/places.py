"""Places on the ground: which field holds one, what its vector is, and how far apart places are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from pyproj import Geod, Transformer
from scipy.spatial import KDTree

from earthfield.area import area_from_text
from earthfield.catalog import Catalog
from earthfield.codec import normalised
from earthfield.errors import EarthfieldError, InvalidInput, NotFound
from earthfield.field import Field, fields_of
from earthfield.grid import PIXEL_M, Tile, Window, geobox_of, pixel_at, tile_at, zone_of
from earthfield.timeline import Period
from earthfield_search.ground.comparable import check_comparable

_GEOD = Geod(ellps="WGS84")
_SHOWN = 4
_STEPS = tuple(product((-1, 0, 1), repeat=3))
_WKT = re.compile(r"\s*(MULTI)?POLYGON\b", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A place that a field can say something about."""

    field: Field
    """The field that holds it."""
    row: int
    """Row of its pixel in the zone's grid."""
    col: int
    """Column of its pixel in the zone's grid."""
    vector: NDArray[np.float32]
    """(D,) unit vector of the pixel, or of its surroundings where the pixel has no data."""
    is_pixel: bool
    """Whether the vector is the pixel's own."""

    @property
    def lonlat(self) -> tuple[float, float]:
        """Longitude and latitude of the pixel's centre."""
        return pixel_centre(self.field.key.tile.epsg, self.row, self.col)


def mean_around(field: Field, row: int, col: int, cell_px: int) -> NDArray[np.float32] | None:
    """Gives the mean unit vector (D,) of the cell that holds a pixel, None where it has no data.

    Args:
        field: a field that holds the pixel.
        row: of the pixel, in the zone's grid.
        col: of the pixel, in the zone's grid.
        cell_px: side of a cell; cells are anchored to the zone's grid.
    """
    y, x = row // cell_px * cell_px, col // cell_px * cell_px
    near = field.vectors(Window(y, y + cell_px, x, x + cell_px) & field.window).reshape(-1, field.dim)
    near = near[np.isfinite(near).all(axis=1)]
    return normalised(near.sum(axis=0)) if len(near) else None


def check_lonlat(lon: float, lat: float) -> None:
    """Makes sure that a point lies on the globe.

    Raises:
        InvalidInput: it does not.
    """
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise InvalidInput(
            f"{lon} {lat} is not a place: LON lies in -180..180 and LAT in -90..90 degrees, in this order"
        )


def locate(
    catalog: Catalog, model: str, lon: float, lat: float, period: Period | None = None, *, around_px: int = 8
) -> Place:
    """Finds the field that holds a point, the newest where no period is named, and the point's vector.

    Args:
        catalog: where fields lie.
        model: name of a model.
        lon: degrees.
        lat: degrees.
        period: a valid period.
        around_px: side of the cell whose mean stands in where the pixel has no data.

    Raises:
        NotFound: no such field, none holds the point, or there is no data around it.
        Conflict: fields that hold it in that period were made by different models.
    """
    return locate_all(catalog, model, [(lon, lat)], period, around_px=around_px)[0]


def locate_all(
    catalog: Catalog,
    model: str,
    points: Sequence[tuple[float, float]],
    period: Period | None = None,
    *,
    around_px: int = 8,
) -> list[Place]:
    """Finds the fields that hold some points, all in one period, the newest where none is named.

    Args:
        catalog: where fields lie.
        model: name of a model.
        points: longitude and latitude of each, degrees; at least one.
        period: a valid period.
        around_px: as in `locate`.

    Raises:
        NotFound: as `locate`, or no period has data at every one of the points.
        Conflict: as `locate`.
    """
    spots = [_spots(point) for point in points]
    # Only the tiles of the points are looked at: listing every field takes long where there are many.
    tiles = sorted({tile for spot in spots for tile in spot})
    fields = [Field(catalog, key) for tile in tiles for key in catalog.fields(model, tile, period)]
    # The newest is the one that ends last, and of those the shortest.
    periods = {one.key.period for one in fields}
    for newest in sorted(periods, key=lambda one: (one.end, one.start), reverse=True):
        own = [one for one in fields if one.key.period == newest]
        found = [_in_one(own, spot, around_px) for spot in spots]
        if all(found):
            check_comparable(own)
            return [place for place in found if place is not None]
    raise _nowhere(catalog, model, points, period, fields, spots, around_px)


def shape_of(text: str) -> Geometry:
    """Reads an area that stands in a question: WKT or GeoJSON text in degrees; no file or address is ever opened.

    Raises:
        InvalidInput: it is neither, or not an area on the globe.
    """
    if not (text.lstrip().startswith("{") or _WKT.match(text)):
        raise InvalidInput(f"the area {text[:60]!r} is neither GeoJSON nor the WKT of a polygon")
    try:
        return area_from_text(text)
    except EarthfieldError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise InvalidInput(f"the area is not readable GeoJSON ({error})") from error


def pixel_centre(epsg: int, row: float, col: float) -> tuple[float, float]:
    """Gives longitude and latitude of a pixel's centre."""
    lon, lat = pixel_centres(epsg, np.array([row]), np.array([col]))
    return float(lon[0]), float(lat[0])


def pixel_centres(
    epsg: int, rows: NDArray[Any], cols: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gives longitudes and latitudes (N,) of the centres of pixels of one zone's grid."""
    turn = Transformer.from_crs(epsg, 4326, always_xy=True).transform
    lon, lat = turn((np.asarray(cols) + 0.5) * PIXEL_M, -(np.asarray(rows) + 0.5) * PIXEL_M)
    return np.asarray(lon, np.float64), np.asarray(lat, np.float64)


def distances_m(
    lon: NDArray[np.floating], lat: NDArray[np.floating], *, from_lon: float, from_lat: float
) -> NDArray[np.float64]:
    """Gives the geodesic distance in metres of each place (N,), in degrees, from one place."""
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    starts = np.full(len(lon), from_lon), np.full(len(lat), from_lat)
    return np.asarray(_GEOD.inv(starts[0], starts[1], lon, lat)[2])


def pick_apart(
    lon: NDArray[np.floating], lat: NDArray[np.floating], *, count: int, apart_m: float
) -> NDArray[np.intp]:
    """Picks places in the order given, leaving out those nearer than `apart_m` to one picked before.

    Args:
        lon: (N,) degrees, best place first.
        lat: (N,) degrees.
        count: how many at most.
        apart_m: smallest distance between two picks, metres; 0 keeps all.

    Returns:
        (M,) indices of the picks, M <= count.
    """
    if apart_m <= 0:
        return np.arange(min(count, len(lon)), dtype=np.intp)
    # Two places nearer than `apart_m` lie in the same box of that side, or in two that touch.
    boxes = np.floor(_metres(lon, lat) / max(apart_m, 1.0)).astype(np.int64)
    held: dict[tuple[int, ...], list[int]] = {}
    picks: list[int] = []
    for number, (x, y, z) in enumerate(boxes.tolist()):
        if len(picks) == count:
            break
        near = [one for step in _STEPS for one in held.get((x + step[0], y + step[1], z + step[2]), ())]
        away = distances_m(lon[near], lat[near], from_lon=float(lon[number]), from_lat=float(lat[number]))
        if not len(near) or away.min() >= apart_m:
            picks.append(number)
            held.setdefault((x, y, z), []).append(number)
    return np.array(picks, np.intp)


def nearest_m(
    lon: NDArray[np.floating], lat: NDArray[np.floating], places: Sequence[tuple[float, float]]
) -> NDArray[np.float64]:
    """Gives the geodesic distance in metres of each place (N,), in degrees, from the nearest of some places."""
    if not len(places) or not len(lon):
        return np.full(len(lon), np.inf)
    to_lon, to_lat = np.array(places, np.float64).T
    _, nearest = KDTree(_metres(to_lon, to_lat)).query(_metres(lon, lat))
    return np.asarray(_GEOD.inv(lon, lat, to_lon[nearest], to_lat[nearest])[2])


def _metres(lon: NDArray[np.floating], lat: NDArray[np.floating]) -> NDArray[np.float64]:
    """Gives places on the ellipsoid as (N, 3) metres from the Earth's centre."""
    turn = Transformer.from_crs(4979, 4978, always_xy=True).transform
    return np.stack(turn(np.asarray(lon), np.asarray(lat), np.zeros(len(lon))), -1)


def _spots(point: tuple[float, float]) -> dict[Tile, tuple[int, int]]:
    """Gives the tiles that a point lies in, with its pixel: of its own zone first, then of those beside it."""
    own = zone_of(*point)
    # A zone's fields may reach over its edge, and on both hemispheres.
    zones = [(own % 100 - 1 + beside) % 60 + 1 for beside in (0, -1, 1)]
    both = sorted((32600, 32700), key=lambda one: one != own // 100 * 100)
    pixels = {epsg: pixel_at(epsg, *point) for epsg in (half + zone for zone in zones for half in both)}
    return {tile_at(epsg, row, col): (row, col) for epsg, (row, col) in pixels.items()}


def _in_one(fields: Sequence[Field], spot: Mapping[Tile, tuple[int, int]], around_px: int) -> Place | None:
    """Gives the place in the first field that has data there."""
    for tile, (row, col) in spot.items():
        for field in fields:
            if field.key.tile == tile and Window(*_edges((row, col))) in field.window:
                place = _with_vector(field, row, col, around_px)
                if place is not None:
                    return place
    return None


def _nowhere(
    catalog: Catalog, model: str, points: Sequence[tuple[float, float]], period: Period | None,
    fields: Sequence[Field], spots: Sequence[Mapping[Tile, tuple[int, int]]], around_px: int,
) -> NotFound:  # fmt: skip
    """Tells why points have no vector: the first that no field holds, that has no data, or no period for all."""
    for (lon, lat), spot in zip(points, spots, strict=True):
        if _in_one(fields, spot, around_px):
            continue
        if any(Window(*_edges(spot[one.key.tile])) in one.window for one in fields if one.key.tile in spot):
            return NotFound(
                f"no field of {model} has data within {around_px * 10} m of {lon:g} {lat:g}: choose another point"
            )
        every = fields_of(catalog, model, period.id if period else None)
        when = f" for {period}" if period else ""
        return NotFound(
            f"the point {lon:g} {lat:g} lies outside every field of {model}{when}; they cover {_extents(every)}"
        )
    return NotFound(
        f"no period of {model} has data at every one of the {len(points)} points: ask with points of one period"
    )


def _edges(pixel: tuple[int, int]) -> tuple[int, int, int, int]:
    row, col = pixel
    return row, row + 1, col, col + 1


def _with_vector(field: Field, row: int, col: int, around_px: int) -> Place | None:
    own = field.vectors(Window(row, row + 1, col, col + 1))[0, 0]
    if np.isfinite(own).all():
        return Place(field, row, col, own, True)
    near = mean_around(field, row, col, around_px)
    return None if near is None else Place(field, row, col, near, False)


def _extents(fields: Sequence[Field]) -> str:
    """Names the extents of some fields in degrees, west south east north."""
    outlines = [geobox_of(one.key.tile.epsg, one.window).extent.to_crs("EPSG:4326") for one in fields]
    boxes: list[tuple[float, ...]] = sorted({tuple(outline.geom.bounds) for outline in outlines})
    texts = [" ".join(f"{edge:.4f}" for edge in box) for box in boxes]
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more + " (W S E N)"
