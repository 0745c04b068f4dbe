"""Radar: decibels on every provider's terms, and what is not calibrated refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_catalogue import EPSG, write_tif

from earthfield.grid import Window
from earthfield.sources import Source, source_named
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers import Grid
from earthfield_ingest.readers.raster import RasterReader
from earthfield_ingest.scene import scene_of

RTC, GRD, SCANSAR, MOSAIC = (
    source_named(name)
    for name in ("sentinel-1-rtc", "sentinel-1-grd", "palsar2-scansar", "alos-palsar-mosaic")
)
PLACE = Window(-562_960, -562_956, 50_160, 50_164)


def item(asset: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"id": "one", "properties": properties, "assets": {"vv": asset}}


@pytest.mark.parametrize(
    ("asset", "properties", "raw", "decibels"),
    [
        ({}, {}, 0.1, -10.0),
        ({"roles": ["data", "sigma0"]}, {}, 0.1, -10.0),
        ({"raster:bands": [{"unit": "1"}]}, {}, 0.1, -10.0),
        ({"raster:bands": [{"unit": "dB"}]}, {}, -12.34, -12.34),
        ({"bands": [{"unit": "decibel"}], "roles": ["gamma0"]}, {}, -12.34, -12.34),
        ({"raster:bands": [{"unit": "amplitude"}]}, {}, 0.1, -20.0),
        ({}, {"card4l:measurement_convention": "linear amplitude"}, 0.1, -20.0),
        ({}, {"card4l:measurement_convention": "dB"}, -7.5, -7.5),
    ],
)
def test_backscatter_becomes_decibels_whatever_it_is(
    asset: dict[str, Any], properties: dict[str, Any], raw: float, decibels: float
) -> None:
    stored = RTC.to_stored(item(asset, **properties), RTC.bands[0], np.array([raw, np.nan]))
    assert stored[0] * 0.01 == pytest.approx(decibels, abs=0.005)
    assert stored[1] == RTC.nodata
    if asset or properties:
        assert GRD.refuses(item(asset, **properties)) is None
        assert (GRD.to_stored(item(asset, **properties), GRD.bands[0], np.array([raw])) == stored[0]).all()


def test_uncalibrated_numbers_are_refused_by_the_field_that_would_tell() -> None:
    for asset in ({}, {"raster:bands": [{"data_type": "uint16"}]}, {"roles": ["data"]}):
        assert "`raster:bands`" in str(GRD.refuses(item(asset)))


def test_an_image_along_the_satellite_s_track_is_refused_by_its_grid() -> None:
    told = {"roles": ["sigma0"]}
    # What tools write of an image that has only ground control points: the box around it.
    box = [0.00022048, 0.0, 1.5121, 0.0, -0.0000726852, 46.4365]
    assert "`proj:transform`" in str(GRD.refuses(item(told, **{"proj:epsg": 4326, "proj:transform": box})))
    on_a_map = [10.0, 0.0, 399960.0, 0.0, -10.0, 4200000.0]
    assert GRD.refuses(item(told, **{"proj:epsg": 32610, "proj:transform": on_a_map})) is None


def test_the_orbit_and_the_angle_are_kept() -> None:
    for source in (RTC, GRD):
        assert {"orbit_state", "relative_orbit", "incidence_angle"} <= set(source.keeps)


@given(st.integers(2, 65535))
def test_palsar_numbers_become_gamma0(number: int) -> None:
    for source in (SCANSAR, MOSAIC):
        (stored,) = source.to_stored({}, source.bands[1], np.array([float(number)]))
        assert stored * 0.01 == pytest.approx(20 * np.log10(number) - 83.0, abs=0.0051)


def test_palsar_numbers_that_stand_for_nothing_are_missing() -> None:
    assert (SCANSAR.to_stored({}, SCANSAR.bands[0], np.array([0.0, 1.0, np.nan])) == SCANSAR.nodata).all()


def test_layover_and_shadow_are_not_seen() -> None:
    (scansar,), (mosaic,) = SCANSAR.quality, MOSAIC.quality
    codes = np.arange(16, dtype=np.uint8)
    assert list(np.flatnonzero(scansar.is_clear(codes))) == [1, 4, 9, 12]
    classes = np.array([0, 50, 100, 150, 255], np.uint8)
    assert list(mosaic.is_clear(classes)) == [False, True, False, False, True]


def made(tmp_path: Path, source: Source, assets: dict[str, Any], **properties: Any) -> pystac.Item:
    for key, array in assets.items():
        write_tif(tmp_path / f"{key}.tif", array, PLACE, nodata=None)
    content = {
        "type": "Feature", "stac_version": "1.0.0", "id": "one", "collection": source.collections[0],
        "links": [], "geometry": None, "bbox": [3.0, 50.8, 3.1, 50.9],
        "properties": {"datetime": "2020-06-01T10:00:00Z", **properties},
        "assets": {key: {"href": str(tmp_path / f"{key}.tif"), "role": "data"} for key in assets},
    }  # fmt: skip
    return pystac.Item.from_dict(content, href="/nowhere/item.json")


def test_a_scansar_scene_is_read_with_its_mask(tmp_path: Path) -> None:
    mask = np.full(PLACE.shape, 1, np.uint8)
    mask[0] = 2, 3, 5, 0
    numbers = np.full(PLACE.shape, 5000, np.uint16)
    numbers[3, 3] = 0
    one = scene_of(made(tmp_path, SCANSAR, {"HH_SLP": numbers, "MSK": mask}), SCANSAR)
    reader = RasterReader(SCANSAR, Grid.over(EPSG, PLACE), Fetcher())
    values, measured = reader.bands(one)
    assert one.flaw is None
    assert values[0, 1, 1] == round(100 * (20 * np.log10(5000) - 83))
    assert (values[1] == SCANSAR.nodata).all()
    assert not measured[3, 3] and measured.sum() == 15
    assert not reader.clear(one)[0].any() and reader.clear(one)[1:].all()


def test_a_mosaic_stands_for_its_year(tmp_path: Path) -> None:
    arrays = {"HH": np.full(PLACE.shape, 5000, np.uint16), "mask": np.full(PLACE.shape, 255, np.uint8)}
    ends = {"start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-12-31T23:59:59Z"}
    one = scene_of(made(tmp_path, MOSAIC, arrays, **ends), MOSAIC)
    assert one.flaw is None and one.stands_for is not None
    assert (one.stands_for.start.year, one.stands_for.end.year) == (2020, 2020)
