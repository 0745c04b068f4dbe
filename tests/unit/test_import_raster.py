"""Rasters of embeddings in any grid: copied where they nest, else resampled, refused where they cannot be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from published_fields import BORDER, TILE, WIDE, WINDOW, bbox_of, random_codes, write_raster

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import NODATA, dequantise, normalised, quantise
from earthfield.errors import Conflict, InvalidInput, NotFound
from earthfield.field import Field, fields_of
from earthfield.grid import Window, geobox_of
from earthfield.timeline import Period
from earthfield_infer.importing.jobs import import_fields
from earthfield_infer.importing.request import ImportReport, ImportRequest
from earthfield_search.ground.places import pixel_centre

YEAR = Period.parse("2023")
SHIFTED = geobox_of(TILE.epsg, WINDOW).transform * Affine.translation(0.3, -0.2)


def take(root: Path, *paths: Path, kind: str = "raster", **more: Any) -> ImportReport:
    content: dict[str, Any] = {"name": "other-v1", "periods": ("2023",)} if kind == "raster" else {}
    return import_fields(
        ImportRequest(root=root, **{"kind": kind, "origins": tuple(map(str, paths)), **content, **more})
    )


def field_of(root: Path, name: str = "other-v1") -> Field:
    return Field(Catalog(root), FieldKey(name, TILE, YEAR))


def unit_vectors(shape: tuple[int, int], *, dim: int = 64, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors (D, h, w)."""
    return np.moveaxis(normalised(np.random.default_rng(seed).normal(size=(*shape, dim))), -1, 0)


def write_values(path: Path, values: NDArray[Any], window: Window = WINDOW, **options: Any) -> Path:
    return write_raster(path, values, window, **{"nodata": float("nan"), "bands": None, **options})


@pytest.mark.parametrize("south_up", [True, False])
@pytest.mark.parametrize("dim", [64, 8])
def test_values_are_kept_exactly_on_request(tmp_path: Path, dim: int, south_up: bool) -> None:
    values = unit_vectors(WINDOW.shape, dim=dim)
    values[:, 5, 6] = np.nan
    path = write_values(tmp_path / "a.tif", values, south_up=south_up)
    report = take(tmp_path / "root", path, dtype="float32")
    field = field_of(tmp_path / "root")
    assert (field.dim, field.dtype, field.window) == (dim, "float32", WINDOW)
    assert np.array_equal(field.codes(), values, equal_nan=True)
    assert report.pixels == values[0].size - 1


def test_southern_zones_are_copied_too(tmp_path: Path) -> None:
    window = Window(-937_500, -937_480, 25_700, 25_730)
    codes = random_codes(window.shape)
    take(tmp_path / "root", write_raster(tmp_path / "a.tif", codes, window, epsg=32737, south_up=True))
    [field] = fields_of(Catalog(tmp_path / "root"), "other-v1")
    assert field.key.tile.epsg == 32737 and np.array_equal(field.codes(), codes)


def test_values_become_codes_unless_told_otherwise(tmp_path: Path) -> None:
    values = unit_vectors(WINDOW.shape, dim=16)
    take(tmp_path / "root", write_values(tmp_path / "a.tif", values))
    assert np.array_equal(
        field_of(tmp_path / "root").codes(), np.moveaxis(quantise(np.moveaxis(values, 0, -1)), -1, 0)
    )


def test_power_codes_of_any_length_are_copied(tmp_path: Path) -> None:
    codes = random_codes(WINDOW.shape, dim=16)
    path = write_raster(tmp_path / "a.tif", codes, WINDOW)
    take(tmp_path / "root", path, dequantise="power")
    assert np.array_equal(field_of(tmp_path / "root").codes(), codes)


def test_linear_codes_are_decoded_by_the_scale_of_their_file(tmp_path: Path) -> None:
    values = unit_vectors(WINDOW.shape, dim=16)
    path = write_values(tmp_path / "a.tif", np.rint(values * 120).astype(np.int8), nodata=NODATA)
    with rasterio.open(path, "r+") as data:
        data.scales = (1 / 120,) * 16
    take(tmp_path / "root", path, dequantise="linear", dtype="float32")
    cosines = (field_of(tmp_path / "root").vectors() * np.moveaxis(values, 0, -1)).sum(axis=-1)
    assert cosines.min() > 0.999


def test_vectors_of_any_length_are_made_of_length_1_on_request(tmp_path: Path) -> None:
    values = 7 * unit_vectors(WINDOW.shape, dim=16)
    path = write_values(tmp_path / "a.tif", values)
    with pytest.raises(InvalidInput, match=r"of length 7 to 7.*--normalise"):
        take(tmp_path / "root", path)
    take(tmp_path / "root", path, normalise=True, dtype="float32")
    assert np.allclose(
        np.moveaxis(field_of(tmp_path / "root").codes(), 0, -1), np.moveaxis(values / 7, 0, -1), atol=1e-6
    )


def test_the_declared_no_data_and_vectors_of_zeros_are_no_data(tmp_path: Path) -> None:
    values = unit_vectors(WINDOW.shape)
    values[:, 0, 0], values[:, 1, 1], values[3, 2, 2] = -9999, 0, np.inf
    take(tmp_path / "root", write_values(tmp_path / "a.tif", values, nodata=-9999))
    missing = field_of(tmp_path / "root").codes()[0] == NODATA
    assert np.argwhere(missing).tolist() == [[0, 0], [1, 1], [2, 2]]


def test_a_grid_that_is_shifted_gives_the_pixel_that_holds_the_centre(tmp_path: Path) -> None:
    codes = random_codes(WINDOW.shape)
    take(tmp_path / "root", write_raster(tmp_path / "a.tif", codes, WINDOW, transform=SHIFTED))
    field = field_of(tmp_path / "root")
    ys, xs = field.window.shifted(-WINDOW.y0, -WINDOW.x0).slices
    assert min(ys.start, xs.start) >= 0 and np.array_equal(field.codes(), codes[:, ys, xs])
    assert field.manifest["imported"]["files"][0]["placing"] == "nearest"


def test_coarser_pixels_are_repeated(tmp_path: Path) -> None:
    codes = random_codes((20, 24), gap=False)
    coarse = geobox_of(TILE.epsg, WINDOW).transform * Affine.scale(2)
    take(tmp_path / "root", write_raster(tmp_path / "a.tif", codes, WINDOW, transform=coarse))
    assert np.array_equal(field_of(tmp_path / "root").codes(), codes.repeat(2, axis=1).repeat(2, axis=2))


def test_finer_pixels_are_averaged_as_vectors_and_made_of_length_1(tmp_path: Path) -> None:
    codes = random_codes((80, 96), gap=False)
    codes[:, :2, :2] = NODATA
    codes[:, 2, 2] = NODATA
    fine = geobox_of(TILE.epsg, WINDOW).transform * Affine.scale(0.5)
    path = write_raster(tmp_path / "a.tif", codes, WINDOW, transform=fine)
    take(tmp_path / "root", path, resample="mean")
    vectors = np.nan_to_num(normalised(np.moveaxis(dequantise(codes), 0, -1)))
    wanted = normalised(vectors.reshape(40, 2, 48, 2, 64).sum(axis=(1, 3)))
    found = field_of(tmp_path / "root").vectors()
    assert np.isnan(found[0, 0]).all() and np.isnan(wanted[0, 0]).all()
    assert np.nanmin((found * wanted).sum(axis=-1)) > 0.9995
    assert np.isfinite(found[1, 1]).all()


def test_a_raster_in_degrees_lands_in_its_zone(tmp_path: Path) -> None:
    west, south, east, north = bbox_of(WINDOW)
    values = unit_vectors((200, 200), dim=8)
    transform = Affine((east - west) / 200, 0, west, 0, (south - north) / 200, north)
    path = write_values(tmp_path / "a.tif", values, transform=transform, crs="EPSG:4326")
    take(tmp_path / "root", path, dtype="float32")
    [field] = fields_of(Catalog(tmp_path / "root"), "other-v1")
    row, col = WINDOW.y0 + 20, WINDOW.x0 + 20
    lon, lat = pixel_centre(TILE.epsg, row, col)
    x, y = ~transform * (lon, lat)
    assert np.array_equal(field.codes(Window(row, row + 1, col, col + 1))[:, 0, 0], values[:, int(y), int(x)])


def test_a_raster_of_the_globe_gives_the_area_asked_for(tmp_path: Path) -> None:
    values = unit_vectors((180, 360), dim=4)
    path = write_values(tmp_path / "a.tif", values, transform=Affine(1, 0, -180, 0, -1, 90), crs="EPSG:4326")
    take(tmp_path / "root", path, dtype="float32", bbox=bbox_of(WINDOW))
    codes = field_of(tmp_path / "root").codes()
    assert np.array_equal(codes, np.broadcast_to(values[:, 39, 183, None, None], codes.shape))


def test_a_second_import_adds_to_a_tile_and_each_can_be_repeated(tmp_path: Path) -> None:
    codes = random_codes(WINDOW.shape, gap=False)
    west = Window(WINDOW.y0, WINDOW.y1, WINDOW.x0, WINDOW.x0 + 24)
    east = Window(WINDOW.y0, WINDOW.y1, WINDOW.x0 + 24, WINDOW.x1)
    first = write_raster(tmp_path / "a.tif", codes[:, :, :24], west)
    second = write_raster(tmp_path / "b.tif", codes[:, :, 24:], east)
    root = tmp_path / "root"
    assert take(root, first).written == 1
    first.rename(tmp_path / "gone.tif")
    assert take(root, second).written == 1
    assert np.array_equal(field_of(root).codes(), codes)
    assert [one["name"] for one in field_of(root).manifest["imported"]["files"]] == ["a.tif", "b.tif"]
    assert take(root, second).written == 0
    (tmp_path / "gone.tif").rename(first)
    assert take(root, first).written == 0


def test_what_was_there_survives_a_kill_while_more_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = random_codes(WINDOW.shape, gap=False)
    west = Window(WINDOW.y0, WINDOW.y1, WINDOW.x0, WINDOW.x0 + 24)
    east = Window(WINDOW.y0, WINDOW.y1, WINDOW.x0 + 24, WINDOW.x1)
    first = write_raster(tmp_path / "a.tif", codes[:, :, :24], west)
    second = write_raster(tmp_path / "b.tif", codes[:, :, 24:], east)
    root = tmp_path / "root"
    take(root, first)
    first.unlink()
    with monkeypatch.context() as patched:
        patched.setattr("earthfield.field.write.field_item", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            take(root, second)
    assert not (Catalog(root).field(field_key()) / "manifest.json").exists()
    take(root, second)
    assert np.array_equal(field_of(root).codes(), codes)
    assert not list((root / "fields").rglob(".before*"))


def field_key() -> FieldKey:
    return FieldKey("other-v1", TILE, YEAR)


def test_only_the_area_asked_for_is_taken(tmp_path: Path) -> None:
    codes = random_codes(WIDE.shape, gap=False)
    path = write_raster(tmp_path / "a.tif", codes, WIDE)
    inner = Window(WIDE.y0 + 8, WIDE.y0 + 16, WIDE.x0 + 8, WIDE.x0 + 16)
    west, south, east, north = bbox_of(inner)
    take(tmp_path / "root", path, bbox=(west, south, east, north))
    [field] = fields_of(Catalog(tmp_path / "root"), "other-v1")
    assert inner in field.window and field.window in inner.padded(1)
    with pytest.raises(NotFound, match="in the area"):
        take(tmp_path / "root", path, bbox=(100.0, 10.0, 100.1, 10.1))


def test_pixels_outside_the_area_are_no_data(tmp_path: Path) -> None:
    codes = random_codes(WINDOW.shape, gap=False)
    west, south, east, north = bbox_of(WINDOW)
    aoi = f"POLYGON (({west} {south}, {east} {south}, {west} {north}, {west} {south}))"
    report = take(tmp_path / "root", write_raster(tmp_path / "a.tif", codes, WINDOW), aoi=aoi)
    field = field_of(tmp_path / "root")
    there = field.codes()[0] != NODATA
    assert report.pixels == there.sum() and 0.4 < there.mean() < 0.6
    assert there[-3, 2] and not there[2, -3]


def test_a_raster_beyond_its_zones_edge_stays_in_its_zone(tmp_path: Path) -> None:
    """A UTM grid goes on beyond 6 degrees; resampling the rest into the next zone would lose its exact values."""
    window = Window(-563_190, -563_150, 71_110, 71_190)
    codes = random_codes(window.shape, gap=False)
    take(tmp_path / "root", write_raster(tmp_path / "a.tif", codes, window))
    [field] = fields_of(Catalog(tmp_path / "root"), "other-v1")
    assert np.array_equal(field.codes(), codes)


@pytest.mark.parametrize(
    ("numbers", "options", "more", "told"),
    [
        (random_codes(WINDOW.shape, dim=16), {"nodata": None}, {}, "16 bands of int8.*--dequantise"),
        (unit_vectors(WINDOW.shape), {"nodata": None}, {}, "declares no nodata"),
        (unit_vectors(WINDOW.shape)[:1], {}, {}, "one band"),
        (unit_vectors(WINDOW.shape).astype(np.complex64), {}, {}, "complex64"),
        (random_codes(WINDOW.shape), {"nodata": 0}, {}, "power codes"),
        (random_codes(WINDOW.shape).astype("i2"), {"nodata": -128}, {"dequantise": "power"}, "codes are int8"),
        (unit_vectors(WINDOW.shape), {}, {"dequantise": "linear"}, "needs no --dequantise"),
        (unit_vectors(WINDOW.shape), {"transform": SHIFTED}, {"resample": "mean"}, "needs smaller ones"),
        (unit_vectors(WINDOW.shape), {}, {"name": None}, "--name"),
        (unit_vectors(WINDOW.shape), {}, {"periods": ()}, "--period"),
        (unit_vectors(WINDOW.shape), {}, {"nodata": "zero"}, "neither a number"),
        (unit_vectors(WINDOW.shape), {}, {"base": "x"}, "--base"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(
    tmp_path: Path, numbers: NDArray[Any], options: dict[str, Any], more: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        take(tmp_path / "root", write_values(tmp_path / "a.tif", numbers, **options), **more)


def test_other_formats_are_not_opened(tmp_path: Path) -> None:
    """A virtual raster may lead to any file and address."""
    path = write_raster(tmp_path / "a.tif", random_codes(WINDOW.shape), WINDOW)
    (tmp_path / "b.tif").write_text(
        f'<VRTDataset rasterXSize="2" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{path}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(Exception, match="cannot be read as a GeoTIFF"):
        take(tmp_path / "root", tmp_path / "b.tif")


def test_names_are_kept_apart(tmp_path: Path) -> None:
    root = tmp_path / "root"
    take(root, write_raster(tmp_path / "a.tif", random_codes(WINDOW.shape), WINDOW))
    with pytest.raises(Conflict, match="cannot be compared"):
        take(root, write_values(tmp_path / "b.tif", unit_vectors(WINDOW.shape, dim=8)))
    take(root, tmp_path / "b.tif", name="third-v1")
    assert {key.model for key in Catalog(root).fields()} == {"other-v1", "third-v1"}


def betaearth_folder(folder: Path, *, variant: str = "base", years: tuple[int, ...] = (2022, 2023)) -> Path:
    """BetaEarth's layout: no nodata value, zeros where nothing was seen, scenes in a manifest."""
    for year in years:
        values = unit_vectors(WINDOW.shape, seed=year)
        values[:, :4] = 0
        write_values(folder / f"{year}.tif", values, nodata=None)
        scene = {
            "stac_collection": "sentinel-2-l2a",
            "stac_id": f"S2_{year}",
            "datetime": f"{year}-06-01T10:30:00+00:00",
        }
        told = {"model": {"variant": variant}, "year": year, "scenes": [scene]}
        (folder / f"{year}_manifest.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_betaearths_years_become_fields_with_their_scenes(tmp_path: Path, dtype: str) -> None:
    folder = betaearth_folder(tmp_path / "outputs")
    report = take(tmp_path / "root", folder, kind="betaearth", dtype=dtype)
    assert report.written == 2 and [one.frames for one in report.fields] == [{"sentinel-2-l2a": 1}] * 2
    field = field_of(tmp_path / "root", "betaearth-files")
    values = unit_vectors(WINDOW.shape, seed=2023)
    assert (
        np.isnan(field.vectors()[:4]).all()
        and (field.vectors()[4:] * np.moveaxis(values, 0, -1)[4:]).sum(-1).min() > 0.999
    )
    if dtype == "float32":
        assert np.array_equal(field.codes()[:, 4:], values[:, 4:])
    assert field.manifest["sources"]["sentinel-2-l2a"][0]["items"] == ["S2_2023"]
    assert take(tmp_path / "root", folder, kind="betaearth", dtype=dtype).written == 0


def test_betaearth_of_another_variant_is_kept_apart(tmp_path: Path) -> None:
    take(tmp_path / "root", betaearth_folder(tmp_path / "a", years=(2022,)), kind="betaearth")
    other = betaearth_folder(tmp_path / "b", variant="other", years=(2023,))
    with pytest.raises(Conflict, match="cannot be compared"):
        take(tmp_path / "root", other, kind="betaearth")


def test_betaearth_takes_the_years_named(tmp_path: Path) -> None:
    folder = betaearth_folder(tmp_path / "outputs")
    assert take(tmp_path / "root", folder, kind="betaearth", periods=("2022",)).written == 1
    with pytest.raises(NotFound, match="2022, 2023"):
        take(tmp_path / "root", folder, kind="betaearth", periods=("2019",))


def test_the_border_of_tiles_is_no_border_of_pixels(tmp_path: Path) -> None:
    codes = random_codes(WIDE.shape, gap=False)
    take(tmp_path / "root", write_raster(tmp_path / "a.tif", codes, WIDE))
    west, east = fields_of(Catalog(tmp_path / "root"), "other-v1")
    assert west.window.x1 == BORDER == east.window.x0
    assert np.array_equal(np.concatenate([west.codes(), east.codes()], axis=2), codes)
