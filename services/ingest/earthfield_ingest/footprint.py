"""Footprints: where an item lies, in degrees, cut where it crosses the antimeridian."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pystac
import shapely
import shapely.affinity
import shapely.geometry
from shapely.geometry.base import BaseGeometry

_TALL_DEG = 60.0
"""What is taller than this is a map of the world, not an acquisition that crosses the antimeridian."""


def footprint_of(item: pystac.Item) -> BaseGeometry:
    """Gives an item's footprint, cut in two where it crosses the antimeridian.

    Args:
        item: the item; where it has no geometry, or none that can be read, its `bbox` counts.

    Returns:
        Polygons between -180 and 180 degrees; empty where the item does not tell its place.
    """
    shape = _geometry(item.geometry)
    return _boxed(item.bbox) if shape.is_empty else _on_the_globe(shape)


def _geometry(content: Any) -> BaseGeometry:
    try:
        with np.errstate(invalid="ignore"):  # a coordinate that is no number
            shape = shapely.force_2d(shapely.geometry.shape(content)) if content else shapely.Polygon()
    except (shapely.errors.ShapelyError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return shapely.Polygon()
    return shape if _is_finite(shape) else shapely.Polygon()


def _is_finite(shape: BaseGeometry) -> bool:
    coordinates = shapely.get_coordinates(shape)
    return bool(len(coordinates)) and bool((abs(coordinates) < 1e4).all())


def _boxed(bbox: Sequence[Any] | None) -> BaseGeometry:
    """Gives the box that a `bbox` of 4 or 6 numbers tells; one whose east lies west of its west crosses over."""
    if bbox is None or len(bbox) not in (4, 6):
        return shapely.Polygon()
    half = len(bbox) // 2
    try:
        west, south, east, north = (float(one) for one in (*bbox[:2], *bbox[half : half + 2]))
    except (TypeError, ValueError):
        return shapely.Polygon()
    shape = shapely.box(west, south, east + 360 if east < west else east, north)
    return _on_the_globe(shape) if _is_finite(shape) else shapely.Polygon()


def _on_the_globe(shape: BaseGeometry) -> BaseGeometry:
    """Brings every part of a shape between -180 and 180 degrees."""
    parts = [_unwrapped(part) for part in getattr(shape, "geoms", (shape,))]
    return shapely.union_all([piece for part in parts for piece in _turns(part)])


def _unwrapped(part: BaseGeometry) -> BaseGeometry:
    """Makes a polygon whole that jumps from one end of the world to the other.

    One that is wider than half the globe is taken to cross the antimeridian, unless it is as tall as a map of the
    world or would shrink to nothing.
    """
    west, south, east, north = part.bounds
    if east - west > 180 and north - south < _TALL_DEG and part.geom_type == "Polygon":
        turned = shapely.transform(part, lambda xy: xy + [[360.0, 0.0]] * (xy[:, :1] < 0))
        if turned.area > 0:
            part = turned
    return shapely.make_valid(part)


def _turns(part: BaseGeometry) -> list[BaseGeometry]:
    """Cuts a shape at the antimeridian and moves what lies beyond it by whole turns."""
    west, _, east, _ = part.bounds
    if west >= -180 and east <= 180:
        return [part]
    pieces = []
    for turn in (-360.0, 0.0, 360.0):
        piece = part.intersection(shapely.box(turn - 180, -90, turn + 180, 90))
        if not piece.is_empty:
            pieces.append(shapely.affinity.translate(piece, xoff=-turn))
    return pieces
