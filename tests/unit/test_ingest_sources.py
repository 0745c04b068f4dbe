"""Each source turns its providers' pixels into the right physical values."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from earthfield.sources import Source, known_sources, source_named
from earthfield_ingest.dialect import declared, declared_scaling
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.masks import in_classes, without_bits
from earthfield_ingest.readers import Grid
from earthfield_ingest.readers.raster import RasterReader
from earthfield_ingest.scene import scene_of
from earthfield_ingest.sources.landsat_c2_l2 import CLOUDY_BITS
from earthfield_ingest.sources.sentinel2_l2a import baseline

S2, S1, L8 = (source_named(name) for name in ("sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2"))


def items_in(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text())
    return content if isinstance(content, list) else content.get("features", [content])


def pixels_of(path: Path) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return file.read(1)


def stored(source: Source, item: dict[str, Any], band: str, raw: list[float]) -> list[int]:
    scene = scene_of(pystac.Item.from_dict(item, href="/nowhere/item.json"), source)
    declared = next(one for one in source.bands if one.name == band)
    return list(source.to_stored(scene.item, declared, np.array(raw)))


def s2_item(asset: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    return {"properties": properties, "assets": {"B04": asset or {}}}


def s2_stored(item: dict[str, Any], raw: list[float]) -> list[int]:
    return list(S2.to_stored(item, S2.bands[2], np.array(raw)))


def test_every_source_is_declared_whole() -> None:
    assert S2.band_names == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    assert len(known_sources()) >= 18
    for source in known_sources().values():
        limits = np.iinfo(source.dtype)
        assert limits.min <= source.nodata <= limits.max
        assert source.collections and source.title and source.roles
        assert len(set(source.band_names)) == len(source.bands) > 0
        for band in source.bands:
            assert band.assets or band.variables
            assert band.gsd_m > 0 and band.scale != 0
            if source.classes is None:
                assert band.unit != "1" or band.transform == "log_reflectance" or source.layout != "raster"


def test_raster_sources_turn_nothing_into_nodata_element_by_element() -> None:
    raw = np.array([[np.nan, 11.0, np.nan], [50.0, np.nan, 0.5]])
    told = {"properties": {"platform": "landsat-8", "view:sun_elevation": 45.0}}
    for source in known_sources().values():
        if source.layout != "raster":
            continue
        for band in source.bands:
            stored = source.to_stored(told, band, raw)
            assert stored.dtype == source.dtype and stored.shape == raw.shape
            assert (stored[np.isnan(raw)] == source.nodata).all(), source.name
            flat = source.to_stored(told, band, raw.astype(np.float32).ravel()[::-1])
            assert np.array_equal(flat[::-1].reshape(raw.shape), stored), source.name


@given(st.integers(1, 32767))
def test_before_baseline_0400_the_stored_number_is_the_file_s(number: int) -> None:
    assert s2_stored(s2_item(**{"s2:processing_baseline": "03.01"}), [number]) == [number]
    assert s2_stored(s2_item(), [number]) == [number]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (s2_item(**{"s2:processing_baseline": "04.00"}), 500),
        (s2_item(**{"s2:processing_baseline": "05.11"}), 500),
        (s2_item(**{"sentinel2:processing_baseline": "05.09"}), 500),
        (
            s2_item(
                **{"s2:product_uri": "S2A_MSIL2A_20230815T095031_N0509_R079_T33TWL_20230815T155057.SAFE"}
            ),
            500,
        ),
        (s2_item(**{"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}), 1500),
        (s2_item(**{"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": False}), 500),
        (
            s2_item(
                {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]}, **{"s2:processing_baseline": "05.09"}
            ),
            500,
        ),
        (
            s2_item({"raster:bands": [{"scale": 1e-4, "offset": 0}]}, **{"s2:processing_baseline": "05.09"}),
            1500,
        ),
        (s2_item({"raster:scale": 1e-4, "raster:offset": -0.1}), 500),
        (
            s2_item(
                {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]},
                **{"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True},
            ),
            1500,
        ),
        (s2_item({"raster:bands": [{"data_type": "uint16", "nodata": 0}]}), 1500),
    ],
)
def test_the_offset_of_baseline_0400_is_counted_once(item: dict[str, Any], expected: int) -> None:
    assert s2_stored(item, [1500, 0, np.nan]) == [expected, S2.nodata, S2.nodata]


def test_dark_pixels_keep_their_negative_reflectance_and_bright_ones_are_held() -> None:
    item = s2_item(**{"s2:processing_baseline": "05.00"})
    assert s2_stored(item, [1, 999, 65535]) == [-999, -1, 32767]


def test_real_earth_search_items_had_their_offset_applied(real_data: Path) -> None:
    for path in sorted((real_data / "stac/earth_search_static").glob("*/*.json")):
        (item,) = items_in(path)
        assert declared_scaling(item["assets"]["blue"]) == (0.0001, -0.1)
        assert stored(S2, item, "B02", [1234.0]) == [1234]


def test_real_scene_classes_say_which_pixels_of_real_bands_count(real_data: Path) -> None:
    for path in sorted((real_data / "stac/earth_search_static").glob("*/*.json")):
        scene = scene_of(pystac.Item.from_dict(items_in(path)[0], href=str(path)), S2)
        classes, numbers = (pixels_of(path.parent / f"{name}.tif") for name in ("SCL", "B04"))
        told = declared(scene.properties, scene.assets["scl"])
        assert told.transform is not None and told.shape is not None
        # The files are thinned out and lie nowhere: the item tells their corner and their 109.8 km.
        shrink = told.shape[0] / classes.shape[0]
        transform = Affine(*told.transform) @ Affine.scale(shrink)
        grid = Grid(GeoBox(classes.shape, transform, str(told.crs)))
        local = {key: one for key, one in scene.assets.items() if "://" not in one["href"]}
        reader = RasterReader(S2, grid, Fetcher())
        assert np.array_equal(reader.clear(scene), np.isin(classes, (2, 4, 5, 6, 7, 11)))
        red = reader.bands(replace(scene, assets=local))[0][2]
        assert np.array_equal(red, np.where(numbers == 0, S2.nodata, numbers.astype(int)))


@pytest.mark.parametrize(
    ("properties", "asset", "refused"),
    [
        ({"datetime": "2023-06-01T00:00:00Z"}, {}, True),
        ({"datetime": None, "start_datetime": "2023-06-01T00:00:00Z"}, {}, True),
        ({"datetime": "2021-06-01T00:00:00Z"}, {}, False),
        ({"datetime": "2023-06-01T00:00:00Z", "s2:processing_baseline": "05.09"}, {}, False),
        ({"datetime": "2023-06-01T00:00:00Z", "processing:version": "05.09"}, {}, False),
        ({"datetime": "2023-06-01T00:00:00Z", "earthsearch:boa_offset_applied": True}, {}, False),
        ({"datetime": "2023-06-01T00:00:00Z"}, {"raster:scale": 1e-4, "raster:offset": -0.1}, False),
    ],
)
def test_an_item_that_leaves_the_offset_open_is_refused(
    properties: dict[str, Any], asset: dict[str, Any], refused: bool
) -> None:
    for source in (S2, source_named("sentinel-2-l1c")):
        reason = source.refuses(s2_item(asset, **properties))
        assert (reason is not None) == refused
        assert reason is None or "`s2:processing_baseline`" in reason


@pytest.mark.parametrize(
    "properties",
    [
        {"processing:version": "05.12"},
        {"sentinel:product_id": "S2A_MSIL2A_20230714T115221_N0509_R123_T28QCH_20230714T191310"},
        {"eopf:datatake_id": "GS2B_20230322T074609_015891_N05.00"},
    ],
)
def test_the_baseline_is_found_wherever_an_item_tells_it(properties: dict[str, Any]) -> None:
    assert s2_stored(s2_item(**properties), [1500]) == [500]


def test_real_items_of_many_providers_get_the_offset_that_their_baseline_asks(real_data: Path) -> None:
    checked = 0
    for path in sorted((real_data / "stac").rglob("*.json")):
        for item in items_in(path):
            if item.get("type") != "Feature" or baseline(item["properties"]) == (0, 0):
                continue
            if any("boa_offset_applied" in name for name in item["properties"]) or "L1C" in item["id"]:
                continue
            assets = pystac.Item.from_dict(item, href=str(path)).assets
            if not set(S2.bands[0].assets) & set(assets):
                continue
            offset = -1000 if baseline(item["properties"]) >= (4, 0) else 0
            if "T34LBQ" in str(path):  # a fixture of stactools declares an offset of its own
                offset = -7000
            assert stored(S2, item, "B02", [9000.0]) == [9000 + offset], (path, item["id"])
            checked += 1
    assert checked >= 15


@given(st.floats(1e-6, 100.0))
def test_backscatter_is_stored_within_half_a_hundredth_of_a_decibel(power: float) -> None:
    (value,) = S1.to_stored({}, S1.bands[0], np.array([power]))
    assert abs(value * S1.bands[0].scale - 10 * np.log10(power)) <= 0.005 + 1e-9


def test_backscatter_that_is_no_power_is_missing() -> None:
    raw = np.array([0.0, -1.0, np.nan, np.inf, 1.0, 0.01])
    assert list(S1.to_stored({}, S1.bands[1], raw)) == [S1.nodata] * 4 + [0, -2000]


def test_landsat_keeps_its_own_numbers() -> None:
    item = {"assets": {"red": {"raster:bands": [{"scale": 2.75e-5, "offset": -0.2}]}}}
    assert list(L8.to_stored(item, L8.bands[2], np.array([1, 7273, 65535, 0, np.nan]))) == [
        1,
        7273,
        65535,
        0,
        0,
    ]
    assert list(L8.to_stored({}, L8.bands[2], np.array([7273.0]))) == [7273]


def test_landsat_with_another_scale_is_brought_to_the_product_s() -> None:
    item = {"assets": {"red": {"raster:bands": [{"scale": 1e-4, "offset": 0.0}]}}}
    number = L8.to_stored(item, L8.bands[2], np.array([1500.0]))
    assert number * 2.75e-5 - 0.2 == pytest.approx(0.15, abs=1.4e-5)


def test_kelvin_equals_the_hand_computed_value() -> None:
    assert L8.physical(np.full((7, 1, 1), 44178, "uint16"), band_axis=0)[6, 0, 0] == pytest.approx(
        300.00129, abs=5e-5
    )


def test_scene_classes_show_the_surface_or_hide_it() -> None:
    assert S2.quality
    clear = S2.quality[0].is_clear(np.arange(12, dtype=np.uint8))
    assert list(np.flatnonzero(clear)) == [2, 4, 5, 6, 7, 11]
    assert not in_classes(np.array([250.0]), (1,)).any()


@given(st.integers(0, 65535))
def test_qa_pixel_is_clear_where_no_cloudy_bit_is_set(flags: int) -> None:
    assert L8.quality
    expected = not any(flags >> bit & 1 for bit in CLOUDY_BITS)
    assert bool(L8.quality[0].is_clear(np.array([flags], np.uint16))[0]) == expected
    assert bool(without_bits(np.array([float(flags)]), CLOUDY_BITS)[0]) == expected


@pytest.mark.parametrize(
    ("flags", "clear"), [(1, False), (21824, True), (21952, True), (22280, False), (5440, True)]
)
def test_common_qa_pixel_values_of_landsat_8(flags: int, clear: bool) -> None:
    assert L8.quality
    assert bool(L8.quality[0].is_clear(np.array([flags], np.uint16))[0]) == clear
