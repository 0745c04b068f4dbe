"""Cells of a field: what the vector index holds, one row per 8 x 8 px."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyproj import Transformer

from earthfield.codec import DIM
from earthfield.errors import InvalidInput
from earthfield.field import QUALITY_NODATA, Field
from earthfield.grid import PIXEL_M, TILE_PX, Window
from earthfield.storage import hash_of
from earthfield_search.cells.zcurve import places_of

QUALITY_PREFIX = "clear_"
"""Quality layers that count clear observations of a source; each becomes a column of that name."""
_STRIP_PX = 256


def schema_of(model: str, *, dim: int = DIM, space: str = "") -> pa.Schema:
    """Gives the columns that every table has; columns of quality layers follow.

    `row` and `col` count cells of `cell_px` pixels in the zone's grid, so that pixel row = row x cell_px; `lon`
    and `lat` are the cell's centre in degrees, `place` its number on a curve that keeps near cells together;
    `purity` is the length of the mean of its unit vectors, 1 where all its pixels agree; `pixels` counts those
    with data; `start` and `end` bound the valid period.

    Args:
        model: name of the model.
        dim: length of its vectors.
        space: fingerprint of the model, which tells vectors apart that cannot be compared.
    """
    return pa.schema(
        [
            ("tile", pa.string()),
            ("period", pa.string()),
            ("row", pa.int32()),
            ("col", pa.int32()),
            ("cell_px", pa.int16()),
            ("lon", pa.float64()),
            ("lat", pa.float64()),
            ("vector", pa.list_(pa.float16(), dim)),
            ("purity", pa.float32()),
            ("pixels", pa.int32()),
            ("start", pa.timestamp("us", tz="UTC")),
            ("end", pa.timestamp("us", tz="UTC")),
            ("model", pa.string()),
            ("fingerprint", pa.string()),
            ("place", pa.int64()),
        ],
        metadata={"model": model, "dim": str(dim), "space": space},
    )


def fingerprint_of(field: Field, *, cell_px: int) -> str:
    """Gives a hash of everything that a field's cells follow from: its files and the cell's size."""
    told = field.manifest["files"]
    files = {name: told[name]["sha256"] for name in ("embedding.tif", "quality.tif") if name in told}
    return hash_of({"inputs": field.fingerprint, "files": files, "cell_px": cell_px})


def space_of(field: Field) -> str:
    """Gives the fingerprint of the model that made a field: vectors of two such models cannot be compared."""
    return str(field.manifest["model"]["fingerprint"])


def cells_of(field: Field, *, cell_px: int = 8) -> pa.Table:
    """Makes the cells of a field, row by row from the north; cells without any data are left out.

    Args:
        field: the field.
        cell_px: side of a cell in pixels; cells are anchored to the zone's grid and nest in tiles.

    Raises:
        InvalidInput: cells of this size do not nest in a tile.
    """
    check_cell_px(cell_px)
    grid = _cells_over(field.window, cell_px)
    sums, counts, clear = [], [], []
    for strip in _strips(field.window, cell_px):
        total, count = _summed(field.vectors(strip), strip, grid, cell_px)
        sums.append(total)
        counts.append(count)
        clear.append(_clear(field, strip, grid, cell_px))
    layers = {name: np.concatenate([one[name] for one in clear]) for name in clear[0]}
    return _table(field, grid, np.concatenate(sums), np.concatenate(counts), layers, cell_px)


def check_cell_px(cell_px: int) -> None:
    """Makes sure that cells nest in tiles.

    Raises:
        InvalidInput: they do not.
    """
    if not 1 <= cell_px <= 128 or TILE_PX % cell_px:
        raise InvalidInput(
            f"cells of {cell_px} px do not nest in tiles of {TILE_PX}: take 1, 2, 4, 8, .. 128"
        )


def _cells_over(window: Window, cell_px: int) -> Window:
    """The cells that a window touches, counted in cells of the zone's grid."""
    return Window(
        window.y0 // cell_px, -(-window.y1 // cell_px), window.x0 // cell_px, -(-window.x1 // cell_px)
    )


def _strips(window: Window, cell_px: int) -> list[Window]:
    """Cuts a window into strips of whole cells, so that a tile never lies in memory as floats."""
    height = max(_STRIP_PX, cell_px)
    first = window.y0 // height * height
    cuts = [Window(y, y + height, window.x0, window.x1) & window for y in range(first, window.y1, height)]
    return [cut for cut in cuts if cut]


def _on_cells(layer: NDArray[Any], strip: Window, grid: Window, cell_px: int) -> NDArray[np.float32]:
    """Lays (h, w, F) of a strip onto whole cells, zeros around it, and sums each: (rows, cols, F)."""
    rows = _cells_over(strip, cell_px)
    top, left = strip.y0 - rows.y0 * cell_px, strip.x0 - grid.x0 * cell_px
    height, width = (rows.y1 - rows.y0) * cell_px, grid.shape[1] * cell_px
    bottom, right = height - top - layer.shape[0], width - left - layer.shape[1]
    padded = np.pad(layer, ((top, bottom), (left, right), (0, 0)))
    blocks = padded.reshape(height // cell_px, cell_px, width // cell_px, cell_px, -1)
    return np.asarray(blocks.sum(axis=(1, 3)), np.float32)


def _summed(
    vectors: NDArray[np.float32], strip: Window, grid: Window, cell_px: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    there = np.asarray(~np.isnan(vectors).any(axis=-1, keepdims=True))
    total = _on_cells(np.where(there, vectors, np.float32(0)), strip, grid, cell_px)
    count = _on_cells(there.astype(np.float32), strip, grid, cell_px)[..., 0]
    return total, count.astype(np.int32)


def _clear(field: Field, strip: Window, grid: Window, cell_px: int) -> dict[str, NDArray[np.float32]]:
    """Mean count of clear observations per cell, NaN where no pixel has one."""
    means = {}
    for name, layer in field.quality(strip).items():
        if not name.startswith(QUALITY_PREFIX):
            continue
        there = (layer != QUALITY_NODATA)[..., None]
        total = _on_cells(np.where(there, layer[..., None], 0).astype(np.float32), strip, grid, cell_px)
        count = _on_cells(there.astype(np.float32), strip, grid, cell_px)
        with np.errstate(invalid="ignore", divide="ignore"):
            means[name] = np.asarray((total / np.where(count > 0, count, np.nan))[..., 0], np.float32)
    return means


def _table(
    field: Field,
    grid: Window,
    sums: NDArray[np.float32],
    counts: NDArray[np.int32],
    layers: Mapping[str, NDArray[np.float32]],
    cell_px: int,
) -> pa.Table:
    length = np.sqrt(np.square(sums).sum(axis=-1))
    kept = (counts > 0) & (length > 0)
    local_rows, local_cols = np.nonzero(kept)
    rows, cols = local_rows + grid.y0, local_cols + grid.x0
    vectors = (sums[kept] / length[kept][:, None]).astype(np.float16)
    lon, lat = _centres(field.key.tile.epsg, rows, cols, cell_px)
    num, key = len(rows), field.key
    schema = schema_of(key.model, dim=sums.shape[-1], space=space_of(field))
    columns = [
        pa.array([key.tile.id] * num),
        pa.array([key.period.id] * num),
        pa.array(rows, pa.int32()),
        pa.array(cols, pa.int32()),
        pa.array(np.full(num, cell_px), pa.int16()),
        pa.array(lon),
        pa.array(lat),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), sums.shape[-1]),
        pa.array(length[kept] / counts[kept], pa.float32()),
        pa.array(counts[kept], pa.int32()),
        pa.array([key.period.start] * num, schema.field("start").type),
        pa.array([key.period.end] * num, schema.field("end").type),
        pa.array([key.model] * num),
        pa.array([fingerprint_of(field, cell_px=cell_px)] * num),
        pa.array(places_of(lon, lat)),
    ]
    table = pa.Table.from_arrays(columns, schema=schema)
    for name, layer in sorted(layers.items()):
        table = table.append_column(name, pa.array(layer[kept], pa.float32(), from_pandas=True))
    return table


def _centres(
    epsg: int, rows: NDArray[np.integer], cols: NDArray[np.integer], cell_px: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    side = cell_px * PIXEL_M
    lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(
        (cols + 0.5) * side, -(rows + 0.5) * side
    )
    return np.asarray(lon), np.asarray(lat)
