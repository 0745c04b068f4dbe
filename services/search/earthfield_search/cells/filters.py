"""Filters: which cells a question is about, built from typed values and never from text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry, BaseMultipartGeometry

from earthfield.errors import InvalidInput
from earthfield.grid import Tile
from earthfield.storage import hash_of
from earthfield.timeline import Period
from earthfield_search.cells.zcurve import ranges_over

_MOST_BOXES = 8
"""Boxes by which the parts of an area are told to the table; the exact test comes after them."""
_WORLD = shapely.box(-180, -90, 180, 90)

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees, each end inside."""


@dataclass(frozen=True)
class Filter:
    """Which cells; a row must meet every condition that is set.

    Raises:
        InvalidInput: a value is of another kind, or out of range.
    """

    periods: tuple[Period, ...] = ()
    """Valid periods, any of them; every one where empty."""
    tiles: tuple[Tile, ...] = ()
    """Tiles, any of them; every one where empty."""
    area: Geometry | None = None
    """Polygons in EPSG:4326 that hold the cell's centre; across 180 degrees they may run on, or be split."""
    min_purity: float = 0.0
    """Least agreement of a cell's pixels, 0..1."""
    min_pixels: int = 0
    """Fewest pixels with data in a cell."""

    def __post_init__(self) -> None:
        if not all(isinstance(one, Period) for one in self.periods):
            raise InvalidInput(f"the filter's periods {self.periods!r:.80} must be Period values")
        if not all(_is_tile(one) for one in self.tiles):
            raise InvalidInput(
                f"the filter's tiles {self.tiles!r:.80} must be Tile values such as 32631_0048_0549"
            )
        purity, pixels = (
            _number("purity", self.min_purity, 1.0),
            _number("pixels", self.min_pixels, 2**31 - 1),
        )
        # The column is float32: what both types can hold compares the same in either.
        object.__setattr__(self, "min_purity", float(np.float32(purity)))
        object.__setattr__(self, "min_pixels", math.ceil(pixels))
        object.__setattr__(self, "periods", tuple(sorted(set(self.periods))))
        object.__setattr__(self, "tiles", tuple(sorted(set(self.tiles))))
        if self.area is not None:
            object.__setattr__(self, "area", _checked_area(self.area))

    def __hash__(self) -> int:
        return hash(self.key)

    def expression(self, *, by_place: bool = False) -> str | None:
        """Gives the filter as the table reads it; None where every cell passes.

        An area is told by the boxes around its parts: rows outside it but inside a box pass too, unless `is_exact`.

        Args:
            by_place: whether the table has the column `place`, which finds an area without reading every row.
        """
        parts = [
            _one_of("period", [one.id for one in self.periods]),
            _one_of("tile", [one.id for one in self.tiles]),
            _any_of([f"(place >= {first:d} AND place < {end:d})" for first, end in self._places])
            if by_place
            else "",
            _any_of([_box_text(box) for box in self.boxes]),
            f"purity >= {self.min_purity!r}" if self.min_purity > 0 else "",
            f"pixels >= {self.min_pixels:d}" if self.min_pixels > 0 else "",
        ]
        return " AND ".join(part for part in parts if part) or None

    def keeps(self, table: pa.Table | pa.RecordBatch) -> NDArray[np.bool_]:
        """Tells which rows meet every condition, the area by the cell's centre; its edge is inside."""
        kept = np.ones(table.num_rows, bool)
        if self.periods:
            kept &= _is_in(table, "period", [one.id for one in self.periods])
        if self.tiles:
            kept &= _is_in(table, "tile", [one.id for one in self.tiles])
        if self.min_purity > 0:
            kept &= np.asarray(table["purity"]) >= np.float32(self.min_purity)
        if self.min_pixels > 0:
            kept &= np.asarray(table["pixels"]) >= self.min_pixels
        if self.area is not None:
            kept &= self.holds(np.asarray(table["lon"]), np.asarray(table["lat"]))
        return kept

    def holds(self, lon: NDArray[np.floating], lat: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Tells which points in degrees lie in the area; all do where there is none."""
        if self.area is None:
            return np.ones(np.shape(lon), bool)
        shapely.prepare(self.area.geom)
        return np.asarray(shapely.intersects_xy(self.area.geom, lon, lat))

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """Boxes that cover the area together; none where there is no area."""
        if self.area is None:
            return ()
        return tuple(_fewer([part.bounds for part in shapely.get_parts(self.area.geom)]))

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        return [] if self.area is None else ranges_over(self.area.geom)

    @cached_property
    def is_exact(self) -> bool:
        """Whether `expression` alone decides: without an area, or where the area is its boxes."""
        if self.area is None:
            return True
        parts = shapely.get_parts(self.area.geom)
        return len(parts) == len(self.boxes) and all(part.equals(shapely.box(*part.bounds)) for part in parts)

    @cached_property
    def key(self) -> str:
        """One text that tells filters apart, for caches."""
        return hash_of(
            {
                "periods": [one.id for one in self.periods],
                "tiles": [one.id for one in self.tiles],
                "area": None if self.area is None else shapely.to_wkb(self.area.geom, hex=True),
                "purity": self.min_purity,
                "pixels": self.min_pixels,
            }
        )


def _is_tile(value: object) -> bool:
    """Only what its own id leads back to: nothing else than digits then reaches the table."""
    try:
        return isinstance(value, Tile) and Tile.parse(value.id) == value
    except (InvalidInput, ValueError):
        return False


def _number(name: str, value: float, most: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the least {name} of the filter is {value!r:.80}, which is no number") from error
    if not 0 <= number <= most:
        raise InvalidInput(f"the least {name} of the filter is {value!r:.80}; it must lie in 0..{most:g}")
    return number


def _checked_area(area: Geometry) -> Geometry:
    shape = getattr(area, "geom", None)
    if not isinstance(shape, BaseGeometry) or area.crs is None or area.crs.epsg != 4326:
        raise InvalidInput("the filter's area must be a geometry in EPSG:4326")
    west, south, east, north = shape.bounds if not shape.is_empty else (math.nan,) * 4
    if not (-540 <= west <= east <= 540 and -90 <= south <= north <= 90):
        raise InvalidInput(
            "the filter's area is empty or leaves the globe: give polygons in degrees, longitude first"
        )
    whole = shapely.union_all(list(_turns(shapely.force_2d(shapely.make_valid(shape)))))
    flat = [part for part in _flat(whole) if part.area > 0]
    if not flat:
        raise InvalidInput("the filter's area holds no polygon")
    return Geometry(flat[0] if len(flat) == 1 else shapely.MultiPolygon(flat), "EPSG:4326")


def _turns(shape: BaseGeometry) -> Iterator[BaseGeometry]:
    """Lays what runs on beyond 180 degrees onto the globe; polygons only."""
    for part in _flat(shape):
        if _WORLD.covers(part):
            yield part
            continue
        for turn in (0, 360, -360):
            yield translate(part, xoff=turn).intersection(_WORLD)


def _flat(shape: BaseGeometry) -> Iterator[shapely.Polygon]:
    for part in shapely.get_parts(shape):
        if isinstance(part, shapely.Polygon):
            yield part
        elif isinstance(part, BaseMultipartGeometry):
            yield from _flat(part)


def _fewer(boxes: Sequence[Box]) -> Iterable[Box]:
    """Puts boxes that follow one another from west to east together, the nearest first, until few are left."""
    left = sorted(boxes)
    while len(left) > _MOST_BOXES:
        grown = [
            (_size(_hull(one, other)) - _size(one) - _size(other), place)
            for place, (one, other) in enumerate(pairwise(left))
        ]
        _, place = min(grown)
        left[place : place + 2] = [_hull(left[place], left[place + 1])]
    return left


def _hull(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _size(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _box_text(box: Box) -> str:
    west, south, east, north = (float(value) for value in box)
    return f"(lon >= {west!r} AND lon <= {east!r} AND lat >= {south!r} AND lat <= {north!r})"


def _one_of(column: str, ids: Sequence[str]) -> str:
    """Ids are those of periods and tiles: digits and underscores."""
    if len(ids) == 1:
        return f"{column} = '{ids[0]}'"
    return f"{column} IN ({', '.join(repr(one) for one in ids)})" if ids else ""


def _any_of(parts: Sequence[str]) -> str:
    return f"({' OR '.join(parts)})" if len(parts) > 1 else "".join(parts)


def _is_in(table: pa.Table | pa.RecordBatch, column: str, ids: Sequence[str]) -> NDArray[np.bool_]:
    found = pc.is_in(table[column], value_set=pa.array(ids, pa.string()))
    return np.asarray(found.to_numpy(zero_copy_only=False))
