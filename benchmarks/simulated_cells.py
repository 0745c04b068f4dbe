"""SIMULATED cells for `search.py`: as many rows as are wanted, as the indexer writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyproj import Transformer

from earthfield.grid import TILE_PX, Tile
from earthfield.timeline import Period
from earthfield_search.cells.index import Cells
from earthfield_search.cells.rows import schema_of
from earthfield_search.cells.zcurve import places_of

MODEL, DIM, KINDS, KINDS_A_TILE, CELL_PX = "simulated", 64, 1000, 50, 8
SIDE = TILE_PX // CELL_PX
YEARS = [Period.parse(str(year)) for year in range(2018, 2023)]


@dataclass(frozen=True)
class Land:
    """Which tiles the rows fill."""

    rows: int
    """How many."""

    @property
    def tiles(self) -> list[Tile]:
        """A square block of a zone, as full as it gets."""
        num = -(-self.rows // (len(YEARS) * SIDE * SIDE))
        side = int(np.ceil(np.sqrt(num)))
        return [Tile(32631, 30 + one % side, 540 + one // side) for one in range(num)]

    def cells(self) -> Iterator[Cells]:
        """Yields the cells of each tile and year."""
        rng = np.random.default_rng(1)
        kinds = unit(np.random.default_rng(0).normal(size=(KINDS, DIM)))
        left = self.rows
        for tile in self.tiles:
            own, shares = (
                rng.choice(KINDS, KINDS_A_TILE, replace=False),
                rng.dirichlet(np.full(KINDS_A_TILE, 0.5)),
            )
            for year in YEARS:
                num = min(left, SIDE * SIDE)
                if not num:
                    return
                left -= num
                noise = 0.05 * rng.standard_normal((num, DIM), np.float32)
                vectors = unit(kinds[rng.choice(own, num, p=shares)] + noise)
                yield Cells(tile.id, year.id, rows_of(tile, year, vectors, rng.random(num, np.float32)))


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Gives vectors length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def rows_of(tile: Tile, year: Period, vectors: NDArray[np.float32], purity: NDArray[np.float32]) -> pa.Table:
    """Gives cells as the indexer makes them."""
    num = len(vectors)
    y, x = tile.window.y0 // CELL_PX, tile.window.x0 // CELL_PX
    row, col = (one.ravel()[:num] for one in np.mgrid[y : y + SIDE, x : x + SIDE])
    side_m = CELL_PX * 10
    lon, lat = Transformer.from_crs(tile.epsg, 4326, always_xy=True).transform(
        (col + 0.5) * side_m, -(row + 0.5) * side_m
    )
    schema = schema_of(MODEL, dim=DIM)
    columns = {
        "tile": [tile.id] * num, "period": [year.id] * num,
        "row": row.astype(np.int32), "col": col.astype(np.int32),
        "cell_px": np.full(num, CELL_PX, np.int16), "lon": lon, "lat": lat,
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float16).ravel()), DIM),
        "purity": purity, "pixels": np.full(num, CELL_PX**2, np.int32), "start": [year.start] * num,
        "end": [year.end] * num, "model": [MODEL] * num, "fingerprint": ["f"] * num, "place": places_of(lon, lat),
    }  # fmt: skip
    return pa.table(columns, schema=schema)
