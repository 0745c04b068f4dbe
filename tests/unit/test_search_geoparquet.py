"""Tables of shapes as GeoParquet: what others read, and what is read of others."""

from __future__ import annotations

import io
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pytest
import shapely
from pyarrow import parquet

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield_search.files.geoparquet import geoparquet_bytes, read_geoparquet, write_geoparquet

SHAPES = [shapely.Point(3.05, 50.84), shapely.box(3, 50, 4, 51), None]
COLUMNS = {"name": ["a", "b", "Ä"], "score": np.array([0.5, 0.25, np.nan], np.float32)}


def test_geopandas_reads_what_is_written(tmp_path: Path) -> None:
    path = write_geoparquet(tmp_path / "a.parquet", SHAPES, COLUMNS, {"question": {"k": 3}})
    read = geopandas.read_parquet(path)
    assert read.crs == "OGC:CRS84"
    assert read["name"].tolist() == ["a", "b", "Ä"]
    assert read.geometry[0].equals(SHAPES[0])
    assert read.geometry[2] is None
    assert read.total_bounds.tolist() == [3, 50, 4, 51]
    assert [one.name for one in tmp_path.iterdir()] == ["a.parquet"]


def test_what_was_written_comes_back_with_what_was_told_beside_it(tmp_path: Path) -> None:
    path = write_geoparquet(tmp_path / "a.parquet", SHAPES, COLUMNS, {"question": {"k": 3}})
    read = read_geoparquet(path)
    assert shapely.equals(read.geometries[:2], np.array(SHAPES[:2])).all()
    assert read.geometries[2] is None
    assert read.columns.column_names == ["name", "score"]
    assert read.columns["name"].to_pylist() == COLUMNS["name"]
    assert read.metadata == {"question": {"k": 3}}


def test_bytes_for_an_answer_are_the_same_format() -> None:
    read = geopandas.read_parquet(io.BytesIO(geoparquet_bytes(SHAPES, COLUMNS)))
    assert len(read) == 3
    assert (
        len(geopandas.read_parquet(io.BytesIO(geoparquet_bytes([], {"name": pa.array([], pa.string())}))))
        == 0
    )


def test_a_table_in_metres_is_read_in_degrees(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"name": ["a", "b"]}, geometry=SHAPES[:2], crs="EPSG:4326")
    frame.to_crs("EPSG:32631").to_parquet(tmp_path / "utm.parquet")
    frame.to_parquet(tmp_path / "degrees.parquet")
    for name in ("utm", "degrees"):
        read = read_geoparquet(tmp_path / f"{name}.parquet")
        assert shapely.equals_exact(read.geometries, np.array(SHAPES[:2]), tolerance=1e-9).all(), name
        assert read.columns["name"].to_pylist() == ["a", "b"]


def test_what_is_no_geoparquet_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        read_geoparquet(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(BrokenArtefact, match="cannot be read as GeoParquet"):
        read_geoparquet(tmp_path / "text.parquet")
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "plain.parquet")
    with pytest.raises(BrokenArtefact, match="cannot be read as GeoParquet"):
        read_geoparquet(tmp_path / "plain.parquet")
    frame = geopandas.GeoDataFrame({"name": ["a"]}, geometry=[SHAPES[0]])
    frame.to_parquet(tmp_path / "nowhere.parquet")
    with pytest.raises(BrokenArtefact, match="in which CRS"):
        read_geoparquet(tmp_path / "nowhere.parquet")


def test_shapes_and_rows_must_fit_one_another(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="3 shapes"):
        write_geoparquet(tmp_path / "a.parquet", SHAPES, {"name": ["a"]})
    with pytest.raises(InvalidInput, match="geometry"):
        write_geoparquet(tmp_path / "a.parquet", SHAPES, {"geometry": ["a"] * 3})
    assert not list(tmp_path.iterdir())
