"""Towns and villages: where they lie, and the streets, houses, gardens and works inside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from earthfield.simulate.arrays import Bools, Codes, Floats
from earthfield.simulate.canvas import PIXEL_M, Canvas
from earthfield.simulate.covers import CODE
from earthfield.simulate.noise import fractal, hashed, stream
from earthfield.simulate.style import Style


@dataclass(frozen=True)
class Towns:
    """Built-up places."""

    density: Floats
    """How built-up each pixel is, 0 in the country to 1 in a centre, shape (rows, cols)."""
    centres: tuple[tuple[float, float], ...]
    """Row and column of each place."""


def towns_of(seed: int, style: Style, canvas: Canvas) -> Towns:
    """Scatter places of all sizes until about the style's share of the land is built up."""
    rng = stream(seed, "towns")
    rows, cols = canvas.shape
    budget = style.town * rows * cols
    density = np.zeros(canvas.shape, np.float32)
    wobble = fractal(rng, canvas.shape, 34.0, octaves=3)
    centres: list[tuple[float, float]] = []
    while budget > 60.0 and len(centres) < 4000:
        radius = min(float(rng.pareto(1.3) + 0.6) * 13.0, math.sqrt(budget / 2.6), 140.0)
        row, col = rng.uniform(0, rows), rng.uniform(0, cols)
        _add(density, wobble, row, col, radius)
        centres.append((float(row), float(col)))
        budget -= math.pi * radius**2 * 0.8
        budget -= 30.0
    return Towns(density, tuple(centres))


def _add(density: Floats, wobble: Floats, row: float, col: float, radius: float) -> None:
    """Raise the density around one centre, in place."""
    reach = int(2.4 * radius) + 2
    rows = slice(max(0, int(row) - reach), int(row) + reach)
    cols = slice(max(0, int(col) - reach), int(col) + reach)
    window = density[rows, cols]
    y, x = np.ogrid[rows.start : rows.start + window.shape[0], cols.start : cols.start + window.shape[1]]
    away = np.hypot(y - row, x - col) / radius + 0.4 * wobble[rows, cols]
    np.maximum(window, np.clip(1.25 - away, 0.0, 1.0), out=window)


def fabric(seed: int, canvas: Canvas, density: Floats, where: Bools) -> Codes:
    """Surfaces of built-up pixels: streets in a turned grid, houses and gardens, works with wide roofs.

    Args:
        seed: Seed of the landscape.
        canvas: Its grids.
        density: How built-up each pixel is, 0 to 1.
        where: Pixels to fill; others stay 0.
    """
    rng = stream(seed, "fabric")
    salt = int(rng.integers(2**31))
    row, col = (part.astype(np.float32) for part in np.nonzero(where))
    bend = 2.2 * fractal(rng, canvas.shape, 45.0, octaves=2)[where]
    angle = float(rng.uniform(0, math.pi / 2))
    u = (col * math.cos(angle) + row * math.sin(angle) + bend) * PIXEL_M
    v = (row * math.cos(angle) - col * math.sin(angle) + bend) * PIXEL_M
    long_m, deep_m = float(rng.uniform(90, 190)), float(rng.uniform(60, 105))
    bu, bv = np.floor(u / long_m).astype(np.int64), np.floor(v / deep_m).astype(np.int64)
    in_u, in_v = u - bu * long_m, v - bv * deep_m
    block = hashed(bu, bv, salt=salt)
    dense = density[where]
    out = _blocks(block, dense, in_u, in_v, bu, bv, deep_m, salt)
    out[(in_u < 11.0) | (in_v < 11.0)] = CODE["asphalt_road"]
    filled = np.zeros(canvas.shape, np.uint8)
    filled[where] = out
    return filled


def _blocks(
    block: Floats,
    dense: Floats,
    in_u: Floats,
    in_v: Floats,
    bu: np.ndarray,
    bv: np.ndarray,
    deep_m: float,
    salt: int,
) -> Codes:
    """What lies inside the street blocks: houses in rows, works, parks, or a dense core."""
    lot = hashed(
        bu, bv, np.floor(in_u / 16.0).astype(np.int64), np.floor(in_v / 16.0).astype(np.int64), salt=salt + 1
    )
    roofs = np.array([CODE[name] for name in ("tile_roof", "dark_roof", "flat_roof", "metal_roof")], np.uint8)
    common = np.searchsorted([0.5, 0.8, 0.93], hashed(bu, bv, salt=salt + 2))
    odd = np.searchsorted([0.45, 0.75, 0.94], lot)
    roof = roofs[np.where(hashed(bu, bv, lot * 997, salt=salt + 5) < 0.7, common, odd)]
    near_street = np.minimum(in_v, deep_m - in_v) < 32.0
    housed = near_street & (lot < 0.42 + 0.5 * dense)
    out = np.where(housed, roof, CODE["garden"]).astype(np.uint8)
    out[(dense > 0.75) & (lot > 0.85)] = CODE["paved_yard"]
    works = (block > 0.8) & (dense < 0.8)
    hall = (
        (in_u > 24.0)
        & (in_v > 24.0)
        & (hashed(bu, bv, np.floor(in_u / 60.0).astype(np.int64), salt=salt + 3) < 0.75)
    )
    halls = np.where(hashed(bu, bv, salt=salt + 4) < 0.6, CODE["metal_roof"], CODE["flat_roof"])
    out[works] = np.where(hall, halls, CODE["paved_yard"])[works]
    out[block < 0.06] = CODE["park"]
    return out
