"""The files of an answer: hits as GeoJSON, the likeness of every pixel as GeoTIFF and PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.field import fields_of
from earthfield.grid import Tile, Window, pixel_at
from earthfield.progress import Progress, silent
from earthfield.storage import hash_of
from earthfield.timeline import Period
from earthfield_search.asking.answer import SimilarAnswer, features_of, table_of_hits
from earthfield_search.asking.question import Like, SimilarQuestion, Within
from earthfield_search.files.answers import answer_name, answer_path, degrees_label, point, write_geojson
from earthfield_search.files.geoparquet import write_geoparquet
from earthfield_search.ground.coverage import Coverage, coverages
from earthfield_search.ground.pixels import blocks, likeness, similarity_raster
from earthfield_search.ground.places import shape_of


def write_similar(
    catalog: Catalog,
    answer: SimilarAnswer,
    *,
    folder: Path | None = None,
    maps: bool = True,
    geoparquet: bool = False,
    progress: Progress = silent,
) -> list[Path]:
    """Writes the hits as GeoJSON, and the likeness of every pixel of the area and periods as GeoTIFF and PNG.

    Args:
        catalog: where fields lie and answers go.
        answer: what was found.
        folder: where the files go instead of the catalogue's answers.
        maps: whether to compare every pixel; it reads all the fields of the area.
        geoparquet: whether to write the hits as GeoParquet too.
        progress: told after each strip of a field.
    """
    name = answer_name("similar", answer.model, Period.parse(answer.period).id, label_of(answer))
    features = [
        point(one.lon, one.lat, {"role": "query" if one.wanted else "not like this", "rank": 0})
        for one in answer.asked
    ]
    for feature in features_of(answer):
        features.append({**feature, "properties": {"role": "hit", **feature["properties"]}})
    about = {name: value for name, value in answer.content().items() if name != "hits"}
    paths = [write_geojson(answer_path(catalog, folder, f"{name}.geojson"), features, earthfield=about)]
    if geoparquet:
        path = answer_path(catalog, folder, f"{name}.parquet")
        paths.append(write_geoparquet(path, *table_of_hits(answer.hits), {"search": about}))
    if maps:
        paths += _maps(catalog, answer, folder, name, progress)
    return paths


def label_of(answer: SimilarAnswer) -> str:
    """Gives a question's part of a file name: the place for a plain one, else what tells questions apart."""
    question = answer.question
    if _is_plain(question):
        return degrees_label(answer.asked[0].lon, answer.asked[0].lat)
    return hash_of(question.content())[:12]


def _is_plain(question: SimilarQuestion) -> bool:
    """Whether it asks with one place and nothing else but numbers."""
    like = question.like
    wide = (
        question.within == Within()
        and question.above is None
        and not question.diverse
        and not question.offset
    )
    return wide and len(like.at) == 1 and like == Like(at=like.at)


def map_coverages(catalog: Catalog, answer: SimilarAnswer) -> Iterator[tuple[str, Coverage]]:
    """Yields what is compared pixel by pixel: for each period searched, each group of touching tiles."""
    within = answer.question.within
    area = None if within.area is None else shape_of(within.area)
    tiles = {Tile.parse(one) for one in within.tiles}
    for period in answer.periods:
        fields = fields_of(catalog, answer.model, Period.parse(period).id)
        held = [one for one in fields if not tiles or one.key.tile in tiles]
        for coverage in coverages(held, area=area):
            yield period, coverage


def similarity_map(catalog: Catalog, answer: SimilarAnswer) -> list[tuple[Coverage, NDArray[np.float32]]]:
    """Gives the cosine of every pixel of the answer's area and periods to what was looked for.

    Returns:
        For each period and group of touching tiles what it covers and (H, W) float32, NaN where there is no data.
    """
    vector = np.array(answer.vector, np.float32)
    found = []
    for _, coverage in map_coverages(catalog, answer):
        scores = coverage.blank(float("nan"), np.float32)
        for block in blocks(coverage):
            scores[coverage.place(block.window)] = likeness(block, vector)
        found.append((coverage, scores))
    return found


def _maps(
    catalog: Catalog, answer: SimilarAnswer, folder: Path | None, name: str, progress: Progress
) -> Iterator[Path]:
    for period, coverage in map_coverages(catalog, answer):
        when = f"_{Period.parse(period).id}" if len(answer.periods) > 1 or period != answer.period else ""
        base = answer_path(catalog, folder, f"{name}{when}{coverage.suffix}.tif")
        tags = {"query": answer.title, "model": answer.model, "period": period}
        vector = np.array(answer.vector, np.float32)
        raster = similarity_raster(base, coverage, vector, tags=tags, progress=progress)
        yield raster.path
        yield _drawn(base.with_suffix(".png"), raster.view, coverage, answer, period)


def _drawn(
    path: Path, scores: NDArray[np.float32], coverage: Coverage, answer: SimilarAnswer, period: str
) -> Path:
    from earthfield_search.files.pictures import Mark, draw_values

    def mark(places: Sequence[tuple[float, float]], label: str, style: dict[str, object]) -> list[Mark]:
        pixels = [pixel_at(coverage.epsg, *place) for place in places]
        inside = [(y, x) for y, x in pixels if Window(y, y + 1, x, x + 1) in coverage.window]
        rows, cols = [y + 0.5 for y, _ in inside], [x + 0.5 for _, x in inside]
        return [Mark(rows, cols, label.format(len(inside)), style)] if inside else []

    hits = [(hit.pixel_lon, hit.pixel_lat) for hit in answer.hits if hit.period == period]
    wanted = [(one.lon, one.lat) for one in answer.asked if one.wanted]
    unwanted = [(one.lon, one.lat) for one in answer.asked if not one.wanted]
    words = "the place asked about" if len(wanted) == 1 else "the {} places asked about"
    ring = {"s": 42, "facecolors": "none", "edgecolors": "white", "linewidths": 1.4}
    star = {"s": 190, "marker": "*", "color": "white", "edgecolors": "black", "linewidths": 1.0, "zorder": 5}
    cross = {
        "s": 90,
        "marker": "X",
        "color": "#D55E00",
        "edgecolors": "black",
        "linewidths": 1.0,
        "zorder": 5,
    }
    marks = [
        *mark(hits, "{} best cells", ring), *mark(wanted, words, star), *mark(unwanted, "{} not like this", cross),
    ]  # fmt: skip
    title = f"What looks like {answer.title}?  {answer.model}, {period}"
    return draw_values(path, scores, coverage, title=title, meaning="cosine similarity", marks=marks)
