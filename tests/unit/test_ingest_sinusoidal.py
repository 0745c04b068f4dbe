"""MODIS and VIIRS: products on a grid of their own, and their quality flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from earthfield.grid import Tile, Window
from earthfield.sources import Source, source_named
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers import Grid
from earthfield_ingest.readers.raster import RasterReader
from earthfield_ingest.scene import Scene, scene_of

MOD09, MCD43, VIIRS = (source_named(name) for name in ("modis-09a1", "modis-43a4", "viirs-09a1"))
TILE = Tile.parse("32631_0048_0549")
"""In Belgium."""
SPHERE = (
    'PROJCS["unnamed",GEOGCS["Unknown datum based upon the custom spheroid",DATUM["Not specified",'
    'SPHEROID["Custom spheroid",6371007.181,0]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],'
    'PROJECTION["Sinusoidal"],PARAMETER["longitude_of_center",0],PARAMETER["false_easting",0],'
    'PARAMETER["false_northing",0],UNIT["Meter",1]]'
)
"""The projection as the files themselves write it."""


def test_the_grid_is_the_products_own() -> None:
    for source, count in ((MOD09, 2400), (MCD43, 2400), (VIIRS, 1200)):
        assert source.lattice is not None
        # 36 tiles go round the equator; h19v10 begins one tile east of Greenwich and one south of the equator.
        assert source.lattice.pixel * count == pytest.approx(1111950.5197665, abs=1e-4)
        grid = source.grid(TILE)
        steps = np.array([grid.affine.c, grid.affine.f]) / source.lattice.pixel
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-6)
        rows, cols = grid.shape
        assert 10_240 / source.lattice.pixel <= rows <= 2 * 10_240 / source.lattice.pixel + 2
        assert rows * cols < 40 * 40


def modis_tile(folder: Path, source: Source, arrays: dict[str, NDArray[Any]]) -> Scene:
    """A scene whose files hold the MODIS tile h18v03 around TILE, a corner of it."""
    assert source.lattice is not None
    side, grid = source.lattice.pixel, source.grid(TILE)
    rows, cols = next(iter(arrays.values())).shape
    # As products write it: rounded to 1e-10 m, so that the pixels fit only almost.
    transform = Affine(
        round(side, 10), 0, grid.affine.c - 2 * side, 0, -round(side, 10), grid.affine.f + 3 * side
    )
    for key, array in arrays.items():
        with rasterio.open(
            folder / f"{key}.tif", "w", driver="GTiff", height=rows, width=cols, count=1, dtype=array.dtype,
            crs=SPHERE, transform=transform,
        ) as file:  # fmt: skip
            file.write(array, 1)
    content = {
        "type": "Feature", "stac_version": "1.0.0", "id": "MOD09A1.A2022033.h18v03.061.2022042043514",
        "collection": source.collections[0], "links": [], "geometry": None, "bbox": [0.0, 50.0, 10.0, 60.0],
        "properties": {
            "datetime": None, "start_datetime": "2022-02-02T00:00:00Z", "end_datetime": "2022-02-09T23:59:59Z",
            "platform": "terra", "proj:epsg": None, "proj:wkt2": SPHERE,
        },
        "assets": {
            key: {"href": str(folder / f"{key}.tif"), "raster:bands": [{"scale": 1e-4}]} for key in arrays
        },
    }  # fmt: skip
    made = scene_of(pystac.Item.from_dict(content, href="/nowhere/item.json"), source)
    assert made.flaw is None
    return made


def test_pixels_are_taken_as_they_lie(tmp_path: Path) -> None:
    rows, cols = MOD09.grid(TILE).shape
    numbers = np.arange((rows + 8) * (cols + 8), dtype=np.int16).reshape(rows + 8, cols + 8) - 150
    numbers[10, 10], numbers[11, 11] = -28672, 16001
    flags = np.zeros(numbers.shape, np.uint16)
    flags[3, 2], flags[3, 3], flags[4, 2], flags[5, 2] = 1, 4, 3 << 8, 65535
    scene = modis_tile(tmp_path, MOD09, {"sur_refl_b01": numbers, "sur_refl_state_500m": flags})
    reader = RasterReader(MOD09, Grid.of(MOD09, TILE, Window(0, rows, 0, cols)), Fetcher())
    values, _ = reader.bands(scene)
    inside = numbers[3 : 3 + rows, 2 : 2 + cols]
    expected = np.where((inside >= -100) & (inside <= 16000), inside, MOD09.nodata)
    assert np.array_equal(values[2], expected)
    hidden = {(int(y), int(x)) for y, x in np.argwhere(~reader.clear(scene))}
    assert hidden == {(0, 0), (0, 1), (1, 0), (2, 0)}


@pytest.mark.parametrize("nodata", [-28672, 32767])
def test_fill_is_missing_and_dark_water_is_not(nodata: int) -> None:
    for source in (MOD09, MCD43, VIIRS):
        stored = source.to_stored({}, source.bands[0], np.array([nodata, -100.0, -101.0, 0.0, np.nan]))
        assert list(stored) == [source.nodata, -100, source.nodata, 0, source.nodata]


def test_state_flags_are_decoded() -> None:
    clear = MOD09.quality[0].is_clear
    told = {
        0: True,
        1: False,
        2: False,
        3: True,
        4: False,
        1 << 8: True,
        2 << 8: True,
        3 << 8: False,
        1 << 12: True,
    }
    assert list(clear(np.array(list(told), np.uint16))) == list(told.values())
    assert VIIRS.quality[0].is_clear is clear


def test_only_inversions_count_in_the_nadir_product() -> None:
    (quality,) = MCD43.quality
    assert list(quality.is_clear(np.array([0, 1, 2, 255], np.uint8))) == [True, True, False, False]


def test_they_are_targets_that_stand_for_days() -> None:
    for source in (MOD09, MCD43, VIIRS):
        assert source.roles == {"target"}
        assert (source.cadence, source.resampling) == ("interval", "nearest")
