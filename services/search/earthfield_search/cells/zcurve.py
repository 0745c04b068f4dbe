"""One integer for a place, so that near places have near numbers and a table finds an area by a few ranges."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

LEVELS = 20
"""Halvings of 360 by 180 degrees: the smallest square is 38 m wide at the equator, and 19 m high."""
_MASKS = (
    (16, 0x0000FFFF0000FFFF), (8, 0x00FF00FF00FF00FF), (4, 0x0F0F0F0F0F0F0F0F), (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)  # fmt: skip
_SLACK_DEG = 1e-9
"""By how much a square is grown when it is asked whether it touches an area: rounding must lose no place."""


def places_of(lon: NDArray[np.floating], lat: NDArray[np.floating]) -> NDArray[np.int64]:
    """Gives the number of places in degrees along the Z-order curve.

    Source: G. M. Morton, "A computer oriented geodetic data base and a new technique in file sequencing" (1966).
    """
    most = 2**LEVELS - 1
    col = np.clip((np.asarray(lon) + 180.0) / 360.0 * 2.0**LEVELS, 0, most).astype(np.uint64)
    row = np.clip((np.asarray(lat) + 90.0) / 180.0 * 2.0**LEVELS, 0, most).astype(np.uint64)
    return (_spread(col) | (_spread(row) << np.uint64(1))).astype(np.int64)


def ranges_over(area: BaseGeometry, *, most: int = 24) -> list[tuple[int, int]]:
    """Covers an area in degrees by half-open ranges of places, about `most` at most, sorted.

    Every place in the area lies in one of them; places outside may too.
    """
    shapely.prepare(area)
    # Level, column and row of a square; the largest is cut first.
    border: list[tuple[int, int, int]] = [(0, 0, 0)]
    kept: list[tuple[int, int, int]] = []
    while border and border[0][0] < LEVELS and len(border) + len(kept) < most:
        level, col, row = heapq.heappop(border)
        quarters = [(level + 1, 2 * col + right, 2 * row + up) for right in (0, 1) for up in (0, 1)]
        touching = shapely.intersects(area, _squares(quarters, slack=_SLACK_DEG))
        within = shapely.covers(area, _squares(quarters, slack=0.0))
        for quarter, touches, whole in zip(quarters, touching, within, strict=True):
            if whole:
                kept.append(quarter)
            elif touches:
                heapq.heappush(border, quarter)
    return _joined(sorted(_range(*square) for square in kept + border))


def places_sql() -> str:
    """Gives what `places_of` computes as the table computes it, for rows that were written without it."""
    col = f"cast((lon + 180.0) / 360.0 * {2.0**LEVELS!r} as bigint)"
    row = f"cast((lat + 90.0) / 180.0 * {2.0**LEVELS!r} as bigint)"
    return " + ".join(
        f"(({value} / {2**bit}) % 2) * {4**bit * first}"
        for value, first in ((col, 1), (row, 2))
        for bit in range(LEVELS)
    )


def _spread(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Puts a zero between each two bits."""
    for shift, mask in _MASKS:
        values = (values | (values << np.uint64(shift))) & np.uint64(mask)
    return values


def _squares(quarters: Sequence[tuple[int, int, int]], *, slack: float) -> NDArray[np.object_]:
    level, col, row = np.array(quarters).T
    width, height = 360.0 / 2.0**level, 180.0 / 2.0**level
    west, south = -180 + col * width, -90 + row * height
    return np.asarray(
        shapely.box(west - slack, south - slack, west + width + slack, south + height + slack), object
    )


def _range(level: int, col: int, row: int) -> tuple[int, int]:
    first = int(
        _spread(np.array([col], np.uint64))[0] | _spread(np.array([row], np.uint64))[0] << np.uint64(1)
    )
    below = 2 * (LEVELS - level)
    return first << below, (first + 1) << below


def _joined(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for first, end in ranges:
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], end)
        else:
            found.append((first, end))
    return found
