"""Landsat: the digital numbers of a real scene, and the calibration of both levels."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from ingest_catalogue import EPSG, footprint_of, write_tif
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from earthfield.grid import Window
from earthfield.sources import source_named
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers import Grid
from earthfield_ingest.readers.raster import RasterReader
from earthfield_ingest.scene import Scene, scene_of, without_superseded

L2, L1, TM = (source_named(name) for name in ("landsat-c2-l2", "landsat-c2-l1", "landsat-tm-c2-l2"))
PLACE = Window(-562_960, -562_954, 50_160, 50_166)
"""6 x 6 px of 10 m, for made-up files."""


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    return real_data / "sensors" / "landsat_c2l2_scene" / "assets3"


@pytest.fixture(scope="module")
def scene(folder: Path) -> Scene:
    """The scene as its two items describe it, with the files that lie beside them."""
    parts = []
    for kind in ("SR", "ST"):
        (path,) = folder.glob(f"*_{kind}_stac.json")
        content = json.loads(path.read_text())
        files = {key: folder / Path(one["href"]).name for key, one in content["assets"].items()}
        content["assets"] = {
            key: {**one, "href": str(files[key])}
            for key, one in content["assets"].items()
            if files[key].is_file()
        }
        parts.append(scene_of(pystac.Item.from_dict(content, href=str(path)), L2))
    (joined,) = without_superseded(parts)
    assert joined.flaw is None
    return joined


def raw(folder: Path, name: str) -> NDArray[Any]:
    with rasterio.open(next(folder.glob(f"*_{name}.TIF"))) as file:
        return file.read(1)


@pytest.fixture(scope="module")
def own_grid(folder: Path) -> Grid:
    """The pixels of the files themselves."""
    with rasterio.open(next(folder.glob("*_SR_B2.TIF"))) as file:
        return Grid(GeoBox(file.shape, file.transform, str(file.crs)))


NAMES = ("SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7", "ST_B10")


def test_reflectance_and_kelvin_of_a_real_scene_equal_the_hand_computed_values(
    folder: Path, scene: Scene, own_grid: Grid
) -> None:
    values, measured = RasterReader(L2, own_grid, Fetcher()).bands(scene)
    physical = L2.physical(values, band_axis=0)
    seen = np.zeros(own_grid.shape, bool)
    for place, name in enumerate(NAMES):
        numbers = raw(folder, name)
        scale, offset = (0.00341802, 149.0) if name == "ST_B10" else (0.0000275, -0.2)
        by_hand = np.where(numbers == 0, np.nan, numbers * scale + offset)
        assert np.array_equal(values[place], numbers)
        np.testing.assert_allclose(physical[place], by_hand, rtol=1e-5, atol=1e-6)
        assert np.array_equal(np.isnan(physical[place]), numbers == 0)
        seen |= numbers != 0
    assert np.array_equal(measured, seen)
    assert 0.2 < seen.mean() < 0.9
    assert 250 < np.nanmedian(physical[6]) < 320


def test_the_bits_of_a_real_quality_band_say_where_the_surface_was_seen(
    folder: Path, scene: Scene, own_grid: Grid
) -> None:
    flags = raw(folder, "QA_PIXEL").astype(int)
    by_hand = np.ones(flags.shape, bool)
    for bit in (0, 1, 2, 3, 4):
        by_hand &= flags // 2**bit % 2 == 0
    clear = RasterReader(L2, own_grid, Fetcher()).clear(scene)
    assert np.array_equal(clear, by_hand)
    assert 0.01 < clear.mean() < 0.5  # the scene is four fifths clouds


def test_on_10_m_pixels_a_real_scene_is_weighed_between_its_pixels(folder: Path, scene: Scene) -> None:
    epsg, window = 32618, Window(-16_500, -16_372, 50_000, 50_128)
    grid = Grid.over(epsg, window)
    values, _ = RasterReader(L2, grid, Fetcher()).bands(scene)
    numbers = raw(folder, "SR_B4").astype(float)
    with rasterio.open(next(folder.glob("*_SR_B4.TIF"))) as file:
        inverse = ~file.transform
    rows, cols = np.mgrid[0:128, 0:128] + 0.5
    x, y = grid.transform * (cols, rows)
    col, row = inverse * (x, y)
    col, row = col - 0.5, row - 0.5
    left, top = np.floor(col).astype(int), np.floor(row).astype(int)
    right, down = col - left, row - top
    corners = [numbers[top + dy, left + dx] for dy in (0, 1) for dx in (0, 1)]
    assert all((one != 0).all() for one in corners)
    upper = corners[0] * (1 - right) + corners[1] * right
    lower = corners[2] * (1 - right) + corners[3] * right
    by_hand = upper * (1 - down) + lower * down
    assert np.abs(values[2] - by_hand).max() <= 1.0


def made(tmp_path: Path, source: Any, bands: dict[str, int], **files: Any) -> Scene:
    """A scene of constant bands, and of quality files given as (array, nodata)."""
    assets = {}
    for key, value in bands.items():
        write_tif(tmp_path / f"{key}.tif", np.full(PLACE.shape, value, np.uint16), PLACE, nodata=0)
        assets[key] = {"href": str(tmp_path / f"{key}.tif")}
    for key, (array, nodata) in files.items():
        write_tif(tmp_path / f"{key}.tif", array, PLACE, nodata=nodata)
        assets[key] = {"href": str(tmp_path / f"{key}.tif")}
    import shapely

    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "LC08_L2SP_199025_20200601_02_T1",
        "collection": source.collections[0], "links": [], "assets": assets,
        "geometry": shapely.geometry.mapping(footprint_of(PLACE)),
        "properties": {"datetime": "2020-06-01T10:00:00Z", "view:sun_elevation": 30.0},
    }  # fmt: skip
    return scene_of(pystac.Item.from_dict(item, href="/nowhere/item.json"), source)


@pytest.mark.parametrize("nodata", [None, 65535])
def test_saturated_and_hidden_pixels_are_left_out_and_unflagged_ones_kept(
    tmp_path: Path, nodata: int | None
) -> None:
    flags = np.zeros(PLACE.shape, np.uint16)
    flags[0, :4] = 1 << 0, 1 << 3, 1 << 11, 1 << 8  # coastal, red, terrain, cirrus
    quality = np.full(PLACE.shape, 21824, np.uint16)
    quality[1, 0] = 22280
    scene = made(tmp_path, L2, {"red": 9000}, qa_pixel=(quality, 1), qa_radsat=(flags, nodata))
    clear = RasterReader(L2, Grid.over(EPSG, PLACE), Fetcher()).clear(scene)
    hidden = {(int(y), int(x)) for y, x in np.argwhere(~clear)}
    assert hidden == {(0, 1), (0, 2), (1, 0)}


def test_a_scene_without_saturation_flags_is_read_all_the_same(tmp_path: Path) -> None:
    scene = made(tmp_path, L2, {"red": 9000}, qa_pixel=(np.full(PLACE.shape, 21824, np.uint16), 1))
    assert scene.flaw is None
    assert RasterReader(L2, Grid.over(EPSG, PLACE), Fetcher()).clear(scene).all()


def test_level_1_becomes_reflectance_by_the_height_of_the_sun(tmp_path: Path) -> None:
    scene = made(tmp_path, L1, {"red": 15000}, qa_pixel=(np.full(PLACE.shape, 21824, np.uint16), 1))
    assert scene.flaw is None
    values, measured = RasterReader(L1, Grid.over(EPSG, PLACE), Fetcher()).bands(scene)
    red = L1.physical(values, band_axis=0)[2]
    assert red == pytest.approx((15000 * 2e-5 - 0.1) / math.sin(math.radians(30)), abs=2e-5)
    assert measured.all()
    assert (values[0] == L1.nodata).all()


def test_the_constants_of_level_1_are_those_of_a_real_product(folder: Path) -> None:
    from earthfield_ingest.sources.landsat_c2_l1 import SUNLESS_SCALING, THERMAL

    (path,) = folder.glob("*_MTL.json")
    told = json.loads(path.read_text())["LANDSAT_METADATA_FILE"]
    scaling, constants = told["LEVEL1_RADIOMETRIC_RESCALING"], told["LEVEL1_THERMAL_CONSTANTS"]
    for number in range(2, 8):
        pair = (float(scaling[f"REFLECTANCE_{kind}_BAND_{number}"]) for kind in ("MULT", "ADD"))
        assert tuple(pair) == SUNLESS_SCALING
    for name, number in (("lwir11", 10), ("lwir12", 11)):
        thermal = THERMAL["landsat-8", name]
        assert thermal.scale == float(scaling[f"RADIANCE_MULT_BAND_{number}"])
        assert thermal.offset == float(scaling[f"RADIANCE_ADD_BAND_{number}"])
        assert thermal.k1 == float(constants[f"K1_CONSTANT_BAND_{number}"])
        assert thermal.k2 == float(constants[f"K2_CONSTANT_BAND_{number}"])


def l1_item(platform: str | None = "landsat-8", elevation: Any = 45.0, **more: Any) -> dict[str, Any]:
    told = {"platform": platform, "view:sun_elevation": elevation, **more}
    return {"id": "x", "properties": {k: v for k, v in told.items() if v is not None}, "assets": {"blue": {}}}


@pytest.mark.parametrize(
    ("platform", "band", "scale", "k1", "k2"),
    [
        ("LANDSAT_8", "lwir11", 3.342e-4, 774.8853, 1321.0789),
        ("landsat-8", "lwir12", 3.342e-4, 480.8883, 1201.1442),
        ("landsat-9", "lwir11", 3.8e-4, 799.0284, 1329.2405),
        ("landsat-9", "lwir12", 3.49e-4, 475.6581, 1198.3494),
    ],
)
def test_brightness_temperature_equals_planck_s(
    platform: str, band: str, scale: float, k1: float, k2: float
) -> None:
    one = next(one for one in L1.bands if one.name == band)
    stored = L1.to_stored(l1_item(platform), one, np.array([25000.0, 0.0, np.nan]))
    kelvin = k2 / math.log(k1 / (25000 * scale + 0.1) + 1)
    assert stored[0] * one.scale + one.offset == pytest.approx(kelvin, abs=2e-3)
    assert 250 < kelvin < 330
    assert list(stored[1:]) == [0, 0]


def test_thermal_constants_that_an_item_declares_win() -> None:
    one = next(one for one in L1.bands if one.name == "lwir11")
    told = l1_item(**{"landsat:K1_CONSTANT_BAND_10": 700.0, "landsat:K2_CONSTANT_BAND_10": 1300.0})
    kelvin = 1300.0 / math.log(700.0 / (25000 * 3.342e-4 + 0.1) + 1)
    assert L1.to_stored(told, one, np.array([25000.0]))[0] * one.scale + one.offset == pytest.approx(
        kelvin, abs=2e-3
    )


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (l1_item("landsat-7"), "`platform`"),
        (l1_item(None), "`platform`"),
        (l1_item(elevation=None), "`view:sun_elevation`"),
        (l1_item(elevation=-3.0), "`view:sun_elevation`"),
        (
            {**l1_item(), "assets": {"blue": {"raster:bands": [{"unit": "watt/steradian/square_meter"}]}}},
            "`raster:bands`",
        ),
    ],
)
def test_level_1_that_cannot_become_reflectance_is_refused(item: dict[str, Any], field: str) -> None:
    assert field in str(L1.refuses(item))
    assert L1.refuses(l1_item()) is None


def test_each_platform_is_read_by_the_source_that_knows_its_bands() -> None:
    for platform in ("landsat-4", "landsat-5", "landsat-7", "landsat-8", "landsat-9"):
        item = {"id": "x", "properties": {"platform": platform}}
        refused = [source.name for source in (L2, TM) if source.refuses(item) is not None]
        assert refused == (["landsat-tm-c2-l2"] if platform[-1] in "89" else ["landsat-c2-l2"])
