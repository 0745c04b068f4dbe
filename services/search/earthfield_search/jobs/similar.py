"""Where it looks alike: the nearest cells to a place, and the likeness of every pixel."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from earthfield.catalog import Catalog, FieldKey, checked_name
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import Field, fields_of
from earthfield.grid import Tile, Window, pixel_at
from earthfield.progress import Progress, silent
from earthfield.timeline import Period
from earthfield_analysis.similarity import cosine, cosine_of_codes
from earthfield_search.coverage import Coverage, coverages
from earthfield_search.files import (
    answer_name,
    answer_path,
    degrees_label,
    point,
    write_geojson,
    write_raster,
)
from earthfield_search.index import CellIndex, open_index
from earthfield_search.places import Place, check_lonlat, distances_m, locate, pick_apart, pixel_centre

log = logging.getLogger(__name__)

_BLOCK_PX = 256
_MOST = 10_000


@dataclass(frozen=True)
class SimilarQuestion:
    """What looks like this place?

    Raises:
        InvalidInput: the point is not on the globe, k is below 1, or the period cannot be read.
    """

    model: str
    """Name of a model."""
    lon: float
    """Degrees."""
    lat: float
    """Degrees."""
    period: str | None = None
    """Valid period; that of the newest field that holds the point when absent."""
    k: int = 20
    """How many places."""
    min_distance_m: float = 0.0
    """Smallest distance between two answers, and between an answer and the point."""

    def __post_init__(self) -> None:
        checked_name(self.model)
        check_lonlat(self.lon, self.lat)
        if not 1 <= self.k <= _MOST:
            raise InvalidInput(f"k is {self.k}; it must lie in 1..{_MOST}")
        if not self.min_distance_m >= 0:
            raise InvalidInput(f"the smallest distance is {self.min_distance_m} m; it cannot be negative")
        if self.period is not None:
            object.__setattr__(self, "period", str(Period.parse(self.period)))


@dataclass(frozen=True)
class Hit:
    """A cell that looks like the place."""

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
    distance_m: float
    """From the query."""
    pixel_lon: float
    """Of the pixel in the cell that fits best, degrees."""
    pixel_lat: float
    """Of the pixel in the cell that fits best, degrees."""
    pixel_score: float
    """Cosine of that pixel."""


@dataclass(frozen=True)
class SimilarAnswer:
    """The places that look alike, best first; the query's own cell is not among them."""

    model: str
    """The model."""
    period: str
    """The valid period."""
    tile: str
    """The query's tile."""
    lon: float
    """Centre of the query's pixel, degrees."""
    lat: float
    """Centre of the query's pixel, degrees."""
    k: int
    """How many were asked for."""
    min_distance_m: float
    """Smallest distance that was asked for."""
    is_pixel: bool
    """Whether the query is the pixel's own vector; False: its cell's mean, the pixel has no data."""
    num_cells: int
    """Cells that were searched."""
    hits: list[Hit] = field(default_factory=list)
    """The answers; fewer than k where there are no more."""
    seconds: float = 0.0
    """Wall time."""
    vector: tuple[float, ...] = field(default=(), repr=False)
    """The query's unit vector."""


def find_similar(catalog: Catalog, question: SimilarQuestion) -> SimilarAnswer:
    """Finds the cells of the same model and period that look most like a place; writes nothing.

    Raises:
        NotFound: no field holds the point, there is no index, or it holds no cell of the period.
    """
    started = time.monotonic()
    asked = Period.parse(question.period) if question.period else None
    place = locate(catalog, question.model, question.lon, question.lat, asked)
    key = place.field.key
    index = open_index(catalog, question.model)
    num_cells = index.count(period=key.period.id)
    if not num_cells:
        raise NotFound(
            f"the index of {key.model} holds no cells of {key.period}: run `earthfield index --model {key.model}`"
        )
    lon, lat = place.lonlat
    rows = _apart(index, place, question, num_cells)
    return SimilarAnswer(
        model=key.model, period=str(key.period), tile=key.tile.id, lon=lon, lat=lat, k=question.k,
        min_distance_m=question.min_distance_m, is_pixel=place.is_pixel, num_cells=num_cells,
        hits=_refined(catalog, key, rows, place), seconds=time.monotonic() - started,
        vector=tuple(float(value) for value in place.vector),
    )  # fmt: skip


def similarity_map(catalog: Catalog, answer: SimilarAnswer) -> list[tuple[Coverage, NDArray[np.float32]]]:
    """Gives the cosine of every pixel of the answer's model and period to the query.

    Returns:
        For each group of touching tiles what it covers and (H, W) float32, NaN where there is no data.
    """
    return list(_maps(catalog, answer, silent))


def write_similar(
    catalog: Catalog, answer: SimilarAnswer, *, folder: Path | None = None, progress: Progress = silent
) -> list[Path]:
    """Writes the hits as GeoJSON, and the likeness of every pixel as GeoTIFF and PNG.

    Args:
        catalog: where fields lie and answers go.
        answer: what was found.
        folder: where the files go instead of the catalogue's answers.
        progress: told after each strip of a field.
    """
    period = Period.parse(answer.period).id
    name = answer_name("similar", answer.model, period, degrees_label(answer.lon, answer.lat))
    about = dataclasses.asdict(answer)
    hits = about.pop("hits")
    for timing in ("seconds", "vector"):
        about.pop(timing)
    features = [point(answer.lon, answer.lat, {"role": "query", "rank": 0})]
    features += [point(hit["pixel_lon"], hit["pixel_lat"], {"role": "hit", **hit}) for hit in hits]
    paths = [write_geojson(answer_path(catalog, folder, f"{name}.geojson"), features, earthfield=about)]
    for coverage, scores in _maps(catalog, answer, progress):
        base = f"{name}{coverage.suffix}"
        tags = {"query": f"{answer.lon:.6f} {answer.lat:.6f}", "model": answer.model, "period": answer.period}
        raster = answer_path(catalog, folder, f"{base}.tif")
        paths.append(
            write_raster(raster, scores, coverage, nodata=float("nan"), name="cosine similarity", tags=tags)
        )
        paths.append(_drawn(answer_path(catalog, folder, f"{base}.png"), scores, coverage, answer))
    return paths


def _apart(index: CellIndex, place: Place, question: SimilarQuestion, num_cells: int) -> pa.Table:
    """Asks for more and more cells until k of them keep their distance."""
    where = f"period = '{place.field.key.period.id}'"
    lon, lat = place.lonlat
    limit = question.k + 1
    while True:
        found = index.nearest(place.vector, k=min(limit, num_cells), where=where)
        found = found.filter(pa.array(~_is_here(found, place)))
        lons, lats = found["lon"].to_numpy(), found["lat"].to_numpy()
        if question.min_distance_m > 0:
            far = distances_m(lons, lats, from_lon=lon, from_lat=lat) >= question.min_distance_m
            found, lons, lats = found.filter(pa.array(far)), lons[far], lats[far]
        picks = pick_apart(lons, lats, count=question.k, apart_m=question.min_distance_m)
        if len(picks) == question.k or limit >= num_cells:
            return found.take(pa.array(picks))
        limit *= 4


def _is_here(found: pa.Table, place: Place) -> NDArray[np.bool_]:
    size = found["cell_px"].to_numpy().astype(np.int64)
    same = [tile[:5] == str(place.field.key.tile.epsg) for tile in found["tile"].to_pylist()]
    rows, cols = found["row"].to_numpy(), found["col"].to_numpy()
    inside = (rows == place.row // size) & (cols == place.col // size)
    return np.asarray(np.array(same, bool) & inside)


def _refined(catalog: Catalog, key: FieldKey, rows: pa.Table, place: Place) -> list[Hit]:
    """Turns rows into hits, each with its best pixel; every block of the files is read once."""
    lon, lat = place.lonlat
    content = rows.to_pylist()
    away = distances_m(rows["lon"].to_numpy(), rows["lat"].to_numpy(), from_lon=lon, from_lat=lat)
    by_block: dict[tuple[str, int, int], list[int]] = {}
    for number, row in enumerate(content):
        y, x = row["row"] * row["cell_px"] // _BLOCK_PX, row["col"] * row["cell_px"] // _BLOCK_PX
        by_block.setdefault((row["tile"], y, x), []).append(number)
    best: dict[int, tuple[float, float, float]] = {}
    for (tile_id, _, _), numbers in by_block.items():
        tile = Tile.parse(tile_id)
        held = Field(catalog, dataclasses.replace(key, tile=tile))
        cells = [_cell_window(content[number]) for number in numbers]
        for number, found in zip(numbers, _best_pixels(held, cells, place.vector), strict=True):
            y, x, score = found
            best[number] = (*pixel_centre(tile.epsg, y, x), score)
    return [
        Hit(
            rank=number + 1, lon=row["lon"], lat=row["lat"], score=row["score"], purity=row["purity"],
            pixels=row["pixels"], tile=row["tile"], period=str(Period.from_id(row["period"])),
            distance_m=float(away[number]),
            pixel_lon=best[number][0], pixel_lat=best[number][1], pixel_score=best[number][2],
        )
        for number, row in enumerate(content)
    ]  # fmt: skip


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
    vectors = held.vectors(whole)
    found = []
    for cell in cells:
        ys, xs = (cell & whole).shifted(-whole.y0, -whole.x0).slices
        scores = cosine(vectors[ys, xs], query)
        if np.isnan(scores).all():
            raise NotFound(
                f"the index does not agree with {held.key.id}: run `earthfield index --model {held.key.model}`"
            )
        y, x = np.unravel_index(np.nanargmax(scores), scores.shape)
        found.append((int(y) + max(cell.y0, whole.y0), int(x) + max(cell.x0, whole.x0), float(scores[y, x])))
    return found


def _maps(
    catalog: Catalog, answer: SimilarAnswer, progress: Progress
) -> list[tuple[Coverage, NDArray[np.float32]]]:
    period = Period.parse(answer.period)
    query = np.array(answer.vector, np.float32)
    found = []
    for coverage in coverages(fields_of(catalog, answer.model, period.id)):
        scores = coverage.blank(float("nan"), np.float32)
        strips = list(coverage.strips())
        for done, (held, window) in enumerate(strips, 1):
            scores[coverage.place(window)] = _cosines(held, window, query)
            progress("similarity of every pixel", done, len(strips))
        found.append((coverage, scores))
    return found


def _cosines(held: Field, window: Window, query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compares codes without decoding them; vectors that are kept as values are compared as such."""
    if held.dtype == "int8":
        return cosine_of_codes(held.codes(window), query)
    return cosine(held.vectors(window), query)


def _drawn(path: Path, scores: NDArray[np.float32], coverage: Coverage, answer: SimilarAnswer) -> Path:
    from earthfield_search.pictures import Mark, draw_values

    def inside(places: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
        pixels = [pixel_at(coverage.epsg, *place) for place in places]
        return [(y, x) for y, x in pixels if Window(y, y + 1, x, x + 1) in coverage.window]

    marks = []
    hits = inside([(hit.pixel_lon, hit.pixel_lat) for hit in answer.hits])
    if hits:
        ring = {"s": 42, "facecolors": "none", "edgecolors": "white", "linewidths": 1.4}
        marks.append(
            Mark([y + 0.5 for y, _ in hits], [x + 0.5 for _, x in hits], f"{len(hits)} best cells", ring)
        )
    here = inside([(answer.lon, answer.lat)])
    if here:
        star = {
            "s": 190,
            "marker": "*",
            "color": "white",
            "edgecolors": "black",
            "linewidths": 1.0,
            "zorder": 5,
        }
        marks.append(Mark([here[0][0] + 0.5], [here[0][1] + 0.5], "the place asked about", star))
    title = f"What looks like {answer.lon:.5f} {answer.lat:.5f}?  {answer.model}, {answer.period}"
    return draw_values(
        path, scores, coverage, title=title, meaning="cosine similarity to the place", marks=marks
    )
