"""From cells to places: the pixel of each cell that fits best, and what lies behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import normalised, values_of
from earthfield.errors import NotFound
from earthfield.field import Field
from earthfield.grid import Tile, Window
from earthfield.timeline import Period
from earthfield_analysis.compiling import usable_threads
from earthfield_analysis.similarity import cosine
from earthfield_search.asking.explain import Explained, Explainer
from earthfield_search.asking.ranking import away_from
from earthfield_search.asking.sought import Sought
from earthfield_search.cells.rows import fingerprint_of
from earthfield_search.ground.comparable import check_comparable
from earthfield_search.ground.places import pixel_centres

_BLOCK_PX = 256


@dataclass(frozen=True)
class Hit:
    """A cell that looks like what was asked for."""

    rank: int
    """1 for the best."""
    lon: float
    """Of the cell's centre, degrees."""
    lat: float
    """Of the cell's centre, degrees."""
    score: float
    """Cosine of the cell's mean vector, -1..1."""
    purity: float
    """How much the cell's pixels agree, 0..1."""
    pixels: int
    """Pixels with data in the cell."""
    tile: str
    """Its tile."""
    period: str
    """Its valid period."""
    row: int
    """Row of the cell, counted in cells of the zone's grid."""
    col: int
    """Column of the cell, counted in cells of the zone's grid."""
    cell_px: int
    """Side of the cell, pixels."""
    distance_m: float | None
    """From the nearest example; None where these have no place."""
    pixel_lon: float
    """Of the pixel in the cell that fits best, degrees."""
    pixel_lat: float
    """Of the pixel in the cell that fits best, degrees."""
    pixel_score: float
    """Cosine of that pixel."""
    explained: Explained | None = None
    """Quality and scenes of that pixel, where they were asked for."""

    @property
    def cell(self) -> str:
        """One text for the cell and its period, the same whenever it is found."""
        return f"{self.tile[:5]}_{self.row}_{self.col}_{self.cell_px} {self.period}"


def hits_of(
    catalog: Catalog, sought: Sought, rows: pa.Table, *, first: int = 1, explain: bool = False
) -> tuple[list[Hit], list[str]]:
    """Turns rows into hits, each with its best pixel, and tells what to bear in mind of the index.

    Every block of the files is read once.

    Args:
        catalog: where fields lie.
        sought: what was looked for.
        rows: cells of the index with `score`, best first.
        first: rank of the first.
        explain: whether to tell quality and scenes of each.

    Raises:
        NotFound: a field of the index is gone, or the index does not agree with it.
        Conflict: a field was made by other weights than the examples' own.
    """
    content = rows.to_pylist()
    away = away_from(sought, rows)
    opened: dict[tuple[str, str], Field] = {}
    by_block: dict[tuple[str, str, int, int], list[int]] = {}
    for number, row in enumerate(content):
        y, x = row["row"] * row["cell_px"] // _BLOCK_PX, row["col"] * row["cell_px"] // _BLOCK_PX
        by_block.setdefault((row["tile"], row["period"], y, x), []).append(number)
    for tile, period in {key[:2] for key in by_block}:
        key = FieldKey(sought.field.key.model, Tile.parse(tile), Period.from_id(period))
        opened[tile, period] = Field(catalog, key)
    check_comparable([sought.field, *opened.values()])

    def pixels_in(block: tuple[str, str, int, int]) -> list[tuple[int, int, float]]:
        cells = [_cell_window(content[number]) for number in by_block[block]]
        return _best_pixels(opened[block[:2]], cells, sought.vector)

    best: dict[int, tuple[int, int, float]] = {}
    with ThreadPoolExecutor(usable_threads()) as pool:  # reading a block is decompressing it
        for numbers, pixels in zip(by_block.values(), pool.map(pixels_in, by_block), strict=True):
            best.update(zip(numbers, pixels, strict=True))
    places = _centres(content, best)
    explainer = Explainer(catalog) if explain else None
    found = []
    for number, row in enumerate(content):
        held, (y, x, score) = opened[row["tile"], row["period"]], best[number]
        lon, lat = places[number]
        found.append(
            Hit(
                first + number, row["lon"], row["lat"], row["score"], row["purity"], row["pixels"], row["tile"],
                str(held.key.period), row["row"], row["col"], row["cell_px"],
                float(away[number]) if np.isfinite(away[number]) else None, lon, lat, score,
                explainer.explained(held, y, x) if explainer else None,
            )
        )  # fmt: skip
    return found, _cautions(opened, content)


def _cautions(opened: Mapping[tuple[str, str], Field], content: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tells of fields that were made again since they were indexed."""
    old = {
        (row["tile"], row["period"])
        for row in content
        if fingerprint_of(opened[row["tile"], row["period"]], cell_px=row["cell_px"]) != row["fingerprint"]
    }
    if not old:
        return []
    model = next(iter(opened.values())).key.model
    return [
        f"{len(old)} fields of these places were made again since they were indexed: run `earthfield index "
        f"--model {model}`"
    ]


def _centres(
    content: Sequence[Mapping[str, Any]], best: Mapping[int, tuple[int, int, float]]
) -> dict[int, tuple[float, float]]:
    """Gives longitude and latitude of each best pixel, zone by zone."""
    by_zone: dict[int, list[int]] = {}
    for number, row in enumerate(content):
        by_zone.setdefault(Tile.parse(row["tile"]).epsg, []).append(number)
    found = {}
    for epsg, numbers in by_zone.items():
        rows, cols = (np.array([best[number][axis] for number in numbers]) for axis in (0, 1))
        for number, lon, lat in zip(numbers, *pixel_centres(epsg, rows, cols), strict=True):
            found[number] = (float(lon), float(lat))
    return found


def _cell_window(row: dict[str, int]) -> Window:
    size = row["cell_px"]
    y, x = row["row"] * size, row["col"] * size
    return Window(y, y + size, x, x + size)


def _best_pixels(
    held: Field, cells: Sequence[Window], query: NDArray[np.float32]
) -> list[tuple[int, int, float]]:
    """Gives (row, col, cosine) of the pixel of each cell that fits best."""
    whole = cells[0]
    for cell in cells:
        whole |= cell
    whole &= held.window
    codes = held.codes(whole)
    found = []
    for cell in cells:
        ys, xs = (cell & whole).shifted(-whole.y0, -whole.x0).slices
        scores = cosine(normalised(np.moveaxis(values_of(codes[:, ys, xs]), 0, -1)), query)
        if not scores.size or np.isnan(scores).all():
            raise NotFound(
                f"the index does not agree with {held.key.id}: run `earthfield index --model {held.key.model}`"
            )
        y, x = np.unravel_index(np.nanargmax(scores), scores.shape)
        found.append((int(y) + max(cell.y0, whole.y0), int(x) + max(cell.x0, whole.x0), float(scores[y, x])))
    return found
