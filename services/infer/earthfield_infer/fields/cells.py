"""Cells of fields as GeoParquet: one row per square of pixels, along a Hilbert curve, with a covering box."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield.grid import PIXEL_M, TILE_PX, Window
from earthfield.progress import Progress, silent
from earthfield.storage import whole_file
from earthfield_analysis.pool import pooled, purity
from earthfield_infer.fields.choose import Part, same_kind, strips

_ORDER = 15
"""Bits of the Hilbert curve for each axis: 1.2 km squares at the equator order tiles; inside one, cells are ordered
by the curve over the tile itself."""


def to_cells(parts: Sequence[Part], path: Path, *, cell_px: int = 8, progress: Progress = silent) -> int:
    """Writes the cells of fields and gives how many.

    Tiles stand along a Hilbert curve over the globe and cells along one inside their tile, a row group for each
    field, so that a reader skips by box what is elsewhere, and no more than one field lies in memory.

    Args:
        parts: what to write, of one model.
        path: the `.parquet` file.
        cell_px: side of a cell in pixels; 1, 2, 4 .. 128.
        progress: told of each field.

    Raises:
        InvalidInput: cells that do not nest in tiles, or fields of different versions of a model.
        Unavailable: the disk is full.
    """
    if not 1 <= cell_px <= 128 or TILE_PX % cell_px:
        raise InvalidInput(
            f"cells of {cell_px} px do not nest in tiles of {TILE_PX}: take 1, 2, 4, 8, .. 128"
        )
    same_kind(parts)
    ordered = sorted(parts, key=lambda part: (_tile_place(part), part.key.period))
    bounds, num_cells = [], 0
    with whole_file(path) as temporary:
        writer = pq.ParquetWriter(temporary, _schema(parts[0]), compression="zstd")
        try:
            for done, part in enumerate(ordered):
                progress("convert", done, len(ordered))
                table, box = _cells(part, cell_px)
                if table.num_rows:
                    writer.write_table(table, row_group_size=table.num_rows)
                    bounds.append(box)
                    num_cells += table.num_rows
            writer.add_key_value_metadata({"geo": json.dumps(_geo(bounds))})
        finally:
            writer.close()
    progress("convert", len(ordered), len(ordered))
    return num_cells


def _schema(part: Part) -> pa.Schema:
    box = pa.struct([(side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")])
    embedding, key = part.embedding, part.key
    return pa.schema(
        [
            ("tile", pa.string()),
            ("period", pa.string()),
            ("start", pa.timestamp("us", tz="UTC")),
            ("end", pa.timestamp("us", tz="UTC")),
            ("row", pa.int32()),
            ("col", pa.int32()),
            ("cell_px", pa.int16()),
            ("vector", pa.list_(pa.float32(), embedding.dimensions)),
            ("purity", pa.float32()),
            ("pixels", pa.int32()),
            ("geometry", pa.binary()),
            ("bbox", box),
        ],
        metadata={"model": key.model, "fingerprint": part.fingerprint},
    )


def _geo(bounds: Sequence[tuple[float, ...]]) -> dict[str, Any]:
    """Gives the file's `geo` metadata (GeoParquet 1.1)."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": CRS.from_user_input("OGC:CRS84").to_json_dict(),
        "covering": {"bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}},
    }
    if bounds:
        west, south, east, north = zip(*bounds, strict=True)
        column["bbox"] = [min(west), min(south), max(east), max(north)]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _cells(part: Part, cell_px: int) -> tuple[pa.Table, tuple[float, ...]]:
    grid, sums, counts = _summed(part, cell_px)
    rows, cols = np.nonzero((counts > 0) & (np.square(sums).sum(axis=-1) > 0))
    local = part.key.tile.window
    down, right = rows + grid.y0 - local.y0 // cell_px, cols + grid.x0 - local.x0 // cell_px
    order = np.argsort(hilbert(right, down, (TILE_PX // cell_px).bit_length() - 1), kind="stable")
    rows, cols = rows[order], cols[order]
    vectors, key = normalised(sums[rows, cols]), part.key
    corners = _corners(key.tile.epsg, grid.y0 + rows, grid.x0 + cols, cell_px * PIXEL_M)
    low, high = corners.min(axis=1), corners.max(axis=1)
    columns = {
        "tile": [key.tile.id] * len(rows),
        "period": [str(key.period)] * len(rows),
        "start": [key.period.start] * len(rows),
        "end": [key.period.end] * len(rows),
        "row": (grid.y0 + rows).astype(np.int32),
        "col": (grid.x0 + cols).astype(np.int32),
        "cell_px": np.full(len(rows), cell_px, np.int16),
        "vector": pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), vectors.shape[1]),
        "purity": purity(sums[rows, cols], counts[rows, cols]),
        "pixels": counts[rows, cols],
        "geometry": shapely.to_wkb(shapely.polygons(corners)),
        "bbox": pa.StructArray.from_arrays(
            [low[:, 0], low[:, 1], high[:, 0], high[:, 1]], ["xmin", "ymin", "xmax", "ymax"]
        ),
    }
    box = (*low.min(axis=0), *high.max(axis=0)) if len(rows) else ()
    return pa.table(columns, schema=_schema(part)), tuple(map(float, box))


def _summed(part: Part, cell_px: int) -> tuple[Window, NDArray[np.float32], NDArray[np.int32]]:
    """Sums vectors over the cells that a part touches: where they lie (counted in cells), sums, counts."""
    window = part.window
    grid = Window(
        window.y0 // cell_px, -(-window.y1 // cell_px), window.x0 // cell_px, -(-window.x1 // cell_px)
    )
    sums = np.zeros((*grid.shape, part.embedding.dimensions), np.float32)
    counts = np.zeros(grid.shape, np.int32)
    for strip in strips(window):
        total, count = pooled(
            part.vectors(strip), side=cell_px, top=strip.y0 % cell_px, left=strip.x0 % cell_px
        )
        y = strip.y0 // cell_px - grid.y0
        sums[y : y + len(total)] += total
        counts[y : y + len(total)] += count
    return grid, sums, counts


def _corners(epsg: int, rows: NDArray[Any], cols: NDArray[Any], side_m: float) -> NDArray[np.float64]:
    """Gives the closed rings (n, 5, 2) of cells in degrees, counterclockwise."""
    x = np.stack([cols, cols + 1, cols + 1, cols, cols], axis=1) * side_m
    y = -np.stack([rows + 1, rows + 1, rows, rows, rows + 1], axis=1) * side_m
    lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(x, y)
    return np.stack([lon, lat], axis=-1)


def _tile_place(part: Part) -> int:
    """Gives where a tile's centre stands on a Hilbert curve over all longitudes and latitudes."""
    left, bottom, right, top = part.key.tile.geobox.extent.to_crs("EPSG:4326").boundingbox
    share = np.array([((left + right) / 2 + 180) / 360, ((bottom + top) / 2 + 90) / 180])
    x, y = (share * (2**_ORDER - 1)).astype(np.int64)
    return int(hilbert(np.array([x]), np.array([y]), _ORDER)[0])


def hilbert(x: NDArray[Any], y: NDArray[Any], order: int) -> NDArray[np.int64]:
    """Gives the place of cells (n,) along the Hilbert curve of a square of 2^order x 2^order cells.

    Neighbours on the curve are neighbours on the ground; every cell has a place of its own.

    Source: J. K. Lawder, Calculation of mappings between one and n-dimensional values using the Hilbert
    space-filling curve, 2000; the usual quadrant-by-quadrant form.
    """
    x, y = x.astype(np.int64), y.astype(np.int64)
    place = np.zeros(len(x), np.int64)
    for bit in range(order - 1, -1, -1):
        side = np.int64(1) << bit
        right, up = (x & side) > 0, (y & side) > 0
        place += side * side * ((3 * right) ^ up)
        x, y = x & (side - 1), y & (side - 1)
        flip = ~up & right
        x, y = np.where(flip, side - 1 - x, x), np.where(flip, side - 1 - y, y)
        x, y = np.where(up, x, y), np.where(up, y, x)
    return place
