"""Parcels: how the open land is cut into fields, and where their borders run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from earthfield.simulate.arrays import Bools, Floats, Ints
from earthfield.simulate.canvas import PIXEL_M, Canvas
from earthfield.simulate.noise import fractal, hashed, stream
from earthfield.simulate.style import Style

_CHUNK_ROWS = 512
"""Rows worked on at a time, to bound memory."""
_LONG = {"strips": 5.0, "polder": 5.5, "open": 1.7, "large": 1.3, "terrace": 3.2, "pivot": 1.0}
"""Length of a field over its width, by pattern."""


@dataclass(frozen=True)
class Parcels:
    """The cut of the land; arrays (rows, cols) of the canvas."""

    parcel: Ints
    """Parcel number of each pixel, 0 to num - 1."""
    block: Ints
    """Number of the block of like-laid parcels, 0 to num_blocks - 1."""
    border: Bools
    """Pixels on a parcel's edge."""
    block_border: Bools
    """Pixels on a block's edge."""
    long_border: Bools
    """Pixels on the long side of a parcel: where ditches run in polders."""
    outside_circle: Bools
    """Corners that a pivot's arm does not reach."""
    num: int
    """Number of parcels."""
    num_blocks: int
    """Number of blocks."""
    block_of: Ints
    """Block of each parcel, shape (num,)."""


@dataclass(frozen=True)
class _Blocks:
    """Voronoi blocks and how each is cut; arrays (num_blocks,)."""

    centre: NDArray[np.float64]
    angle: NDArray[np.float64]
    across_m: NDArray[np.float64]
    along_m: NDArray[np.float64]


def _blocks_of(seed: int, style: Style, canvas: Canvas) -> _Blocks:
    """Jittered grid of block centres with the angle and field size of each."""
    rng = stream(seed, "blocks")
    height, width = canvas.shape[0] * PIXEL_M, canvas.shape[1] * PIXEL_M
    spacing = max(420.0, 4.2 * style.field_m)
    rows, cols = math.ceil(height / spacing) + 2, math.ceil(width / spacing) + 2
    grid = np.stack(np.meshgrid(np.arange(rows) - 0.5, np.arange(cols) - 0.5, indexing="ij"), -1).reshape(
        -1, 2
    )
    centre = (grid + rng.uniform(-0.42, 0.42, grid.shape)) * spacing
    main = rng.uniform(0.0, math.pi)
    turn = 0.0 if style.pattern in ("pivot", "large") else rng.normal(0.0, 0.45, len(centre))
    across = style.field_m * np.exp(rng.normal(0.0, 0.3, len(centre)))
    along = across * _LONG.get(style.pattern, 1.9) * np.exp(rng.normal(0.0, 0.25, len(centre)))
    if style.pattern == "pivot":
        across = along = np.full(len(centre), style.field_m)
    return _Blocks(centre, np.asarray(main + turn + np.zeros(len(centre))), across, along)


def _cut(position: Floats, *keys: NDArray[np.int64], jitter: float, salt: int) -> NDArray[np.int64]:
    """Number the cells along an axis whose cuts are moved at random by up to jitter / 2 of a cell."""
    whole = np.floor(position).astype(np.int64)
    moved = 0.5 + jitter * (hashed(*keys, whole, salt=salt) - 0.5)
    return whole + ((position - whole) > moved)


def _chunk(
    blocks: _Blocks, tree: cKDTree, style: Style, x: Floats, y: Floats, salt: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Bools]:
    """Block, column and row number of each pixel of some rows, and where a pivot does not reach."""
    _, block = tree.query(np.stack([y.ravel(), x.ravel()], -1))
    block = np.asarray(block, np.int64).reshape(x.shape)
    if style.pattern == "pivot":
        block_for_angle = np.zeros_like(block)
        dy, dx = y, x
    else:
        block_for_angle = block
        dy, dx = y - blocks.centre[block, 0], x - blocks.centre[block, 1]
    cos, sin = np.cos(blocks.angle[block_for_angle]), np.sin(blocks.angle[block_for_angle])
    u = (dx * cos + dy * sin) / blocks.across_m[block]
    v = (dy * cos - dx * sin) / blocks.along_m[block]
    if style.pattern == "pivot":
        column, row = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
        outside = np.hypot(u - column - 0.5, v - row - 0.5) > 0.47
        return np.zeros_like(block), column, row, outside
    column = _cut(u.astype(np.float32), block, jitter=0.85, salt=salt)
    stretch = 0.65 + 0.9 * hashed(block, column, salt=salt + 1)
    row = _cut((v / stretch).astype(np.float32), block, column, jitter=0.85, salt=salt + 2)
    return block, column, row, np.zeros(block.shape, np.bool_)


def parcels_of(seed: int, style: Style, canvas: Canvas) -> Parcels:
    """Cut the whole canvas into parcels: rotated grids inside Voronoi blocks, borders bent by slow noise."""
    blocks = _blocks_of(seed, style, canvas)
    tree = cKDTree(blocks.centre)
    rng = stream(seed, "parcel bends")
    bend_m = 0.0 if style.pattern in ("pivot", "large", "polder") else 0.16 * style.field_m
    if style.pattern == "terrace":
        bend_m = 0.8 * style.field_m
    bend_x = np.float32(bend_m) * fractal(rng, canvas.shape, 40.0, octaves=2)
    bend_y = np.float32(bend_m) * fractal(rng, canvas.shape, 40.0, octaves=2)
    rows, cols = canvas.shape
    key, column_key = np.empty(canvas.shape, np.int64), np.empty(canvas.shape, np.int64)
    block, outside = np.empty(canvas.shape, np.int32), np.empty(canvas.shape, np.bool_)
    salt = int(stream(seed, "parcel salt").integers(2**31))
    for top in range(0, rows, _CHUNK_ROWS):
        part = slice(top, min(rows, top + _CHUNK_ROWS))
        y, x = np.mgrid[part, 0:cols].astype(np.float32) * np.float32(PIXEL_M)
        b, column, row, out = _chunk(blocks, tree, style, x + bend_x[part], y + bend_y[part], salt)
        block[part], outside[part] = b, out
        column_key[part] = (b << 20) + column + (1 << 10)
        key[part] = (column_key[part] << 20) + row + (1 << 10)
    known, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    parcel = inverse.reshape(canvas.shape).astype(np.int32)
    return Parcels(
        parcel=parcel,
        block=block,
        border=_edges(parcel),
        block_border=_edges(block),
        long_border=_edges(column_key),
        outside_circle=outside,
        num=len(known),
        num_blocks=len(blocks.centre),
        block_of=block.ravel()[first],
    )


def _edges(labels: NDArray[np.int32] | NDArray[np.int64]) -> Bools:
    """Pixels whose right or lower neighbour has another label."""
    edge = np.zeros(labels.shape, np.bool_)
    edge[:, :-1] = labels[:, 1:] != labels[:, :-1]
    edge[:-1] |= labels[1:] != labels[:-1]
    return edge
