"""GEDI footprints become a sparse raster: good ones only, the most sensitive one of each pixel."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from pyproj import Transformer

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.errors import BrokenArtefact
from earthfield.grid import TILE_PX, Tile, Window, pixel_at, tile_at, tiles_over, zone_of
from earthfield.schemas import IngestRequest
from earthfield.sources import source_named
from earthfield_ingest import jobs
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.loose import item_of
from earthfield_ingest.packing import NODATA
from earthfield_ingest.readers import Grid, reader_for
from earthfield_ingest.readers.footprints import MIN_SENSITIVITY
from earthfield_ingest.scene import Scene, scene_of

WHOLE = Window(0, TILE_PX, 0, TILE_PX)
PLACE = (-44.12, -13.735)
V001 = "GEDI02_A_2019108080338_O01964_T05337_02_001_01"
V002 = "GEDI02_A_2019108080338_O01964_02_T05337_02_003_01_V002"


def tile_of(lon: float, lat: float) -> Tile:
    zone = zone_of(lon, lat)
    return tile_at(zone, *pixel_at(zone, lon, lat))


def scene(path: Path) -> Scene:
    item = item_of(path)
    assert item is not None
    return scene_of(item, source_named("gedi-l2a"))


def read(path: Path, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    source = source_named("gedi-l2a")
    return reader_for(source, Grid.of(source, tile, WHOLE), Fetcher()).bands(scene(path))


def made(folder: Path, *, name: str = V002, degraded: bool = True, **changes: object) -> Path:
    """A simulated granule: four footprints of one beam, the last two in one pixel."""
    tile = tile_of(*PLACE)
    to_degrees = Transformer.from_crs(tile.epsg, 4326, always_xy=True)
    left, top = tile.geobox.boundingbox.left, tile.geobox.boundingbox.top
    cols, rows = np.array([10.5, 20.5, 30.2, 30.7]), np.array([5.5, 6.5, 7.2, 7.7])
    lon, lat = to_degrees.transform(left + cols * 10, top - rows * 10)
    rh = np.arange(101, dtype=np.float32)[None, :] / 10 + np.arange(4, dtype=np.float32)[:, None]
    content = {
        "lon_lowestmode": lon, "lat_lowestmode": lat, "delta_time": 40_810_919.0 + np.arange(4), "rh": rh,
        "quality_flag": np.ones(4, np.uint8), "sensitivity": np.array([0.97, 0.97, 0.96, 0.98], np.float32),
        "elev_lowestmode": np.full(4, 790.25, np.float32), **changes,
    }  # fmt: skip
    if degraded:
        content.setdefault("degrade_flag", np.zeros(4, np.uint8))
    path = folder / f"{name}.h5"
    with h5py.File(path, "w") as file:
        for key, values in content.items():
            file[f"BEAM0101/{key}"] = values
    return path


@pytest.mark.parametrize("name", [V001, V002])
def test_a_granule_is_an_item_at_its_own_time_and_place(tmp_path: Path, name: str) -> None:
    one = scene(made(tmp_path, name=name))
    assert one.id == name and one.flaw is None
    assert one.acquired == datetime(2019, 4, 18, 8, 21, 59, tzinfo=UTC)
    assert one.footprint.distance(tile_of(*PLACE).geobox.extent.to_crs("EPSG:4326").geom) == 0
    assert one.footprint.area < 1e-4


def test_a_pixel_holds_the_footprint_whose_centre_lies_in_it(tmp_path: Path) -> None:
    values, valid = read(made(tmp_path), tile_of(*PLACE))
    assert sorted(map(tuple, np.argwhere(valid))) == [(5, 10), (6, 20), (7, 30)]
    assert (values[:, ~valid] == NODATA).all()
    source = source_named("gedi-l2a")
    got = dict(zip(source.band_names, source.physical(values, band_axis=0)[:, 6, 20], strict=True))
    assert got == pytest.approx(
        {
            "rh25": 3.5,
            "rh50": 6.0,
            "rh75": 8.5,
            "rh95": 10.5,
            "rh98": 10.8,
            "rh100": 11.0,
            "elevation": 790.0,
        },
        abs=0.251,
    )
    assert got["rh98"] == pytest.approx(10.8, abs=0.0051)


@pytest.mark.parametrize("best", [2, 3])
def test_of_two_footprints_in_a_pixel_the_more_sensitive_one_counts(tmp_path: Path, best: int) -> None:
    sensitivity = np.full(4, 0.96)
    sensitivity[best] = 0.99
    values, _ = read(made(tmp_path, sensitivity=sensitivity), tile_of(*PLACE))
    assert values[5, 7, 30] == 1000 + 100 * best


@pytest.mark.parametrize(
    ("flag", "value"), [("quality_flag", 0), ("degrade_flag", 3), ("sensitivity", MIN_SENSITIVITY)]
)
def test_a_footprint_of_poor_quality_is_left_out(tmp_path: Path, flag: str, value: float) -> None:
    good = {"quality_flag": 1.0, "degrade_flag": 0.0, "sensitivity": 0.97}[flag]
    flags = np.full(4, good)
    flags[1] = value
    _, valid = read(made(tmp_path, **{flag: flags}), tile_of(*PLACE))
    assert not valid[6, 20] and valid[5, 10] and valid[7, 30]


def test_a_granule_without_degrade_flag_is_read(tmp_path: Path) -> None:
    assert read(made(tmp_path, degraded=False), tile_of(*PLACE))[1].sum() == 3


def test_a_missing_height_is_nodata_in_its_band_alone(tmp_path: Path) -> None:
    rh = np.full((4, 101), 5.0, np.float32)
    rh[0, 25] = -9999.0
    values, valid = read(made(tmp_path, rh=rh), tile_of(*PLACE))
    assert valid[5, 10] and values[0, 5, 10] == NODATA and values[1, 5, 10] == 500


@pytest.fixture(scope="module")
def real_granule(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gedi")
    with zipfile.ZipFile(real_data / "sensors" / "gedi_cerrado" / f"{V001}_sub.zip") as archive:
        archive.extractall(folder)
    return folder / f"{V001}_sub.h5"


def test_every_good_footprint_of_a_real_granule_is_in_its_pixel(real_granule: Path, tmp_path: Path) -> None:
    request = {
        "catalog": str(real_granule), "periods": ("2019-04",), "sources": ("gedi-l2a",), "root": tmp_path
    }  # fmt: skip
    report = jobs.ingest(IngestRequest.model_validate(request)).sources["gedi-l2a"]
    assert (report.found, report.used, report.dropped) == (1, 1, {})
    best: dict[tuple[int, int], tuple[float, float]] = {}
    with h5py.File(real_granule) as file:
        for beam in (file[name] for name in file if name.startswith("BEAM")):
            columns = (beam[name][:] for name in ("lon_lowestmode", "lat_lowestmode", "sensitivity"))
            for lon, lat, sensitivity, rh in zip(*columns, beam["rh"][:, 98], strict=True):
                pixel = pixel_at(32723, lon, lat)
                if sensitivity > MIN_SENSITIVITY:
                    best[pixel] = max(best.get(pixel, (0.0, 0.0)), (float(sensitivity), float(rh)))
    assert len(best) == 247
    rows, cols = zip(*best, strict=True)
    extent = Window(min(rows), max(rows) + 1, min(cols), max(cols) + 1)
    found = {}
    for tile in tiles_over(32723, extent):
        cube = Cube(Catalog(tmp_path).cube(tile))
        (one,) = cube.observations("gedi-l2a")
        values, valid = cube.read("gedi-l2a", [one.slot], WHOLE)
        for row, col in np.argwhere(valid[0]):
            found[int(row) + tile.window.y0, int(col) + tile.window.x0] = values[0, 4, row, col] / 100
    assert found.keys() == best.keys()
    assert all(found[pixel] == pytest.approx(best[pixel][1], abs=0.0051) for pixel in best)


def test_other_levels_of_gedi_are_of_no_source(real_data: Path, tmp_path: Path) -> None:
    for archive in sorted((real_data / "sensors" / "gedi_cerrado").glob("*.zip")):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(tmp_path)
    found = {path.name[:8]: item_of(path) for path in tmp_path.glob("*.h5")}
    assert {name for name, item in found.items() if item is not None} == {"GEDI02_A"}


# Wrong inputs.


def test_a_truncated_granule_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path)
    whole = scene(path)
    path.write_bytes(path.read_bytes()[:3000])
    source = source_named("gedi-l2a")
    reader = reader_for(source, Grid.of(source, tile_of(*PLACE), WHOLE), Fetcher())
    with pytest.raises(BrokenArtefact, match="cannot be read"):
        reader.bands(whole)
    with pytest.raises(BrokenArtefact):
        item_of(path)


def test_a_zip_in_the_place_of_a_granule_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "granule.h5"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(BrokenArtefact, match="is not HDF5"):
        item_of(path)


def test_a_granule_without_heights_is_named(tmp_path: Path) -> None:
    path = made(tmp_path)
    one = scene(path)
    with h5py.File(path, "r+") as file:
        del file["BEAM0101/sensitivity"]
    source = source_named("gedi-l2a")
    reader = reader_for(source, Grid.of(source, tile_of(*PLACE), WHOLE), Fetcher())
    with pytest.raises(BrokenArtefact, match="has no BEAM0101/sensitivity"):
        reader.bands(one)


@pytest.mark.parametrize("way", ["beam", "link", "soft link", "virtual", "external"])
def test_nothing_in_a_granule_leads_to_another_file(tmp_path: Path, way: str) -> None:
    path, other = made(tmp_path), tmp_path / "secret.h5"
    one = scene(path)
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(32))
    with h5py.File(other, "w") as file:
        file["a"] = np.ones(4)
        file.create_group("b")
    with h5py.File(path, "r+") as file:
        beam = file["BEAM0101"]
        if way == "beam":
            file["BEAM0110"] = h5py.ExternalLink(str(other), "b")
        else:
            del beam["sensitivity"]
        if way == "link":
            beam["sensitivity"] = h5py.ExternalLink(str(other), "a")
        elif way == "soft link":
            beam["sensitivity"] = h5py.SoftLink("/BEAM0101/quality_flag")
        elif way == "virtual":
            layout = h5py.VirtualLayout((4,), np.float64)
            layout[:] = h5py.VirtualSource(str(other), "a", (4,))
            beam.create_virtual_dataset("sensitivity", layout)
        elif way == "external":
            beam.create_dataset("sensitivity", (4,), np.float64, external=[(str(raw), 0, 32)])
    source = source_named("gedi-l2a")
    reader = reader_for(source, Grid.of(source, tile_of(*PLACE), WHOLE), Fetcher())
    with pytest.raises(BrokenArtefact, match="leads to another place or file"):
        reader.bands(one)
