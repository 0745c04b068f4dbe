"""AlphaEarth's published files: found in their index, read whichever way up they lie, kept byte for byte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from published_fields import (
    BORDER,
    TILE,
    WIDE,
    WINDOW,
    Published,
    bbox_of,
    publish,
    random_codes,
    real_codes,
    write_index,
)

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import NODATA
from earthfield.errors import BrokenArtefact, Conflict, InvalidInput, NotFound
from earthfield.field import Field, fields_of
from earthfield.grid import Tile, Window
from earthfield.timeline import Period
from earthfield_infer.importing.jobs import import_fields
from earthfield_infer.importing.request import ImportReport, ImportRequest

YEAR = Period.parse("2023")


def take(root: Path, index: Path, window: Window = WINDOW, **more: Any) -> ImportReport:
    content = {"kind": "aef", "origins": (str(index),), "periods": ("2023",), "bbox": bbox_of(window)}
    return import_fields(ImportRequest(root=root, **{**content, **more}))


def held(
    root: Path, window: Window, *, name: str = "aef-v1", period: str = "2023", epsg: int = TILE.epsg
) -> NDArray[np.int8]:
    """What the fields of a name hold of a window of a zone, across tiles."""
    found = np.full((64, *window.shape), NODATA, np.int8)
    for field in fields_of(Catalog(root), name, Period.parse(period).id):
        part = field.window & window if field.key.tile.epsg == epsg else None
        if part:
            ys, xs = part.shifted(-window.y0, -window.x0).slices
            found[:, ys, xs] = field.codes(part)
    return found


def published(folder: Path, files: Sequence[Published], name: str = "aef_index.parquet") -> Path:
    return write_index(folder / name, files)


@pytest.mark.parametrize("name", ["aef_index.parquet", "aef_index.csv"])
@pytest.mark.parametrize("south_up", [True, False])
def test_codes_come_through_byte_for_byte(tmp_path: Path, south_up: bool, name: str) -> None:
    codes = random_codes(WINDOW.shape)
    index = published(tmp_path / "aef", [publish(tmp_path / "aef", codes, WINDOW, south_up=south_up)], name)
    report = take(tmp_path / "root", index)
    assert np.array_equal(held(tmp_path / "root", WINDOW), codes)
    assert (report.found, report.used, report.left_out, report.failed) == (1, 1, [], [])
    assert report.pixels == 40 * 48 - 15 and report.written == 1
    field = fields_of(Catalog(tmp_path / "root"), "aef-v1")[0]
    assert field.bands[:2] == ("A00", "A01") and field.dtype == "int8"


def test_real_vectors_come_through_byte_for_byte(tmp_path: Path, real_data: Path) -> None:
    real = real_codes(real_data)
    codes = real[:, : 36 * 40].reshape(64, 36, 40)
    window = Window(WINDOW.y0, WINDOW.y0 + 36, WINDOW.x0, WINDOW.x0 + 40)
    index = published(tmp_path, [publish(tmp_path, codes, window)])
    take(tmp_path / "root", index, window)
    assert np.array_equal(held(tmp_path / "root", window), codes)
    vectors = fields_of(Catalog(tmp_path / "root"), "aef-v1")[0].vectors()
    assert np.nanmax(np.abs(np.linalg.norm(vectors, axis=-1) - 1)) < 1e-5


def test_a_window_of_a_file_of_the_published_size_is_read(tmp_path: Path) -> None:
    whole = Window(-563_000, -563_000 + 8192, 49_900, 49_900 + 8192)
    path = tmp_path / "2023/31N/x0.tiff"
    path.parent.mkdir(parents=True)
    codes = random_codes((512, 512), gap=False)
    with rasterio.open(
        path, "w", driver="GTiff", count=64, height=8192, width=8192, dtype="int8", nodata=NODATA, sparse_ok=True,
        crs="EPSG:32631", transform=Affine(10, 0, whole.x0 * 10, 0, 10, -whole.y1 * 10), tiled=True,
        blockxsize=512, blockysize=512, compress="zstd", interleave="pixel",
    ) as data:  # fmt: skip
        # Stored south-up: the last rows of the file are the northernmost.
        data.write(codes[:, ::-1], window=rasterio.windows.Window(0, 8192 - 512, 512, 512))
    index = published(tmp_path, [Published("2023/31N/x0.tiff", 2023, 32631, whole)])
    take(tmp_path / "root", index)
    ys, xs = WINDOW.shifted(-whole.y0, -whole.x0).slices
    assert np.array_equal(held(tmp_path / "root", WINDOW), codes[:, ys, xs])


def test_files_of_one_tile_are_joined(tmp_path: Path) -> None:
    codes = random_codes(WINDOW.shape)
    west = Window(WINDOW.y0, WINDOW.y1, WINDOW.x0, WINDOW.x0 + 20)
    east = Window(WINDOW.y0, WINDOW.y1, WINDOW.x0 + 20, WINDOW.x1)
    files = [
        publish(tmp_path, codes[:, :, :20], west, name="a"),
        publish(tmp_path, codes[:, :, 20:], east, name="b", south_up=False),
    ]
    report = take(tmp_path / "root", published(tmp_path, files))
    assert report.used == 2
    assert np.array_equal(held(tmp_path / "root", WINDOW), codes)


def test_a_tile_takes_files_of_its_own_zone_alone(tmp_path: Path) -> None:
    """At 6 degrees east zones 31 and 32 overlap: the same ground lies in files of both."""
    window = Window(-563_190, -563_150, 71_110, 71_190)
    around = Window(-563_260, -563_080, 28_780, 28_920)
    own, other = random_codes(window.shape, seed=1), random_codes(around.shape, seed=2, gap=False)
    files = [
        publish(tmp_path, own, window, name="own"),
        publish(tmp_path, other, around, epsg=32632, name="other"),
        # The same numbers in the other zone's grid are another place.
        publish(tmp_path, other[:, :40, :80], window, epsg=32632, name="elsewhere"),
    ]
    report = take(tmp_path / "root", published(tmp_path, files), window)
    assert (report.found, report.used, report.failed) == (2, 2, [])
    for epsg, codes, place in ((32631, own, window), (32632, other, around)):
        found = held(tmp_path / "root", place, epsg=epsg)
        there = found[0] != NODATA
        # Each zone has its own side of the border and nothing of the other's.
        assert 0.2 < there.mean() < 0.9 or epsg == 32632
        assert there.any() and np.array_equal(found[:, there], codes[:, there])
    zones = {field.key.tile.epsg: field.manifest for field in fields_of(Catalog(tmp_path / "root"), "aef-v1")}
    assert {epsg: [one["crs"] for one in told["imported"]["files"]] for epsg, told in zones.items()} == {
        32631: ["EPSG:32631"],
        32632: ["EPSG:32632"],
    }


def test_no_data_in_one_band_is_no_data_in_all(tmp_path: Path) -> None:
    codes = random_codes(WINDOW.shape, gap=False)
    codes[7, 10, 11] = NODATA
    take(tmp_path / "root", published(tmp_path, [publish(tmp_path, codes, WINDOW)]))
    found = held(tmp_path / "root", WINDOW)
    assert (found[:, 10, 11] == NODATA).all()
    assert (found == NODATA).all(axis=0).sum() == 1


def test_a_second_run_reads_and_writes_nothing(tmp_path: Path) -> None:
    index = published(tmp_path, [publish(tmp_path, random_codes(WINDOW.shape), WINDOW)])
    first = take(tmp_path / "root", index)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("*") if path.is_file()}
    again = take(tmp_path / "root", index)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("*") if path.is_file()}
    assert after == before and again.written == 0
    assert (again.pixels, again.used, again.left_out) == (first.pixels, first.used, [])


def test_a_larger_area_joins_what_is_there_and_a_smaller_one_leaves_it(tmp_path: Path) -> None:
    codes = random_codes(WINDOW.shape)
    index = published(tmp_path, [publish(tmp_path, codes, WINDOW)])
    part = Window(WINDOW.y0 + 4, WINDOW.y0 + 20, WINDOW.x0 + 8, WINDOW.x0 + 24)
    take(tmp_path / "root", index, part)
    ys, xs = part.shifted(-WINDOW.y0, -WINDOW.x0).slices
    assert np.array_equal(held(tmp_path / "root", part), codes[:, ys, xs])
    assert take(tmp_path / "root", index).written == 1
    assert np.array_equal(held(tmp_path / "root", WINDOW), codes)
    assert take(tmp_path / "root", index, part).written == 0


def test_an_overwritten_field_has_the_same_bytes(tmp_path: Path) -> None:
    index = published(tmp_path, [publish(tmp_path, random_codes(WINDOW.shape), WINDOW)])
    take(tmp_path / "root", index)
    before = {path: path.read_bytes() for path in (tmp_path / "root" / "fields").rglob("*.*")}
    assert take(tmp_path / "root", index, overwrite=True).written == 1
    assert {path: path.read_bytes() for path in (tmp_path / "root" / "fields").rglob("*.*")} == before


def test_the_licence_stands_in_manifest_item_and_collection(tmp_path: Path) -> None:
    index = published(tmp_path, [publish(tmp_path, random_codes(WINDOW.shape), WINDOW)])
    report = take(tmp_path / "root", index)
    line = "The AlphaEarth Foundations Satellite Embedding dataset is produced by Google and Google DeepMind."
    folder = Path(report.fields[0].path)
    manifest, item = (json.loads((folder / name).read_text()) for name in ("manifest.json", "item.json"))
    collection = json.loads((folder.parents[1] / "collection.json").read_text())
    assert line in manifest["imported"]["licence"] and line in item["properties"]["attribution"]
    assert line in collection["description"] and line in report.licence
    assert not (folder / "quality.tif").exists() and "quality" not in item["assets"]
    [file] = manifest["imported"]["files"]
    assert file["name"].endswith("2023/31N/x0.tiff") and file["placing"] == "copied" and file["south_up"]


def test_a_missing_file_holds_up_its_tiles_alone_and_is_named(tmp_path: Path) -> None:
    codes = random_codes(WIDE.shape)
    west = Window(WIDE.y0, WIDE.y1, WIDE.x0, BORDER)
    east = Window(WIDE.y0, WIDE.y1, BORDER, WIDE.x1)
    split = BORDER - WIDE.x0
    files = [
        publish(tmp_path, codes[:, :, :split], west, name="a"),
        publish(tmp_path, codes[:, :, split:], east, name="b"),
    ]
    index = published(tmp_path, files)
    (tmp_path / files[1].name).unlink()
    report = take(tmp_path / "root", index, WIDE)
    assert report.written == 1 and [one.tile for one in report.failed] == ["32631_0049_0549"]
    assert "b.tiff" in report.failed[0].why
    with pytest.raises(BrokenArtefact, match="1 tiles wait for 1 files"):
        report.check_complete()
    publish(tmp_path, codes[:, :, split:], east, name="b")
    later = take(tmp_path / "root", index, WIDE)
    later.check_complete()
    assert later.written == 1
    assert np.array_equal(held(tmp_path / "root", WIDE), codes)


def test_a_truncated_file_is_told_and_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    codes = random_codes(WINDOW.shape, gap=False)
    first = publish(
        tmp_path, codes[:, :, :40], Window(WINDOW.y0, WINDOW.y1, WINDOW.x0, WINDOW.x0 + 40), name="a"
    )
    second = publish(tmp_path, codes, WINDOW, name="b")
    path = tmp_path / second.name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    index = published(tmp_path, [first, second])
    strict = take(tmp_path / "root", index)
    assert strict.written == 0 and all("b.tiff" in one.file for one in strict.failed)
    loose = take(tmp_path / "root", index, skip_unreadable=True)
    loose.check_complete(skipped=True)
    assert loose.written == 1 and loose.used == 1
    assert (held(tmp_path / "root", WINDOW)[0, :, :40] != NODATA).all()


@pytest.mark.parametrize(
    ("codes", "options", "told"),
    [
        (random_codes(WINDOW.shape, dim=32), {}, "32 bands"),
        (random_codes(WINDOW.shape).astype(np.int16), {}, "int16"),
        (random_codes(WINDOW.shape), {"nodata": 0}, "nodata 0"),
        (random_codes(WINDOW.shape), {"bands": [f"B{band:02d}" for band in range(64)]}, "B00"),
        (np.full((64, *WINDOW.shape), 90, np.int8), {}, "of length"),
    ],
)
def test_a_file_that_is_not_as_published_is_named(
    tmp_path: Path, codes: NDArray[Any], options: dict[str, Any], told: str
) -> None:
    report = take(tmp_path / "root", published(tmp_path, [publish(tmp_path, codes, WINDOW, **options)]))
    assert report.written == 0 and told in report.failed[0].why


def test_a_file_in_another_zone_than_its_index_says_is_named(tmp_path: Path) -> None:
    publish(tmp_path, random_codes(WINDOW.shape), WINDOW, epsg=32632)
    index = published(tmp_path, [Published("2023/32N/x0.tiff", 2023, 32631, WINDOW)])
    assert "EPSG:32632" in take(tmp_path / "root", index).failed[0].why


@pytest.mark.parametrize("path", ["../outside.tiff", "/etc/passwd", "/vsicurl/http://example.org/a.tiff"])
def test_an_index_leads_nowhere_but_below_its_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "outside.tiff").write_bytes(b"")
    index = write_index(tmp_path / "in/aef_index.csv", [Published(path, 2023, 32631, WINDOW)], prefix="")
    with pytest.raises(InvalidInput, match="leads out of"):
        take(tmp_path / "root", index)


def test_an_index_leads_to_no_host_that_nobody_named(tmp_path: Path) -> None:
    index = write_index(
        tmp_path / "aef_index.csv", [Published("http://127.0.0.1:9/a.tiff", 2023, 32631, WINDOW)], prefix=""
    )
    with pytest.raises(InvalidInput, match=r"--allow 127\.0\.0\.1"):
        take(tmp_path / "root", index)


def test_files_lie_where_base_says(tmp_path: Path) -> None:
    codes = random_codes(WINDOW.shape)
    index = published(tmp_path / "elsewhere", [publish(tmp_path / "mirror", codes, WINDOW)])
    take(tmp_path / "root", index, base=str(tmp_path / "mirror"))
    assert np.array_equal(held(tmp_path / "root", WINDOW), codes)


def test_rows_that_say_nothing_are_counted(tmp_path: Path) -> None:
    index = published(tmp_path, [publish(tmp_path, random_codes(WINDOW.shape), WINDOW)], "aef_index.csv")
    lines = index.read_text().splitlines()
    empty = ",".join([""] * len(lines[0].split(",")))
    index.write_text("\n".join([*lines, empty, lines[1].replace("EPSG:32631", "EPSG:3857")]) + "\n")
    report = take(tmp_path / "root", index)
    assert (report.rows, report.broken_rows, report.found) == (3, 2, 1)


@pytest.mark.parametrize(
    ("more", "error", "told"),
    [
        ({"bbox": None}, InvalidInput, "--bbox or --aoi"),
        ({"periods": ()}, InvalidInput, "--period"),
        ({"periods": ("2023-04",)}, InvalidInput, "whole years"),
        ({"periods": ("2019",)}, NotFound, "years 2023"),
        ({"bbox": (100.0, 10.0, 100.01, 10.01)}, NotFound, "touches this area"),
        ({"name": "starter"}, Conflict, "name of a model"),
    ],
)
def test_what_cannot_be_right_is_refused(
    tmp_path: Path, more: dict[str, Any], error: type[Exception], told: str
) -> None:
    index = published(tmp_path, [publish(tmp_path, random_codes(WINDOW.shape), WINDOW)])
    with pytest.raises(error, match=told):
        take(tmp_path / "root", index, **more)


def test_an_index_without_the_published_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "aef_index.csv").write_text("path,when\na,b\n")
    with pytest.raises(InvalidInput, match="lacks year"):
        take(tmp_path / "root", tmp_path / "aef_index.csv")


def test_two_years_are_two_fields(tmp_path: Path) -> None:
    first, second = random_codes(WINDOW.shape, seed=1), random_codes(WINDOW.shape, seed=2)
    files = [
        publish(tmp_path, first, WINDOW, year=2022),
        publish(tmp_path, second, WINDOW, year=2023, south_up=False),
    ]
    take(tmp_path / "root", published(tmp_path, files), periods=("2022", "2023"))
    assert np.array_equal(held(tmp_path / "root", WINDOW, period="2022"), first)
    assert np.array_equal(held(tmp_path / "root", WINDOW, period="2023"), second)


def test_values_are_kept_on_request(tmp_path: Path) -> None:
    index = published(tmp_path, [publish(tmp_path, random_codes(WINDOW.shape), WINDOW)])
    take(tmp_path / "root", index, dtype="float32")
    field = Field(Catalog(tmp_path / "root"), FieldKey("aef-v1", TILE, YEAR))
    assert field.dtype == "float32"
    with pytest.raises(Conflict, match="dtype float32"):
        take(tmp_path / "root", index)


def test_tiles_of_a_file_are_cut_where_tiles_end(tmp_path: Path) -> None:
    codes = random_codes(WIDE.shape)
    take(tmp_path / "root", published(tmp_path, [publish(tmp_path, codes, WIDE)]), WIDE)
    tiles = {field.key.tile: field.window for field in fields_of(Catalog(tmp_path / "root"), "aef-v1")}
    assert set(tiles) == {TILE, Tile(TILE.epsg, TILE.col + 1, TILE.row)}
    assert tiles[TILE].x1 == BORDER
    assert np.array_equal(held(tmp_path / "root", WIDE), codes)
