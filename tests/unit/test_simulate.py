"""The simulated landscape reads like the real archives, is honest, repeatable, and can be taken up again."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import typer
from typer.testing import CliRunner

from earthfield.catalog import Catalog
from earthfield.cube import CubeReader
from earthfield.errors import Conflict, InvalidInput
from earthfield.grid import Window, pixel_at, tile_at, zone_of
from earthfield.schemas import IngestRequest
from earthfield.simulate import Landscape, LandscapeSet, simulate, simulate_set
from earthfield.simulate.canvas import canvas_of
from earthfield.simulate.change import GRADUAL, ChangeKind
from earthfield.simulate.classes import COLLECTION as COVER
from earthfield.simulate.classes import FIRST_CROP
from earthfield.simulate.cli import simulate as command
from earthfield.simulate.covers import CODE, COVERS, LandCover
from earthfield.simulate.crops import CROP_CODE
from earthfield.simulate.faults import kept
from earthfield.simulate.growth import state_on
from earthfield.simulate.radar import backscatter
from earthfield.simulate.raster import write_cog
from earthfield.simulate.scene import Asset
from earthfield.simulate.sentinel1 import scenes as s1_scenes
from earthfield.simulate.sentinel2 import scenes as s2_scenes
from earthfield.simulate.spectra import BANDS as OPTICAL
from earthfield.simulate.spectra import library
from earthfield.simulate.sun import sun_position
from earthfield.simulate.truth import change_in, crop_in, landcover_in, legend
from earthfield.simulate.world import World, world_of
from earthfield.timeline import Period
from earthfield_ingest.jobs import ingest

SPARSE = Landscape(
    seed=3,
    size_px=(64, 49),
    start_year=2021,
    s2_revisit_days=61,
    s1_revisit_days=91,
    landsat_revisit_days=122,
)
BANDS = {"B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "SCL"}
KEYS = {
    "sentinel-2-l2a": BANDS,
    "sentinel-1-rtc": {"vv", "vh"},
    "landsat-c2-l2": {"blue", "green", "red", "nir08", "swir16", "swir22", "lwir11", "qa_pixel"},
    "cop-dem-glo-30": {"data"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small finished landscape."""
    path = tmp_path_factory.mktemp("simulated") / "land"
    simulate(path, SPARSE)
    return path


@pytest.fixture(scope="module")
def world() -> World:
    """One world, without any file."""
    return world_of(Landscape(seed=4, size_px=(180, 180), lon=3.0, lat=50.8))


def _digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _items(root: Path, collection: str) -> list[pystac.Item]:
    catalog = pystac.Catalog.from_file(str(root / "catalog.json"))
    child = catalog.get_child(collection)
    assert child is not None
    return list(child.get_items())


@pytest.mark.parametrize("collection", KEYS)
def test_every_raster_is_what_its_item_says(folder: Path, collection: str) -> None:
    items = _items(folder, collection)
    assert items
    for item in items:
        assert item.properties["earthfield:simulated"] is True
        assert set(item.assets) == KEYS[collection]
        for key, asset in item.assets.items():
            assert asset.href == f"./{key}.tif"
            band = asset.extra_fields["raster:bands"][0]
            with rasterio.open(folder / collection / item.id / f"{key}.tif") as file:
                assert file.dtypes[0] == band["data_type"]
                assert str(file.nodata) == str(float(band["nodata"]))
                assert file.crs.to_epsg() == 32631
                assert list(file.shape) == asset.extra_fields["proj:shape"]
                assert list(file.transform)[:6] == asset.extra_fields["proj:transform"]


def test_items_are_unique_in_order_and_inside_their_years(folder: Path) -> None:
    for collection in ("sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2"):
        items = _items(folder, collection)
        instants = [item.datetime for item in items]
        assert len({item.id for item in items}) == len(items)
        assert instants == sorted(instants)
        assert {instant.year for instant in instants if instant} <= {2021, 2022}


def test_everything_says_that_it_is_simulated(folder: Path) -> None:
    catalog = json.loads((folder / "catalog.json").read_text())
    assert "SIMULATED" in catalog["description"]
    for collection in KEYS:
        assert "SIMULATED" in json.loads((folder / collection / "collection.json").read_text())["description"]
        assert all("SIMULATED" in item.properties["description"] for item in _items(folder, collection))
    assert "SIMULATED" in (folder / "README.txt").read_text()
    texts = json.loads((folder / "texts.geojson").read_text())["features"]
    assert len(texts) >= 12
    assert {text["properties"]["licence"] for text in texts} == {"CC0, simulated"}


def test_most_texts_are_of_a_word_or_two(folder: Path) -> None:
    texts = [
        one["properties"]["text"] for one in json.loads((folder / "texts.geojson").read_text())["features"]
    ]
    written, notes = texts[: len(texts) // 4], texts[len(texts) // 4 :]
    assert all(one.endswith(".") for one in written)
    assert not any("." in one for one in notes)
    assert max(len(one.split()) for one in notes) <= 6


def test_grids_nest_and_cover_an_odd_size(folder: Path) -> None:
    canvas = canvas_of(SPARSE)
    assert canvas.west % 60 == 0
    assert canvas.north % 60 == 0
    assert [canvas.shape_at(gsd) for gsd in (10, 20, 30)] == [(49, 64), (25, 32), (17, 22)]


def test_the_same_landscape_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "again", SPARSE)
    assert _digest(tmp_path / "again") == _digest(folder)


def test_a_finished_landscape_is_left_alone(folder: Path) -> None:
    before = _digest(folder)
    report = simulate(folder, SPARSE)
    assert (report.num_written, report.num_files, report.num_bytes) == (0, 0, 0)
    assert report.num_kept == sum(report.num_scenes.values()) > 10
    assert _digest(folder) == before


def test_an_interrupted_run_is_visible_and_can_be_taken_up_again(folder: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    root = tmp_path / "land"
    with pytest.raises(KeyboardInterrupt):
        simulate(root, SPARSE, progress=stop)
    assert not (root / "catalog.json").exists()
    half = next((root / "sentinel-2-l2a").iterdir())
    next(half.glob("*.json")).unlink()
    (half / "B02.tif").write_bytes(b"torn")
    (half / "B03.tif.part").write_bytes(b"torn")
    report = simulate(root, SPARSE)
    assert report.num_kept == 2
    assert _digest(root) == _digest(folder)


def test_a_strangers_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="not empty"):
        simulate(tmp_path, SPARSE)
    with pytest.raises(InvalidInput, match="is a file"):
        simulate(tmp_path / "notes.txt", SPARSE)
    with pytest.raises(Conflict, match="another landscape"):
        simulate(folder, Landscape(seed=4))


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_px": (8, 64)},
        {"size_px": (64, 99999)},
        {"lat": 89.0},
        {"lon": float("nan")},
        {"years": 1},
        {"seed": -1},
        {"cloudiness": 1.5},
        {"s1_revisit_days": 0},
        {"faults": 1.5},
    ],
)
def test_a_wrong_landscape_is_told_in_a_sentence(wrong: dict) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(wrong))} is .* must lie between"):
        Landscape(**wrong)


def test_offset_follows_the_processing_baseline(folder: Path) -> None:
    seen = set()
    for item in _items(folder, "sentinel-2-l2a"):
        late = item.datetime is not None and item.datetime.date() >= datetime.date(2022, 1, 25)
        offset = item.assets["B04"].extra_fields["raster:bands"][0]["offset"]
        assert offset == (-0.1 if late else 0.0)
        assert (item.properties["s2:processing_baseline"] >= "04.00") == late
        with rasterio.open(folder / "sentinel-2-l2a" / item.id / "B04.tif") as file:
            values = file.read(1)
        assert np.median(values[values > 0]) > (1000 if late else 0)
        seen.add(late)
    assert seen == {True, False}


def test_quality_bands_hold_only_real_codes(folder: Path) -> None:
    for item in _items(folder, "sentinel-2-l2a"):
        with rasterio.open(folder / "sentinel-2-l2a" / item.id / "SCL.tif") as file:
            assert set(np.unique(file.read(1))) <= {0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
    for item in _items(folder, "landsat-c2-l2"):
        with rasterio.open(folder / "landsat-c2-l2" / item.id / "qa_pixel.tif") as file:
            quality = file.read(1)
        filled = (quality & 1) > 0
        assert np.all(quality[filled] == 1)
        clear, hidden = (quality >> 6) & 1, quality & 0b11110
        assert np.all((clear[~filled] == 1) == (hidden[~filled] == 0))


def test_radar_comes_from_both_passes(folder: Path) -> None:
    states = [item.properties["sat:orbit_state"] for item in _items(folder, "sentinel-1-rtc")]
    assert states[:2] == ["ascending", "descending"]
    for item in _items(folder, "sentinel-1-rtc"):
        vv, vh = (
            rasterio.open(folder / "sentinel-1-rtc" / item.id / f"{key}.tif").read(1) for key in ("vv", "vh")
        )
        assert np.nanmedian(vv) > np.nanmedian(vh) > 0


def test_change_is_where_land_cover_differs_and_nowhere_else(world: World) -> None:
    before, after, change = landcover_in(world, 2022), landcover_in(world, 2023), change_in(world, 2022)
    differs = before != after
    assert {0, 1, 2, 3} <= set(np.unique(change)) <= set(ChangeKind)
    assert not differs[change == 0].any()
    assert np.all(after[change == 3] == LandCover.WATER)
    assert np.all(after[change == 2] == LandCover.BARE)
    assert np.isin(after[change == 1], (LandCover.BUILT, LandCover.ROAD, LandCover.URBAN_GREEN)).all()


def test_rotation_changes_the_crop_but_not_the_land_cover(world: World) -> None:
    first, second = crop_in(world, 2022), crop_in(world, 2023)
    rotated = (first > 0) & (second > 0) & (first != second)
    assert 0.4 < rotated.sum() / max(1, ((first > 0) & (second > 0)).sum()) < 1.0
    assert not change_in(world, 2022)[rotated].any()


def test_crops_follow_their_calendar(world: World) -> None:
    def green(crop: str, month: int) -> float:
        state = state_on(world.spec, world.style, world.units, world.weather, datetime.date(2022, month, 15))
        rows = (world.units.column(2022) == CROP_CODE[crop]) & ~world.units.traits.cover_crop
        return float(np.median(state.green[rows & (world.units.event == 0)]))

    assert green("maize", 8) > 2.5 > 0.3 > green("maize", 4)
    assert green("winter_wheat", 5) > 2.5 > 0.6 > green("winter_wheat", 8)


def test_southern_seasons_are_turned_round() -> None:
    spec = Landscape(seed=1, size_px=(96, 96), lon=-59.0, lat=-36.0)
    land = world_of(spec)
    assert canvas_of(spec).epsg == 32721
    at = [land.weather.index(datetime.date(2023, month, 1)) for month in (1, 7)]
    assert (
        land.weather.air_c[at[0] - 30 : at[0] + 30].mean()
        > land.weather.air_c[at[1] - 30 : at[1] + 30].mean() + 8
    )


def test_water_is_dark_to_the_radar_and_towns_are_bright(world: World) -> None:
    state = state_on(world.spec, world.style, world.units, world.weather, datetime.date(2022, 6, 1))
    vv, vh = backscatter(world.units, state, incidence_deg=38.0, ascending=True, air_c=15.0, wind_db=0.0)
    kind = np.array([0, *(cover.landcover for cover in COVERS.values())])[state.cover]
    order = [np.median(vv[kind == one]) for one in (LandCover.WATER, LandCover.CROPLAND, LandCover.BUILT)]
    assert order == sorted(order)
    assert np.all(vv > vh)


def test_seeds_and_latitudes_give_different_landscapes() -> None:
    worlds = [
        world_of(Landscape(seed=seed, size_px=(64, 64), lat=lat)) for seed, lat in ((0, 52), (1, 52), (0, 5))
    ]
    assert len({land.style.words for land in worlds}) > 1
    assert len({land.land.cover.tobytes() for land in worlds}) == 3


def test_sun_stands_high_at_noon_on_the_equator_at_equinox() -> None:
    elevation, _ = sun_position(datetime.datetime(2022, 3, 20, 12, 7, tzinfo=datetime.UTC), 0.0, 0.0)
    assert elevation > 88.5
    elevation, azimuth = sun_position(datetime.datetime(2022, 6, 21, 10, 30, tzinfo=datetime.UTC), 4.9, 52.0)
    assert 54 < elevation < 60
    assert 130 < azimuth < 160


@pytest.mark.parametrize("side", [100, 600])
def test_rasters_are_cloud_optimized(tmp_path: Path, side: int) -> None:
    canvas = canvas_of(Landscape(size_px=(side, side)))
    values = np.arange(side * side, dtype=np.uint16).reshape(side, side)
    write_cog(tmp_path / "x.tif", Asset("x", values, 10, 0), canvas)
    with rasterio.open(tmp_path / "x.tif") as file:
        assert np.array_equal(file.read(1), values)
        assert file.is_tiled
        assert bool(file.overviews(1)) == (side > 512)
        first_tile = int(file.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    header = (tmp_path / "x.tif").read_bytes()[:8]
    assert int.from_bytes(header[4:8], "little") < first_tile


def test_command_writes_one_json_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earthfield.simulate.run._SENSORS", {})
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(tmp_path / "x"), "--size", "32x20", "--seed", "2", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["directory"] == str(tmp_path / "x")
    assert report["num_files"] > 5
    wrong = CliRunner().invoke(app, [str(tmp_path / "y"), "--size", "big"])
    assert isinstance(wrong.exception, InvalidInput)


SMALL_SET = LandscapeSet(num=2, seed=4, size_px=(18, 18), faults=0.9)


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set whose satellites hardly ever pass."""
    member = LandscapeSet.member

    def thinned(self: LandscapeSet, number: int) -> tuple[str, Landscape]:
        region, land = member(self, number)
        rare = {"s2_revisit_days": 120, "s1_revisit_days": 200, "landsat_revisit_days": 200}
        return region, dataclasses.replace(land, **rare)

    monkeypatch.setattr(LandscapeSet, "member", thinned)


@pytest.mark.usefixtures("seldom")
def test_a_set_is_one_catalogue_with_a_child_for_each_landscape(tmp_path: Path) -> None:
    report = simulate_set(tmp_path / "set", SMALL_SET)
    catalog = pystac.Catalog.from_file(str(tmp_path / "set" / "catalog.json"))
    assert len(list(catalog.get_children())) == 2
    assert len(list(catalog.get_items(recursive=True))) == sum(
        sum(member.num_scenes.values()) for member in report.members
    )
    listed = json.loads((tmp_path / "set" / "landscapes.json").read_text())["landscapes"]
    for one in listed:
        marker = json.loads((tmp_path / "set" / one["name"] / "simulation.json").read_text())
        assert marker["landscape"] == one["landscape"]


@pytest.mark.usefixtures("seldom")
def test_a_set_may_grow_and_keeps_what_it_has(tmp_path: Path) -> None:
    simulate_set(tmp_path / "set", SMALL_SET)
    before = _digest(tmp_path / "set" / "landscape_00001")
    grown = simulate_set(tmp_path / "set", dataclasses.replace(SMALL_SET, num=3))
    assert _digest(tmp_path / "set" / "landscape_00001") == before
    assert grown.num_written == sum(grown.members[2].num_scenes.values())
    assert simulate_set(tmp_path / "set", dataclasses.replace(SMALL_SET, num=3)).num_written == 0
    with pytest.raises(Conflict, match="made for 3 landscapes"):
        simulate_set(tmp_path / "set", SMALL_SET)
    with pytest.raises(Conflict, match="another set"):
        simulate_set(tmp_path / "set", dataclasses.replace(SMALL_SET, num=3, seed=5))


def test_a_wrong_set_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="not empty"):
        simulate_set(tmp_path, SMALL_SET)
    for wrong in ({"num": 0}, {"num": 1, "seed": -1}, {"num": 1, "lon": 3.0}):
        with pytest.raises(InvalidInput):
            LandscapeSet(**wrong)


def test_landscapes_of_a_set_come_from_all_climates_and_lie_in_tiles_of_their_own() -> None:
    for given in ({}, {"lon": 3.0, "lat": 50.8}):
        lands = [LandscapeSet(num=80, seed=2, **given).member(number)[1] for number in range(80)]
        tiles = []
        for land in lands:
            epsg = zone_of(land.lon, land.lat)
            row, col = pixel_at(epsg, land.lon, land.lat)
            corners = {tile_at(epsg, row + y, col + x) for y in (-140, 140) for x in (-140, 140)}
            assert len(corners) == 1
            tiles.append(corners.pop())
        assert len(set(tiles)) == 80
    lands = [LandscapeSet(num=80, seed=2).member(number)[1] for number in range(80)]
    lats = [land.lat for land in lands]
    assert min(lats) < -15
    assert max(lats) > 60
    assert sum(abs(lat) < 15 for lat in lats) > 8
    assert len({land.start_year for land in lands}) > 5
    assert min(land.faults for land in lands) == 0.0


def test_faults_take_frames_bands_orbits_and_sensors_away_but_never_the_quality_band() -> None:
    counts, orbits, keys = [], set(), set()
    for seed in range(24):
        spec = Landscape(seed=seed, size_px=(18, 18), faults=1.0, s2_revisit_days=40, s1_revisit_days=20)
        world = world_of(spec)
        radar = list(s1_scenes(world))
        arrived = kept(spec, "sentinel-1-rtc", radar)
        counts.append(len(arrived) / len(radar))
        orbits.add(len({scene.properties["sat:orbit_state"] for scene in arrived}))
        for scene in kept(spec, "sentinel-2-l2a", list(s2_scenes(world)))[:2]:
            names = frozenset(asset.key for asset in scene.make(dict(scene.properties)))
            assert "SCL" in names
            keys.add(names)
    assert min(counts) == 0.0
    assert 0.3 < np.mean(counts) < 0.9
    assert {1, 2} <= orbits
    assert frozenset(BANDS) in keys
    assert any("B02" not in names and "B8A" in names for names in keys)


def test_without_faults_every_scene_arrives_whole(world: World) -> None:
    scenes = list(s1_scenes(world))
    assert kept(world.spec, "sentinel-1-rtc", scenes) == scenes


def test_angles_and_orbits_are_told_by_every_optical_and_radar_item(folder: Path) -> None:
    for collection in ("sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2"):
        for item in _items(folder, collection):
            assert item.properties["sat:orbit_state"] in ("ascending", "descending")
            assert 0 <= item.properties["view:off_nadir"] < 50
            if collection != "sentinel-1-rtc":
                assert 8 <= item.properties["view:sun_elevation"] <= 90


def test_no_two_seeds_share_their_spectra_and_habits() -> None:
    first, second = library(1), library(2)
    assert len(OPTICAL) == 10
    ratio = np.stack([first[name] / second[name] for name in first if name not in ("snow", "cloud")])
    assert 0.1 < np.log(ratio).std() < 0.5
    worlds = [world_of(Landscape(seed=seed, size_px=(32, 32))) for seed in (1, 2)]
    assert worlds[0].style.quirks != worlds[1].style.quirks
    assert worlds[0].style.quirks == world_of(Landscape(seed=1, size_px=(48, 48))).style.quirks


def test_fields_of_one_crop_go_their_own_ways(world: World) -> None:
    def green(day: datetime.date) -> np.ndarray:
        return state_on(world.spec, world.style, world.units, world.weather, day).green

    wheat = (world.units.column(2022) == CROP_CODE["winter_wheat"]) & (world.units.event == 0)
    wheat &= world.units.before == CODE["cropland"]
    spring, week_later = green(datetime.date(2022, 4, 25))[wheat], green(datetime.date(2022, 5, 2))[wheat]
    assert spring.std() / spring.mean() > 0.15
    assert np.log(week_later / spring).std() > 0.02


def test_clear_pixels_hold_thin_cloud_that_nobody_flags() -> None:
    """Between neighbouring clear scenes a pixel differs by about 1 % of reflectance, as over real land."""
    spec = Landscape(seed=4, size_px=(64, 64), lon=3.0, lat=50.8, start_year=2018)
    seen = []
    for scene in s2_scenes(world_of(spec)):
        rasters = {
            asset.key: asset for asset in scene.make(dict(scene.properties)) if asset.key in ("B02", "SCL")
        }
        if np.isin(rasters["SCL"].values, (2, 4, 5, 6, 7)).mean() > 0.95:
            band = rasters["B02"]
            seen.append(band.values * band.scale + band.offset)
    noise = [
        np.abs(b - (a + c) / 2 - np.median(b - (a + c) / 2))
        for a, b, c in zip(seen, seen[1:], seen[2:], strict=False)
    ]
    assert 0.003 < 1.48 * np.median(np.concatenate([part.ravel() for part in noise])) < 0.03


def test_planted_trees_grow_from_year_to_year_and_are_told_as_gradual() -> None:
    world, number = next(
        (land, land.change.kinds.index(ChangeKind.PLANTED) + 1)
        for land in (world_of(Landscape(seed=seed, size_px=(120, 120), years=3)) for seed in range(40))
        if ChangeKind.PLANTED in land.change.kinds and land.change.days[0].year == 2022
    )
    rows = world.units.event == number
    day = world.change.days[number - 1]
    assert rows.any()

    def green(days: int) -> float:
        at = day + datetime.timedelta(days=days)
        return float(state_on(world.spec, world.style, world.units, world.weather, at).green[rows].mean())

    summer = (
        (datetime.date(day.year + 1, 7, 10) - day).days if day.month > 6 else 190 - day.timetuple().tm_yday
    )
    assert 0 < green(summer) < 0.8 * green(summer + 365)
    told = legend(world)
    assert told["gradual_changes"] == [int(kind) for kind in GRADUAL]
    assert set(map(str, told["gradual_changes"])) <= set(told["change"])


def test_the_map_to_learn_from_is_the_truth_in_a_catalogue_of_its_own(folder: Path) -> None:
    assert COVER not in KEYS
    items = _items(folder / "truth", COVER)
    assert [item.properties["start_datetime"][:4] for item in items] == ["2021", "2022"]
    names = json.loads((folder / "truth" / "legend.json").read_text())["cover"]
    for item, year in zip(items, (2021, 2022), strict=True):
        assert item.properties["earthfield:simulated"] is True
        with rasterio.open(folder / "truth" / COVER / item.id / "class.tif") as file:
            codes = file.read(1)
        land, crop = (
            rasterio.open(folder / "truth" / f"{kind}_{year}.tif").read(1) for kind in ("landcover", "crop")
        )
        np.testing.assert_array_equal(codes, np.where(crop > 0, FIRST_CROP + crop, land))
        assert set(map(str, np.unique(codes))) <= set(names)


def test_the_map_to_learn_from_is_ingested_as_it_is(folder: Path, tmp_path: Path) -> None:
    ingest(IngestRequest(root=tmp_path, catalog=str(folder / "truth"), periods=("2021",), sources=(COVER,)))
    (tile,) = Catalog(tmp_path).cube_tiles()
    (item, _) = _items(folder / "truth", COVER)
    with rasterio.open(folder / "truth" / COVER / item.id / "class.tif") as file:
        codes, y0, x0 = file.read(1), -round(file.transform.f / 10), round(file.transform.c / 10)
    window = Window(y0, y0 + codes.shape[0], x0, x0 + codes.shape[1])
    held = CubeReader(Catalog(tmp_path), (COVER,)).read(tile.epsg, window, Period.parse("2021"))[COVER]
    np.testing.assert_array_equal(held.values[:, 0], codes[None])
