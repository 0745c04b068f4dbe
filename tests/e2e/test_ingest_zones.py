"""Areas across zones and the antimeridian, granules of one day, and instants on the border of a step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine

from earthfield.area import inside_mask
from earthfield.catalog import Catalog
from earthfield.cube import Cube, CubeReader
from earthfield.grid import PIXEL_M, Tile, TileWindow, Window, geobox_of
from earthfield.schemas import IngestReport, IngestRequest
from earthfield.timeline import EPOCH, Period, step_of, step_start
from earthfield_ingest import jobs

S2 = "sentinel-2-l2a"
NODATA = -32768
SIDE_M = 2400.0


class World:
    """A catalogue whose pixels tell where they are: B04 and B08 hold how far north and east, whatever the CRS."""

    def __init__(self, folder: Path, lon: float, lat: float) -> None:
        self.folder, self._lon, self._lat = folder, lon, lat
        self._ids: list[str] = []

    def number(self, lon: NDArray[Any], lat: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Gives what B04 and B08 show of a place: smooth, and never 0."""
        east = (lon - self._lon + 180.0) % 360.0 - 180.0
        return 4000 + 1e5 * (lat - self._lat), 4000 + 1e5 * east

    def add(
        self, name: str, when: str, epsg: int, *, lon: float, lat: float, add: int = 0, clear: Any = None
    ) -> None:
        """Writes an item of 2.4 km around a point, on the grid of a zone; `clear` says which pixels, by column."""
        to_zone = pyproj.Transformer.from_crs(4326, epsg, always_xy=True)
        east, north = to_zone.transform(lon, lat)
        left, top = round(east / 20) * 20 - SIDE_M / 2, round(north / 20) * 20 + SIDE_M / 2
        side = int(SIDE_M / PIXEL_M)
        cols, rows = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
        lons, lats = to_zone.transform(left + PIXEL_M * cols, top - PIXEL_M * rows, direction="INVERSE")
        place = self.folder / name
        place.mkdir(parents=True)
        for key, values in zip(("B04", "B08"), self.number(lons, lats), strict=True):
            _write(place / f"{key}.tif", (np.rint(values) + add).astype(np.uint16), epsg, left, top, PIXEL_M)
        scl = np.full((side // 2, side // 2), 4, np.uint8)
        if clear is not None:
            scl[:, ~clear(np.arange(side // 2))] = 9
        _write(place / "SCL.tif", scl, epsg, left, top, 20.0)
        edges = np.linspace(0, side, 9)
        ring = [(x, 0) for x in edges] + [(side, y) for y in edges]
        ring += [(x, side) for x in edges[::-1]] + [(0, y) for y in edges[::-1]]
        xs, ys = zip(*((left + PIXEL_M * x, top - PIXEL_M * y) for x, y in ring), strict=True)
        outline = np.stack(to_zone.transform(xs, ys, direction="INVERSE"), axis=-1)
        self._item(name, when, _cut(outline))

    def _item(self, name: str, when: str, footprint: Any) -> None:
        item = {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": S2, "links": [],
            "geometry": shapely.geometry.mapping(footprint), "bbox": list(footprint.bounds),
            "properties": {"datetime": when},
            "assets": {key: {"href": f"./{key}.tif"} for key in ("B04", "B08", "SCL")},
        }  # fmt: skip
        (self.folder / name / f"{name}.json").write_text(json.dumps(item))
        self._ids.append(name)
        catalog = {
            "type": "Catalog", "stac_version": "1.0.0", "id": "world", "description": "made up",
            "links": [{"rel": "item", "href": f"./{one}/{one}.json"} for one in self._ids],
        }  # fmt: skip
        (self.folder / "catalog.json").write_text(json.dumps(catalog))

    def ingest(self, root: Path, bbox: Sequence[float], period: str = "2020-06") -> IngestReport:
        return jobs.ingest(
            IngestRequest(
                root=root, catalog=str(self.folder), periods=(period,), sources=(S2,), dask="none",
                bbox=tuple(bbox),
            )
        )  # fmt: skip


def _write(path: Path, data: NDArray[Any], epsg: int, left: float, top: float, side: float) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", height=data.shape[0], width=data.shape[1], count=1, dtype=data.dtype,
        nodata=0, crs=f"EPSG:{epsg}", transform=Affine(side, 0, left, 0, -side, top), compress="deflate",
    ) as file:  # fmt: skip
        file.write(data, 1)


def _cut(outline: NDArray[Any]) -> Any:
    """Gives a ring in degrees as a polygon, in two parts where it crosses the antimeridian."""
    if np.ptp(outline[:, 0]) < 180:
        return shapely.Polygon(outline)
    whole = shapely.Polygon(np.stack([outline[:, 0] % 360, outline[:, 1]], axis=-1))
    west = shapely.intersection(whole, shapely.box(0, -90, 180, 90))
    east = shapely.transform(
        shapely.intersection(whole, shapely.box(180, -90, 360, 90)), lambda xy: xy - [360, 0]
    )
    return shapely.MultiPolygon([west, east])


def frame(root: Path, tile: Tile) -> tuple[Any, NDArray[Any], NDArray[np.bool_]]:
    """The only step that a cube holds: the observation, B04 and B08, and valid."""
    cube = Cube(Catalog(root).cube(tile))
    (seen,) = cube.observations(S2)
    values, valid = cube.read(S2, [seen.slot], Window(0, 1024, 0, 1024))
    return seen, values[0, [2, 6]], valid[0]


def places(tile: Tile) -> tuple[NDArray[Any], NDArray[Any]]:
    """Longitude and latitude of every pixel's centre of a tile."""
    box = geobox_of(tile.epsg, tile.window).boundingbox
    xs, ys = np.meshgrid(
        box.left + PIXEL_M * (np.arange(1024) + 0.5), box.top - PIXEL_M * (np.arange(1024) + 0.5)
    )
    return pyproj.Transformer.from_crs(tile.epsg, 4326, always_xy=True).transform(xs, ys)


def asked(request_bbox: Sequence[float], tile: Tile, root: Path, world: World) -> TileWindow:
    request = IngestRequest(
        root=root, catalog=str(world.folder), periods=("2020-06",), bbox=tuple(request_bbox)
    )
    (found,) = [one for one in jobs.plan(request).tiles if one.tile == tile]
    return found


# Longitude 6 is the border of zones 31 and 32; 180 that of 60 and 1.
BORDERS = {
    "two zones": (6.0, 50.0, 32631, 32632, (5.993, 49.995, 6.007, 50.005)),
    "the antimeridian": (180.0, -17.0, 32760, 32701, (179.993, -17.005, -179.993, -16.995)),
}


@pytest.mark.parametrize("border", BORDERS)
def test_an_item_of_one_zone_fills_the_tiles_of_both(tmp_path: Path, border: str) -> None:
    lon, lat, west, east, bbox = BORDERS[border]
    world = World(tmp_path / "catalogue", lon, lat)
    world.add("one", "2020-06-10T10:00:00Z", west, lon=lon, lat=lat)
    report = world.ingest(tmp_path / "root", bbox)
    assert (report.sources[S2].found, report.sources[S2].used, report.sources[S2].clear_share) == (1, 1, 1.0)
    tiles = Catalog(tmp_path / "root").cube_tiles()
    assert {tile.epsg for tile in tiles} == {west, east}
    for tile in tiles:
        seen, values, valid = frame(tmp_path / "root", tile)
        assert seen.items == ("one",)
        window = asked(bbox, tile, tmp_path / "root", world)
        inside = np.zeros((1024, 1024), bool)
        inside[tile.local(window.window).slices] = inside_mask(tile.epsg, window.window, window.area)
        assert valid[inside].all()
        # Every pixel shows its own place: as written in its own zone, within a third of a pixel in the other.
        slack = 1 if tile.epsg == west else 3
        for got, truth in zip(values, world.number(*places(tile)), strict=True):
            assert np.abs(got[valid] - truth[valid]).max() <= slack


@pytest.mark.parametrize("border", BORDERS)
def test_granules_of_both_zones_and_one_pass_are_mosaicked_on_each_side(tmp_path: Path, border: str) -> None:
    lon, lat, west, east, bbox = BORDERS[border]
    world = World(tmp_path / "catalogue", lon, lat)
    # The western granule is cloudy in its eastern part and the eastern one in its western, where they overlap.
    world.add("west", "2020-06-10T10:00:00Z", west, lon=lon, lat=lat, clear=lambda col: col < 70)
    world.add("east", "2020-06-10T10:00:00Z", east, lon=lon, lat=lat, add=500, clear=lambda col: col >= 50)
    report = world.ingest(tmp_path / "root", bbox)
    assert (report.sources[S2].found, report.sources[S2].used, report.sources[S2].clear_share) == (2, 2, 1.0)
    used = set()
    for tile in Catalog(tmp_path / "root").cube_tiles():
        seen, values, valid = frame(tmp_path / "root", tile)
        used |= set(seen.items)
        truth = world.number(*places(tile))
        for own, add in (("west", 0), ("east", 500)):
            close = [np.abs(one - other - add) <= 3 for one, other in zip(values, truth, strict=True)]
            # Both bands of a pixel come from the same granule.
            assert (close[0][valid] == close[1][valid]).all()
            assert close[0][valid].any() == (own in seen.items)
    assert used == {"west", "east"}


def test_frames_are_read_across_tiles_of_each_zone(tmp_path: Path) -> None:
    lon, lat, west, _, bbox = BORDERS["two zones"]
    world = World(tmp_path / "catalogue", lon, lat)
    world.add("one", "2020-06-10T10:00:00Z", west, lon=lon, lat=lat)
    world.ingest(tmp_path / "root", bbox)
    reader = CubeReader(Catalog(tmp_path / "root"), (S2,))
    for tile in Catalog(tmp_path / "root").cube_tiles():
        window = asked(bbox, tile, tmp_path / "root", world).window
        seen = reader.read(tile.epsg, window.padded(5), Period.parse("2020-06"))[S2]
        assert seen.valid[0, 5:-5, 5:-5].any()
        assert not seen.valid[0, 0].any()


def test_granules_of_one_day_side_by_side_make_one_frame(tmp_path: Path) -> None:
    world = World(tmp_path / "catalogue", 3.0, 50.0)
    world.add("a", "2020-06-10T10:00:00Z", 32631, lon=2.99, lat=50.0)
    world.add("b", "2020-06-10T10:00:15Z", 32631, lon=3.01, lat=50.0, add=500)
    report = world.ingest(tmp_path / "root", (2.98, 49.995, 3.02, 50.005))
    assert (report.sources[S2].used, report.sources[S2].steps, report.sources[S2].clear_share) == (2, 1, 1.0)


def on_step_border() -> tuple[str, str, str]:
    """The last instant of a step, the first of the next, and the last of that."""
    first = step_start(step_of(EPOCH.replace(year=2020, month=6, day=15)))
    form = "%Y-%m-%dT%H:%M:%S.%fZ"
    tick, whole = timedelta(microseconds=1), timedelta(days=5)
    return tuple(f"{one:{form}}" for one in (first - tick, first, first + whole - tick))  # type: ignore[return-value]


def test_a_step_holds_its_first_instant_and_not_that_of_the_next(tmp_path: Path) -> None:
    world = World(tmp_path / "catalogue", 3.0, 50.0)
    before, first, last = on_step_border()
    world.add("before", before, 32631, lon=3.0, lat=50.0, add=100)
    world.add("first", first, 32631, lon=3.0, lat=50.0, add=200, clear=lambda col: col < 60)
    world.add("last", last, 32631, lon=3.0, lat=50.0, add=300, clear=lambda col: col >= 50)
    report = world.ingest(tmp_path / "root", (2.99, 49.995, 3.01, 50.005))
    assert (report.sources[S2].used, report.sources[S2].steps) == (3, 2)
    (tile,) = Catalog(tmp_path / "root").cube_tiles()
    cube = Cube(Catalog(tmp_path / "root").cube(tile))
    one, two = cube.observations(S2)
    assert one.items == ("before",)
    assert set(two.items) == {"first", "last"}
    assert two.step == one.step + 1
    assert f"{one.acquired:%Y-%m-%dT%H:%M:%S.%fZ}" == before


def test_a_period_that_ends_inside_a_step_neither_splits_nor_changes_it(tmp_path: Path) -> None:
    world = World(tmp_path / "catalogue", 3.0, 50.0)
    _, first, last = on_step_border()
    world.add("first", first, 32631, lon=3.0, lat=50.0, add=200, clear=lambda col: col < 60)
    world.add("last", last, 32631, lon=3.0, lat=50.0, add=300, clear=lambda col: col >= 50)
    bbox = (2.99, 49.995, 3.01, 50.005)
    part = world.ingest(tmp_path / "part", bbox, f"{first[:10]}/{last[:10]}")
    world.ingest(tmp_path / "whole", bbox)
    assert part.sources[S2].found == 1  # counted by the period, read with the whole step
    (tile,) = Catalog(tmp_path / "part").cube_tiles()
    one, other = frame(tmp_path / "part", tile), frame(tmp_path / "whole", tile)
    assert one[0] == other[0]
    assert (one[1] == other[1]).all()
    assert (one[2] == other[2]).all()


def test_equal_instants_and_equal_clearness_are_settled_by_id(tmp_path: Path) -> None:
    frames = []
    for name, order in (("ab", ("a", "b")), ("ba", ("b", "a"))):
        world = World(tmp_path / name, 3.0, 50.0)
        for one in order:
            # A hair apart on the ground, or they would be two processings of one acquisition.
            world.add(
                one,
                "2020-06-10T10:00:00Z",
                32631,
                lon=3.0 + 0.002 * (one == "b"),
                lat=50.0,
                add=500 * (one == "b"),
            )
        world.ingest(tmp_path / f"root-{name}", (2.995, 49.998, 3.005, 50.002))
        (tile,) = Catalog(tmp_path / f"root-{name}").cube_tiles()
        frames.append(frame(tmp_path / f"root-{name}", tile))
    assert frames[0][0].items == frames[1][0].items == ("a",)
    assert (frames[0][1] == frames[1][1]).all()
