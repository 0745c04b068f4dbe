"""Spatial blocks in metres, anywhere on the globe: which labels are near one another, and folds of such blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_EARTH_M = 6_371_008.8
_SMALLEST_M = 20.0
_FOLDS = 5
_DEALS = 200
_HELD = 3
"""Blocks that every class should lie in: one to be tested on, and others to learn from."""


@dataclass(frozen=True)
class Blocks:
    """Squares of the ground that labels lie in."""

    number: NDArray[np.intp]
    """(N,) number of the block of each training vector; those of one polygon share the block of its middle."""
    side_m: float
    """Side of a block, metres."""
    place: NDArray[np.float64]
    """(N, 3) each vector's place in metres from the middle of the Earth, so that distances hold across zones."""
    unit: NDArray[np.intp]
    """(N,) the label that each vector comes from."""

    @property
    def count(self) -> int:
        """Blocks with a label."""
        return len(np.unique(self.number))

    def outside(self, test: NDArray[np.bool_], rim_m: float) -> NDArray[np.bool_]:
        """Tells which vectors lie farther than a rim from every one of a test."""
        near = cKDTree(self.place[test]).query(self.place[~test], distance_upper_bound=rim_m)[0]
        found = np.zeros(len(test), bool)
        found[~test] = ~np.isfinite(near)
        return found


def lay_blocks(
    lon: NDArray[np.floating],
    lat: NDArray[np.floating],
    unit: NDArray[np.intp],
    kinds: NDArray[np.integer],
    *,
    side_m: float | None = None,
) -> Blocks:
    """Lays blocks over the places of training vectors.

    Args:
        lon: (N,) degrees.
        lat: (N,) degrees.
        unit: (N,) number of the point or polygon that each vector comes from.
        kinds: (N,) class of each; blocks are made so that each lies in three, where it can.
        side_m: side of a block; when absent a quarter of the extent, halved until that holds.
    """
    radians, north = np.radians(lon), np.radians(lat)
    place = _EARTH_M * np.stack(
        [np.cos(north) * np.cos(radians), np.cos(north) * np.sin(radians), np.sin(north)], axis=1
    )
    _, own = np.unique(unit, return_inverse=True)
    size = np.bincount(own)
    # Where a polygon lies is the mean of its pixels.
    lon_of, lat_of = (np.bincount(own, weights=one) / size for one in (lon, lat))
    if side_m is not None:
        number = _squares(lon_of, lat_of, side_m)
    else:
        kind_of = np.zeros(len(size), kinds.dtype)
        kind_of[own] = kinds
        side_m, number = _fitting(lon_of, lat_of, kind_of)
    return Blocks(np.asarray(number[own], np.intp), float(side_m), place, np.asarray(unit, np.intp))


def _fitting(
    lon: NDArray[np.float64], lat: NDArray[np.float64], kinds: NDArray[np.integer]
) -> tuple[float, NDArray[np.intp]]:
    """The largest blocks of which there are enough, and every class lies in enough; or as near as it gets."""
    north = np.radians(lat)
    high = _EARTH_M * np.ptp(north)
    wide = _EARTH_M * np.ptp(np.radians(lon)) * np.cos(north.mean())
    side = max(high, wide, _SMALLEST_M) / 4
    best: tuple[int, float, NDArray[np.intp]] | None = None
    while best is None or side >= _SMALLEST_M:
        number = _squares(lon, lat, side)
        fewest = min(len(np.unique(number[kinds == code])) for code in np.unique(kinds))
        # Fewer blocks than folds are as bad as a class in too few.
        worth = min(fewest, _HELD) + (len(np.unique(number)) >= _FOLDS)
        if best is None or worth > best[0]:
            best = worth, side, number
        if worth > _HELD:
            break
        side /= 2
    return best[1], best[2]


def _squares(lon: NDArray[np.float64], lat: NDArray[np.float64], side_m: float) -> NDArray[np.intp]:
    """Number of the block of each place: rows of one height, cut into pieces of one width on the ground."""
    row = np.floor(_EARTH_M * np.radians(lat - lat.min()) / side_m + 1e-9)
    middle = np.radians(lat.min()) + (row + 0.5) * side_m / _EARTH_M
    col = np.floor(_EARTH_M * np.radians(lon - lon.min()) * np.cos(middle) / side_m + 1e-9)
    _, number = np.unique(np.stack([row, col], axis=1), axis=0, return_inverse=True)
    return np.asarray(number.ravel(), np.intp)


def deal_blocks(
    blocks: Blocks, kinds: NDArray[np.integer], *, folds: int = _FOLDS, seed: int = 0
) -> list[NDArray[np.bool_]]:
    """Deals blocks into folds, of many deals the one whose folds hold and leave most classes.

    Args:
        blocks: the blocks.
        kinds: (N,) class of each vector.
        folds: how many parts at most.
        seed: of the deals.

    Returns:
        For each fold which vectors (N,) are its test.
    """
    rng = np.random.default_rng(seed)
    _, number = np.unique(kinds, return_inverse=True)
    held = np.zeros((int(blocks.number.max()) + 1, int(number.max()) + 1), int)
    np.add.at(held, (blocks.number, number), 1)
    there = np.unique(blocks.number)
    folds = min(folds, len(there))
    best: tuple[tuple[int, int, int], list[NDArray[np.intp]]] | None = None
    for _ in range(_DEALS):
        order = rng.permutation(there)
        deal = [order[fold::folds] for fold in range(folds)]
        inside = np.stack([held[own].sum(axis=0) for own in deal])
        left = held.sum(axis=0) - inside
        worth = (int((left > 0).sum()), int((inside > 0).sum()), int(left.min()))
        if best is None or worth > best[0]:
            best = worth, deal
    assert best is not None
    return [np.isin(blocks.number, own) for own in best[1]]
