"""The main job on real satellite scenes, as its users run it."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from command import Run, Told, contents
from forked import Command
from kept import HALVES
from pyproj import Transformer
from scipy.ndimage import binary_erosion
from stac_rules import check_collection, check_item

from earthfield.catalog import Catalog
from earthfield.codec import BANDS, NODATA, dequantise
from earthfield.cube import CubeReader
from earthfield.errors import InvalidInput
from earthfield.field import Field, scenes_read
from earthfield.grid import Window, tile_at
from earthfield.schemas import IndexRequest
from earthfield.timeline import Period
from earthfield_search.changes.asked import ChangeQuestion
from earthfield_search.ground.places import pixel_centre
from earthfield_search.jobs.change import detect_change
from earthfield_search.jobs.index import index_fields
from earthfield_search.jobs.similar import Hit, Like, SimilarQuestion, find_similar

FLANDERS = "places/flanders_a"


def test_the_report_accounts_for_every_item(mapped: tuple[Path, Told], real_data: Path) -> None:
    sources = mapped[1].report["ingest"]["sources"]
    assert sorted(sources) == ["landsat-c2-l2", "sentinel-1-rtc", "sentinel-2-l2a"]
    for name, one in sources.items():
        items = [path for path in (real_data / FLANDERS / name).glob("*/*.json") if "2018" in _year_of(path)]
        assert one["found"] == len(items), name
        assert one["found"] == one["used"] + sum(one["dropped"].values())
        assert one["steps"] > 0


def _year_of(item: Path) -> str:
    return str(json.loads(item.read_text())["properties"]["datetime"])[:4]


def test_the_field_reads_like_a_published_one(mapped: tuple[Path, Told]) -> None:
    fields = mapped[1].report["embed"]["fields"]
    assert sum(one["pixels"] for one in fields) == 64 * 64
    for one in fields:
        with rasterio.open(Path(one["path"]) / "embedding.tif") as data:
            assert data.descriptions == BANDS
            assert set(data.dtypes) == {"int8"}
            assert (data.nodata, data.crs.to_epsg(), data.res) == (NODATA, 32631, (10.0, 10.0))
            assert data.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            codes = data.read()
        there = (codes != NODATA).all(axis=0)
        norms = np.linalg.norm(dequantise(codes[:, there]), axis=0)
        assert 0.99 < norms.min() <= norms.max() < 1.01


def test_the_manifest_names_every_scene_that_went_in(mapped: tuple[Path, Told]) -> None:
    report = mapped[1].report
    named: dict[str, set[str]] = {}
    for one in report["embed"]["fields"]:
        manifest = json.loads((Path(one["path"]) / "manifest.json").read_text())
        for source, frames in manifest["sources"].items():
            named.setdefault(source, set()).update(item for frame in frames for item in frame["items"])
    for source, one in report["ingest"]["sources"].items():
        assert len(named[source]) == one["used"]


def test_a_second_run_writes_nothing(mapped: tuple[Path, Told], run: Run, real_data: Path) -> None:
    root, _ = mapped
    before = contents(root)
    told = run("map", "--catalog", real_data / FLANDERS, "--period", 2018, "--root", root, "--json")
    assert told.code == 0, told.err
    assert contents(root) == before
    assert told.report["index"]["written"] == 0
    assert not any(one["written"] for one in told.report["embed"]["fields"])


def test_another_period_gives_another_field_without_reading_again(
    mapped: tuple[Path, Told], run: Run, real_data: Path, tmp_path: Path
) -> None:
    first, root = mapped[1], tmp_path / "root"
    shutil.copytree(mapped[0], root)
    told = run(
        "map", "--catalog", real_data / FLANDERS, "--period", "2018-04..2018-07", "--root", root, "--json"
    )
    assert told.code == 0, told.err
    assert all(one["read"] == 0 for one in told.report["ingest"]["sources"].values())
    catalog = Catalog(root)
    keys = {key.period.id: key for key in catalog.fields("starter") if key.tile.col == 48}
    year, spring = (
        Field(catalog, keys[name]).vectors() for name in ("20180101_20190101", "20180401_20180801")
    )
    cosines = np.sum(year * spring, axis=-1)
    assert np.nanmean(cosines) < 0.999
    assert len(first.report["embed"]["fields"]) == len(told.report["embed"]["fields"])


def test_killed_at_any_moment_it_ends_with_the_same_bytes(run: Run, real_data: Path, tmp_path: Path) -> None:
    command = ("map", "--catalog", real_data / FLANDERS, "--period", "2018-06", "--json", "--root")
    undisturbed = run(*command, tmp_path / "undisturbed")
    assert undisturbed.code == 0, undisturbed.err
    seconds, draw = undisturbed.report["seconds"], random.Random(20181)
    for _ in range(3):
        process = Command(*command, tmp_path / "killed")
        time.sleep(draw.uniform(1, seconds))
        process.kill()
        process.wait()
    again = run(*command, tmp_path / "killed")
    assert again.code == 0, again.err
    assert contents(tmp_path / "killed" / "fields") == contents(tmp_path / "undisturbed" / "fields")


def test_a_southern_place_without_landsat_and_with_20_m_bands_only(
    run: Run, real_data: Path, tmp_path: Path
) -> None:
    asked = ("--catalog", real_data / "places/tanzania_d", "--period", 2020, "--no-agreement")
    told = run("map", *asked, "--root", tmp_path, "--json")
    assert told.code == 0, told.err
    sources = told.report["ingest"]["sources"]
    assert sources["landsat-c2-l2"]["found"] == 0
    assert sources["sentinel-2-l2a"]["used"] > 30
    (field,) = told.report["embed"]["fields"]
    assert field["tile"].startswith("32737_")
    assert field["pixels"] == 64 * 64


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--catalog", "/no/such/place", "--period", "2018"), 3, "/no/such/place"),
        (("--period", "2015"), 3, "2015"),
        (("--period", "20x8"), 2, "20x8"),
        (("--period", "2018", "--bbox", "10", "50", "11", "51"), 2, "outside"),
        (("--period", "2018", "--bbox", "3.1", "50.9", "3.0", "50.8"), 2, "bbox"),
        (("--period", "2018", "--bbox", "3.0", "50.8", "3.1"), 2, ""),
        (("--period", "2018", "--aoi", "POLYGON ((3 50"), 2, "WKT"),
        (("--period", "2018", "--model", "nonesuch"), 3, "nonesuch"),
        (("--period", "2018", "--model", "../../etc"), 2, "name"),
        (("--period", "2018", "--root", "/proc/earthfield"), 2, "--root"),
        (("--period", "2018", "--source", "landsat-9"), 3, "landsat-9"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(
    run: Run, real_data: Path, tmp_path: Path, args: tuple[str, ...], code: int, words: str
) -> None:
    start = () if "--catalog" in args else ("--catalog", str(real_data / FLANDERS))
    root = () if "--root" in args else ("--root", str(tmp_path / "root"))
    told = run("map", *start, *args, *root)
    assert told.code == code, told.err
    assert words in told.err
    assert "Traceback" not in told.err
    assert told.out == ""
    assert not (tmp_path / "root" / "fields").exists()


def test_an_unreadable_scene_stops_by_name_or_is_left_out_counted(
    run: Run, real_data: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "catalog"
    shutil.copytree(real_data / FLANDERS, copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    # A scene that shows something: bands of a wholly cloudy one are never read.
    item = copy / "landsat-c2-l2" / "LC08_L2SP_20180606T104459"
    (item / "red.tif").write_bytes(b"II*\0not a raster")
    asked = ("--catalog", copy, "--period", "2018-06", "--no-agreement")
    args = ("map", *asked, "--root", tmp_path / "root", "--json")
    told = run(*args)
    assert told.code == 1
    assert item.name in told.err
    assert "red" in told.err
    told = run(*args, "--skip-unreadable")
    assert told.code == 0, told.err
    assert any(item.name in line for line in told.report["ingest"]["unreadable"])


def test_the_manifest_names_what_windows_read_beyond_the_tile(mapped: tuple[Path, Told]) -> None:
    catalog = Catalog(mapped[0])
    fields = {
        key.tile.id: Field(catalog, key) for key in catalog.fields("starter") if str(key.period) == "2018"
    }
    west, east = fields["32631_0048_0549"], fields["32631_0049_0549"]
    for own, other in ((west, east), (east, west)):
        assert own.manifest["context"] == {other.key.tile.id: other.manifest["sources"]}
        links = json.loads((own.folder / "item.json").read_text())["links"]
        linked = {link["href"] for link in links if link["rel"] == "derived_from"}
        assert linked == {item for items in scenes_read(own.manifest).values() for item in items}
        check_item(json.loads((own.folder / "item.json").read_text()))
    check_collection(json.loads(catalog.collection("starter").read_text()))


def test_provenance_of_a_pixel_is_what_the_cubes_show(mapped: tuple[Path, Told], run: Run) -> None:
    catalog, year = Catalog(mapped[0]), Period.parse("2018")
    reader, whole = CubeReader(catalog, ()), Window(0, 1024, 0, 1024)
    shown = []
    for tile in catalog.cube_tiles():
        cube = reader.cube(tile)
        assert cube is not None
        for source in cube.sources:
            ledger, observations = cube.attributes(source)["ledger"], cube.observations(source, year)
            masks = cube.read_valid(source, [seen.slot for seen in observations], whole)
            for seen, valid in zip(observations, masks, strict=True):
                scenes = {item: Window(*ledger[item]["window"]) for item in seen.items}
                shown.append((tile, source, scenes, valid))
    to_degrees = Transformer.from_crs(32631, 4326, always_xy=True)
    # Inside, at either side of the border between the tiles, and at a corner of the area.
    for row, col in ((-562960, 50140), (-562910, 50175), (-562935, 50176), (-562968, 50199)):
        at = to_degrees.transform(col * 10 + 5, -row * 10 - 5)
        told = run("field", "provenance", "--at", *at, "--period", 2018, "--root", mapped[0], "--json")
        assert told.code == 0, told.err
        (one,) = told.report["fields"]
        assert (one["row"], one["col"], one["has_vector"], one["changed"]) == (row, col, True, [])
        pixel, windows = Window(row, row + 1, col, col + 1), [Window(*window) for window in one["windows"]]
        assert all(pixel in window for window in windows)
        assert sorted(one["sources"]) == sorted({source for _, source, _, _ in shown})
        for source, scenes in one["sources"].items():
            clear, around, masked = set(), set(), 0
            for tile, _, boxes, valid in (entry for entry in shown if entry[1] == source):
                spot = tile.local(pixel)
                if tile == tile_at(32631, row, col) and valid[spot.slices].any():
                    clear |= {item for item, box in boxes.items() if spot & box}
                parts = [tile.local(window & tile.window) for window in windows if window & tile.window]
                if any(valid[part.slices].any() for part in parts):
                    around |= {item for item, box in boxes.items() if any(part & box for part in parts)}
                else:
                    masked += bool(parts)
            assert {scene["scene"] for scene in scenes["clear"]} == clear, source
            assert {scene["scene"] for scene in scenes["context"]} == around - clear, source
            assert scenes["masked"] == masked
            # What the encoder counted when the field was made.
            assert len({scene["step"] for scene in scenes["clear"]}) == one["quality"][f"clear_{source}"]


def test_provenance_says_where_a_cube_has_changed_since(
    mapped: tuple[Path, Told], run: Run, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(mapped[0], root)
    catalog = Catalog(root)
    key = next(key for key in catalog.fields("starter") if str(key.period) == "2018")
    path = catalog.field(key) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["sources"]["landsat-c2-l2"][0]["items"] = ["another-scene"]
    path.write_text(json.dumps(manifest))
    place = Field(catalog, key).area.to_crs("EPSG:4326").centroid.coords[0]
    told = run("field", "provenance", "--at", *place, "--period", 2018, "--root", root, "--json")
    (one,) = told.report["fields"]
    (sentence,) = one["changed"]
    assert "landsat-c2-l2 step" in sentence
    shutil.rmtree(root / "cubes")
    told = run("field", "provenance", "--at", *place, "--period", 2018, "--root", root)
    assert told.code == 3
    assert "is gone" in told.err
    assert "Traceback" not in told.err


CROPLAND = 11
CELL_PX = 4


@pytest.fixture(scope="module")
def finely(mapped: tuple[Path, Told], tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The fields with an index of cells of 40 m: the area has 64 of the usual ones, too few to choose 20 from."""
    root = tmp_path_factory.mktemp("finely")
    shutil.copytree(mapped[0] / "fields", root / "fields")
    index_fields(IndexRequest(root=root, model="starter", cell_px=CELL_PX))
    return Catalog(root)


def test_clicks_inside_cropland_find_cropland(finely: Catalog, real_data: Path) -> None:
    """Clicks stand 20 m or more from anything else; a third of all cells are cropland."""
    with rasterio.open(real_data / FLANDERS / "labels" / "LC.tif") as data:
        cropland, left, top = (
            data.read(1) == CROPLAND,
            round(data.transform.c / 10),
            round(-data.transform.f / 10),
        )
    side = cropland.shape[0] // CELL_PX
    mostly = cropland.reshape(side, CELL_PX, side, CELL_PX).mean(axis=(1, 3)) > 0.5
    assert mostly.mean() < 0.35
    inside = np.argwhere(binary_erosion(cropland, np.ones((5, 5))))
    clicks = inside[np.random.default_rng(0).choice(len(inside), 40, replace=False)]

    def share(like: Like) -> tuple[float, list[Hit]]:
        hits = find_similar(finely, SimilarQuestion("starter", like, "2018", k=20)).hits
        right = [mostly[hit.row - top // CELL_PX, hit.col - left // CELL_PX] for hit in hits]
        return float(np.mean(right)), [hit for hit, good in zip(hits, right, strict=True) if not good]

    shares, refined = [], []
    for row, col in clicks:
        place = pixel_centre(32631, top + row, left + col)
        found, wrong = share(Like(at=(place,)))
        shares.append(found)
        # Who says of two answers that they are wrong gets better ones.
        refined.append(
            share(Like(at=(place,), not_at=tuple((hit.pixel_lon, hit.pixel_lat) for hit in wrong[:2])))[0]
        )
    assert np.mean(shares) >= 0.8, shares
    # Of ten, one click that gets worse would outweigh the others: forty are looked at.
    assert np.mean(refined) > np.mean(shares), (shares, refined)


def test_a_hit_is_explained_by_the_scenes_that_provenance_names(mapped: tuple[Path, Told], run: Run) -> None:
    root = mapped[0]
    place = (
        Field(Catalog(root), next(Catalog(root).fields("starter")))
        .area.to_crs("EPSG:4326")
        .centroid.coords[0]
    )
    told = run("search", "--at", *place, "-k", 1, "--explain", "--no-map", "--root", root, "--json")
    assert told.code == 0, told.err
    (hit,) = told.report["hits"]
    traced = run("field", "provenance", "--at", hit["pixel_lon"], hit["pixel_lat"], "--root", root, "--json")
    (one,) = [field for field in traced.report["fields"] if field["period"] == hit["period"]]
    assert hit["explained"]["quality"] == one["quality"]
    for source, scenes in one["sources"].items():
        found = [scene["scene"] for scene in hit["explained"]["scenes"].get(source, [])]
        assert sorted(found) == sorted(scene["scene"] for scene in scenes["clear"]), source
        assert found, source


def test_a_text_finds_places_of_the_bundled_model(finely: Catalog) -> None:
    answer = find_similar(finely, SimilarQuestion("starter", Like(text="grassland"), k=3))
    assert [hit.distance_m for hit in answer.hits] == [None] * 3
    with pytest.raises(InvalidInput, match="says nothing of a place"):
        find_similar(finely, SimilarQuestion("starter", Like(text="?!")))


def test_two_halves_of_a_year_without_change_raise_no_more_alarms_than_stated(
    halved: Path, tmp_path: Path
) -> None:
    answer = detect_change(Catalog(halved), ChangeQuestion("starter", *HALVES), folder=tmp_path)
    assert (answer.rule, answer.season, answer.pixels) == ("calibrated", "remove", 64 * 64)
    assert answer.flagged_pixels <= 0.01 * answer.pixels
    # The season is most of what two halves of a year differ by.
    assert answer.calibrations[0].season_removed > answer.median
    [path] = [one for one in answer.files if one.endswith("_false_alarm.tif")]
    with rasterio.open(path) as data:
        chance = 10.0 ** data.read(1)
    for rate in (0.1, 0.05, 0.01):
        assert (chance <= rate).mean() <= rate


def test_a_timeline_follows_a_place_through_the_year(halved: Path, run: Run, tmp_path: Path) -> None:
    at = ("--at", 3.0228, 50.8178, "--reference", "near=3.0240,50.8170")
    told = run("timeline", *at, "--root", halved, "--out", tmp_path, "--json")
    assert told.code == 0, told.err
    first, second = told.report["moments"]
    assert second["before"] == first["period"] == HALVES[0]
    assert 0 < second["false_alarm"] <= 1
    assert min(second["clear"].values()) > 0
    assert [Path(path).suffix for path in told.report["files"]] == [".csv", ".png"]
