"""Real STAC items of many providers are read as scenes, or refused by a reason that names a field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import shapely

from earthfield.sources import Source, known_sources, source_named
from earthfield_ingest.dialect import (
    addresses,
    asset_key,
    collection_of,
    declared,
    declared_scaling,
    platform_of,
)
from earthfield_ingest.scene import (
    BEFORE_LAUNCH,
    FROM_THE_FUTURE,
    JOINED,
    NO_FOOTPRINT,
    SUPERSEDED,
    Scene,
    footprint_of,
    scene_of,
    sources_of,
    why_unread,
    without_superseded,
)

S2, L8 = source_named("sentinel-2-l2a"), source_named("landsat-c2-l2")

OUTCOMES = {
    "cdse/issue1043-api-proj-code/*": "sentinel-2-l2a",
    "cdse/issue1547-inconsistent-nodata-handling/*": "sentinel-2-l2a",
    "cdse/issue_copernicus_global_mosaics/*/search_queried.json": "`collection`",
    "odc_stac/LC08_L2S*": "landsat-c2-l2",
    "odc_stac/LE07_L2SP_*": "landsat-tm-c2-l2",
    "odc_stac/S2?_*": "sentinel-2-l2a",
    "odc_stac/ga_ls8c_ard_3*": "`collection`",
    "odc_stac/lidar_dem.json": "`collection`",
    "odc_stac/only_crs_proj.json": "`collection`",
    "odc_stac/site*.geojson": "sentinel-2-l2a",
    "planetary_computer/cop-dem-glo-30-pc.json": "cop-dem-glo-30",
    "planetary_computer/io-lulc*.json": "io-lulc",
    "planetary_computer/landsat-c2-l1-pc.json": "`platform`",
    "planetary_computer/landsat-c2-l2-pc.json": "landsat-c2-l2",
    "planetary_computer/sentinel-1-rtc-pc.json": "sentinel-1-rtc",
    "planetary_computer/sentinel-2-l2a-pc.json": "sentinel-2-l2a",
    "stactools_cop-dem/examples/cop-dem-glo-30/*": "cop-dem-glo-30",
    "stactools_cop-dem/examples/cop-dem-glo-90/*": "`collection`",
    "stactools_esa-worldcover/*": "esa-worldcover",
    "stactools_landsat/examples/landsat-c2-l1/*": "`platform`",
    "stactools_landsat/examples/landsat-c2-l2/LC0*": "landsat-c2-l2",
    "stactools_landsat/examples/landsat-c2-l2/L[ET]0*": "landsat-tm-c2-l2",
    "stactools_landsat/tests/data-files/assets*/*": "landsat-c2-l2",
    "stactools_landsat/tests/data-files/etm/*": "landsat-tm-c2-l2",
    "stactools_landsat/tests/data-files/mss/*": "`platform`",
    "stactools_landsat/tests/data-files/oli-tirs/*": "landsat-c2-l2",
    "stactools_landsat/tests/data-files/tm/*": "landsat-tm-c2-l2",
    "stactools_sentinel1/examples/grd/S1A_EW_*": "`assets`",  # HH and HV only
    "stactools_sentinel1/examples/grd/S1A_IW_*": "`raster:bands`",  # uncalibrated
    "stactools_sentinel1/examples/rtc/*": "sentinel-1-rtc",
    "stactools_sentinel1/examples/slc/*": "`collection`",
    "stactools_sentinel2/*L1C*": "sentinel-2-l1c",
    "stactools_sentinel2/*l1c-example*": "sentinel-2-l1c",
    "stactools_sentinel2/*MSIL2A_*": "sentinel-2-l2a",
    "stactools_sentinel2/*OPER_MSI_L2A*": "sentinel-2-l2a",
    "stactools_sentinel2/*l2a-example*": "sentinel-2-l2a",
    "stactools_sentinel2/*S2A_T60CWS_*": "sentinel-2-l2a",
    "stactools_usda-cdl/examples/cropland_*": "usda-cdl",
    "stactools_usda-cdl/examples/[!c]*": "`usda_cdl:type`",
    "stactools_usda-cdl/examples/cultivated_*": "`usda_cdl:type`",
}
"""By file: the source that reads its items, or the field that stands in the way."""


def features(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text())
    several = content if isinstance(content, list) else content.get("features", [content])
    return [one for one in several if one.get("type") == "Feature"]


def real_items(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.rglob("*json")):
        for content in features(path):
            yield path.relative_to(folder).as_posix(), content


def as_item(content: dict[str, Any]) -> pystac.Item:
    return pystac.Item.from_dict(content, href="/nowhere/item.json")


def scenes_and_reasons(content: dict[str, Any]) -> tuple[list[Scene], list[str]]:
    made = [scene_of(as_item(content), source) for source in sources_of(content)]
    reasons = [one.flaw for one in made if one.flaw is not None]
    return [one for one in made if one.flaw is None], reasons if made else [why_unread(content)]


def test_every_real_item_is_read_or_refused_by_a_reason_that_names_a_field(real_data: Path) -> None:
    folder, met, wrong = real_data / "stac" / "items", set(), []
    for name, content in real_items(folder):
        patterns = [pattern for pattern in OUTCOMES if fnmatch(name, pattern)]
        assert patterns, f"{name} is not in the table"
        met |= set(patterns)
        (outcome,) = {OUTCOMES[pattern] for pattern in patterns}
        scenes, reasons = scenes_and_reasons(content)
        told = ",".join(one.source for one in scenes) or next(
            (field for field in re.findall(r"`[\w:]+`", " ".join(reasons)) if field == outcome), str(reasons)
        )
        if told != outcome:
            wrong.append((name, content["id"], told, outcome))
        assert all(len(reason.split()) >= 5 for reason in reasons), reasons
    assert not wrong
    assert met == set(OUTCOMES)


def test_every_band_of_a_real_scene_has_its_scaling_resolved(real_data: Path) -> None:
    numbers = np.array([1.0, 10.0, 1000.0, np.nan])
    bands = 0
    for name, content in real_items(real_data / "stac" / "items"):
        for scene in scenes_and_reasons(content)[0]:
            source = source_named(scene.source)
            for band in source.bands:
                if asset_key(scene.assets, band.assets) is None:
                    continue
                stored = source.to_stored(scene.item, band, numbers)
                assert stored.dtype == source.dtype, name
                assert stored[-1] == source.nodata, (name, band.name)
                assert (stored[:-1] != source.nodata).any(), (name, band.name)
                bands += 1
    assert bands > 500


def test_level_1c_items_get_the_offset_that_they_declare_or_their_baseline_asks(real_data: Path) -> None:
    source = source_named("sentinel-2-l1c")
    checked = 0
    for name, content in real_items(real_data / "stac" / "items" / "stactools_sentinel2"):
        for scene in scenes_and_reasons(content)[0]:
            if scene.source == source.name:
                (stored,) = source.to_stored(scene.item, source.bands[0], np.array([9000.0]))
                assert stored == 9000, name  # processed before 04.00
                checked += 1
    assert checked == 4
    newer = {"properties": {"s2:processing_baseline": "05.10"}, "assets": {"blue": {}}}
    assert list(source.to_stored(newer, source.bands[0], np.array([1500.0, 0.0]))) == [500, source.nodata]
    cdse = {
        "properties": {"processing:version": "05.11"},
        "assets": {"B02": {"raster:offset": -0.1, "raster:scale": 1e-4}},
    }
    assert list(source.to_stored(cdse, source.bands[0], np.array([1500.0]))) == [500]


# --- where an item lies


POINTS_INSIDE = {
    "S2A_OPER_MSI_L2A_TL_2APS_20230603T031757_A041497_T01WCQ": ((179.95, 66.65), (-179.5, 66.9)),
    "S2A_OPER_MSI_L2A_TL_2APS_20230730T020155_A042312_T01VCC": ((179.9, 56.6), (-179.8, 56.6)),
    "S2A_OPER_MSI_L2A_TL_2APS_20230806T022123_A042412_T60VXH": ((179.8, 55.9), (-179.9, 55.9)),
    "S2B_OPER_MSI_L2A_TL_2BPS_20230503T100334_A030615_T60VXH": ((179.9, 56.7), (-179.9, 56.6)),
    "S2B_OPER_MSI_L2A_TL_2BPS_20230512T234921_A032288_T01VCG": ((-179.9, 60.25), (-179.0, 60.2)),
    "S2B_OPER_MSI_L2A_TL_2BPS_20230513T005426_A032288_T01VCG": ((179.9, 59.6), (-179.5, 59.7)),
}


def test_granules_across_the_antimeridian_cover_their_ground_and_nothing_else(real_data: Path) -> None:
    paths = sorted((real_data / "stac" / "antimeridian_items").glob("*.json"))
    assert len(paths) == 6
    for path in paths:
        (content,) = features(path)
        item = as_item(content)
        (scene,) = [scene_of(item, source) for source in sources_of(content)]
        assert scene.flaw is None
        shape = scene.footprint
        for lon, lat in POINTS_INSIDE[item.id]:
            assert shape.contains(shapely.Point(lon, lat)), (item.id, lon, lat)
        for lon in (-177.0, -90.0, 0.0, 90.0, 177.0):
            assert not shape.intersects(shapely.LineString([(lon, -90), (lon, 90)])), (item.id, lon)
        assert shape.is_valid
        assert 0.1 < shape.area < 2


def test_no_real_item_covers_more_of_the_globe_than_it_can(real_data: Path) -> None:
    for name, content in real_items(real_data / "stac"):
        west, south, east, north = footprint_of(as_item(content)).bounds
        assert -180 <= west <= east <= 180, name
        assert -90 <= south <= north <= 90, name
        inside = list(getattr(footprint_of(as_item(content)), "geoms", []))
        assert all(part.bounds[2] - part.bounds[0] < 90 for part in inside), name


def item_over(geometry: Any, bbox: list[float] | None = None, **properties: Any) -> pystac.Item:
    told = {"datetime": "2020-06-01T00:00:00Z", **properties}
    return as_item(
        {
            "type": "Feature", "stac_version": "1.0.0", "id": "one", "collection": "sentinel-2-l2a",
            "geometry": geometry, "bbox": bbox, "properties": told, "links": [],
            "assets": {"B04": {"href": "./B04.tif"}, "SCL": {"href": "./SCL.tif"}},
        }
    )  # fmt: skip


@pytest.mark.parametrize("east", [180.0, 179.75])
def test_a_map_of_the_world_stays_one(east: float) -> None:
    box = shapely.box(-180, -90, east, 90)
    assert footprint_of(item_over(shapely.geometry.mapping(box))).equals(box)
    assert footprint_of(item_over(None, list(box.bounds))).equals(box)


def test_what_lies_beyond_180_degrees_is_moved_by_a_turn() -> None:
    tile = [[(-180.0, 0.0), (-182.8, -10.0), (-172.6, -10.0), (-170.0, 0.0), (-180.0, 0.0)]]
    shape = footprint_of(item_over({"type": "Polygon", "coordinates": tile}))
    assert shape.contains(shapely.Point(178.5, -9)) and shape.contains(shapely.Point(-175, -5))
    assert shape.area == pytest.approx(shapely.Polygon(tile[0]).area)


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon"},
        {"type": "Blob", "coordinates": [1]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, None], [1, 1], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, "nan"], [1, 1], [0, 0]]]},
    ],
)
def test_without_a_geometry_the_bbox_counts_and_without_both_the_item_is_refused(geometry: Any) -> None:
    assert footprint_of(item_over(geometry, [3.0, 50.0, 4.0, 51.0])).equals(shapely.box(3, 50, 4, 51))
    assert scene_of(item_over(geometry), S2).flaw == NO_FOOTPRINT


# --- when, and on what grid


def dated(datetime_: Any, **properties: Any) -> Scene:
    place = shapely.geometry.mapping(shapely.box(3, 50, 4, 51))
    return scene_of(item_over(place, datetime=datetime_, **properties), S2)


def test_a_clock_that_was_wrong_is_refused_by_its_datetime() -> None:
    later = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    assert dated(later, **{"s2:processing_baseline": "05.00"}).flaw == FROM_THE_FUTURE
    assert dated("2014-06-01T00:00:00Z", platform="Sentinel-2A").flaw == BEFORE_LAUNCH
    assert dated("1970-01-01T00:00:00Z", constellation="Sentinel 2").flaw == BEFORE_LAUNCH
    assert dated("2015-08-01T00:00:00Z", platform="sentinel-2a").flaw is None
    assert "`datetime`" in FROM_THE_FUTURE and "`datetime`" in BEFORE_LAUNCH


def test_without_a_datetime_the_start_counts() -> None:
    ends = {"start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2021-01-01T00:00:00Z"}
    assert dated(None, **ends).acquired == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "value"), [("proj:code", "banana"), ("proj:epsg", 99999), ("proj:wkt2", "PROJCRS[")]
)
def test_a_crs_that_nobody_knows_is_refused_by_its_field(field: str, value: Any) -> None:
    flaw = dated("2020-06-01T00:00:00Z", **{field: value}).flaw
    # pystac brings `proj:epsg` to `proj:code`.
    assert flaw is not None and re.search("`proj:(code|epsg|wkt2)`", flaw)
    assert dated("2020-06-01T00:00:00Z", **{"proj:code": "EPSG:32631"}).flaw is None
    assert dated("2020-06-01T00:00:00Z", **{"proj:epsg": None}).flaw is None


def test_the_grid_is_read_from_whatever_way_it_is_told() -> None:
    sphere = "+proj=sinu +R=6371007.181 +units=m"
    import pyproj

    wkt, json_ = pyproj.CRS(sphere).to_wkt(), pyproj.CRS(sphere).to_json_dict()
    assert declared({"proj:epsg": 32631}, {}).crs == "EPSG:32631"
    assert declared({"proj:epsg": 32631}, {"proj:code": "EPSG:32632"}).crs == "EPSG:32632"
    assert declared({"proj:epsg": None, "proj:wkt2": wkt}, {}).crs == wkt
    assert pyproj.CRS(str(declared({"proj:projjson": json_}, {}).crs)) == pyproj.CRS(wkt)
    assert declared({"proj:transform": [10.0]}, {}).transform is None
    assert declared({}, {"proj:transform": [10, 0, 1, 0, -10, 2, 0, 0, 1], "proj:shape": [5, 6]}).shape == (
        5,
        6,
    )


# --- which product, and where its files are


@pytest.mark.parametrize(
    ("item", "collection"),
    [
        ({"collection": "sentinel-2-l2a", "id": "S2A_T01LAC_20200717T221944_L1C"}, "sentinel-2-l2a"),
        ({"id": "S2A_T01LAC_20200717T221944_L1C"}, "sentinel-2-l1c"),
        ({"id": "x", "properties": {"s2:product_type": "S2MSI2A"}}, "sentinel-2-l2a"),
        ({"id": "x", "properties": {"product:type": "S2MSI1C"}, "collection": "mine"}, "sentinel-2-l1c"),
        ({"id": "S2A_T01LAC_20200717T221944_L1C", "collection": "mine"}, "mine"),
        ({"id": "LC08_L2SP_047027_20201204_20210313_02_T1"}, "landsat-c2-l2"),
        ({"id": "LC08_L1TP_047027_20201204_20210313_01_T1"}, None),  # Collection 1
        ({"id": "MOD09A1.A2022033.h19v10.061.2022042043514"}, "modis-09A1-061"),
        ({"id": "ALOS2437590500-220630_WWDR2.2GUA"}, "palsar2-scansar"),
        ({"id": "something"}, None),
    ],
)
def test_the_product_is_recognised(item: dict[str, Any], collection: str | None) -> None:
    assert collection_of(item) == collection


def test_the_collection_that_an_item_lies_in_counts_where_it_names_none() -> None:
    assert collection_of({"id": "x"}, "sentinel-2-l2a") == "sentinel-2-l2a"
    assert collection_of({"id": "S2A_T01LAC_20200717T221944_L1C"}, "drawings") == "drawings"
    assert sources_of({"id": "x"}, "sentinel-2-l2a") == [S2]
    assert sources_of({"id": "x", "collection": "mine"}, "sentinel-2-l2a") == [S2]


def test_every_collection_that_ids_stand_for_is_some_source_s() -> None:
    from earthfield_ingest.dialect import _IDS, _PRODUCTS

    known = {name for source in known_sources().values() for name in source.collections}
    assert {name for _, name in (*_IDS, *_PRODUCTS)} <= known


def test_platforms_are_told_in_one_spelling() -> None:
    assert platform_of({"properties": {"platform": "LANDSAT_8"}}) == "landsat-8"
    assert platform_of({"properties": {"eo:platform": "Landsat 9"}}) == "landsat-9"
    assert platform_of({"id": "LE07_L2SP_021030_20100109_20200911_02_T1"}) == "landsat-7"
    assert platform_of({"id": "x"}) is None


def scene_with(asset: dict[str, Any], *, remote: bool, source: Source = S2) -> Scene:
    item = item_over(shapely.geometry.mapping(shapely.box(3, 50, 4, 51)))
    item.assets["B04"] = pystac.Asset.from_dict(asset)
    return scene_of(item, source, remote=remote)


def test_an_alternate_address_is_taken_where_the_own_may_not_be_read() -> None:
    https = {"alternate": {"https": {"href": "https://somewhere/B04.jp2"}}}
    s3 = {"href": "s3://eodata/B04.jp2", **https}
    assert addresses(s3) == ("s3://eodata/B04.jp2", "https://somewhere/B04.jp2")
    assert scene_with(s3, remote=True).assets["B04"]["href"] == "s3://eodata/B04.jp2"
    for own in ("/eodata/B04.jp2", "eodata://B04.jp2", "file:///eodata/B04.jp2"):
        asset = scene_with({"href": own, **https}, remote=True).assets["B04"]
        assert asset["href"] == "https://somewhere/B04.jp2"
    assert scene_with({"href": "/eodata/B04.jp2"}, remote=True).assets["B04"]["href"] == "/eodata/B04.jp2"
    assert (
        scene_with({"href": "/eodata/B04.jp2", **https}, remote=False).assets["B04"]["href"]
        == "/eodata/B04.jp2"
    )


def test_cdse_items_keep_both_of_their_addresses(real_data: Path) -> None:
    path = real_data / "stac" / "items" / "cdse" / "issue1043-api-proj-code" / "FeatureCollection.json"
    scene = scene_of(as_item(features(path)[0]), S2, remote=True)
    own, other = addresses(scene.assets["B02_10m"])
    assert own.startswith("s3://eodata/") and other.startswith("https://")
    assert declared_scaling(scene.assets["B02_10m"]) == (1e-4, -0.1)
    assert declared(scene.properties, scene.assets["B02_10m"]).crs == "EPSG:32636"


def test_what_a_source_knows_of_missing_values_stands_in_for_what_an_item_does_not_tell() -> None:
    label = source_named("dynamic-world")
    item = item_over(shapely.geometry.mapping(shapely.box(3, 50, 4, 51)))
    item.assets = {"label": pystac.Asset("./label.tif")}
    assert declared({}, scene_of(item, label).assets["label"]).nodata == 255
    item.assets["label"].extra_fields["raster:bands"] = [{"nodata": 99}]
    assert declared({}, scene_of(item, label).assets["label"]).nodata == 99


# --- several items of one acquisition


def test_of_two_processings_of_a_granule_the_newest_counts(real_data: Path) -> None:
    folder = real_data / "stac" / "items" / "stactools_sentinel2" / "tests" / "data-files"
    paths = sorted(folder.glob("*T01WCP*/expected_output.json"))
    older, newer = (scene_of(as_item(features(path)[0]), S2) for path in paths)
    assert older.properties["s2:generation_time"] <= newer.properties["s2:generation_time"]
    again = as_item(features(paths[1])[0])
    again.id, again.properties["s2:generation_time"] = "again", "2024-01-01T00:00:00Z"
    made = without_superseded([newer, scene_of(again, S2)])
    assert [one.flaw for one in made] == [SUPERSEDED, None]


def test_surface_reflectance_and_temperature_of_one_scene_are_read_together(real_data: Path) -> None:
    folder = real_data / "stac" / "items" / "stactools_landsat" / "tests" / "data-files"
    for place, name in (("assets3", "LC08_*"), ("oli-tirs", "LC08_L2SP_047027_*")):
        temperature, reflectance = (
            scene_of(as_item(features(next((folder / place).glob(f"{name}_{kind}_stac.json")))[0]), L8)
            for kind in ("ST", "SR")
        )
        (scene,) = without_superseded([temperature, reflectance])
        assert {"SR_B2.TIF", "SR_B7.TIF", "ST_B10.TIF", "QA_PIXEL.TIF"} <= set(scene.assets)
        assert scene.flaw is None


def test_parts_of_a_scene_with_ids_of_their_own_are_all_counted(real_data: Path) -> None:
    source = source_named("landsat-tm-c2-l2")
    folder = real_data / "stac" / "items" / "stactools_landsat" / "tests" / "data-files" / "tm"
    paths = sorted(folder.glob("LT04*_stac.json"))
    made = without_superseded([scene_of(as_item(features(path)[0]), source) for path in paths])
    assert [(one.id[-2:], one.flaw) for one in made] == [("SR", None), ("ST", JOINED)]
    assert {"blue", "lwir"} <= set(made[0].assets)


def test_granules_of_one_pass_stay_apart(real_data: Path) -> None:
    paths = sorted((real_data / "stac" / "antimeridian_items").glob("*T01VCG.json"))
    made = without_superseded([scene_of(as_item(features(path)[0]), S2) for path in paths])
    assert [one.flaw for one in made] == [None, None]
