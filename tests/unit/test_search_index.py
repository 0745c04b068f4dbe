"""Cells of fields, and the table that holds them."""

from pathlib import Path

import numpy as np
import pytest
from pyproj import Transformer
from small_fields import EAST, KINDS, TILE, WINDOW, kinds, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.errors import Conflict, InvalidInput, NotFound
from earthfield.field import Field
from earthfield.ports import VectorIndex
from earthfield.schemas import IndexRequest
from earthfield_search.index import CellIndex, create_index, open_index
from earthfield_search.jobs.index import index_field, index_fields
from earthfield_search.rows import cells_of

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
    east = index.nearest(query, k=100, where=f"tile = '{EAST.id}'")
    assert set(east["tile"].to_pylist()) == {EAST.id}
    assert east.num_rows == 15


def test_an_approximate_index_is_not_asked_for_a_narrow_filter(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("earthfield_search.index.ANN_ROWS", 30)
    index = create_index(Catalog(tmp_path), "small")
    for key in catalog.fields("small"):
        index.replace(cells_of(Field(catalog, key)), tile=key.tile.id, period=key.period.id)
    index.tune()
    exact = create_index(catalog, "small")
    assert index.nearest(KINDS[2], k=3)["score"][0].as_py() > 0.9
    where = f"tile = '{EAST.id}'"
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
    index.replace(_refreshed(rows), tile=TILE.id, period=period)
    assert index.nearest(KINDS[0], k=1)["clear_sentinel-2-l2a"].to_pylist() == [9.0]


def _refreshed(rows):  # type: ignore[no-untyped-def]
    import pyarrow as pa

    place = rows.schema.get_field_index("fingerprint")
    return rows.set_column(place, "fingerprint", pa.array(["new"] * rows.num_rows))
