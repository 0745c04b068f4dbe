"""`earthfield field`: what it shows and writes, and what it says to wrong input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from small_fields import TILE, WINDOW, kinds, vectors_of, write_small
from typer.testing import CliRunner

from earthfield.catalog import Catalog
from earthfield.errors import Conflict, EarthfieldError, InvalidInput, NotFound
from earthfield_infer.field_cli import field as command


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fields")
    vectors = vectors_of(kinds())
    vectors[:4] = np.nan
    write_small(Catalog(path), "2018", vectors)
    return path


def run(root: Path, *words: object) -> str:
    line = [*map(str, words), "--root", str(root)]
    if "--model" not in line:
        line += ["--model", "small"]
    result = CliRunner().invoke(command, line, env={"COLUMNS": "160"})
    if isinstance(result.exception, EarthfieldError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def told(root: Path, *words: object) -> Any:
    return json.loads(run(root, *words, "--json"))


def test_info_counts_what_is_there(root: Path) -> None:
    west, east = told(root, "info")["fields"]
    assert (west["tile"], west["period"], west["dimensions"], west["dtype"]) == (TILE.id, "2018", 64, "int8")
    assert (west["pixels"], east["pixels"]) == (36 * 56, 36 * 24)
    assert west["share"] == pytest.approx(0.9)
    assert west["km2"] == pytest.approx(36 * 56 / 1e4)
    assert 0.99 < west["norm_low"] <= west["norm_high"] < 1.01
    assert west["quality"]["clear_sentinel-2-l2a"] == {"unit": "observations", "low": 9, "mean": 9, "high": 9}
    assert west["bytes"] == sum(
        (Path(west["path"]) / name).stat().st_size for name in ("embedding.tif", "quality.tif", "preview.png")
    )
    assert "2 fields of small" in run(root, "info")
    assert "length 0.99" in run(root, "info", "--tile", TILE.id)


def test_info_of_an_area_counts_only_its_pixels(root: Path) -> None:
    from earthfield.grid import Window, geobox_of

    south = Window(WINDOW.y0 + 20, WINDOW.y1, WINDOW.x0, TILE.window.x1)
    area = geobox_of(32631, south).extent.to_crs("EPSG:4326")
    (west,) = told(root, "info", "--aoi", area.wkt)["fields"]
    assert west["pixels"] == pytest.approx(20 * 56, abs=60)
    assert west["share"] == pytest.approx(1)


def test_preview_writes_a_picture_of_both_tiles(root: Path, tmp_path: Path) -> None:
    (one,) = told(root, "preview", "--axes", "A01,A16,A09", "--out", tmp_path)["pictures"]
    assert (one["width"], one["height"], one["tiles"]) == (80, 40, 2)
    assert Path(one["path"]).is_file()
    told(root, "preview")
    assert (root / "answers" / "small_32631_20180101_20190101_pca.png").is_file()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--to", "int8"], "small_32631_0048_0549_20180101_20190101_int8.tif"),
        (["--to", "zarr", "--dtype", "float32"], "small.zarr/utm31n/embeddings/zarr.json"),
        (["--to", "cells", "--cell-px", "4"], "small_cells.parquet"),
    ],
)
def test_convert_writes_where_it_says(root: Path, words: list[str], name: str) -> None:
    report = told(root, "convert", *words)
    assert (root / "answers" / name).is_file()
    assert report["fields"] == 2
    assert report["bytes"] > 10_000
    assert all(Path(path).exists() for path in report["paths"])
    if "zarr" in words:
        with pytest.raises(Conflict, match="remove it"):
            run(root, "convert", *words)


def test_mosaic_joins_both_tiles(root: Path, tmp_path: Path) -> None:
    (one,) = told(root, "mosaic", "--side-px", 2048, "--out", tmp_path)["sheets"]
    assert (one["tiles"], one["pixels"]) == (2, 36 * 80)
    with rasterio.open(one["path"]) as data:
        assert data.shape == (2048, 2048)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["info", "--period", "2018-13"], "2018-13"),
        (["info", "--tile", "here"], "not a tile id"),
        (["info", "--bbox", "1", "2", "3", "4", "--aoi", "x"], "not both"),
        (["info", "--model", "../up"], "not a usable name"),
        (["preview", "--axes", "A01,A02"], "name three"),
        (["preview", "--size", "0"], "16 to 16384"),
        (["preview", "--low", "1", "--high", "0", "--axes", "A01,A02,A03"], "below --high"),
        (["convert", "--to", "jpeg"], "float32"),
        (["convert", "--to", "zarr", "--dtype", "int9"], "int8"),
        (["convert", "--to", "cells", "--out", "a.csv"], r"\.parquet"),
        (["convert", "--to", "cells", "--cell-px", "7"], "do not nest"),
        (["mosaic", "--side-px", "100"], "8192"),
        (["provenance", "--at", "200", "0"], "no place"),
        (["provenance", "--at", "nan", "0"], "no place"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(root: Path, words: list[str], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        run(root, *words)
    assert not list(root.rglob(".writing*"))


def test_what_is_not_there_is_told(root: Path) -> None:
    with pytest.raises(NotFound, match="there are: small 2018"):
        run(root, "info", "--model", "absent")
    with pytest.raises(NotFound, match="32631_0048_0549 2018"):
        run(root, "mosaic", "--period", "2017")
    with pytest.raises(NotFound, match="field info"):
        run(root, "provenance", "--at", "30", "30")


def test_provenance_of_a_field_without_scenes_tells_where_it_came_from(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    (key, *_) = write_small(catalog, "2018", vectors_of(kinds()))
    path = catalog.field(key) / "manifest.json"
    manifest = json.loads(path.read_text()) | {
        "imported": {"origin": "published layers", "licence": "CC-BY-4.0"}
    }
    path.write_text(json.dumps(manifest))
    from pyproj import Transformer

    at = Transformer.from_crs(32631, 4326, always_xy=True).transform(
        WINDOW.x0 * 10 + 25, -WINDOW.y0 * 10 - 15
    )
    (one,) = told(tmp_path, "provenance", "--at", *at)["fields"]
    assert one["imported"]["origin"] == "published layers"
    assert (one["row"], one["col"], one["has_vector"]) == (WINDOW.y0 + 1, WINDOW.x0 + 2, True)
    assert one["quality"] == {"clear_sentinel-2-l2a": 9}
    assert one["sources"] == {}
    assert "published layers" in run(tmp_path, "provenance", "--at", *at)
