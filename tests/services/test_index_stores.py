"""The index in a bucket of a real object store: built, asked, built on, and what the store refuses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import object_store
import pytest
from object_store import ObjectStore

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from small_fields import EAST, KINDS, TILE, kinds, vectors_of, write_small

from earthfield.area import area_from_bbox
from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput, NotFound, Unavailable
from earthfield.schemas import IndexRequest
from earthfield_search.cells.filters import Filter
from earthfield_search.cells.opening import open_index
from earthfield_search.jobs.index import check_index, index_field, index_fields


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store.running() as running:
        yield running


def test_an_index_in_a_bucket_answers_as_one_in_a_folder(store: ObjectStore, tmp_path: Path) -> None:
    catalog, at = Catalog(tmp_path), store.address("one/index")
    keys = write_small(catalog, "2018", vectors_of(kinds()))
    index_fields(IndexRequest(root=tmp_path, model="small"))
    report = index_fields(IndexRequest(root=tmp_path, model="small", index=at))
    assert (report.added, report.written, report.table) == (2, 50, f"{at}/small.lance")
    assert any("small.lance" in name for name in store.sizes("one/index"))
    own, other = open_index(catalog, "small"), open_index(catalog, "small", at=at)
    for where in (Filter(), Filter(tiles=(EAST,)), Filter(area=area_from_bbox((3, 50, 4, 52)))):
        found, wanted = other.nearest(KINDS[0], k=9, where=where), own.nearest(KINDS[0], k=9, where=where)
        assert found.to_pylist() == wanted.to_pylist()
    # What is there is left alone; a field that was made again takes the place of its cells.
    assert index_fields(IndexRequest(root=tmp_path, model="small", index=at)).written == 0
    write_small(catalog, "2018", vectors_of(kinds(), seed=5), inputs="b")
    state = check_index(IndexRequest(root=tmp_path, model="small", index=at))
    assert (len(state.changed), state.added, state.is_current) == (2, [], False)
    index_field(catalog, keys[0], at=at)
    assert open_index(catalog, "small", at=at).stale(catalog) == [keys[1]]


def test_the_environment_names_the_bucket(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small(Catalog(tmp_path), "2018", vectors_of(kinds()))
    monkeypatch.setenv("EARTHFIELD_INDEX", store.address("by-name"))
    index_fields(IndexRequest(root=tmp_path, model="small"))
    assert open_index(Catalog(tmp_path), "small").count(tile=TILE.id) == 35
    assert not (tmp_path / "index").exists()


def test_two_writers_of_a_bucket_lose_nothing(store: ObjectStore, tmp_path: Path) -> None:
    catalog, at = Catalog(tmp_path), store.address("two")
    keys = [
        key for year in ("2018", "2019", "2020") for key in write_small(catalog, year, vectors_of(kinds()))
    ]
    index_field(catalog, keys[0], at=at)
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda key: index_field(catalog, key, at=at), keys))
    assert sum(one.cells for one in reports) == open_index(catalog, "small", at=at).count() == 150
    assert open_index(catalog, "small", at=at).stale(catalog) == []


def test_what_a_bucket_refuses_is_told(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small(Catalog(tmp_path), "2018", vectors_of(kinds()))
    with pytest.raises(NotFound, match="earthfield index --model small"):
        open_index(Catalog(tmp_path), "small", at=store.address("empty"))
    with pytest.raises(InvalidInput, match="no such bucket"):
        index_fields(IndexRequest(root=tmp_path, model="small", index="s3://nowhere/index"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="does not answer"):
        open_index(Catalog(tmp_path), "small", at=store.address("one/index"))
