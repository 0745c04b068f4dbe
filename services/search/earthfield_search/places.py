"""Places on the ground: which field holds one, what its vector is, and how far apart places are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod, Transformer

from earthfield.catalog import Catalog
from earthfield.codec import normalised
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import Field, fields_of
from earthfield.grid import PIXEL_M, Window, geobox_of, pixel_at
from earthfield.timeline import Period
from earthfield_search.comparable import check_comparable

_GEOD = Geod(ellps="WGS84")
_SHOWN = 4


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
        Conflict: the fields of its period were made by different models.
    """
    fields = fields_of(catalog, model, period.id if period else None)
    holding = []
    for field in fields:
        row, col = pixel_at(field.key.tile.epsg, lon, lat)
        if Window(row, row + 1, col, col + 1) in field.window:
            holding.append((field, row, col))
    if not holding:
        raise NotFound(
            f"the point {lon:g} {lat:g} lies outside every field of {model}{f' for {period}' if period else ''}; "
            f"they cover {_extents(fields)}"
        )
    # The newest is the one that ends last, and of those the shortest; neighbouring zones may both hold a point.
    holding.sort(key=lambda one: (one[0].key.period.end, one[0].key.period.start), reverse=True)
    for field, row, col in holding:
        place = _with_vector(field, row, col, around_px)
        if place is not None:
            check_comparable([one for one in fields if one.key.period == field.key.period])
            return place
    raise NotFound(
        f"no field of {model} has data within {around_px * 10} m of {lon:g} {lat:g}: choose another point"
    )


def pixel_centre(epsg: int, row: float, col: float) -> tuple[float, float]:
    """Gives longitude and latitude of a pixel's centre."""
    lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(
        (col + 0.5) * PIXEL_M, -(row + 0.5) * PIXEL_M
    )
    return float(lon), float(lat)


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
    free = np.ones(len(lon), bool)
    picks: list[int] = []
    while len(picks) < count and free.any():
        best = int(free.argmax())
        picks.append(best)
        free[best] = False
        if apart_m > 0:
            free &= distances_m(lon, lat, from_lon=float(lon[best]), from_lat=float(lat[best])) >= apart_m
    return np.array(picks, np.intp)


def _with_vector(field: Field, row: int, col: int, around_px: int) -> Place | None:
    own = field.vectors(Window(row, row + 1, col, col + 1))[0, 0]
    if np.isfinite(own).all():
        return Place(field, row, col, own, True)
    y, x = row // around_px * around_px, col // around_px * around_px
    near = field.vectors(Window(y, y + around_px, x, x + around_px) & field.window).reshape(-1, len(own))
    near = near[np.isfinite(near).all(axis=1)]
    if not len(near):
        return None
    return Place(field, row, col, normalised(near.sum(axis=0)), False)


def _extents(fields: Sequence[Field]) -> str:
    """Names the extents of some fields in degrees, west south east north."""
    outlines = [geobox_of(one.key.tile.epsg, one.window).extent.to_crs("EPSG:4326") for one in fields]
    boxes: list[tuple[float, ...]] = sorted({tuple(outline.geom.bounds) for outline in outlines})
    texts = [" ".join(f"{edge:.4f}" for edge in box) for box in boxes]
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more + " (W S E N)"
