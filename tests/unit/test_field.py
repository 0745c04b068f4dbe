"""A field is written whole, byte for byte the same, and reads like the published files."""

import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import BANDS, NODATA, dequantise, halved, normalised, quantise
from earthfield.errors import BrokenArtefact, NotFound
from earthfield.field import Field, FieldContent, fields_of, write_field
from earthfield.grid import Tile, Window
from earthfield.timeline import Period

KEY = FieldKey("test", Tile.parse("32631_0048_0549"), Period.parse("2018"))
WINDOW = Window(-562968, -562904, 50136, 50176)


def content() -> FieldContent:
    rng = np.random.default_rng(7)
    vectors = normalised(rng.normal(size=(*WINDOW.shape, 64)))
    vectors[3, 4] = np.nan
    frames = [{"step": 3507, "acquired": "2018-01-05T10:00:00Z", "items": ["scene-a", "scene-b"]}]
    manifest = {
        "window": [WINDOW.y0, WINDOW.y1, WINDOW.x0, WINDOW.x1], "inputs": "hash", "pixels": 2559,
        "area": KEY.tile.geobox.extent.wkt, "model": {"name": "test", "fingerprint": "f"},
        "sources": {"sentinel-2-l2a": frames},
    }  # fmt: skip
    quality = {"clear_sentinel-2-l2a": np.full(WINDOW.shape, 7, np.uint16)}
    codes = np.moveaxis(quantise(vectors), -1, 0)
    return FieldContent(KEY, WINDOW, codes, quality, np.zeros((*WINDOW.shape, 4), np.uint8), manifest)


def test_any_reader_sees_what_the_published_files_have(tmp_path: Path) -> None:
    folder = write_field(Catalog(tmp_path), content())
    with rasterio.open(folder / "embedding.tif") as data:
        assert data.descriptions == BANDS
        assert set(data.dtypes) == {"int8"}
        assert (data.nodata, data.crs.to_epsg(), data.res) == (NODATA, 32631, (10.0, 10.0))
        assert data.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert data.block_shapes[0] == (256, 256)
        assert data.overviews(1) == [2, 4]
        codes = data.read()
    there = (codes != NODATA).all(axis=0)
    assert there.sum() == 64 * 40 - 1
    assert ((codes == NODATA).any(axis=0) == ~there).all()
    norms = np.linalg.norm(dequantise(codes[:, there]), axis=0)
    assert norms.min() > 0.99
    assert norms.max() < 1.01


def test_overviews_are_means_of_vectors_and_never_of_codes(tmp_path: Path) -> None:
    folder = write_field(Catalog(tmp_path), content())
    with rasterio.open(folder / "embedding.tif") as data:
        full = data.read()
    with rasterio.open(folder / "embedding.tif", overview_level=0) as data:
        half = data.read()
    assert (half == halved(full)).all()
    where = np.argwhere((half != NODATA).all(axis=0))[5]
    y, x = where * 2
    vectors = np.nan_to_num(dequantise(full[:, y : y + 2, x : x + 2])).sum(axis=(1, 2))
    assert (half[:, where[0], where[1]] == quantise(normalised(vectors))).all()


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    first, second = (write_field(Catalog(tmp_path / name), content()) for name in "ab")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_a_field_is_read_back(tmp_path: Path) -> None:
    catalog, wanted = Catalog(tmp_path), content()
    write_field(catalog, wanted)
    field = Field(catalog, KEY)
    assert (field.codes() == wanted.codes).all()
    vectors = field.vectors()
    assert np.isnan(vectors[3, 4]).all()
    assert np.nanmax(np.abs(np.linalg.norm(vectors, axis=-1) - 1)) < 1e-6
    assert (field.quality()["clear_sentinel-2-l2a"] == 7).all()
    assert [one.key for one in fields_of(catalog, "test")] == [KEY]


def test_its_item_names_every_scene_and_hash(tmp_path: Path) -> None:
    folder = write_field(Catalog(tmp_path), content())
    item = pystac.Item.from_file(str(folder / "item.json"))
    derived = {link.target for link in item.links if link.rel == "derived_from"}
    assert {Path(str(one)).name for one in derived} == {"scene-a", "scene-b"}
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, asset in item.assets.items():
        file = Path(asset.href).name
        assert file.startswith(name)
        assert asset.extra_fields["file:checksum"] == "1220" + manifest["files"][file]["sha256"]


def test_without_a_manifest_there_is_no_field(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    folder = write_field(catalog, content())
    (folder / "manifest.json").write_text('{"schema": "other/9"}')
    with pytest.raises(BrokenArtefact, match=r"manifest\.json"):
        Field(catalog, KEY)
    (folder / "manifest.json").unlink()
    with pytest.raises(NotFound, match="earthfield map"):
        Field(catalog, KEY)
    with pytest.raises(NotFound, match="none"):
        fields_of(catalog, "test")


def test_a_torn_raster_is_told(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    (write_field(catalog, content()) / "embedding.tif").write_bytes(b"II*\0torn")
    with pytest.raises(BrokenArtefact, match="--overwrite"):
        Field(catalog, KEY).codes()


def test_pixels_outside_the_area_stay_without_data_however_small_gdals_cache(tmp_path: Path) -> None:
    # With a full cache GDAL flushes bands of a part-written block one by one and fills the rest with zeros.
    with rasterio.Env(GDAL_CACHEMAX=300_000):
        folder = write_field(Catalog(tmp_path), content())
    for level in (None, 0, 1):
        options = {} if level is None else {"overview_level": level}
        with rasterio.open(folder / "embedding.tif", **options) as data:
            codes = data.read()
        assert not ((codes == 0).all(axis=0)).any()
        assert ((codes == NODATA).any(axis=0) == (codes == NODATA).all(axis=0)).all()
    with rasterio.open(folder / "quality.tif") as data:
        assert set(np.unique(data.read())) == {7, 65535}
