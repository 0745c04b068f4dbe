"""A field is written whole, byte for byte the same, and reads like the published files."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from rasterio.windows import Window as RasterWindow
from stac_rules import check_collection, check_item

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import (
    BANDS,
    NODATA,
    dequantise,
    is_missing,
    normalised,
    quantise,
    shrunk,
    stored,
    values_of,
)
from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield.field import (
    Field,
    FieldContent,
    cog_options,
    fields_of,
    keep_collection,
    plain_value,
    scenes_read,
    write_field,
)
from earthfield.grid import Tile, Window
from earthfield.timeline import Period

KEY = FieldKey("test", Tile.parse("32631_0048_0549"), Period.parse("2018"))
WINDOW = Window(-562968, -562904, 50136, 50176)


def content(dtype: str = "int8", dim: int = 64, key: FieldKey = KEY) -> FieldContent:
    rng = np.random.default_rng(7)
    vectors = normalised(rng.normal(size=(*WINDOW.shape, dim)))
    vectors[3, 4] = np.nan
    frames = [{"step": 3507, "acquired": "2018-01-05T10:00:00Z", "items": ["scene-a", "scene-b"]}]
    manifest = {
        "window": [WINDOW.y0, WINDOW.y1, WINDOW.x0, WINDOW.x1], "inputs": "hash", "pixels": 2559,
        "area": KEY.tile.geobox.extent.wkt, "model": {"name": key.model, "fingerprint": "f"},
        "sources": {"sentinel-2-l2a": frames},
    }  # fmt: skip
    quality = {"clear_sentinel-2-l2a": np.full(WINDOW.shape, 7, np.uint16)}
    codes = stored(vectors, dtype)
    return FieldContent(key, WINDOW, codes, quality, np.zeros((*WINDOW.shape, 4), np.uint8), manifest)


def part_and_overview(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads the blocks that hold the window, and the same ground of the first overview."""
    with rasterio.open(folder / "embedding.tif") as data:
        assert data.overviews(1) == [2, 4]
        full = data.read(window=RasterWindow(768, 0, 256, 512))
    with rasterio.open(folder / "embedding.tif", overview_level=0) as data:
        return full, data.read(window=RasterWindow(384, 0, 128, 256))


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
    full, half = part_and_overview(folder)
    assert (half == shrunk(full, 2)).all()
    where = np.argwhere((half != NODATA).all(axis=0))[5]
    y, x = where * 2
    vectors = np.nan_to_num(dequantise(full[:, y : y + 2, x : x + 2])).sum(axis=(1, 2))
    assert (half[:, where[0], where[1]] == quantise(normalised(vectors))).all()


def test_every_overview_is_made_from_full_resolution(tmp_path: Path) -> None:
    folder = write_field(Catalog(tmp_path), content())
    full, _ = part_and_overview(folder)
    with rasterio.open(folder / "embedding.tif", overview_level=1) as data:
        quarter = data.read()
    there = quarter[:, (quarter != NODATA).all(axis=0)]
    wanted = shrunk(full, 4)
    wanted = wanted[:, (wanted != NODATA).all(axis=0)]
    assert (there == wanted).all()
    twice = shrunk(shrunk(full, 2), 2)
    assert (twice[:, (twice != NODATA).all(axis=0)] != wanted).any()


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
        assert file.startswith(name.removesuffix("s"))
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


@pytest.mark.parametrize(("dtype", "dim"), [("int8", 3), ("int8", 130), ("float16", 64), ("float32", 5)])
def test_vectors_of_any_length_and_type_are_read_back(tmp_path: Path, dtype: str, dim: int) -> None:
    catalog, wanted = Catalog(tmp_path), content(dtype, dim)
    folder = write_field(catalog, wanted)
    field = Field(catalog, KEY)
    assert (field.dim, field.dtype, field.bands) == (dim, dtype, wanted.embedding.bands)
    codes = field.codes()
    assert codes.dtype == np.dtype(dtype)
    assert np.array_equal(codes, wanted.codes, equal_nan=dtype != "int8")
    vectors = field.vectors(Window(WINDOW.y0 + 2, WINDOW.y0 + 6, WINDOW.x0, WINDOW.x0 + 8))
    assert vectors.shape == (4, 8, dim)
    assert np.isnan(vectors[1, 4]).all()
    full, half = (part.astype(dtype) for part in part_and_overview(folder))
    assert np.array_equal(half, shrunk(full, 2), equal_nan=dtype != "int8")
    assert is_missing(half).any()
    assert np.nanmax(np.abs(np.linalg.norm(values_of(half), axis=0) - 1)) < 0.03


@pytest.mark.parametrize(
    ("version", "interleave", "level"), [("3.10.3", None, 1), ("3.11.0", "TILE", 9), ("4.0.0", "TILE", 9)]
)
def test_blocks_are_interleaved_by_tile_where_gdal_can_and_quick_to_decompress_where_not(
    monkeypatch: pytest.MonkeyPatch, version: str, interleave: str | None, level: int
) -> None:
    monkeypatch.setattr(rasterio, "__gdal_version__", version)
    options = cog_options("int8")
    assert (options.get("interleave"), options["level"]) == (interleave, level)
    assert cog_options("float16")["level"] == 9


def test_a_float_field_gives_equal_bytes_too(tmp_path: Path) -> None:
    first, second = (write_field(Catalog(tmp_path / name), content("float16", 5)) for name in "ab")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_a_field_from_before_the_section_embedding_reads_as_64_codes(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    path = write_field(catalog, content()) / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest.pop("embedding")["dimensions"] == 64
    path.write_text(json.dumps(manifest))
    field = Field(catalog, KEY)
    assert (field.dim, field.dtype, field.bands) == (64, "int8", BANDS)
    assert field.vectors().shape == (*WINDOW.shape, 64)
    path.write_text(json.dumps({**manifest, "embedding": {"dimensions": 3, "dtype": "int8", "bands": ["x"]}}))
    with pytest.raises(BrokenArtefact, match="embedding"):
        Field(catalog, KEY)


def test_names_of_dimensions_are_kept_and_must_fit(tmp_path: Path) -> None:
    catalog, given = Catalog(tmp_path), content("float32", 3)
    write_field(catalog, replace(given, bands=("red", "green", "blue")))
    assert Field(catalog, KEY).bands == ("red", "green", "blue")
    with pytest.raises(InvalidInput, match="2 names were given for 3"):
        write_field(catalog, replace(given, bands=("red", "green")))
    with pytest.raises(InvalidInput, match="float64"):
        write_field(catalog, replace(given, codes=given.codes.astype(np.float64)))


def test_quality_layers_keep_their_meaning(tmp_path: Path) -> None:
    catalog, given = Catalog(tmp_path), content()
    agreement = np.linspace(-1, 1, WINDOW.shape[0] * WINDOW.shape[1], dtype=np.float32).reshape(WINDOW.shape)
    agreement[5, 5] = np.nan
    days = np.full(WINDOW.shape, 3.4, np.float32)
    quality = {**given.quality, "days_sentinel-2-l2a": days, "agreement": agreement}
    folder = write_field(catalog, replace(given, quality=quality))
    with rasterio.open(folder / "quality.tif") as data:
        assert data.descriptions == ("clear_sentinel-2-l2a", "days_sentinel-2-l2a", "agreement")
        assert (data.scales, data.offsets) == ((1, 1, 1e-4), (0, 0, -1))
        assert (data.units[:2], data.nodata) == (("observations", "days"), 65535)
        assert "cosine" in data.tags(3)["meaning"]
    read = Field(catalog, KEY).quality()
    assert (read["days_sentinel-2-l2a"] == 3).all()
    assert read["clear_sentinel-2-l2a"].dtype == np.uint16
    assert np.isnan(read["agreement"][5, 5])
    assert np.nanmax(np.abs(read["agreement"] - agreement)) < 0.51e-4
    one = Window(WINDOW.y0 + 5, WINDOW.y0 + 6, WINDOW.x0 + 5, WINDOW.x0 + 6)
    pixel = {name: plain_value(layer) for name, layer in Field(catalog, KEY).quality(one).items()}
    assert pixel == {"clear_sentinel-2-l2a": 7, "days_sentinel-2-l2a": 3, "agreement": None}
    with pytest.raises(InvalidInput, match=r"agreement holds values outside -1\.\."):
        write_field(catalog, replace(given, quality={"agreement": agreement - 0.5}))


def test_items_and_collections_follow_their_schemas(tmp_path: Path) -> None:
    catalog, given = Catalog(tmp_path), content()
    agreement = np.ones(WINDOW.shape, np.float32)
    picture = np.zeros((*WINDOW.shape, 4), np.uint8)
    folder = write_field(
        catalog, replace(given, axes=picture, quality={**given.quality, "agreement": agreement})
    )
    item = json.loads((folder / "item.json").read_text())
    check_item(item)
    assert sorted(item["assets"]) == ["axes", "embeddings", "preview", "quality"]
    write_field(catalog, content("float32", 3, FieldKey("other", KEY.tile, KEY.period)))
    for model in ("test", "other"):
        check_collection(json.loads(catalog.collection(model).read_text()))
    check_item(json.loads((catalog.field(FieldKey("other", KEY.tile, KEY.period)) / "item.json").read_text()))


def test_pystac_walks_from_the_collection_to_every_item(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    keys = [FieldKey("test", KEY.tile, Period.parse(text)) for text in ("2019", "2017-03", "2018")]
    for key in keys:
        write_field(catalog, content(dim=3, key=key))
    found = pystac.Collection.from_file(str(catalog.collection("test")))
    assert len(list(found.get_items())) == 3
    assert {item.collection_id for item in found.get_items()} == {"test"}
    (first, last), *_ = found.extent.temporal.intervals
    assert (f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}") == ("2017-03-01", "2019-12-31")


def test_a_collection_does_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    keys = [FieldKey("test", KEY.tile, Period.parse(f"20{year}")) for year in (17, 18, 19)]
    told = []
    for name, order in (("a", keys), ("b", keys[::-1])):
        catalog = Catalog(tmp_path / name)
        for key in order:
            write_field(catalog, content(dim=3, key=key))
        told.append(catalog.collection("test").read_bytes())
    assert told[0] == told[1]


def test_a_collection_heals_from_what_a_killed_job_left(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    for text in ("2017", "2018"):
        write_field(catalog, content(dim=3, key=FieldKey("test", KEY.tile, Period.parse(text))))
    path = catalog.collection("test")
    whole = path.read_bytes()
    for damage in (b"", b"{}", whole[:100], whole.replace(b"20170101_20180101", b"20160101_20170101")):
        path.write_bytes(damage)
        keep_collection(catalog, "test")
        assert path.read_bytes() == whole
    path.unlink()
    keep_collection(catalog, "test")
    assert path.read_bytes() == whole
    (catalog.field(KEY) / "manifest.json").unlink()
    keep_collection(catalog, "test")
    assert b"20180101_20190101" not in path.read_bytes()


def test_writers_side_by_side_lose_no_item_of_the_collection(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    keys = [FieldKey("test", KEY.tile, Period.parse(f"2018-{month:02d}")) for month in range(1, 9)]
    threads = [threading.Thread(target=write_field, args=(catalog, content(dim=3, key=key))) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    links = json.loads(catalog.collection("test").read_text())["links"]
    assert len([link for link in links if link["rel"] == "item"]) == len(keys)


def test_scenes_that_only_windows_over_the_border_read_are_named(tmp_path: Path) -> None:
    given = content()
    frames = [{"step": 3507, "acquired": "2018-01-05T10:00:00Z", "items": ["scene-b", "scene-c"]}]
    context = {"32631_0049_0549": {"sentinel-2-l2a": frames, "landsat-c2-l2": frames}}
    manifest = {**given.manifest, "context": context}
    assert scenes_read(manifest) == {
        "landsat-c2-l2": ["scene-b", "scene-c"], "sentinel-2-l2a": ["scene-a", "scene-b", "scene-c"],
    }  # fmt: skip
    folder = write_field(Catalog(tmp_path), replace(given, manifest=manifest))
    links = json.loads((folder / "item.json").read_text())["links"]
    named = {(link["title"], link["href"]) for link in links if link["rel"] == "derived_from"}
    assert ("landsat-c2-l2", "scene-c") in named
    assert len(named) == 5
