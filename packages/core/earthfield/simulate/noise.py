"""Seeded randomness: independent streams by name, and smooth noise fields."""

from __future__ import annotations

import math
import zlib
from functools import lru_cache

import numpy as np
from scipy import sparse

from earthfield.simulate.arrays import Floats

_SPLINE_STD = 151.0 / 315.0
"""Standard deviation of a cubic B-spline surface over unit white noise (the integral of B3 squared)."""


def stream(seed: int, name: str, *keys: int) -> np.random.Generator:
    """A random generator of its own for each (seed, name, keys), whatever else was drawn before it."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *keys])


@lru_cache(maxsize=64)
def _spline_weights(num_out: int, cell_px: float, num_nodes: int) -> sparse.csr_array:
    """Matrix (num_out, num_nodes) that evaluates a periodic cubic B-spline at pixel centres."""
    position = (np.arange(num_out) + 0.5) / cell_px
    base = np.floor(position).astype(np.int64)
    f = position - base
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3]) / 6.0
    cols = (base[None, :] + np.arange(-1, 3)[:, None]) % num_nodes
    rows = np.broadcast_to(np.arange(num_out), cols.shape)
    entries = (weights.ravel().astype(np.float32), (rows.ravel(), cols.ravel()))
    return sparse.csr_array(entries, shape=(num_out, num_nodes))


def _axis_weights(num_out: int, cell_px: float, periodic: bool) -> sparse.csr_array:
    """Weights of one axis; a periodic axis closes on itself, another one never meets its own start."""
    if periodic:
        num_nodes = max(4, round(num_out / cell_px))
        return _spline_weights(num_out, num_out / num_nodes, num_nodes)
    return _spline_weights(num_out, cell_px, math.ceil(num_out / cell_px) + 4)


def smooth(
    rng: np.random.Generator, shape: tuple[int, int], cell_px: float, *, periodic: bool = False
) -> Floats:
    """Smooth noise of zero mean and about unit variance.

    Args:
        rng: Where the node values come from.
        shape: Rows and columns of the result.
        cell_px: Distance between independent nodes, pixels; below 2 the result is plain white noise.
        periodic: Whether the right edge continues at the left one (so that a rolled field has no seam).
    """
    if cell_px < 2.0:
        return rng.standard_normal(shape, dtype=np.float32)
    down = _axis_weights(shape[0], cell_px, periodic)
    across = _axis_weights(shape[1], cell_px, periodic)
    nodes = rng.standard_normal((down.shape[1], across.shape[1]), dtype=np.float32)
    field: Floats = np.ascontiguousarray((across @ (down @ nodes).T).T, dtype=np.float32)
    field /= _SPLINE_STD
    return field


def fractal(
    rng: np.random.Generator,
    shape: tuple[int, int],
    cell_px: float,
    *,
    octaves: int = 4,
    gain: float = 0.5,
    periodic: bool = False,
) -> Floats:
    """Noise with detail at `octaves` scales, each half as coarse and `gain` times as strong as the last."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        total += np.float32(gain**octave) * smooth(rng, shape, cell_px / 2**octave, periodic=periodic)
    total /= np.float32(math.sqrt(sum(gain ** (2 * octave) for octave in range(octaves))))
    return total


def hashed(*keys: Floats | np.ndarray[tuple[int, ...], np.dtype[np.int64]] | int, salt: int) -> Floats:
    """A fixed pseudo-random number in [0, 1) for each combination of integer keys (arrays broadcast)."""
    state = np.uint64((salt * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    mixed = np.asarray(state)
    for key in keys:
        mixed = mixed ^ (np.asarray(key).astype(np.int64).view(np.uint64) + np.uint64(0x9E3779B9))
        mixed = mixed * np.uint64(0xBF58476D1CE4E5B9)
        mixed = mixed ^ (mixed >> np.uint64(29))
        mixed = mixed * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(32))
    return ((mixed >> np.uint64(40)).astype(np.float32)) / np.float32(2**24)
