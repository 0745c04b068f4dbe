"""What fields cover together: touching tiles of one zone as one raster, as far as an area of interest reaches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import DTypeLike, NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyproj import Transformer
from rasterio.features import geometry_mask
from shapely.geometry.base import BaseGeometry

from earthfield.errors import NotFound
from earthfield.field import Field
from earthfield.grid import PIXEL_M, Window, geobox_of
from earthfield.storage import hash_of

_STRIP_PX = 256
_ROOM_DEG = 0.05
"""How much more of an area than the fields' own box is projected, so that its cut edges lie outside."""


@dataclass(frozen=True)
class Coverage:
    """Fields of one zone and one period whose tiles touch, clipped to an area where there is one."""

    epsg: int
    """The zone."""
    window: Window
    """The smallest window of the zone's grid that holds all of them, or what the area reaches of them."""
    fields: tuple[Field, ...]
    """The fields that the area reaches, sorted by tile."""
    suffix: str
    """Tells this raster's file from those of other coverages; empty where there is only one."""
    parts: tuple[BaseGeometry | None, ...] = ()
    """What the area has in the window of each field, in the zone's CRS; None where it holds all of it. Empty: there
    is no area."""

    @property
    def geobox(self) -> GeoBox:
        """The georeferenced grid."""
        return geobox_of(self.epsg, self.window)

    def blank(self, fill: float, dtype: DTypeLike) -> NDArray[Any]:
        """Gives an array over the window, filled."""
        return np.full(self.window.shape, fill, dtype)

    def place(self, window: Window) -> tuple[slice, slice]:
        """Where a window of the zone's grid lies in such an array."""
        return window.shifted(-self.window.y0, -self.window.x0).slices

    def strips(self) -> Iterator[tuple[Field, Window]]:
        """Yields every field in strips that fit into memory, north to south; those alone that the area touches."""
        found = []
        for field, part in zip(self.fields, self._parts, strict=True):
            window = field.window if part is None else field.window & _reach(part)
            found += [(field, one) for one in strips_of(window) if part is None or part.intersects(_box(one))]
        yield from sorted(found, key=lambda one: (one[1].y0 // _STRIP_PX, one[1].x0))

    def inside(self, window: Window) -> NDArray[np.bool_] | None:
        """Tells which pixels of a window have their centre in the area and in a field, (h, w).

        None where there is no area, or where all of them do.
        """
        if not self.parts:
            return None
        mask = np.zeros(window.shape, bool)
        for field, part in zip(self.fields, self.parts, strict=True):
            own = window & field.window
            if own:
                ys, xs = own.shifted(-window.y0, -window.x0).slices
                mask[ys, xs] = True if part is None else _mask(part, own, self.epsg)
        return None if mask.all() else mask

    @property
    def _parts(self) -> tuple[BaseGeometry | None, ...]:
        return self.parts or (None,) * len(self.fields)


def strips_of(window: Window) -> list[Window]:
    """Cuts a window into strips on the lattice of the files' blocks."""
    first = window.y0 // _STRIP_PX * _STRIP_PX
    cuts = [
        Window(y, y + _STRIP_PX, window.x0, window.x1) & window for y in range(first, window.y1, _STRIP_PX)
    ]
    return [cut for cut in cuts if cut]


def coverages(fields: Sequence[Field], *, area: Geometry | None = None) -> list[Coverage]:
    """Puts fields of one period together: one coverage for each zone and each group of touching tiles.

    Args:
        fields: of one period; those that the area does not reach are left out.
        area: polygons in EPSG:4326, across 180 degrees in two parts; everything where absent. A pixel belongs to it
            when its centre does.

    Raises:
        NotFound: no pixel of any field lies in the area.
    """
    reached = {id(one): _within(one, area) for one in fields} if area is not None else {}
    held = [one for one in fields if area is None or _reached(one, reached[id(one)])]
    if fields and not held:
        raise NotFound(_outside(fields))
    groups = _touching(sorted(held, key=lambda one: one.key.tile))
    found = []
    for group in groups:
        suffix = f"_{group[0].key.tile.id}" if len(groups) > 1 else ""
        parts = tuple(reached[id(one)] for one in group) if area is not None else ()
        windows = [one.window for one in group]
        for place, part in enumerate(parts):
            windows[place] &= windows[place] if part is None else _reach(part)
        window = windows[0]
        for own in windows[1:]:
            window |= own
        found.append(Coverage(group[0].key.tile.epsg, window, tuple(group), suffix, parts))
    return found


def fingerprint_of(fields: Sequence[Field]) -> str:
    """Gives a hash of what some fields were made from."""
    return hash_of([[one.key.id, one.fingerprint] for one in fields])


# ---- the area ----


def _within(field: Field, area: Geometry) -> BaseGeometry | None:
    """Gives what an area has in the window of a field, in the zone's CRS; None where it holds all of it."""
    epsg, box = field.key.tile.epsg, _box(field.window)
    west, south, east, north = _bounds(epsg, field.window)
    near = [
        # Beyond 180 degrees an area goes on at -180.
        area.geom.intersection(shapely.box(west + turn, south, east + turn, north))
        for turn in (-360.0, 0.0, 360.0)
        if area.geom.bounds[0] < east + turn and area.geom.bounds[2] > west + turn
    ]
    # Edges are densified first: a parallel is a curve in UTM.
    turned = [
        shapely.make_valid(Geometry(shapely.segmentize(part, 0.01), "EPSG:4326").to_crs(f"EPSG:{epsg}").geom)
        for part in near
        if part.area > 0
    ]
    whole = shapely.union_all(turned)
    return None if whole.contains(box) else whole.intersection(box)


def _reached(field: Field, part: BaseGeometry | None) -> bool:
    """Tells whether a pixel of a field has its centre in a part of an area."""
    if part is None:
        return True
    window = field.window & _reach(part)
    return any(_mask(part, strip, field.key.tile.epsg).any() for strip in strips_of(window))


def _reach(part: BaseGeometry) -> Window:
    """The window of the pixels whose centres lie in the bounds of a part."""
    if part.area == 0:
        return Window(0, 0, 0, 0)
    left, bottom, right, top = (value / PIXEL_M for value in part.bounds)
    return Window(
        math.ceil(-top - 0.5), math.floor(-bottom - 0.5) + 1,
        math.ceil(left - 0.5), math.floor(right - 0.5) + 1,
    )  # fmt: skip


def _mask(part: BaseGeometry, window: Window, epsg: int) -> NDArray[np.bool_]:
    inside = part.intersection(_box(window))
    if inside.area == 0:
        return np.zeros(window.shape, bool)
    transform = geobox_of(epsg, window).transform
    return geometry_mask([inside], out_shape=window.shape, transform=transform, invert=True)


def _box(window: Window) -> shapely.Polygon:
    return shapely.box(window.x0 * PIXEL_M, -window.y1 * PIXEL_M, window.x1 * PIXEL_M, -window.y0 * PIXEL_M)


def _bounds(epsg: int, window: Window) -> tuple[float, float, float, float]:
    """West, south, east and north of a window with some room, degrees; beyond -180..180 where it reaches there."""
    edge = shapely.segmentize(_box(window).exterior, 2000.0)
    x, y = shapely.get_coordinates(edge).T
    lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(x, y)
    middle = (epsg % 100) * 6.0 - 183.0
    lon = (lon - middle + 180.0) % 360.0 - 180.0 + middle
    return lon.min() - _ROOM_DEG, lat.min() - _ROOM_DEG, lon.max() + _ROOM_DEG, lat.max() + _ROOM_DEG


def _outside(fields: Sequence[Field]) -> str:
    boxes = [_bounds(one.key.tile.epsg, one.window) for one in fields]
    west, south = min(box[0] for box in boxes) + _ROOM_DEG, min(box[1] for box in boxes) + _ROOM_DEG
    east, north = max(box[2] for box in boxes) - _ROOM_DEG, max(box[3] for box in boxes) - _ROOM_DEG
    key = fields[0].key
    return (
        f"no pixel of {key.model} {key.period} lies in the area: its fields lie within W S E N "
        f"{west:.4f} {south:.4f} {east:.4f} {north:.4f}; take an area there, of at least a pixel of 10 m"
    )


# ---- tiles ----


def _touching(fields: list[Field]) -> list[list[Field]]:
    """Groups fields whose tiles share an edge or a corner."""
    groups: list[list[Field]] = []
    for field in fields:
        near = [group for group in groups if any(_neighbours(field, other) for other in group)]
        merged = [field]
        for group in near:
            merged += group
            groups.remove(group)
        groups.append(sorted(merged, key=lambda one: one.key.tile))
    return sorted(groups, key=lambda group: group[0].key.tile)


def _neighbours(one: Field, other: Field) -> bool:
    a, b = one.key.tile, other.key.tile
    return a.epsg == b.epsg and abs(a.col - b.col) <= 1 and abs(a.row - b.row) <= 1
