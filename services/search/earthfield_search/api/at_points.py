"""Vectors at many points of one layer; every block of a file is read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from earthfield.field import BLOCK_PX
from earthfield.grid import PIXEL_M, Window
from earthfield_search.api.shelf import Layer
from earthfield_search.ground.comparable import check_comparable


@dataclass(frozen=True)
class PointVectors:
    """What the fields of a layer hold at some points."""

    vectors: NDArray[np.float32]
    """(N, D) unit vectors, NaN where there is none."""
    tiles: list[str]
    """The tile of each point; empty where no field holds it."""


def vectors_at(layer: Layer, places: NDArray[np.float64]) -> PointVectors:
    """Gives the vector of the pixel under each point.

    Args:
        layer: the fields of a model and period.
        places: (N, 2) longitude and latitude, degrees.

    Raises:
        Conflict: the fields were made by different models.
    """
    check_comparable(layer.fields)
    vectors = np.full((len(places), layer.fields[0].dim), np.nan, np.float32)
    tiles = [""] * len(places)
    zones: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    for field in layer.fields:
        epsg, window = field.key.tile.epsg, field.window
        if epsg not in zones:
            zones[epsg] = _pixels(epsg, places)
        rows, cols = zones[epsg]
        inside = (rows >= window.y0) & (rows < window.y1) & (cols >= window.x0) & (cols < window.x1)
        # Neighbouring zones may both hold a point: whichever has a vector tells it.
        wanted = np.flatnonzero(inside & np.isnan(vectors[:, 0]))
        blocks = np.stack([rows[wanted] // BLOCK_PX, cols[wanted] // BLOCK_PX], axis=1)
        for block in np.unique(blocks, axis=0):
            here = wanted[(blocks == block).all(axis=1)]
            y, x = rows[here], cols[here]
            near = Window(int(y.min()), int(y.max()) + 1, int(x.min()), int(x.max()) + 1)
            vectors[here] = field.vectors(near)[y - near.y0, x - near.x0]
            for number in here:
                tiles[number] = field.key.tile.id
    return PointVectors(vectors, tiles)


def _pixels(epsg: int, places: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Gives row and column of each point in a zone's grid; points that the zone cannot hold lie far outside."""
    east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(places[:, 0], places[:, 1])
    parts = [np.floor(values / PIXEL_M) for values in (-np.asarray(north), np.asarray(east))]
    rows, cols = (np.where(np.isfinite(one), one, -1e12).astype(np.int64) for one in parts)
    return rows, cols
