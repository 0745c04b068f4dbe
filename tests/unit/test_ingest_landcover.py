"""Land cover and heights: the pixels of real maps of a whole 3-degree tile, seen from a UTM tile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from ingest_catalogue import EPSG, write_tif
from numpy.typing import NDArray
from pyproj import Transformer

from earthfield.grid import Tile, Window, pixel_at, tile_at
from earthfield.sources import Source, known_sources, source_named
from earthfield.timeline import Period
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.masks import known_classes
from earthfield_ingest.readers import Grid
from earthfield_ingest.readers.raster import RasterReader
from earthfield_ingest.scene import Scene, scene_of

COVER, DEM, LABEL = (source_named(name) for name in ("esa-worldcover", "cop-dem-glo-30", "dynamic-world"))
ZONE = 32632
SAO_TOME = tile_at(ZONE, *pixel_at(ZONE, 6.62, 0.22))
"""The middle of the island: town, farms, forest and mountains."""
COAST = tile_at(ZONE, *pixel_at(ZONE, 6.73, 0.34))
"""Its north-east shore."""


def scene(real_data: Path, source: Source, item: str, key: str, file: str) -> Scene:
    """A real item whose asset is the real file."""
    content = json.loads((real_data / "stac" / "items" / item).read_text())
    content["assets"][key]["href"] = str(real_data / "sensors" / "worldcover_copdem_saotome" / file)
    made = scene_of(pystac.Item.from_dict(content, href="/nowhere/item.json"), source)
    assert made.flaw is None
    return made


def cover(real_data: Path, year: int) -> Scene:
    name = f"ESA_WorldCover_10m_{year}_v{'100' if year == 2020 else '200'}_N00E006"
    item = f"stactools_esa-worldcover/examples/{name}/{name}.json"
    return scene(real_data, COVER, item, "map", f"{name}/{name}_Map.tif")


def heights(real_data: Path) -> Scene:
    item = "stactools_cop-dem/examples/cop-dem-glo-30/Copernicus_DSM_COG_10_N53_00_W115_00_DEM"
    name = "Copernicus_DSM_COG_10_N00_00_E006_00_DEM"
    return scene(
        real_data,
        DEM,
        f"{item}/Copernicus_DSM_COG_10_N53_00_W115_00_DEM.json",
        "data",
        f"copernicus-dem-30m/{name}/{name}.tif",
    )


def at_centres(grid: Grid, path: str) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
    """Fractional (row, column) of every pixel centre of a grid in a file in degrees, and the file's array there."""
    rows, cols = np.mgrid[0 : grid.shape[0], 0 : grid.shape[1]] + 0.5
    x, y = grid.transform * (cols, rows)
    lon, lat = Transformer.from_crs(ZONE, 4326, always_xy=True).transform(x, y)
    with rasterio.open(path) as file:
        col, row = ~file.transform * (lon, lat)
        y0, x0 = int(row.min()) - 2, int(col.min()) - 2
        y1, x1 = int(row.max()) + 3, int(col.max()) + 3
        data = file.read(1, window=((y0, y1), (x0, x1)))
    return row - y0, col - x0, data


@pytest.mark.parametrize("year", [2020, 2021])
@pytest.mark.parametrize(("tile", "y"), [(SAO_TOME, 256), (COAST, 512)])
def test_classes_are_those_at_the_centres_of_pixels(real_data: Path, year: int, tile: Tile, y: int) -> None:
    one = cover(real_data, year)
    grid = Grid.of(COVER, tile, Window(y, y + 256, 256, 512))
    values, measured = RasterReader(COVER, grid, Fetcher()).bands(one)
    row, col, data = at_centres(grid, one.assets["map"]["href"])
    by_hand = data[np.floor(row).astype(int), np.floor(col).astype(int)]
    differ = values[0] != by_hand
    # A centre on the border of two pixels may fall to either side.
    border = np.minimum(np.abs(row - np.rint(row)), np.abs(col - np.rint(col))) < 0.015
    assert not (differ & ~border).any(), int((differ & ~border).sum())
    assert set(np.unique(values)) - {0} <= set(COVER.classes or {})
    assert len(set(np.unique(values)) - {0}) >= 4
    assert np.array_equal(measured, values[0] != 0)


def test_a_map_of_a_year_stands_for_that_year(real_data: Path) -> None:
    one = cover(real_data, 2020)
    assert one.inside(Period.parse("2020-05")) and not one.inside(Period.parse("2021-05"))
    assert heights(real_data).inside(Period.parse("1990"))


def test_heights_lie_within_rounding_of_the_hand_computed_ones(real_data: Path) -> None:
    one = heights(real_data)
    grid = Grid.of(DEM, SAO_TOME, Window(100, 356, 100, 356))
    values, measured = RasterReader(DEM, grid, Fetcher()).bands(one)
    row, col, data = at_centres(grid, one.assets["data"]["href"])
    row, col = row - 0.5, col - 0.5
    top, left = np.floor(row).astype(int), np.floor(col).astype(int)
    down, right = row - top, col - left
    upper = data[top, left] * (1 - right) + data[top, left + 1] * right
    lower = data[top + 1, left] * (1 - right) + data[top + 1, left + 1] * right
    by_hand = upper * (1 - down) + lower * down
    physical = DEM.physical(values, band_axis=0)[0]
    assert measured.all()
    assert by_hand.max() - by_hand.min() > 200
    slope = np.abs(np.diff(data, axis=0)).max()
    # Half a stored step, and what 1/100 of a pixel makes on the steepest slope.
    assert np.abs(physical - by_hand).max() <= 0.005 + slope * 0.01 + 1e-3


@given(st.floats(-500, 9000))
def test_a_height_is_stored_to_the_centimetre(metres: float) -> None:
    (stored,) = DEM.to_stored({}, DEM.bands[0], np.array([metres]))
    assert abs(stored * 0.01 - metres) <= 0.005 + 1e-9


def test_what_stands_for_no_height_is_none() -> None:
    raw = np.array([np.nan, np.inf, -9999.0, -32767.0, 0.0, -430.5])
    assert list(DEM.to_stored({}, DEM.bands[0], raw)) == [DEM.nodata] * 4 + [0, -43050]


def test_codes_without_a_name_are_missing() -> None:
    for source in known_sources().values():
        if source.classes is None:
            continue
        codes = np.arange(-1.0, 300.0)
        stored = source.to_stored({}, source.bands[0], np.append(codes, np.nan))
        kept = {
            int(code) for code, value in zip(codes, stored, strict=False) if value == code != source.nodata
        }
        assert kept == set(source.classes), source.name
        assert (stored[~np.isin(np.append(codes, np.nan), list(source.classes))] == source.nodata).all()
        assert source.nodata not in source.classes
        assert source.resampling == "nearest"
        assert source.loss == "cross_entropy"
        assert source.roles == {"target"}
        assert source.cadence == "interval"


@given(st.lists(st.integers(0, 255), max_size=20), st.sets(st.integers(0, 254), min_size=1))
def test_known_classes_keep_their_code(raw: list[int], classes: set[int]) -> None:
    kept = known_classes(np.array(raw, float), classes, nodata=255)
    assert list(kept) == [code if code in classes else 255 for code in raw]


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"properties": {"usda_cdl:type": "cultivated"}}, "`usda_cdl:type`"),
        ({"properties": {"usda_cdl:type": "frequency"}}, "`usda_cdl:type`"),
    ],
)
def test_other_layers_of_the_cropland_data_are_refused(item: dict[str, Any], field: str) -> None:
    source = source_named("usda-cdl")
    assert field in str(source.refuses(item))
    assert source.refuses({"properties": {"usda_cdl:type": "cropland"}}) is None


def test_names_of_crops_are_those_of_the_real_items(real_data: Path) -> None:
    (path,) = (real_data / "stac/items/stactools_usda-cdl/examples").glob(
        "cropland_2021_-106095_1807575*/*.json"
    )
    told = json.loads(path.read_text())["assets"]["cropland"]["classification:classes"]
    assert {one["value"] for one in told} - {81} == set(source_named("usda-cdl").classes or {})


def test_names_of_cover_are_those_of_the_real_items(real_data: Path) -> None:
    told = cover(real_data, 2021).assets["map"]["classification:classes"]
    assert {one["value"] for one in told} == set(COVER.classes or {})


def test_water_of_a_label_without_nodata_is_water(tmp_path: Path) -> None:
    place = Window(-562_960, -562_956, 50_160, 50_164)
    labels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    write_tif(tmp_path / "label.tif", labels, place, nodata=None)
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "one", "collection": "dynamic-world", "links": [],
        "geometry": None, "bbox": [3.0, 50.8, 3.1, 50.9], "properties": {"datetime": "2020-06-01T10:00:00Z"},
        "assets": {"label": {"href": str(tmp_path / "label.tif")}},
    }  # fmt: skip
    one = scene_of(pystac.Item.from_dict(item, href="/nowhere/item.json"), LABEL)
    values, measured = RasterReader(LABEL, Grid.over(EPSG, place), Fetcher()).bands(one)
    assert np.array_equal(values[0], np.where(labels <= 8, labels, 255))
    assert np.array_equal(measured, labels <= 8)
