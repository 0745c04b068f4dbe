"""What fields cover together: touching tiles of one zone as one raster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from odc.geo.geobox import GeoBox

from earthfield.field import Field
from earthfield.grid import Window, geobox_of
from earthfield.storage import hash_of

_STRIP_PX = 256


@dataclass(frozen=True)
class Coverage:
    """Fields of one zone and one period whose tiles touch."""

    epsg: int
    """The zone."""
    window: Window
    """The smallest window of the zone's grid that holds all of them."""
    fields: tuple[Field, ...]
    """The fields, sorted by tile."""
    suffix: str
    """Tells this raster's file from those of other coverages; empty where there is only one."""

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
        """Yields every field in strips that fit into memory."""
        for field in self.fields:
            for window in strips_of(field.window):
                yield field, window


def strips_of(window: Window) -> list[Window]:
    """Cuts a window into strips on the lattice of the files' blocks."""
    first = window.y0 // _STRIP_PX * _STRIP_PX
    cuts = [
        Window(y, y + _STRIP_PX, window.x0, window.x1) & window for y in range(first, window.y1, _STRIP_PX)
    ]
    return [cut for cut in cuts if cut]


def coverages(fields: Sequence[Field]) -> list[Coverage]:
    """Puts fields of one period together: one coverage for each zone and each group of touching tiles."""
    groups = _touching(sorted(fields, key=lambda one: one.key.tile))
    found = []
    for group in groups:
        window = group[0].window
        for field in group[1:]:
            window |= field.window
        suffix = f"_{group[0].key.tile.id}" if len(groups) > 1 else ""
        found.append(Coverage(group[0].key.tile.epsg, window, tuple(group), suffix))
    return found


def fingerprint_of(fields: Sequence[Field]) -> str:
    """Gives a hash of what some fields were made from."""
    return hash_of([[one.key.id, one.fingerprint] for one in fields])


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
