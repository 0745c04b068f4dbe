"""Shapes: an area put so that a catalogue's server can take it, never smaller than it is."""

from __future__ import annotations

import math

import shapely
from shapely.geometry.base import BaseGeometry

MAX_VERTICES = 500
"""Vertices of an area that is sent as it is; servers refuse or choke on many more."""
MAX_BOXES = 64
"""Boxes that an area is described with at most."""
_FOOTPRINT_KM = 350.0
_DEGREE_KM = 111.0
_TOLERANCES_DEG = (0.001, 0.005, 0.02, 0.1, 0.5)

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees, west < east."""


def reachable(area: BaseGeometry) -> BaseGeometry:
    """Widens an area beside the antimeridian by a footprint's length.

    Many providers write footprints across the antimeridian as if they went round the other way. A server that
    takes them so finds them on neither side of a small area, but always where their corners are.
    """
    strips = []
    for part in shapely.get_parts(area):
        west, south, east, north = part.bounds
        margin = _FOOTPRINT_KM / _DEGREE_KM
        south, north = max(south - margin, -90.0), min(north + margin, 90.0)
        steepest = min(max(abs(south), abs(north)), 85.0)
        width = margin / math.cos(math.radians(steepest))
        if east > 180 - width or west < -180 + width:
            strips += [
                shapely.box(180 - width, south, 180, north),
                shapely.box(-180, south, width - 180, north),
            ]
    return shapely.union_all([area, *strips]) if strips else area


def plain(area: BaseGeometry) -> BaseGeometry:
    """Gives an area with few vertices that covers the given one: itself, or as smooth an outline as that takes."""
    if shapely.get_num_coordinates(area) <= MAX_VERTICES:
        return area
    for tolerance in _TOLERANCES_DEG:
        # Simplified by less than it was widened, so that nothing is lost.
        smooth = area.buffer(2 * tolerance, quad_segs=2).simplify(tolerance)
        shape = smooth.intersection(shapely.box(-180, -90, 180, 90))
        if shapely.get_num_coordinates(shape) <= MAX_VERTICES:
            return shape
    return shapely.union_all([shapely.box(*half.bounds) for half in _halves(area)])


def boxes(area: BaseGeometry) -> list[Box]:
    """Gives boxes that cover an area together, one a part where there are few; none crosses the antimeridian."""
    parts = list(shapely.get_parts(area))
    return [part.bounds for part in (parts if len(parts) <= MAX_BOXES else _halves(area))]


def sides(area: BaseGeometry) -> list[Box]:
    """Gives the box of an area, or two where it lies on both sides of the antimeridian."""
    return [half.bounds for half in _halves(area)]


def _halves(area: BaseGeometry) -> list[BaseGeometry]:
    west, _, east, _ = area.bounds
    if not (west <= -180 and east >= 180):
        return [area]
    both = (area.intersection(shapely.box(-180, -90, 0, 90)), area.intersection(shapely.box(0, -90, 180, 90)))
    return [half for half in both if not half.is_empty]
