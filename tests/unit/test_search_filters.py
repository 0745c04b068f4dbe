"""Filters: typed values alone reach the table, and it keeps the rows that plain numpy keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from shapely.affinity import translate

from earthfield.area import area_from_bbox
from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput
from earthfield.grid import Tile
from earthfield.timeline import Period
from earthfield_search.cells.filters import Filter
from earthfield_search.cells.index import CellIndex
from earthfield_search.cells.opening import create_index
from earthfield_search.cells.rows import schema_of
from earthfield_search.cells.zcurve import LEVELS, places_of, ranges_over

NUM = 1200
PERIODS = [Period.parse(text) for text in ("2018", "2018-03..2018-09", "2019-01-05/2019-03-01T12:30:00")]
TILES = [
    Tile.parse(text) for text in ("32631_0048_0549", "32760_0090_0800", "32701_0010_0800", "32632_0010_0549")
]


def made_up_rows() -> pa.Table:
    """Cells over four tiles' names, two corners of the world and both sides of 180 degrees."""
    rng = np.random.default_rng(4)
    tile = rng.integers(0, 4, NUM)
    west = np.array([3.0, 178.0, -180.0, 5.5])[tile]
    lon, lat = west + 2 * rng.random(NUM), np.array([50.0, -18.0, -18.0, 50.0])[tile] + 2 * rng.random(NUM)
    vectors = rng.normal(size=(NUM, 4)).astype(np.float16)
    columns = {
        "tile": [TILES[number].id for number in tile],
        "period": [PERIODS[number].id for number in rng.integers(0, 3, NUM)],
        "row": np.arange(NUM, dtype=np.int32), "col": np.arange(NUM, dtype=np.int32),
        "cell_px": np.full(NUM, 8, np.int16),
        "lon": lon, "lat": lat, "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4),
        "purity": rng.random(NUM).astype(np.float32), "pixels": rng.integers(1, 65, NUM).astype(np.int32),
        "start": [PERIODS[0].start] * NUM, "end": [PERIODS[0].end] * NUM,
        "model": ["m"] * NUM, "fingerprint": ["f"] * NUM,
        "place": places_of(lon, lat),
    }  # fmt: skip
    return pa.table(columns, schema=schema_of("m", dim=4))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CellIndex]:
    """The rows as a table with scalar indexes over half of them."""
    from lancedb.index import Bitmap, BTree

    held = create_index(Catalog(tmp_path_factory.mktemp("filters")), "m", dim=4)
    rows = made_up_rows()
    held._table.add(rows.slice(0, NUM // 2))
    for column, kind in (("tile", Bitmap), ("period", Bitmap), ("place", BTree)):
        held._table.create_index(column, config=kind())
    held._table.add(rows.slice(NUM // 2))
    held.refresh()
    yield held


ROWS = made_up_rows()
LON, LAT = ROWS["lon"].to_numpy(), ROWS["lat"].to_numpy()


@st.composite
def areas(draw: st.DrawFn) -> Geometry:
    """Boxes, boxes across 180 degrees, rings with holes, several parts, and shapes that cross themselves."""
    kind = draw(st.sampled_from(["box", "across", "ring", "many", "crossed", "beyond"]))
    fraction = st.floats(0, 1, allow_nan=False)
    west, south = 2.5 + 5 * draw(fraction), 49.5 + 2 * draw(fraction)
    width, height = 0.01 + 2 * draw(fraction), 0.01 + 2 * draw(fraction)
    box = shapely.box(west, south, west + width, south + height)
    if kind == "box":
        return Geometry(box, "EPSG:4326")
    if kind == "across":
        return area_from_bbox((180 - width, -18 + south - 49.5, -180 + height, -17 + south - 49.5 + height))
    if kind == "beyond":
        return Geometry(translate(box, 176, -68), "EPSG:4326")
    if kind == "ring":
        return Geometry(box.centroid.buffer(width).difference(box.centroid.buffer(width / 2)), "EPSG:4326")
    if kind == "many":
        parts = [translate(box.buffer(-min(width, height) / 4), 0.4 * n, 0.05 * n) for n in range(12)]
        return Geometry(shapely.union_all(parts), "EPSG:4326")
    corners = [(west, south), (west + width, south + height), (west + width, south), (west, south + height)]
    return Geometry(shapely.Polygon(corners), "EPSG:4326")


FILTERS = st.builds(
    Filter,
    periods=st.lists(st.sampled_from(PERIODS), max_size=3).map(tuple),
    tiles=st.lists(st.sampled_from(TILES), max_size=3).map(tuple),
    area=st.none() | areas(),
    min_purity=st.sampled_from([0.0, 0.1, 0.9, 1.0]) | st.floats(0, 1),
    min_pixels=st.integers(0, 64),
)


def by_numpy(one: Filter) -> NDArray[np.bool_]:
    """What a filter means, said another way."""
    kept = np.ones(NUM, bool)
    if one.periods:
        kept &= np.isin(ROWS["period"].to_numpy(), [period.id for period in one.periods])
    if one.tiles:
        kept &= np.isin(ROWS["tile"].to_numpy(), [tile.id for tile in one.tiles])
    kept &= ROWS["purity"].to_numpy() >= np.float32(one.min_purity)
    kept &= ROWS["pixels"].to_numpy() >= one.min_pixels
    if one.area is not None:
        turned = [shapely.make_valid(translate(one.area.geom, by)) for by in (0, 360, -360)]
        kept &= np.any([shapely.intersects_xy(shape, LON, LAT) for shape in turned], axis=0)
    return kept


@settings(max_examples=60, deadline=None)
@given(FILTERS)
def test_the_table_keeps_what_numpy_keeps(index: CellIndex, one: Filter) -> None:
    wanted = by_numpy(one)
    assert (one.keeps(ROWS) == wanted).all()
    batches = list(index.cells(one, ["row"]))
    found = (
        np.concatenate([batch["row"].to_numpy() for batch in batches]) if batches else np.zeros(0, np.int32)
    )
    assert sorted(found) == np.flatnonzero(wanted).tolist()
    assert index.count(where=one) == wanted.sum()


@settings(max_examples=40, deadline=None)
@given(FILTERS, st.integers(1, 60))
def test_the_nearest_are_those_of_all_that_pass(index: CellIndex, one: Filter, k: int) -> None:
    kept = np.flatnonzero(by_numpy(one))
    vectors = np.asarray(ROWS["vector"].combine_chunks().flatten(), np.float32).reshape(NUM, 4)
    query = np.array([1.0, -0.4, 0.2, 0.7], np.float32)
    scores = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    best = np.sort(scores[kept])[::-1]
    assert np.allclose(index.nearest(query, k=k, where=one)["score"].to_numpy(), best[:k], atol=1e-6)
    above = index.above(query, 0.5, where=one)["score"].to_numpy()
    assert np.allclose(above, best[best >= 0.5], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(areas())
def test_ranges_of_places_lose_no_place_of_an_area(area: Geometry) -> None:
    one = Filter(area=area)
    assert one.area is not None
    ranges = ranges_over(one.area.geom)
    assert len(ranges) < 30
    assert all(first < end for first, end in ranges)
    inside, places = one.holds(LON, LAT), ROWS["place"].to_numpy()
    found = np.any([(places >= first) & (places < end) for first, end in ranges], axis=0)
    assert found[inside].all()


def test_places_fill_the_globe_s_corners() -> None:
    lon, lat = np.array([-180.0, 180.0, 0.0]), np.array([-90.0, 90.0, 0.0])
    assert places_of(lon, lat).tolist() == [0, 4**LEVELS - 1, 3 * 4 ** (LEVELS - 1)]


def test_a_filter_of_everything_has_no_expression() -> None:
    assert Filter().expression() is None
    assert Filter().keeps(ROWS).all()


def test_filters_are_told_apart_by_their_key_whatever_the_order() -> None:
    one = Filter(periods=(PERIODS[0], PERIODS[1]), tiles=tuple(TILES))
    other = Filter(periods=(PERIODS[1], PERIODS[0], PERIODS[0]), tiles=tuple(reversed(TILES)))
    assert one == other
    assert one.key == other.key
    assert len({hash(one), hash(other)}) == 1
    area = area_from_bbox((3, 50, 4, 51))
    keys = {
        one.key,
        Filter().key,
        Filter(area=area).key,
        Filter(min_purity=0.5).key,
        Filter(min_pixels=5).key,
    }
    assert len(keys) == 5


EVIL = "x' OR 1=1 --"


@pytest.mark.parametrize(
    "content",
    [
        {"periods": (EVIL,)},
        {"tiles": (EVIL,)},
        {"tiles": (Tile(EVIL, 1, 1),)},  # type: ignore[arg-type]
        {"tiles": (Tile(32631, -1, 1),)},
        {"tiles": (Tile(32631, 10**6, 1),)},
        {"area": EVIL},
        {"area": Geometry(shapely.box(0, 0, 1, 1), "EPSG:32631")},
        {"area": Geometry(shapely.Point(0, 0), "EPSG:4326")},
        {"area": Geometry(shapely.Polygon(), "EPSG:4326")},
        {"area": Geometry(shapely.box(0, 0, 1e9, 1), "EPSG:4326")},
        {"min_purity": EVIL},
        {"min_purity": float("nan")},
        {"min_purity": 1.5},
        {"min_purity": -0.1},
        {"min_pixels": EVIL},
        {"min_pixels": -1},
        {"min_pixels": float("inf")},
    ],
)
def test_values_of_another_kind_or_range_are_refused(content: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="filter"):
        Filter(**content)


def test_texts_never_reach_the_table(tmp_path: Path) -> None:
    index = create_index(Catalog(tmp_path), "m", dim=4)
    with pytest.raises(InvalidInput, match="tile id"):
        index.count(tile=EVIL)
    with pytest.raises(InvalidInput, match="period"):
        index.fingerprint(tile=TILES[0].id, period=EVIL)
