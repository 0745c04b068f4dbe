"""Fields into other formats: a Zarr store, cells, sheets and pictures, each against the fields themselves."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import xarray
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from rio_cogeo import cog_validate
from small_fields import EAST, KINDS, TILE, WINDOW, kinds, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.codec import NODATA, dequantise, normalised, quantise, stored
from earthfield.errors import Conflict, InvalidInput, NotFound
from earthfield.field import Field, FieldContent, write_field
from earthfield.grid import Tile, Window, geobox_of
from earthfield.timeline import Period
from earthfield_analysis.pool import pooled, purity
from earthfield_infer.fields.cells import hilbert, to_cells
from earthfield_infer.fields.choose import Part, chosen
from earthfield_infer.fields.mosaic import mosaic
from earthfield_infer.fields.pictures import PictureRequest, paint
from earthfield_infer.fields.zarrs import to_zarr


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    found = Catalog(tmp_path_factory.mktemp("fields"))
    write_small(found, "2018", vectors_of(kinds()))
    later = vectors_of(kinds()[:, ::-1], seed=1)
    later[:5, :5] = np.nan
    write_small(found, "2019", later)
    return found


@pytest.fixture(scope="module")
def parts(catalog: Catalog) -> list[Part]:
    return chosen(catalog, "small")


def codes_of(parts: list[Part], period: str) -> np.ndarray:
    """The codes of the whole window, across both tiles."""
    held = [part for part in parts if str(part.key.period) == period]
    return np.concatenate([part.field.codes() for part in held], axis=2)


def test_parts_are_chosen_by_period_tile_and_area(catalog: Catalog, parts: list[Part]) -> None:
    assert [(part.key.tile, str(part.key.period)) for part in parts] == [
        (TILE, "2018"), (TILE, "2019"), (EAST, "2018"), (EAST, "2019"),
    ]  # fmt: skip
    assert [str(one.key.period) for one in chosen(catalog, "small", periods=["2019"], tiles=[TILE.id])] == [
        "2019"
    ]
    for wrong in ({"periods": ["2017"]}, {"tiles": ["32631_0001_0001"]}):
        with pytest.raises(NotFound, match="32631_0048_0549 2018"):
            chosen(catalog, "small", **wrong)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="small 2018"):
        chosen(catalog, "absent")


@given(
    arrays(
        np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(2)),
        elements=st.floats(-1, 1, width=32),
    ),
    st.integers(1, 4), st.integers(0, 3), st.integers(0, 3),
)  # fmt: skip
def test_pooling_is_the_sum_over_each_cell(vectors: np.ndarray, side: int, top: int, left: int) -> None:
    top, left = top % side, left % side
    vectors[0, 0] = np.nan
    sums, counts = pooled(vectors, side=side, top=top, left=left)
    for (y, x), (row, col) in zip(
        np.ndindex(*vectors.shape[:2]), itertools.product(*(range(n) for n in vectors.shape[:2])), strict=True
    ):
        sums[(row + top) // side, (col + left) // side] -= np.nan_to_num(vectors[y, x])
    assert np.abs(sums).max() < 1e-5
    assert counts.sum() == np.prod(vectors.shape[:2]) - 1


def test_purity_is_one_where_all_agree() -> None:
    same = np.broadcast_to(KINDS[0], (2, 4, 64)).copy()
    same[:, 2:] = [[KINDS[0], -KINDS[0]], [KINDS[0], -KINDS[0]]]
    found = purity(*pooled(same, side=2))
    assert np.abs(found - [[1, 0]]).max() < 1e-6


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32"])
def test_a_zarr_store_holds_every_field_in_its_place_and_time(
    parts: list[Part], tmp_path: Path, dtype: str
) -> None:
    path = to_zarr(parts, dtype, tmp_path / "fields.zarr")
    with xarray.open_zarr(path, group="utm31n", consolidated=False, mask_and_scale=False) as found:
        assert found["embeddings"].dims == ("time", "band", "y", "x")
        assert [str(time)[:10] for time in found["time"].values] == ["2018-01-01", "2019-01-01"]
        box = geobox_of(32631, WINDOW).extent.boundingbox
        held = found["embeddings"].sel(x=slice(box.left, box.right), y=slice(box.top, box.bottom))
        for place, period in enumerate(("2018", "2019")):
            got, codes = held.isel(time=place).values, codes_of(parts, period)
            if dtype == "int8":
                assert (got == codes).all()
            else:
                wanted = stored(normalised(np.moveaxis(dequantise(codes), 0, -1)), dtype)
                assert np.array_equal(got, wanted, equal_nan=True)
        outside = found["embeddings"].isel(time=0, band=0).values
        there = outside != NODATA if dtype == "int8" else ~np.isnan(outside)
        assert there.sum() == 40 * 80
    assert not list(tmp_path.glob(".writing*"))


def test_its_attributes_follow_the_geoemb_convention(parts: list[Part], tmp_path: Path) -> None:
    path = to_zarr(parts, "int8", tmp_path / "fields.zarr")
    told = json.loads((path / "zarr.json").read_text())
    assert (told["zarr_format"], told["node_type"]) == (3, "group")
    attributes = told["attributes"]
    assert attributes["geoemb:type"] == "pixel"
    assert attributes["geoemb:dimensions"] == 64
    assert attributes["geoemb:data_type"] == "int8"
    assert attributes["geoemb:source_data"]
    assert all(":" in text for text in (attributes["geoemb:model"], *attributes["geoemb:source_data"]))
    assert "61c12cc5-0e28-4056-999a-480cf3fb7e4c" in {one["uuid"] for one in attributes["zarr_conventions"]}
    quantisation = attributes["geoemb:quantization"]
    assert {"method", "original_dtype", "quantized_dtype", "link"} == quantisation.keys()
    group = zarr.open_group(path, mode="r")["utm31n"]
    assert isinstance(group, zarr.Group)
    left, top = group.attrs["spatial:transform"][2], group.attrs["spatial:transform"][5]
    assert (left % 1280, top % 1280, group.attrs["proj:code"]) == (0, 0, "EPSG:32631")
    with pytest.raises(Conflict, match="there already"):
        to_zarr(parts, "int8", path)


def test_cells_are_mean_directions_with_their_purity(parts: list[Part], tmp_path: Path) -> None:
    path = tmp_path / "cells.parquet"
    count = to_cells(parts, path, cell_px=8)
    table = pq.read_table(path).to_pandas()
    assert count == len(table) == 2 * 5 * 10
    codes = codes_of(parts, "2019")
    vectors = normalised(np.moveaxis(dequantise(codes), 0, -1))
    for _, row in table[table["period"] == "2019"].sample(12, random_state=0).iterrows():
        y, x = row["row"] * 8 - WINDOW.y0, row["col"] * 8 - WINDOW.x0
        inside = vectors[y : y + 8, x : x + 8].reshape(-1, 64)
        inside = inside[~np.isnan(inside).any(axis=1)]
        mean = inside.mean(axis=0)
        assert row["pixels"] == len(inside)
        assert abs(row["purity"] - np.linalg.norm(mean)) < 1e-5
        assert np.abs(row["vector"] - mean / np.linalg.norm(mean)).max() < 1e-5
    assert table["pixels"].min() == 64 - 25


def test_cells_lie_on_the_map_where_their_box_says(parts: list[Part], tmp_path: Path) -> None:
    path = tmp_path / "cells.parquet"
    to_cells(parts, path, cell_px=16)
    found = geopandas.read_parquet(path)
    assert found.crs == "OGC:CRS84"
    covering = pq.read_table(path)["bbox"].to_pylist()
    boxes = np.array([[box[side] for side in ("xmin", "ymin", "xmax", "ymax")] for box in covering])
    assert np.abs(found.bounds.to_numpy() - boxes).max() == 0
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    assert np.allclose(geo["columns"]["geometry"]["bbox"], found.total_bounds)
    assert pq.read_metadata(path).num_row_groups == len(parts)
    metres = found.to_crs(32631)
    assert np.abs(metres.area / 160**2 - 1).max() < 1e-6
    near = geopandas.read_parquet(
        path, bbox=tuple(found.total_bounds[:2]) + tuple(found.total_bounds[:2] + 1e-4)
    )
    assert 0 < len(near) < len(found)
    with pytest.raises(InvalidInput, match="do not nest"):
        to_cells(parts, path, cell_px=12)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_hilbert_curve_visits_every_cell_and_only_steps_to_neighbours(order: int) -> None:
    side = 2**order
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(side), np.arange(side)))
    place = hilbert(x, y, order)
    assert sorted(place) == list(range(side * side))
    along = np.argsort(place)
    assert (np.abs(np.diff(x[along])) + np.abs(np.diff(y[along])) == 1).all()


def test_a_sheet_equals_its_tiles(parts: list[Part], tmp_path: Path) -> None:
    reports = mosaic(parts, tmp_path, side=2048)
    assert [(one.period, one.tiles) for one in reports] == [("2018", 2), ("2019", 2)]
    for report in reports:
        assert cog_validate(report.path, strict=True, quiet=True)[0]
        with rasterio.open(report.path) as data:
            assert data.descriptions == tuple(f"A{band:02d}" for band in range(64))
            assert (data.shape, data.bounds.left % 20480, data.bounds.top % 20480) == ((2048, 2048), 0, 0)
            assert data.overviews(1) == [2**level for level in range(1, 12)]
            box = geobox_of(32631, WINDOW).extent.boundingbox
            view = data.window(box.left, box.bottom, box.right, box.top).round_offsets().round_lengths()
            assert (data.read(window=view) == codes_of(parts, report.period)).all()
            count = sum(
                int((data.read(1, window=block) != NODATA).sum()) for _, block in data.block_windows(1)
            )
        assert count == report.pixels == (3200 if report.period == "2018" else 3175)
        told = json.loads(Path(report.path).with_suffix(".json").read_text())
        assert [one["field"] for one in told["fields"]] == [
            part.key.id for part in parts if str(part.key.period) == report.period
        ]


def test_overviews_of_a_sheet_are_means_of_full_resolution(parts: list[Part], tmp_path: Path) -> None:
    (report,) = mosaic([parts[0], parts[2]], tmp_path, side=2048)
    values = np.nan_to_num(dequantise(codes_of(parts, "2018")))
    with rasterio.open(report.path) as data:
        left, top = data.bounds.left, data.bounds.top
    y0, x0 = WINDOW.y0 + int(top) // 10, WINDOW.x0 - int(left) // 10
    for level in (1, 2, 3, 5, 11):
        side = 2**level
        sums: dict[tuple[int, int], np.ndarray] = {}
        for (y, x), vector in zip(
            np.ndindex(40, 80), np.moveaxis(values, 0, -1).reshape(-1, 64), strict=True
        ):
            place = ((y0 + y) // side, (x0 + x) // side)
            sums[place] = sums.get(place, 0) + vector
        with rasterio.open(report.path, overview_level=level - 1) as data:
            got = data.read()
        assert ((got != NODATA).all(axis=0)).sum() == len(sums)
        rows, cols = zip(*sums, strict=True)
        wanted = quantise(normalised(np.stack(list(sums.values()))))
        assert np.abs(got[:, rows, cols].T.astype(int) - wanted).max() <= 1
        assert (wanted == got[:, rows, cols].T).mean() > 0.999


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_sheet_of_floats_equals_its_tile(tmp_path: Path, dtype: str) -> None:
    catalog, tile = Catalog(tmp_path), Tile(32737, 25, 937)
    window = Window(tile.window.y0 + 250, tile.window.y0 + 260, tile.window.x0 + 5, tile.window.x0 + 12)
    vectors = normalised(np.random.default_rng(0).normal(size=(*window.shape, 3)))
    vectors[1, 1] = np.nan
    manifest = {
        "window": [window.y0, window.y1, window.x0, window.x1], "inputs": "i", "pixels": 69,
        "area": geobox_of(tile.epsg, window).extent.wkt, "model": {"name": "f", "fingerprint": "f"}, "sources": {},
    }  # fmt: skip
    from earthfield.catalog import FieldKey

    key = FieldKey("f", tile, Period.parse("2018"))
    quality, picture = {"clear_x": np.ones(window.shape, np.uint16)}, np.zeros((*window.shape, 4), np.uint8)
    write_field(catalog, FieldContent(key, window, stored(vectors, dtype), quality, picture, manifest))
    (report,) = mosaic(chosen(catalog, "f"), tmp_path / "sheets", side=1024)
    with rasterio.open(report.path) as data:
        got = data.read(window=((250, 260), (5, 12)))
        assert data.overviews(1)[-1] == 1024
    assert np.array_equal(got, Field(catalog, key).codes().astype(np.float32), equal_nan=True)
    assert report.pixels == 69


def test_sheets_of_other_sides_are_refused(parts: list[Part], tmp_path: Path) -> None:
    for side in (0, 1000, 3072, 16384):
        with pytest.raises(InvalidInput, match="8192"):
            mosaic(parts, tmp_path, side=side)


def test_pictures_of_tiles_and_periods_have_the_same_colours(parts: list[Part], tmp_path: Path) -> None:
    first, second = paint(parts, PictureRequest(), tmp_path)
    assert (first.width, first.height, first.tiles) == (80, 40, 2)
    one, other = (np.asarray(Image.open(report.path)) for report in (first, second))
    # The land of 2019 is that of 2018 mirrored: the same kinds must have the same colours, also over the border.
    means = {kind: one[kinds() == kind].mean(axis=0) for kind in (0, 1, 2)}
    for kind, colour in means.items():
        there = (kinds()[:, ::-1] == kind) & (other[..., 3] > 0)
        assert np.abs(other[there].mean(axis=0) - colour).max() < 4
    assert min(np.abs(means[a] - means[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 60
    assert (other[:5, :5] == 0).all()
    with rasterio.open(first.path) as data:
        assert data.crs.to_epsg() == 32631
        assert (data.transform.c, data.transform.f) == (WINDOW.x0 * 10.0, -WINDOW.y0 * 10.0)


def test_pictures_shrink_by_mean_directions(parts: list[Part], tmp_path: Path) -> None:
    report, _ = paint(parts, PictureRequest(axes=("A01", "A16", "A09"), size=20), tmp_path)
    assert (report.width, report.height, report.pixel_m) == (20, 10, 40.0)
    found = np.asarray(Image.open(report.path)).astype(int)
    values = normalised(np.moveaxis(dequantise(codes_of(parts, "2018")), 0, -1))
    mean = normalised(values.reshape(10, 4, 20, 4, 64).sum(axis=(1, 3)))
    wanted = np.rint(np.clip((mean[..., [1, 16, 9]] + 0.3) / 0.6, 0, 1) * 255)
    assert np.abs(found[..., :3] - wanted).max() <= 1
    with pytest.raises(InvalidInput, match="A77"):
        paint(parts, PictureRequest(axes=("A01", "A77", "A09")), tmp_path)


def test_vectors_of_two_versions_of_a_model_are_never_mixed(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    (key, *_) = write_small(catalog, "2018", vectors_of(kinds()))
    path = catalog.field(key) / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "model": {"name": "small", "fingerprint": "other"}}))
    mixed = chosen(catalog, "small")
    for do in (
        lambda: mosaic(mixed, tmp_path / "out", side=1024), lambda: to_cells(mixed, tmp_path / "a.parquet"),
        lambda: to_zarr(mixed, "int8", tmp_path / "a.zarr"), lambda: paint(mixed, PictureRequest(), tmp_path),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match="2 versions"):
            do()
    assert not list(tmp_path.glob("a.*"))
