"""Resampling between grids of one coordinate system: the same values as GDAL's warper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from earthfield.grid import Window
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers.grid import Grid
from earthfield_ingest.readers.raster import read_asset
from earthfield_ingest.readers.resample import Positions, bilinear, nearest

ZONE = 32631
LANDSAT = Affine(30, 0, 353_685, 0, -30, 5_374_215)
"""Half a pixel off the 10 m grid, as real Landsat scenes are."""
SIZE = 40


def written(path: Path, *, holes: float, dtype: str = "uint16") -> Path:
    rng = np.random.default_rng(3)
    data = rng.integers(7000, 20000, (SIZE, SIZE)).astype(dtype)
    data[rng.random(data.shape) < holes] = 0
    with rasterio.open(
        path, "w", driver="GTiff", height=SIZE, width=SIZE, count=1, dtype=dtype, nodata=0, crs=f"EPSG:{ZONE}",
        transform=LANDSAT,
    ) as file:  # fmt: skip
        file.write(data, 1)
    return path


def by_gdal(path: Path, grid: Grid, how: Resampling) -> np.ndarray:
    rows, cols = grid.shape
    with (
        rasterio.open(path) as file,
        WarpedVRT(
            file, crs=grid.crs, transform=grid.transform, height=rows, width=cols, resampling=how,
            nodata=np.nan, dtype="float64",
        ) as warped,
    ):  # fmt: skip
        return warped.read(1)


@pytest.mark.parametrize("holes", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("how", [Resampling.bilinear, Resampling.nearest])
@pytest.mark.parametrize(
    "window",
    [
        Window(-537_400, -537_360, 35_380, 35_440),  # inside
        Window(-537_440, -537_400, 35_350, 35_400),  # over the upper left corner
        Window(-537_320, -537_290, 35_460, 35_520),  # over the lower right corner
        Window(-537_400, -537_360, 36_380, 36_440),  # beyond it
    ],
)
def test_a_coarser_file_is_resampled_as_gdal_does(
    tmp_path: Path, window: Window, how: Resampling, holes: float
) -> None:
    path, grid = written(tmp_path / "a.tif", holes=holes), Grid.over(ZONE, window)
    ours = read_asset(str(path), grid, fetcher=Fetcher(home=str(tmp_path)), resampling=how)
    theirs = by_gdal(path, grid, how)
    np.testing.assert_array_equal(ours.measured, np.isfinite(theirs))
    np.testing.assert_allclose(ours.values[ours.measured], theirs[ours.measured], rtol=1e-6)
    if holes == 1.0:
        assert not ours.measured.any()


@given(st.floats(-3, 8), st.floats(0.2, 1.0), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_bilinear_equals_the_weighted_mean_of_four_neighbours(start: float, side: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data, measured = rng.normal(size=(6, 5)), rng.random((6, 5)) < 0.7
    centres = start + side * (np.arange(7) + 0.5)
    values = bilinear(data, measured, Positions(centres, centres[:4] + 0.3))
    for row, y in enumerate(centres):
        for col, x in enumerate(centres[:4] + 0.3):
            total = weight = 0.0
            for i in (int(np.floor(y - 0.5)), int(np.floor(y - 0.5)) + 1):
                for j in (int(np.floor(x - 0.5)), int(np.floor(x - 0.5)) + 1):
                    share = (1 - abs(y - 0.5 - i)) * (1 - abs(x - 0.5 - j))
                    if 0 <= i < 6 and 0 <= j < 5 and measured[i, j]:
                        total, weight = total + share * data[i, j], weight + share
            i, j = int(np.floor(y)), int(np.floor(x))
            if 0 <= i < 6 and 0 <= j < 5 and measured[i, j]:
                assert values[row, col] == pytest.approx(total / weight, abs=1e-3)
            else:
                assert np.isnan(values[row, col])


def test_nearest_takes_the_pixel_that_holds_the_centre_and_tells_what_lies_inside() -> None:
    data = np.arange(6, dtype=np.uint8).reshape(2, 3)
    values, inside = nearest(data, Positions(np.array([-0.1, 0.1, 1.9, 2.0]), np.array([0.99, 1.0, 3.5])))
    assert inside == Window(1, 3, 0, 2)
    np.testing.assert_array_equal(values, [[0, 0, 0], [0, 1, 0], [3, 4, 0], [0, 0, 0]])
