"""`earthfield field import` as a user runs it: published files become fields that every other command reads."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from command import Run, contents
from forked import Command

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from published_fields import BORDER, TILE, bbox_of, publish, random_codes, write_index

from earthfield.grid import Window
from earthfield_search.ground.places import pixel_centre

STRIP = Window(-562_968, -562_936, BORDER - 600, BORDER + 3 * 1024 + 400)
"""32 px high, over parts of five tiles."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two years of a strip as AlphaEarth publishes them, one south-up; a cell changes, and a cell has a twin."""
    folder = tmp_path_factory.mktemp("aef")
    before = random_codes(STRIP.shape, gap=False)
    for col in (24, 2000):
        before[:, 8:16, col : col + 8] = before[:, :1, :1]
    after = before.copy()
    after[:, 16:24, 1000:1024] = random_codes((8, 24), seed=7, gap=False)
    files = [
        publish(folder, before, STRIP, year=2022, block=256),
        publish(folder, after, STRIP, year=2023, block=256, south_up=False),
    ]
    return write_index(folder / "aef_index.csv", files)


def words(index: Path, root: Path, *years: int) -> list[object]:
    """The command's words."""
    periods = [word for year in years for word in ("--period", year)]
    return ["field", "import", "aef", index, "--root", root, *periods, "--bbox", *bbox_of(STRIP)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, index: Path, run: Run) -> Path:
    """Both years imported."""
    root = tmp_path_factory.mktemp("root")
    told = run(*words(index, root, 2022, 2023), "--json")
    assert told.code == 0, told.err
    assert [told.report[name] for name in ("found", "used", "rows", "failed")] == [2, 2, 2, []]
    assert len(told.report["fields"]) == 10 and all(one["written"] for one in told.report["fields"])
    return root


def test_the_same_commands_work_on_imported_fields(root: Path, index: Path, run: Run) -> None:
    again = run(*words(index, root, 2022, 2023))
    assert again.code == 0 and "was there" in again.out and "Google DeepMind" in again.out
    assert run("index", "--model", "aef-v1", "--root", root).code == 0
    lon, lat = pixel_centre(TILE.epsg, STRIP.y0 + 12, STRIP.x0 + 28)
    found = run("search", "--model", "aef-v1", "--at", lon, lat, "--root", root, "--json", "--period", "2022")
    best = found.report["hits"][0]
    assert best["score"] > 0.999
    twin = pixel_centre(TILE.epsg, STRIP.y0 + 12, STRIP.x0 + 2004)
    assert (best["lon"], best["lat"]) == pytest.approx(twin, abs=1e-4)
    changed = run(
        "change",
        "--model",
        "aef-v1",
        "--periods",
        "2022",
        "2023",
        "--threshold",
        0.5,
        "--root",
        root,
        "--json",
    )
    assert changed.report["changed_pixels"] == 8 * 24
    assert run("cluster", "--model", "aef-v1", "-k", 3, "--root", root).code == 0
    told = run("field", "info", "--model", "aef-v1", "--root", root, "--json")
    assert told.code == 0, told.err


def test_commands_that_encode_say_that_it_is_an_import(root: Path, run: Run) -> None:
    told = run("embed", "--model", "aef-v1", "--period", "2023", "--root", root)
    assert told.code == 2 and "is an import (AlphaEarth" in told.err and "Traceback" not in told.err


def test_an_import_that_was_killed_goes_on_to_the_same_bytes(
    root: Path, index: Path, run: Run, tmp_path: Path
) -> None:
    process = Command(*words(index, tmp_path, 2022, 2023))
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("fields/*/*/*/manifest.json"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert len(list(tmp_path.glob("fields/*/*/*/manifest.json"))) < 10
    told = run(*words(index, tmp_path, 2022, 2023), "--json")
    assert told.code == 0 and {one["written"] for one in told.report["fields"]} == {True, False}
    whole = {name: data for name, data in contents(root / "fields").items() if ".writing" not in name}
    again = {name: data for name, data in contents(tmp_path / "fields").items() if ".writing" not in name}
    assert again == whole


def test_a_file_that_is_gone_is_told_with_a_failing_status(index: Path, run: Run, tmp_path: Path) -> None:
    lines = index.read_text().replace("/2023/31N/", "/2023/30N/")
    (tmp_path / "aef_index.csv").write_text(lines)
    told = run(*words(tmp_path / "aef_index.csv", tmp_path / "root", 2023))
    assert told.code == 1 and "--skip-unreadable" in told.err and "Traceback" not in told.err


def test_wrong_words_are_told_in_one_sentence(run: Run, tmp_path: Path) -> None:
    told = run("field", "import", "tessera", "a.tif", "--root", tmp_path)
    assert told.code == 2 and "name aef, betaearth, raster first" in told.err
    told = run("field", "import", "raster", "a.tif", "--period", "2023", "--name", "x", "--root", tmp_path)
    assert told.code == 3 and "there is no GeoTIFF a.tif" in told.err
    helped = run("field", "import", "--help")
    assert all(f"field import {kind}" in helped.out for kind in ("aef", "betaearth", "raster"))
