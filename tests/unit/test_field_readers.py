"""What others see of a field: rasterio, xarray, GDAL as QGIS uses it, the validator of cloud-optimised files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
from rasterio.windows import Window as RasterWindow
from rio_cogeo import cog_validate
from small_fields import EAST, TILE, WINDOW, kinds, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.codec import BANDS, NODATA, dequantise, quantise
from earthfield.field import Field
from earthfield_infer.fields.choose import chosen
from earthfield_infer.fields.tiffs import to_tiffs

VIEW = RasterWindow(832, 192, 192, 128)
"""Around the western tile's part of the window, in its file's pixels."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fields")
    vectors = vectors_of(kinds())
    vectors[2, 3] = np.nan
    write_small(Catalog(path), "2018", vectors)
    return path


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return Catalog(root).field(next(Catalog(root).fields("small", TILE)))


def test_rasterio_reads_named_bands_and_their_codes(folder: Path) -> None:
    with rasterio.open(folder / "embedding.tif") as data:
        assert (data.count, data.descriptions, data.nodata) == (64, BANDS, NODATA)
        codes = data.read(window=VIEW)
    vectors = vectors_of(kinds())
    vectors[2, 3] = np.nan
    y, x = WINDOW.y0 - TILE.window.y0 - VIEW.row_off, WINDOW.x0 - TILE.window.x0 - VIEW.col_off
    width = TILE.window.x1 - WINDOW.x0
    assert (np.moveaxis(codes, 0, -1)[y : y + 40, x : x + width] == quantise(vectors[:, :width])).all()


def test_xarray_reads_named_bands_and_masks_what_is_absent(folder: Path) -> None:
    with rioxarray.open_rasterio(folder / "embedding.tif", masked=True, chunks={}) as found:
        assert found.attrs["long_name"] == BANDS
        assert (found.rio.crs.to_epsg(), found.sizes["band"]) == (32631, 64)
        part = found.isel(x=slice(940, 1024), y=slice(232, 272)).values
    assert (~np.isnan(part).any(axis=0)).sum() == 40 * 56 - 1
    lengths = np.linalg.norm(np.sign(part) * np.square(part / 127.5), axis=0)
    assert np.nanmax(np.abs(lengths - 1)) < 0.01


def test_xarray_scales_the_quality_layers_by_itself(folder: Path) -> None:
    with rioxarray.open_rasterio(folder / "quality.tif", mask_and_scale=True) as found:
        part = found.isel(x=slice(968, 1024), y=slice(232, 272)).values
    assert np.nanmin(part) == np.nanmax(part) == 9


def test_a_viewer_finds_names_statistics_and_overviews(folder: Path) -> None:
    # What QGIS asks of a layer: description, type, no data, statistics of the overview that fits the screen.
    with rasterio.open(folder / "embedding.tif") as data:
        for band in (1, 17, 64):
            assert data.descriptions[band - 1] == f"A{band - 1:02d}"
            assert data.overviews(band) == [2, 4]
            told = data.statistics(band, approx=True, clear_cache=True)
            assert -127 <= told.min <= told.mean <= told.max <= 127
        small = data.read(17, out_shape=(256, 256), masked=True)
        assert small.count() == 10 * 14
        assert data.colorinterp[0].name == "gray"


@pytest.mark.parametrize("name", ["embedding.tif", "quality.tif"])
def test_files_pass_the_validator_of_cloud_optimised_geotiffs(folder: Path, name: str) -> None:
    valid, errors, warnings = cog_validate(folder / name, strict=name == "embedding.tif", quiet=True)
    assert valid, (errors, warnings)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_fields_turn_into_geotiffs_of_another_type(root: Path, tmp_path: Path, dtype: str) -> None:
    west, east = to_tiffs(chosen(Catalog(root), "small"), dtype, tmp_path)
    assert [path.name for path in (west, east)] == [
        f"small_{tile.id}_20180101_20190101_{dtype}.tif" for tile in (TILE, EAST)
    ]
    assert cog_validate(west, strict=True, quiet=True)[0]
    with rasterio.open(west) as data:
        assert data.descriptions == BANDS
        assert data.overviews(1) == [2, 4]
        got = data.read(window=VIEW)
    with rasterio.open(
        Catalog(root).field(next(Catalog(root).fields("small", TILE))) / "embedding.tif"
    ) as data:
        codes = data.read(window=VIEW)
    if dtype == "int8":
        assert (got == codes).all()
        return
    wanted = dequantise(codes)
    wanted /= np.linalg.norm(wanted, axis=0)
    assert np.array_equal(np.isnan(got), np.isnan(wanted))
    assert np.nanmax(np.abs(got - wanted)) < (1e-6 if dtype == "float32" else 5e-4)
    assert (quantise(np.moveaxis(got, 0, -1)) == np.moveaxis(codes, 0, -1)).mean() > 0.97


def test_only_what_an_area_asks_for_is_converted(root: Path, tmp_path: Path) -> None:
    from earthfield.area import area_from_bbox

    field = Field(Catalog(root), next(Catalog(root).fields("small", TILE)))
    west, south, east, north = field.area.to_crs("EPSG:4326").boundingbox
    half = area_from_bbox((west - 0.001, south - 0.001, (west + east) / 2, north + 0.001))
    (part,) = chosen(Catalog(root), "small", area=half)
    (path,) = to_tiffs([part], "int8", tmp_path)
    with rasterio.open(path) as data:
        there = data.read(1, window=VIEW) != NODATA
    assert 0.4 < there.sum() / (40 * 56) < 0.6
    assert json.loads((field.folder / "manifest.json").read_text())["pixels"] == 40 * 56 - 1
