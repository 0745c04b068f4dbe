"""`earthfield ingest`, `cube` and `sources` as they are typed, wrong input included."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import shapely
from command import Run
from PIL import Image

S2 = "sentinel-2-l2a"
FIELD = "POLYGON ((3.02 50.8135, 3.028 50.8135, 3.028 50.8185, 3.02 50.8135))"


@pytest.fixture(scope="module")
def flanders(real_data: Path) -> Path:
    return real_data / "places" / "flanders_a"


@pytest.fixture(scope="module")
def root(run: Run, flanders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spring of flanders_a, ingested."""
    root = tmp_path_factory.mktemp("cli")
    told = run("ingest", "--catalog", flanders, "--period", "2018-04..2018-05", "--root", root, "--tiles")
    assert told.code == 0, told.err
    for text in ("sentinel-2-l2a", "32631_0048_0549", "Clear share of each 5-day step", "Apr", "2 tiles in"):
        assert text in told.out
    return root


def test_a_dry_run_tells_what_is_missing_and_writes_nothing(
    run: Run, root: Path, flanders: Path, tmp_path: Path
) -> None:
    words = ("ingest", "--catalog", flanders, "--period", "2018-04..2018-06", "--dry-run")
    told = run(*words, "--root", tmp_path / "new", "--json")
    assert told.code == 0, told.err
    assert not (tmp_path / "new").exists()
    fresh, there = told.report, run(*words, "--root", root, "--json").report
    assert set(fresh["tiles"]) == {"32631_0048_0549", "32631_0049_0549"}
    for name, one in fresh["sources"].items():
        assert one["items"] == one["to_read"] > 0
        assert 0 < there["sources"][name]["there"] < one["items"]
    for name in ("pixels", "bytes", "disk_bytes", "seconds"):
        assert 0 < there["total"][name] < fresh["total"][name]
    shown = run(*words, "--root", root)
    assert "nothing was fetched" in shown.out
    assert "all tiles" in shown.out


def test_too_large_an_area_needs_agreement(run: Run, flanders: Path, tmp_path: Path) -> None:
    wide = shapely.geometry.mapping(shapely.box(2.6, 50.6, 3.4, 51.0))
    items = []
    for path in sorted((flanders / "landsat-c2-l2").glob("*_201805*/*.json")):
        item = json.loads(path.read_text())
        for asset in item["assets"].values():
            asset["href"] = str(path.parent / asset["href"])
        # As if the scene were as large as real ones are.
        items.append({**item, "geometry": wide, "bbox": [2.6, 50.6, 3.4, 51.0]})
    (tmp_path / "wide.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    words = (
        "ingest", "--catalog", tmp_path / "wide.json", "--allow", flanders, "--period", "2018-05",
        "--sources", "landsat-c2-l2", "--bbox", 2.6, 50.6, 3.4, 51.0, "--root", tmp_path,
    )  # fmt: skip
    told = run(*words)
    assert told.code == 2
    assert "the area is large" in told.err
    assert "--yes" in told.err
    assert not (tmp_path / "cubes").exists()
    assert run(*words, "--dry-run").code == 0
    agreed = run(*words, "--yes", "--dask", "none", "--json")
    assert agreed.code == 0, agreed.err
    assert agreed.report["sources"]["landsat-c2-l2"]["used"] > 0


def test_an_area_may_come_as_a_file_of_any_form(run: Run, flanders: Path, tmp_path: Path) -> None:
    import numpy as np
    import pyogrio

    wkb = np.array([shapely.to_wkb(shapely.from_wkt(FIELD))], object)
    files = {}
    for name in ("field.shp", "field.gpkg"):
        files[name] = tmp_path / name
        pyogrio.raw.write(files[name], wkb, [], [], geometry_type="Polygon", crs="EPSG:4326")
    words = (
        "ingest",
        "--catalog",
        flanders,
        "--period",
        "2018-05",
        "--dry-run",
        "--json",
        "--root",
        tmp_path,
    )
    told = [run(*words, "--aoi", area) for area in (FIELD, *files.values(), f"{files['field.gpkg']}:field")]
    assert all(one.code == 0 for one in told), told[-1].err
    assert all(one.report == told[0].report for one in told)


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (("--sources", "sentinel-9"), 3, "source 'sentinel-9' is not declared"),
        (("--aoi", "absent.gpkg"), 3, "does not exist"),
        (("--aoi", "osm:way/3"), 2, "is not an OpenStreetMap relation"),
        (("--aoi", "osm:54413"), 4, "download the boundary of relation 54413 as GeoJSON"),
        (("--aoi", "POINT (3 50)"), 2, "give a polygon"),
        (("--bbox", "3", "51", "4", "50"), 2, "south"),
        (("--period", "2018-13"), 2, "2018-13"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(
    run: Run, flanders: Path, tmp_path: Path, given: tuple[str, ...], code: int, words: str
) -> None:
    period = () if "--period" in given else ("--period", "2018-05")
    offline = {**os.environ, "EARTHFIELD_OSM_URL": "http://127.0.0.1:9/api"}
    told = run("ingest", "--catalog", flanders, *period, *given, "--root", tmp_path, env=offline)
    assert told.code == code
    assert words in told.err
    assert "Traceback" not in told.err


def test_an_unreadable_shapefile_is_told(run: Run, flanders: Path, tmp_path: Path) -> None:
    (tmp_path / "field.shp").write_bytes(b"nothing")
    told = run(
        "ingest",
        "--catalog",
        flanders,
        "--period",
        "2018",
        "--aoi",
        tmp_path / "field.shp",
        "--root",
        tmp_path,
    )
    assert told.code == 2
    assert "field.shp" in told.err
    assert "cannot be read" in told.err


def test_cubes_are_listed_with_how_clear_they_are_on_wish(run: Run, root: Path) -> None:
    every = run("cube", "info", "--root", root, "--json").report["cubes"]
    assert {one["tile"] for one in every} == {"32631_0048_0549", "32631_0049_0549"}
    assert all(one["clear_share"] is None for one in every)
    one = run("cube", "info", "--root", root, "--tile", "32631_0048_0549", "--json").report["cubes"]
    assert {row["tile"] for row in one} == {"32631_0048_0549"}
    assert 0 < next(row["clear_share"] for row in one if row["source"] == S2) < 1


def test_a_preview_draws_a_line_and_a_picture(run: Run, root: Path, tmp_path: Path) -> None:
    told = run("cube", "preview", "--root", root)
    assert told.code == 0, told.err
    assert "█" in told.out
    assert "·" in told.out
    for tile in ("32631_0048_0549", "32631_0049_0549"):
        with Image.open(root / "answers" / f"preview-{tile}.png") as picture:
            assert picture.width > 1000
    out = tmp_path / "spring.png"
    told = run("cube", "preview", "--root", root, "--tile", "32631_0048_0549", "--source", S2,
               "--period", "2018-04", "--out", out, "--json")  # fmt: skip
    assert told.code == 0, told.err
    assert list(told.report["previews"][0]["sources"]) == [S2]
    assert out.is_file()


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (("--tile", "32631_0001_0001"), 3, "there are: 32631_0048_0549"),
        (("--tile", "nonsense"), 2, "is not a tile id"),
        (("--source", "sentinel-9"), 3, "holds no sentinel-9"),
        (("--period", "2012"), 3, "no frame of 2012"),
        (("--out", "one.png"), 2, "add --tile"),
        (("--tile", "32631_0048_0549", "--out", "one.jpg"), 2, r"must end in .png"),
    ],
)
def test_a_preview_of_what_is_not_there_is_told(
    run: Run, root: Path, given: tuple[str, ...], code: int, words: str
) -> None:
    told = run("cube", "preview", "--root", root, *given)
    assert told.code == code
    assert words in told.err
    assert "Traceback" not in told.err


def test_cubes_are_tidied_and_still_there(run: Run, root: Path) -> None:
    told = run("cube", "tidy", "--root", root, "--json")
    assert told.code == 0, told.err
    assert len(told.report["cubes"]) == 2
    assert run("cube", "info", "--root", root).code == 0
    assert run("cube", "tidy", "--root", root, "--older-than", "0").code == 2


def test_sources_are_listed(run: Run) -> None:
    told = {one["name"]: one for one in run("sources", "--json").report["sources"]}
    assert [band["name"] for band in told[S2]["bands"]][:3] == ["B02", "B03", "B04"]
    assert told[S2]["roles"] == ["input", "target"]
    assert told["sentinel-1-rtc"]["bands"][0]["unit"] == "dB"
    assert told["landsat-c2-l2"]["cadence"] == "instant"
    assert "sentinel-2-l2a" in run("sources").out


@pytest.mark.parametrize("words", [("ingest",), ("cube", "preview"), ("cube", "info"), ("sources",)])
def test_help_has_examples(run: Run, words: tuple[str, ...]) -> None:
    assert "Examples:" in run(*words, "--help").out
