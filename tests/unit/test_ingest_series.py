"""Gridded series are read cell by cell onto their own grid; days of a step are averaged and counted."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from local_http import files_in, serving

from earthfield.catalog import Catalog
from earthfield.cube import Cube, CubeReader
from earthfield.errors import BrokenArtefact, InvalidInput
from earthfield.grid import Tile, Window, pixel_at, tile_at, zone_of
from earthfield.schemas import IngestReport, IngestRequest
from earthfield.sources import Source, source_named
from earthfield.timeline import Period, step_of, step_start
from earthfield_ingest import jobs
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.loose import item_of
from earthfield_ingest.packing import NODATA
from earthfield_ingest.readers import Grid, reader_for
from earthfield_ingest.readers.series import parts
from earthfield_ingest.scene import Scene, scene_of

WHOLE = Window(0, 1024, 0, 1024)
FLANDERS = (3.03, 50.82)
"""Longitude and latitude of a place in the tile of the tests."""


def tile_of(lon: float, lat: float) -> Tile:
    zone = zone_of(lon, lat)
    return tile_at(zone, *pixel_at(zone, lon, lat))


def scenes_of(path: Path, name: str) -> list[Scene]:
    item = item_of(path)
    assert item is not None
    source = source_named(name)
    assert item.collection_id in source.collections
    return parts(source, [scene_of(item, source)], Fetcher())


def read(source: Source, scene: Scene, tile: Tile) -> tuple[Any, Any]:
    return reader_for(source, Grid.of(source, tile, source.window(tile, WHOLE)), Fetcher()).bands(scene)


def at(source: Source, tile: Tile, lon: float, lat: float) -> tuple[int, int]:
    """Row and column of a place on the source's grid of a tile."""
    col, row = ~source.grid(tile).affine @ (lon, lat)
    return int(np.floor(row)), int(np.floor(col))


def monthly(
    *, lon: np.ndarray | None = None, lat: np.ndarray | None = None, months: int = 3, name: str = "time"
) -> xr.Dataset:
    """A simulated ERA5-Land file of monthly means: values tell where and when they are."""
    lon = np.round(np.arange(2.0, 4.05, 0.1), 1) if lon is None else lon
    lat = np.round(np.arange(51.5, 49.95, -0.1), 1) if lat is None else lat
    when = np.array([f"2018-{month:02d}-01" for month in range(1, months + 1)], "datetime64[ns]")
    place = np.round((lon % 360)[None, :] / 10 + lat[:, None] / 2, 3)
    t2m = (270 + 10 * np.arange(months)[:, None, None] + place).astype(np.float32)
    data = xr.Dataset(
        {
            "t2m": ((name, "latitude", "longitude"), t2m, {"units": "K"}),
            "tp": ((name, "latitude", "longitude"), np.full_like(t2m, 0.0025), {"units": "m"}),
            "sp": ((name, "latitude", "longitude"), np.full_like(t2m, 101_325.0), {"units": "Pa"}),
        },
        {name: when, "latitude": lat.astype(np.float32), "longitude": lon.astype(np.float32)},
    )
    data["t2m"][:, 0, -1] = np.nan
    return data


def kelvin(data: xr.Dataset, lon: float, lat: float, month: int) -> float:
    row, col = (
        int(np.abs(data[name] - value).argmin()) for name, value in (("latitude", lat), ("longitude", lon))
    )
    return float(data["t2m"][month, row, col])


def written(data: xr.Dataset, path: Path, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".zarr":
            data.to_zarr(path, **options)
        else:
            data.to_netcdf(path, **({"engine": "h5netcdf"} | options))
    return path


# Monthly ERA5-Land, simulated in the product's form.


def test_a_month_is_a_scene_that_stands_for_it(tmp_path: Path) -> None:
    found = scenes_of(written(monthly(), tmp_path / "era5.nc"), "era5-land")
    assert [one.stands_for for one in found] == [Period.parse(f"2018-0{month}") for month in (1, 2, 3)]
    assert [one.id.partition("#")[2] for one in found] == ["2018-01-01", "2018-02-01", "2018-03-01"]
    assert all(one.stands_for is not None and one.acquired in one.stands_for for one in found)
    assert [one.properties["days"] for one in found] == [31, 28, 31]


def test_cells_are_copied_in_the_unit_that_the_band_declares(tmp_path: Path) -> None:
    data = monthly()
    source, tile = source_named("era5-land"), tile_of(*FLANDERS)
    scene = scenes_of(written(data, tmp_path / "era5.nc"), "era5-land")[1]
    values, valid = read(source, scene, tile)
    assert valid.all()
    physical = dict(zip(source.band_names, source.physical(values, band_axis=0), strict=True))
    for lon, lat in ((3.2, 50.7), (3.0, 50.8)):
        row, col = at(source, tile, lon, lat)
        assert physical["temperature_2m"][row, col] == pytest.approx(kelvin(data, lon, lat, 1), abs=0.0051)
    assert physical["precipitation"][0, 0] == pytest.approx(2.5, abs=0.011)
    assert physical["pressure"][0, 0] == pytest.approx(1013.25, abs=0.051)
    assert np.isnan(physical["soil_moisture"]).all()


def test_the_grid_has_cells_whose_centres_are_tenths_of_a_degree() -> None:
    grid = source_named("era5-land").grid(tile_of(*FLANDERS))
    west, _, _, north = grid.boundingbox.bbox
    assert (round(west * 100) % 10, round(north * 100) % 10) == (5, 5)


@pytest.mark.parametrize(
    "form", ["ascending", "0 to 360", "packed", "classic", "zarr", "zarr 2", "new names"]
)
def test_every_form_of_a_product_gives_the_same_values(tmp_path: Path, form: str) -> None:
    lon = np.round(np.arange(-4.0, 4.05, 0.1), 1)
    plain = monthly(lon=lon)
    data, options, suffix = plain, {}, ".nc"
    if form == "ascending":
        data = plain.isel(latitude=slice(None, None, -1))
    elif form == "0 to 360":
        data = plain.assign_coords(longitude=(lon % 360).astype(np.float32)).sortby("longitude")
        # A file of the whole Earth: its columns run on from 359.9 to 0.
        every = np.round(np.arange(0, 360, 0.1), 1).astype(np.float32)
        data = data.reindex(longitude=every, method="nearest", tolerance=0.01)
    elif form == "packed":
        packing = {"dtype": "int16", "scale_factor": 0.002, "add_offset": 310.0, "_FillValue": -32767}
        options = {"encoding": {"t2m": packing}}
    elif form == "classic":
        options = {"engine": "scipy", "encoding": {"time": {"units": "hours since 1900-01-01"}}}
    elif form.startswith("zarr"):
        suffix, options = ".zarr", {"zarr_format": 2 if form == "zarr 2" else 3}
    elif form == "new names":
        data = plain.rename(time="valid_time").assign_coords(number=0, expver="0001")
    source = source_named("era5-land")
    scene = scenes_of(written(data, tmp_path / f"era5{suffix}", **options), "era5-land")[2]
    for place in (FLANDERS, (-0.03, 50.5)):
        tile = tile_of(*place)
        values, _ = read(source, scene, tile)
        expected, _ = read(
            source, scenes_of(written(plain, tmp_path / f"{place[0]}.nc"), "era5-land")[2], tile
        )
        assert (expected[0] != NODATA).all()
        assert np.abs(values.astype(int) - expected)[0].max() <= (1 if form == "packed" else 0)


def test_missing_cells_and_cells_outside_of_a_file_are_nodata(tmp_path: Path) -> None:
    lon, lat = np.array([2.8, 2.9, 3.0]), np.array([50.8, 50.7])
    source, tile = source_named("era5-land"), tile_of(*FLANDERS)
    data = monthly(lon=lon, lat=lat).drop_vars(["tp", "sp"])
    values, valid = read(source, scenes_of(written(data, tmp_path / "e.nc"), "era5-land")[0], tile)
    missing, held, outside = (
        at(source, tile, 3.0, 50.8),
        at(source, tile, 3.0, 50.7),
        at(source, tile, 2.9, 50.7),
    )
    assert [bool(valid[one]) for one in (missing, held, outside)] == [False, True, False]
    assert (values[:, ~valid] == NODATA).all()


def test_columns_across_the_antimeridian_are_found(tmp_path: Path) -> None:
    lon = np.round(np.concatenate([np.arange(179.0, 180.0, 0.1), np.arange(-180.0, -179.0, 0.1)]), 1)
    data = monthly(lon=lon, lat=np.round(np.arange(-16.0, -18.0, -0.1), 1))
    path = written(data, tmp_path / "fiji.nc")
    item = item_of(path)
    assert item is not None and item.geometry is not None and item.geometry["type"] == "MultiPolygon"
    source, tile = source_named("era5-land"), tile_of(-179.99, -16.8)
    grid = source.grid(tile)
    assert max(grid.shape) <= 3
    values, valid = read(source, scenes_of(path, "era5-land")[0], tile)
    assert valid.all()
    east, west = at(source, tile, 180.0, -16.8), at(source, tile, 179.9, -16.8)
    for lon_of, place in ((-180.0, east), (179.9, west)):
        got = source.physical(values, band_axis=0)[0][place]
        assert got == pytest.approx(kelvin(data, lon_of, -16.8, 0), abs=0.0051)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_file_on_a_server_gives_what_it_gives_on_the_disk(tmp_path: Path, suffix: str) -> None:
    path = written(monthly(), tmp_path / f"era5{suffix}")
    source, tile = source_named("era5-land"), tile_of(*FLANDERS)
    (local, *_) = scenes_of(path, "era5-land")
    (key, asset), *_ = local.assets.items()
    with serving(files_in(tmp_path)) as server:
        far = replace(local, assets={key: {**asset, "href": f"{server.url}/{path.name}"}}, stands_for=None)
        fetcher = Fetcher(home=server.url)
        found = parts(source, [far], fetcher)
        reader = reader_for(source, Grid.of(source, tile, source.window(tile, WHOLE)), fetcher)
        assert len(found) == 3
        assert (reader.bands(found[1])[0] == read(source, scenes_of(path, "era5-land")[1], tile)[0]).all()
        gone = replace(found[1], assets={key: {**asset, "href": f"{server.url}/absent{suffix}"}})
        with pytest.raises(BrokenArtefact, match="absent"):
            reader.bands(gone)


# Daily AgERA5.


def daily(first: str, count: int, *, lat: tuple[float, ...] = (50.9, 50.8, 50.7)) -> xr.Dataset:
    """A simulated AgERA5 file: the value of a day is the number of days since 2018, in kelvin above 273.15."""
    when = np.datetime64(first, "D") + np.arange(count)
    number = (when - np.datetime64("2018-01-01")).astype(float)
    lon = np.round(np.arange(2.5, 3.6, 0.1), 1)
    values = np.broadcast_to(number[:, None, None] / 10 + 273.15, (count, len(lat), len(lon)))
    return xr.Dataset(
        {"Temperature_Air_2m_Mean_24h": (("time", "lat", "lon"), values.astype(np.float32), {"units": "K"})},
        {"time": when.astype("datetime64[ns]"), "lat": list(lat), "lon": lon},
    )


def celsius(values: np.ndarray) -> float:
    source = source_named("agera5")
    return float(source.physical(values, band_axis=0)[0, 0, 0]) - 273.15


def test_a_step_holds_the_mean_of_its_days_and_their_count(tmp_path: Path) -> None:
    step = step_of(datetime(2018, 6, 1))
    start = step_start(step)
    data = daily(f"{start:%Y-%m-%d}", 12)
    found = scenes_of(written(data, tmp_path / "daily.nc"), "agera5")
    assert [one.step for one in found] == [step, step + 1, step + 2]
    assert [one.properties["days"] for one in found] == [5, 5, 2]
    assert found[0].stands_for == Period(start, step_start(step + 1))
    assert [one.id.partition("~")[2] for one in found] == ["", "", "2"]
    first = (np.datetime64(f"{start:%Y-%m-%d}") - np.datetime64("2018-01-01")).astype(float) / 10
    source, tile = source_named("agera5"), tile_of(*FLANDERS)
    got = [celsius(read(source, one, tile)[0]) for one in found]
    assert got == pytest.approx([first + 0.2, first + 0.7, first + 1.05], abs=0.006)


def test_days_of_one_step_may_come_from_several_files_and_count_once(tmp_path: Path) -> None:
    start = step_start(step_of(datetime(2018, 6, 1)))
    days = [f"{start.date().fromordinal(start.date().toordinal() + one)}" for one in range(5)]
    source, tile = source_named("agera5"), tile_of(*FLANDERS)
    paths = [written(daily(day, 1), tmp_path / f"{day}.nc") for day in days]
    paths.append(written(daily(days[0], 2), tmp_path / "again.nc"))
    items = [item_of(path) for path in paths]
    found = parts(source, [scene_of(one, source) for one in items if one is not None], Fetcher())
    assert len(found) == 1 and found[0].properties["days"] == 5
    whole = scenes_of(written(daily(days[0], 5), tmp_path / "whole.nc"), "agera5")
    assert found[0].id == whole[0].id
    assert (read(source, found[0], tile)[0] == read(source, whole[0], tile)[0]).all()


def ingested(folder: Path, root: Path, source: str, period: str = "2018") -> IngestReport:
    box = (3.02, 50.81, 3.04, 50.83)
    given = {"catalog": str(folder), "periods": (period,), "sources": (source,), "bbox": box, "root": root}
    return jobs.ingest(IngestRequest.model_validate(given))


def test_a_step_that_was_not_whole_is_made_again_when_its_days_are_there(tmp_path: Path) -> None:
    step = step_of(datetime(2018, 6, 1))
    folder, root = tmp_path / "files", tmp_path / "root"
    folder.mkdir()
    for num_days, num_read in ((8, 2), (8, 0), (9, 1), (10, 1)):
        (folder / "daily.nc").unlink(missing_ok=True)
        written(daily(f"{step_start(step):%Y-%m-%d}", num_days), folder / "daily.nc")
        report = ingested(folder, root, "agera5").sources["agera5"]
        assert (report.used, report.read) == (2, num_read)
        cube = Cube(Catalog(root).cube(tile_of(*FLANDERS)))
        assert [one.about["days"] for one in cube.observations("agera5")] == [5, num_days - 5]
        stands_for = [one.about["stands_for"] for one in cube.observations("agera5")]
        assert stands_for == [[step_start(step + n).isoformat() for n in (i, i + 1)] for i in range(2)]
    cube = Cube(Catalog(root).cube(tile_of(*FLANDERS)))
    seen = cube.observations("agera5")
    values, _ = cube.read("agera5", [seen[1].slot], Window(0, 1, 0, 1))
    days = (np.datetime64(f"{step_start(step + 1):%Y-%m-%d}") - np.datetime64("2018-01-01")).astype(float)
    assert celsius(values[0]) == pytest.approx((days + 2) / 10, abs=0.006)


def test_a_source_on_its_own_grid_is_not_read_as_frames_of_10_m(tmp_path: Path) -> None:
    folder, root = tmp_path / "files", tmp_path / "root"
    folder.mkdir()
    written(daily("2018-06-01", 8), folder / "daily.nc")
    ingested(folder, root, "agera5")
    tile = tile_of(*FLANDERS)
    assert Cube(Catalog(root).cube(tile)).shape("agera5") == source_named("agera5").grid(tile).shape
    with pytest.raises(InvalidInput, match="grid of its own"):
        CubeReader(Catalog(root), ["agera5"]).read(tile.epsg, tile.window, Period.parse("2018"))


def test_real_weather_of_a_place_is_the_mean_of_its_days(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "places" / "flanders_a" / "agera5" / "daily.nc"
    report = ingested(path.parent, tmp_path, "agera5", "2018-06")
    assert report.sources["agera5"].found == 7 and report.sources["agera5"].dropped == {}
    source, tile = source_named("agera5"), tile_of(*FLANDERS)
    cube = Cube(Catalog(tmp_path).cube(tile))
    one = next(one for one in cube.observations("agera5") if one.step == step_of(datetime(2018, 6, 2)))
    with h5py.File(path) as file:
        offset = (step_start(one.step).date() - datetime(2017, 8, 1).date()).days
        days = slice(offset, offset + 5)
        rain = file["precipitation_flux"][days].mean(dtype=float)
        light = file["solar_radiation_flux"][days].mean(dtype=float) / 1e6
        warmth = file["temperature_mean"][days].mean(dtype=float)
    rows, cols = source.grid(tile).shape
    values, valid = cube.read("agera5", [one.slot], Window(0, rows, 0, cols))
    place = at(source, tile, *FLANDERS)
    assert valid[0].sum() == 1 and valid[0][place]
    got = dict(zip(source.band_names, source.physical(values[0], band_axis=0)[:, *place], strict=True))
    assert got["temperature_mean"] == pytest.approx(warmth, abs=0.0051)
    assert got["precipitation"] == pytest.approx(rain, abs=0.0101)
    assert got["solar_radiation"] == pytest.approx(light, abs=0.00101)


def test_real_weather_south_of_the_equator_lies_in_its_cell(real_data: Path) -> None:
    found = scenes_of(real_data / "places" / "tanzania_d" / "agera5" / "daily.nc", "agera5")
    assert len(found) == 147
    source = source_named("agera5")
    tile = tile_of(*found[0].footprint.centroid.coords[0])
    assert tile.epsg == 32737
    values, valid = read(source, found[10], tile)
    assert valid.sum() == 1
    assert 285 < source.physical(values, band_axis=0)[0][valid][0] < 310


# GRACE.


def test_a_mascon_solution_stands_for_its_time_bounds(tmp_path: Path) -> None:
    lon, lat = np.arange(0.25, 360, 0.5), np.arange(-89.75, 90, 0.5)
    when = np.array(["2018-06-16T12", "2018-11-01"], "datetime64[ns]")
    edges = np.array([["2018-06-01", "2018-07-01"], ["2018-10-19", "2018-11-14"]], "datetime64[ns]")
    water = np.zeros((2, len(lat), len(lon)), np.float32)
    water[:, 281, 6] = (-12.34, 7.5)
    data = xr.Dataset(
        {
            "lwe_thickness": (("time", "lat", "lon"), water, {"units": "cm"}),
            "time_bounds": (("time", "bound"), edges),
        },
        {"time": ("time", when, {"bounds": "time_bounds"}), "lat": lat, "lon": lon},
    )
    found = scenes_of(written(data, tmp_path / "mascons.nc"), "grace")
    assert found[1].stands_for == Period.parse("2018-10-19/2018-11-14")
    source, tile = source_named("grace"), tile_of(3.25, 50.75)
    values, _ = read(source, found[0], tile)
    row, col = at(source, tile, 3.25, 50.75)
    assert source.physical(values, band_axis=0)[0, row, col] == pytest.approx(-12.3)


# Wrong inputs.


def refusals(path: Path, name: str = "era5-land") -> Iterator[str]:
    """What making an item of a file and reading it is refused with."""
    with pytest.raises(BrokenArtefact) as told:
        scene = scenes_of(path, name)[0]
        if scene.flaw is not None:
            raise BrokenArtefact(scene.flaw)
        read(source_named(name), scene, tile_of(*FLANDERS))
    yield str(told.value)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("quarter degree", "not the centres of neighbouring cells"),
        ("every second cell", "not the centres of neighbouring cells"),
        ("shifted", "not the centres of neighbouring cells"),
        ("no time", "has no time axis"),
        ("half days", "several times of one month"),
        ("projected", "not in longitude and latitude"),
        ("another unit", "'furlong'"),
        ("another axis", "also varies along level"),
        ("truncated", "cannot be read"),
        ("text", "neither NetCDF nor HDF5"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_reason(tmp_path: Path, wrong: str, reason: str) -> None:
    data = monthly()
    if wrong == "quarter degree":
        data = monthly(lon=np.arange(2.0, 4.0, 0.25), lat=np.arange(51.0, 50.0, -0.25))
    elif wrong == "every second cell":
        data = data.isel(longitude=slice(None, None, 2))
    elif wrong == "shifted":
        data = data.assign_coords(longitude=data.longitude + 0.05)
    elif wrong == "no time":
        data = data.isel(time=0, drop=True)
    elif wrong == "half days":
        half_days = np.datetime64("2018-01-01", "ns") + np.arange(3) * np.timedelta64(12, "h")
        data = data.assign_coords(time=half_days)
    elif wrong == "projected":
        data.attrs["epsg"] = 32631
    elif wrong == "another unit":
        data["t2m"].attrs["units"] = "furlong"
    elif wrong == "another axis":
        data = data.expand_dims(level=2)
    path = written(data, tmp_path / "era5.nc")
    if wrong == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
    elif wrong == "text":
        path.write_text("nothing to see")
    (told,) = refusals(path)
    assert reason in told and str(path) in told


def test_a_file_without_any_known_variable_is_of_no_source(tmp_path: Path) -> None:
    assert item_of(written(monthly().rename(t2m="a", tp="b", sp="c"), tmp_path / "other.nc")) is None


def test_an_item_whose_file_lacks_the_variables_is_named(tmp_path: Path) -> None:
    path = written(monthly(), tmp_path / "era5.nc")
    scene = scenes_of(path, "era5-land")[0]
    written(monthly().rename(t2m="a", tp="b", sp="c"), path)
    with pytest.raises(BrokenArtefact, match="holds no variable of era5-land"):
        read(source_named("era5-land"), scene, tile_of(*FLANDERS))


@pytest.mark.parametrize("way", ["link", "virtual", "external"])
def test_nothing_in_a_netcdf_file_leads_to_another_file(tmp_path: Path, way: str) -> None:
    path, other = written(monthly(), tmp_path / "era5.nc"), tmp_path / "secret.h5"
    with h5py.File(other, "w") as file:
        file["t2m"] = np.ones((3, 16, 21), np.float32)
    (tmp_path / "raw").write_bytes(bytes(4032))
    with h5py.File(path, "r+") as file:
        shape = file["t2m"].shape
        del file["tp"]
        if way == "link":
            file["tp"] = h5py.ExternalLink(str(other), "t2m")
        elif way == "virtual":
            layout = h5py.VirtualLayout(shape, np.float32)
            layout[:] = h5py.VirtualSource(str(other), "t2m", shape)
            file.create_virtual_dataset("tp", layout)
        else:
            file.create_dataset("tp", shape, np.float32, external=[(str(tmp_path / "raw"), 0, 4032)])
    (told,) = refusals(path)
    assert "leads to another place or file" in told


def test_a_zarr_store_outside_of_the_catalogue_is_not_read(tmp_path: Path) -> None:
    path = written(monthly(), tmp_path / "elsewhere" / "era5.zarr")
    home = tmp_path / "catalogue"
    home.mkdir()
    item = item_of(path)
    assert item is not None
    source = source_named("era5-land")
    (found,) = parts(source, [scene_of(item, source)], Fetcher(home=str(home)))
    assert found.flaw is not None and "its times cannot be told" in found.flaw


@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_pickled_objects_in_a_zarr_store_are_not_read(tmp_path: Path, place: str) -> None:
    path = written(monthly(), tmp_path / "era5.zarr", zarr_format=2)
    for name, part in ((".zmetadata", "tp/.zarray"), ("tp/.zarray", None)):
        content = json.loads((path / name).read_text())
        array = content["metadata"][part] if part else content
        array[place] = {"id": "pickle", "protocol": 5}
        if place == "filters":
            array[place] = [array[place]]
        (path / name).write_text(json.dumps(content))
    (told,) = refusals(path)
    assert "pickle" in told
