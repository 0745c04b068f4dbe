"""Cells of fields, and the table that holds them."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from distributed import LocalCluster
from pyproj import Transformer
from small_fields import EAST, KINDS, TILE, WINDOW, kinds, vectors_of, write_small

from earthfield.area import area_from_bbox
from earthfield.catalog import Catalog
from earthfield.errors import Conflict, InvalidInput, NotFound, Unavailable
from earthfield.field import Field
from earthfield.ports import VectorIndex
from earthfield.schemas import IndexRequest
from earthfield.timeline import Period
from earthfield_search.cells import tuning
from earthfield_search.cells.building import cells_of_all
from earthfield_search.cells.filters import Filter
from earthfield_search.cells.index import CellIndex
from earthfield_search.cells.opening import create_index, open_index
from earthfield_search.cells.resident import Resident
from earthfield_search.cells.rows import cells_of
from earthfield_search.cells.tuning import Shape
from earthfield_search.jobs.index import check_index, index_field, index_fields

TO_ZONE = Transformer.from_crs(4326, 32631, always_xy=True)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("cells"))
    vectors = vectors_of(kinds())
    vectors[:8, :8] = np.nan
    vectors[8, 8] = np.nan
    write_small(catalog, "2018", vectors)
    return catalog


@pytest.fixture(scope="module")
def field(catalog: Catalog) -> Field:
    return Field(catalog, next(iter(catalog.fields("small", TILE))))


def test_cells_lie_on_the_zone_s_grid_and_hold_means(field: Field) -> None:
    rows = cells_of(field).to_pylist()
    # 5 x 7 cells, of which one has no data at all.
    assert len(rows) == 34
    vectors = field.vectors()
    for row in rows:
        y, x = row["row"] * 8 - WINDOW.y0, row["col"] * 8 - WINDOW.x0
        own = vectors[y : y + 8, x : x + 8].reshape(-1, 64)
        own = own[np.isfinite(own).all(axis=1)]
        mean = own.mean(axis=0)
        assert row["pixels"] == len(own)
        assert row["purity"] == pytest.approx(np.linalg.norm(mean), abs=1e-5)
        assert np.abs(np.array(row["vector"], np.float32) - mean / np.linalg.norm(mean)).max() < 1e-3
        east, north = TO_ZONE.transform(row["lon"], row["lat"])
        assert (north, east) == pytest.approx((-(row["row"] + 0.5) * 80, (row["col"] + 0.5) * 80), abs=0.01)
        assert row["clear_sentinel-2-l2a"] == 9


def test_purity_falls_where_kinds_meet(field: Field) -> None:
    rows = cells_of(field).to_pylist()
    edge = [one["purity"] for one in rows if one["col"] * 8 - WINDOW.x0 == 16]
    inner = [one["purity"] for one in rows if one["col"] * 8 - WINDOW.x0 == 8]
    assert max(edge) < 0.9 < 0.97 < min(inner)


def test_a_cell_larger_than_the_field_holds_all_of_it(field: Field) -> None:
    rows = cells_of(field, cell_px=128)
    # The window lies across a border of such cells.
    assert sum(rows["pixels"].to_pylist()) == 40 * 56 - 65
    assert rows.num_rows == 2


def test_cells_must_nest_in_tiles(field: Field) -> None:
    with pytest.raises(InvalidInput, match="nest"):
        cells_of(field, cell_px=7)


def test_indexing_twice_writes_nothing_new(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    keys = write_small(catalog, "2018", vectors_of(kinds()))
    first = index_fields(IndexRequest(root=tmp_path, model="small"))
    assert (first.fields, first.cells, first.written) == (2, 50, 50)
    version = open_index(catalog, "small").version
    again = index_fields(IndexRequest(root=tmp_path, model="small"))
    assert (again.cells, again.written) == (50, 0)
    assert open_index(catalog, "small").version == version
    # A field made again from other scenes takes the place of its cells, in one version.
    write_small(catalog, "2018", vectors_of(kinds(), seed=5), inputs="b")
    report = index_field(catalog, keys[0])
    assert report.written == 35
    index = open_index(catalog, "small")
    assert index.version == version + 1
    assert index.count() == 50
    # Larger cells leave none of the smaller behind.
    index_field(catalog, keys[0], cell_px=16)
    assert open_index(catalog, "small").count(tile=TILE.id) == 12


def test_the_nearest_cells_are_those_of_an_exact_search(catalog: Catalog) -> None:
    index_fields(IndexRequest(root=catalog.root, model="small"))
    index: VectorIndex = open_index(catalog, "small")
    query = KINDS[0] + 0.3 * KINDS[1]
    found = index.nearest(query, k=9)
    rows = np.concatenate(
        [cells_of(Field(catalog, key))["vector"].to_numpy() for key in catalog.fields("small")]
    )
    vectors = np.stack(rows).astype(np.float32)
    scores = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    assert np.allclose(found["score"].to_numpy(), np.sort(scores)[::-1][:9], atol=1e-5)
    east = index.nearest(query, k=100, where=Filter(tiles=(EAST,)))
    assert set(east["tile"].to_pylist()) == {EAST.id}
    assert east.num_rows == 15


def test_an_approximate_index_is_not_asked_for_a_narrow_filter(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earthfield_search.cells.tuning.ANN_ROWS", 30)
    index = create_index(Catalog(tmp_path), "small")
    for key in catalog.fields("small"):
        index.replace(cells_of(Field(catalog, key)), tile=key.tile.id, period=key.period.id)
    index.tune()
    exact = create_index(catalog, "small")
    assert index.nearest(KINDS[2], k=3)["score"][0].as_py() > 0.9
    where = Filter(tiles=(EAST,))
    got, wanted = (one.nearest(KINDS[0], k=15, where=where) for one in (index, exact))
    assert got["score"].to_pylist() == wanted["score"].to_pylist()


def test_cells_of_another_model_are_refused(field: Field, tmp_path: Path) -> None:
    other = create_index(Catalog(tmp_path), "other")
    with pytest.raises(Conflict, match="cells of 'other'"):
        other.replace(cells_of(field), tile=TILE.id, period=field.key.period.id)
    with pytest.raises(InvalidInput, match="another tile"):
        create_index(Catalog(tmp_path), "small").replace(
            cells_of(field), tile=EAST.id, period=field.key.period.id
        )


def test_a_model_without_index_is_told_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="earthfield index --model small"):
        open_index(Catalog(tmp_path), "small")


def test_a_new_quality_layer_becomes_a_column(field: Field, tmp_path: Path) -> None:
    index: CellIndex = create_index(Catalog(tmp_path), "small")
    rows = cells_of(field)
    period = field.key.period.id
    index.replace(rows.drop_columns(["clear_sentinel-2-l2a"]), tile=TILE.id, period=period)
    index.replace(_with(rows, "fingerprint", "new"), tile=TILE.id, period=period)
    assert index.nearest(KINDS[0], k=1)["clear_sentinel-2-l2a"].to_pylist() == [9.0]


def _with(rows: pa.Table, column: str, value: str) -> pa.Table:
    place = rows.schema.get_field_index(column)
    return rows.set_column(place, column, pa.array([value] * rows.num_rows))


def indexed(catalog: Catalog, *years: str) -> CellIndex:
    for year in years:
        write_small(catalog, year, vectors_of(kinds()))
    index_fields(IndexRequest(root=catalog.folder, model="small"))
    return open_index(catalog, "small")


def test_many_fields_are_one_version_and_changed_ones_another(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    version = indexed(catalog, "2018", "2019").version
    assert version == 3  # the empty table, the column of its quality layer, all four fields
    write_small(catalog, "2018", vectors_of(kinds(), seed=5), inputs="b")
    write_small(catalog, "2020", vectors_of(kinds()))
    report = index_fields(IndexRequest(root=tmp_path, model="small"))
    assert (report.added, report.changed, report.written, report.cells) == (2, 2, 100, 150)
    assert open_index(catalog, "small").version == version + 2
    rows = pa.Table.from_batches(
        list(open_index(catalog, "small").cells(columns=["tile", "period", "row", "col"]))
    )
    assert len({tuple(row.values()) for row in rows.to_pylist()}) == rows.num_rows == 150


def test_a_check_tells_what_is_missing_changed_and_gone_and_writes_nothing(tmp_path: Path) -> None:
    catalog, request = Catalog(tmp_path), IndexRequest(root=tmp_path, model="small")
    first = write_small(catalog, "2018", vectors_of(kinds()))
    assert check_index(request).added == [f"{key.tile.id}/{key.period.id}" for key in first]
    assert not catalog.index.exists()
    version = indexed(catalog).version
    assert check_index(request).is_current
    changed = write_small(catalog, "2018", vectors_of(kinds(), seed=5), inputs="b")[0]
    shutil.rmtree(catalog.field(first[1]))
    added = write_small(catalog, "2019", vectors_of(kinds()))
    state = check_index(request)
    assert state.added == [f"{key.tile.id}/{key.period.id}" for key in added]
    assert state.changed == [f"{changed.tile.id}/{changed.period.id}"]
    assert state.gone == [f"{EAST.id}/{first[1].period.id}"]
    index = open_index(catalog, "small")
    assert index.version == version
    assert set(index.stale(catalog)) == {changed, *added}
    # What is gone stays until that is asked for.
    assert index_fields(request).gone == 1
    assert open_index(catalog, "small").count(tile=EAST.id, period=first[1].period.id) == 15
    index_fields(request.model_copy(update={"prune": True}))
    assert check_index(request).is_current


def test_weights_of_two_trainings_never_share_a_table(tmp_path: Path) -> None:
    catalog, request = Catalog(tmp_path), IndexRequest(root=tmp_path, model="small")
    indexed(catalog, "2018")
    for key in catalog.fields("small"):
        path = catalog.field(key) / "manifest.json"
        path.write_text(path.read_text().replace('"fingerprint": "f"', '"fingerprint": "g"'))
    with pytest.raises(Conflict, match="--rebuild"):
        index_fields(request)
    with pytest.raises(Conflict, match="--rebuild"):
        index_field(catalog, next(iter(catalog.fields("small"))))
    assert open_index(catalog, "small").count() == 50
    assert index_fields(request.model_copy(update={"rebuild": True})).written == 50
    assert open_index(catalog, "small").space == "g"
    # Fields that come from both are refused before anything is written.
    write_small(catalog, "2019", vectors_of(kinds()))
    with pytest.raises(Conflict, match="different models"):
        index_fields(request)


def test_a_table_without_places_gets_them_and_keeps_its_cells(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    index = indexed(catalog, "2018")
    told = dict(zip(_column(index, "place"), _column(index, "row"), strict=True))
    index._table.drop_columns(["place"])
    where = Filter(area=area_from_bbox((0, 40, 6, 60)), tiles=(EAST,))
    assert open_index(catalog, "small").nearest(KINDS[0], k=99, where=where).num_rows == 15
    assert index_fields(IndexRequest(root=tmp_path, model="small")).written == 0
    again = open_index(catalog, "small")
    found = dict(zip(_column(again, "place"), _column(again, "row"), strict=True))
    assert found == told
    assert again.nearest(KINDS[0], k=99, where=where).num_rows == 15


def _column(index: CellIndex, name: str) -> list[int]:
    return [value for batch in index.cells(columns=[name]) for value in batch[name].to_pylist()]


def test_a_narrow_filter_is_read_row_by_row_and_a_wide_one_by_parts() -> None:
    shape = Shape(rows=1_000_000, columns=(), parts=333)
    assert shape.probes(1_000_000, k=18, exact=False) == tuning.PROBES
    assert shape.probes(200_000, k=18, exact=False) == 5 * tuning.PROBES
    assert shape.probes(10_000, k=18, exact=False) == 0
    assert shape.probes(1_000_000, k=10_000, exact=False) == 320
    assert shape.probes(1_000_000, k=18, exact=True) == 333
    assert shape.probes(100_000, k=18, exact=True) == 0
    assert Shape(rows=1_000_000, columns=(), parts=0).probes(1_000_000, k=18, exact=False) == 0


def test_parts_are_made_with_the_table_s_size_and_anew_when_it_has_grown(
    field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earthfield_search.cells.tuning.ANN_ROWS", 30)
    monkeypatch.setattr("earthfield_search.cells.tuning.wanted_parts", lambda rows: rows // 17)
    index, rows = create_index(Catalog(tmp_path), "small"), cells_of(field)

    def grown_by(*years: int) -> CellIndex:
        for year in years:
            period = Period.parse(str(year)).id
            index.replace(_with(rows, "period", period), tile=TILE.id, period=period)
        index.tune()
        return open_index(Catalog(tmp_path), "small")

    names = {one.name for one in grown_by(2018)._table.list_indices()}
    assert names == {"tile_idx", "period_idx", "place_idx", "vector_2"}
    assert grown_by(2019)._known().parts == 2
    grown = grown_by(2020, 2021, 2022)
    assert grown._known().parts == 10
    assert [one.name for one in grown._table.list_indices() if one.columns == ["vector"]] == ["vector_10"]
    wanted = grown.nearest(KINDS[0], k=20, exact=True)["score"].to_pylist()
    assert grown.nearest(KINDS[0], k=20)["score"].to_pylist() == wanted
    # From the second exact question on the vectors are in memory.
    again = grown.nearest(KINDS[0], k=20, exact=True)
    assert again["score"].to_pylist() == wanted
    assert again.column_names == grown.nearest(KINDS[0], k=20).column_names
    assert grown.above(KINDS[0], -1.0).num_rows == grown.count() == 170
    likely = grown.above(KINDS[0], 0.9)["score"].to_pylist()
    every = grown.nearest(KINDS[0], k=170, exact=True)["score"].to_numpy()
    assert np.allclose(likely, every[every >= 0.9], atol=1e-6)


def test_dask_workers_make_the_same_cells(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    keys = write_small(catalog, "2018", vectors_of(kinds()))
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        made = list(cells_of_all(catalog, keys, cell_px=8, dask=cluster.scheduler_address))
    own = list(cells_of_all(catalog, keys, cell_px=8, dask="none"))
    assert [one.rows for one in made] == [one.rows for one in own]
    with pytest.raises(Unavailable, match="no Dask scheduler"):
        next(cells_of_all(catalog, keys, cell_px=8, dask="nowhere"))


@pytest.mark.parametrize("vector", [np.zeros(64), np.full(64, np.nan), np.ones(3), np.ones((2, 64))])
def test_a_vector_that_points_nowhere_is_refused(catalog: Catalog, vector: np.ndarray) -> None:
    index_fields(IndexRequest(root=catalog.root, model="small"))
    index = open_index(catalog, "small")
    with pytest.raises(InvalidInput, match="64 finite numbers"):
        index.nearest(vector, k=3)
    with pytest.raises(InvalidInput, match="64 finite numbers"):
        index.above(vector, 0.5)


def test_the_best_of_vectors_in_memory_are_numpy_s() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(5000, 64)).astype(np.float16)
    vectors[:50, :3] = [[6e-8, -3e-5, 0.0]]  # halves too small for their own exponent
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    held = Resident(vectors.view(np.uint16), lengths.astype(np.float32), np.arange(5000, dtype=np.uint64))
    for k in (1, 4, 700, 5000, 6000):
        query = rng.normal(size=64).astype(np.float32)
        scores = vectors.astype(np.float32) @ query / lengths
        assert sorted(held.best(query, k)) == sorted(np.argsort(-scores)[:k])
