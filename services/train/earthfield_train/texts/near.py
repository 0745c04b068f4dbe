"""Which texts lie in or near a piece of land."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from scipy.spatial import cKDTree

from earthfield.catalog import Catalog
from earthfield.grid import PIXEL_M, Window
from earthfield.texttable import read_texts


class Place(Protocol):
    """A piece of land; a plot of the sampler is one."""

    @property
    def epsg(self) -> int:
        """UTM zone."""
        ...

    @property
    def window(self) -> Window:
        """Its pixels in the zone's grid."""
        ...


@dataclass(frozen=True)
class _Zone:
    """All texts in metres of one UTM zone."""

    tree: cKDTree
    """Of (east, south) of the usable ones; pixel rows run south."""
    index: NDArray[np.intp]
    """Their places among all texts."""


class PlacedIndex:
    """Answers which texts lie within a piece of land, or near it, nearest first."""

    def __init__(self, lonlat: NDArray[np.float64], texts: Sequence[str]) -> None:
        """Args: (N, 2) longitude and latitude, degrees; N texts."""
        self.texts = tuple(texts)
        self._lonlat = lonlat
        self._zones: dict[int, _Zone] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def near(self, place: Place, reach_m: float = 0.0) -> list[tuple[int, float]]:
        """Finds texts by their distance to a place.

        Args:
            place: the piece of land.
            reach_m: how far outside a text may lie, metres.

        Returns:
            Places among `texts`, and metres (0 inside): nearest first, then in the tables' order.
        """
        epsg, window = place.epsg, place.window
        zone = self._zones.get(epsg) or self._zones.setdefault(epsg, self._zone(epsg))
        south, south_end, east, east_end = (
            edge * PIXEL_M for edge in (window.y0, window.y1, window.x0, window.x1)
        )
        centre = np.array([(east + east_end) / 2, (south + south_end) / 2])
        half = np.array([(east_end - east) / 2, (south_end - south) / 2])
        around = np.asarray(
            zone.tree.query_ball_point(centre, float(np.hypot(*half)) + reach_m + 1e-6), np.intp
        )
        outside = np.maximum(np.abs(zone.tree.data[around] - centre) - half, 0.0)
        metres = np.hypot(*outside.T)
        found = [(int(zone.index[i]), float(m)) for i, m in zip(around, metres, strict=True) if m <= reach_m]
        return sorted(found, key=lambda one: (one[1], one[0]))

    def _zone(self, epsg: int) -> _Zone:
        if not len(self._lonlat):
            return _Zone(cKDTree(np.empty((0, 2))), np.empty(0, np.intp))
        lon, lat = self._lonlat.T
        # A projection is of no use far from its zone, and folds over beyond 90 degrees.
        middle = (epsg % 100) * 6 - 183
        close = np.abs((lon - middle + 180) % 360 - 180) < 10
        east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon[close], lat[close])
        at = np.stack([east, -np.asarray(north)], -1)
        usable = np.isfinite(at).all(-1)
        return _Zone(cKDTree(at[usable]), np.flatnonzero(close)[usable])


def texts_under(roots: Sequence[Path]) -> PlacedIndex:
    """Reads every table of texts under some roots; errors as in `read_texts`."""
    tables = [read_texts(path) for root in roots for path in Catalog(root).text_tables()]
    lonlat = np.concatenate([one.lonlat for one in tables]) if tables else np.empty((0, 2))
    return PlacedIndex(lonlat, [text for one in tables for text in one.texts])
