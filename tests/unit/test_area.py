"""Areas of every form become tiles and windows that hold each of their points once."""

from __future__ import annotations

import json
import logging
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from earthfield import areaosm
from earthfield.area import area_from_bbox, area_from_geojson, area_from_text, inside_mask, tile_windows
from earthfield.areaosm import area_of_ways
from earthfield.errors import InvalidInput, NotFound, Unavailable
from earthfield.grid import pixel_at, zone_of

LAND = shapely.Polygon([(3.0, 50.80), (3.06, 50.81), (3.05, 50.84), (3.01, 50.83)])
LAND_WITH_A_LAKE = LAND - shapely.box(3.02, 50.815, 3.03, 50.82)


def test_an_area_across_zones_splits_by_zone() -> None:
    zones = {part.tile.epsg for part in tile_windows(area_from_bbox((5.99, 52.0, 6.01, 52.01)))}
    assert zones == {32631, 32632}


def test_an_area_across_the_antimeridian_and_one_across_the_equator_split() -> None:
    assert {part.tile.epsg for part in tile_windows(area_from_bbox((179.9, -17, -179.9, -16.9)))} == {
        32760,
        32701,
    }
    assert {part.tile.epsg for part in tile_windows(area_from_bbox((30, -0.01, 30.01, 0.01)))} == {
        32636,
        32736,
    }


def test_only_pixels_whose_centre_lies_inside_belong_to_an_area() -> None:
    (part,) = tile_windows(area_from_text("POLYGON ((3.03 50.81, 3.04 50.81, 3.04 50.82, 3.03 50.81))"))
    mask = inside_mask(part.tile.epsg, part.window, part.area)
    assert mask.any(axis=0).all()
    assert mask.any(axis=1).all()
    assert 0.45 < mask.mean() < 0.55


def test_every_feature_of_a_geojson_counts() -> None:
    shapes = [shapely.geometry.mapping(shapely.box(west, 50, west + 0.01, 50.01)) for west in (3.0, 3.5)]
    features = [{"type": "Feature", "properties": {}, "geometry": shape} for shape in shapes]
    area = area_from_geojson(json.dumps({"type": "FeatureCollection", "features": features}))
    assert area.geom.bounds[0] == 3.0
    assert area.geom.bounds[2] == 3.51


@pytest.mark.parametrize(
    "bbox",
    [(1, 2, 3), (3, 51, 4, 50), (3, 50, 3, 51), (3, float("nan"), 4, 51), (-200, 0, 10, 1), (3, 85, 4, 86)],
)
def test_a_malformed_bbox_is_told(bbox: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput):
        area_from_bbox(bbox)


@pytest.mark.parametrize(
    "text", ["POLYGON ((1 2", "POINT (3 50)", "POLYGON EMPTY", '{"type": "Nonsense"}', "{broken"]
)
def test_an_unreadable_area_is_told(text: str) -> None:
    with pytest.raises(InvalidInput):
        area_from_text(text)


def test_an_absent_area_file_is_told() -> None:
    with pytest.raises(NotFound, match=r"field\.geojson"):
        area_from_text("no/such/field.geojson")


@pytest.mark.parametrize(
    "text", ["POINT (3 50)", '{"type": "LineString", "coordinates": [[3, 50], [4, 51]]}']
)
def test_points_and_lines_are_no_area(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"1 (Point|LineString)\)"):
        area_from_text(text)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "picture.geojson").write_bytes(bytes(range(256)))
    with pytest.raises(InvalidInput, match=r"picture\.geojson"):
        area_from_text(str(tmp_path / "picture.geojson"))


def _star(center: tuple[float, float], reach: float, spikes: list[float]) -> BaseGeometry:
    angles = np.linspace(0, 2 * np.pi, len(spikes), endpoint=False)
    xy = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array(spikes)[:, None] * reach
    return shapely.make_valid(shapely.Polygon(xy + center))


def _held(area: Any, lon: float, lat: float) -> list[str]:
    """Ids of the tiles whose window holds a place and says that it lies inside."""
    found = []
    for part in tile_windows(area):
        row, col = pixel_at(part.tile.epsg, lon, lat)
        y, x = row - part.window.y0, col - part.window.x0
        if 0 <= y < part.window.shape[0] and 0 <= x < part.window.shape[1]:
            found += [part.tile.id] * bool(inside_mask(part.tile.epsg, part.window, part.area)[y, x])
    return found


PLACES = st.sampled_from([
    (6.0, 52.0), (12.0, 0.0), (-78.0, 0.01), (180.0, -17.0), (-180.0, 0.0), (36.85, -3.66), (3.02, 63.5),
])  # fmt: skip
"""On borders of zones, on the equator, on the antimeridian, and on none of them."""


@settings(max_examples=40, deadline=None)
@given(PLACES, st.lists(st.floats(0.15, 1.0), min_size=5, max_size=9), st.integers(0, 2**32 - 1))
def test_every_point_of_an_area_lies_in_one_tile_and_no_other_point_in_any(
    place: tuple[float, float], spikes: list[float], seed: int
) -> None:
    lon, lat = place
    shape = _star((lon, lat), 0.12, spikes)
    whole = shapely.union_all([shape.intersection(shapely.box(-180, -90, 180, 90)),
                               _moved(shape.intersection(shapely.box(180, -90, 540, 90)), -360),
                               _moved(shape.intersection(shapely.box(-540, -90, -180, 90)), 360)])  # fmt: skip
    area = area_from_text(whole.wkt)
    random = np.random.default_rng(seed)
    for dx, dy in random.uniform(-0.13, 0.13, (12, 2)):
        point = shapely.Point(lon + dx, lat + dy)
        near = 4e-4  # 40 m: beside a border the pixel's centre decides
        x = (lon + dx + 180) % 360 - 180
        beside_a_zone = min(x % 6, -x % 6) < near or abs(lat + dy) < near
        if shape.boundary.distance(point) < near or beside_a_zone:
            continue
        held = _held(area, x, lat + dy)
        assert len(held) == int(shape.contains(point))
        assert all(one.startswith(str(zone_of(x, lat + dy))) for one in held)


def _moved(shape: BaseGeometry, degrees: float) -> BaseGeometry:
    return shapely.transform(shape, lambda xy: xy + np.array([degrees, 0.0]))


def write(path: Path, shapes: list[BaseGeometry], *, crs: str | None = "EPSG:4326", **options: Any) -> Path:
    """Writes a vector file; shapes come in degrees and are turned to its CRS, in short edges."""
    if crs:
        shapes = [shapely.segmentize(one, 0.002) for one in shapes]
        change = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        shapes = [
            shapely.transform(one, lambda xy: np.stack(change.transform(xy[:, 0], xy[:, 1]), axis=-1))
            for one in shapes
        ]
    pyogrio.raw.write(
        path, np.array([shapely.to_wkb(one) for one in shapes], object), [], [],
        geometry_type=shapes[0].geom_type if shapes else "Polygon", crs=crs, **options,
    )  # fmt: skip
    return path


def much_alike(found: BaseGeometry, wanted: BaseGeometry) -> bool:
    """Whether two areas differ by less than a ten-thousandth."""
    return shapely.symmetric_difference(found, wanted).area < 1e-4 * wanted.area


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:31370", "EPSG:3857", "EPSG:2263"])
@pytest.mark.parametrize("name", ["land.shp", "land.gpkg", "land.fgb"])
def test_a_vector_file_is_read_in_any_coordinate_system(tmp_path: Path, name: str, crs: str) -> None:
    place = (
        shapely.box(-74.0, 40.70, -73.95, 40.75) if crs == "EPSG:2263" else LAND_WITH_A_LAKE
    )  # feet, and only there
    area = area_from_text(str(write(tmp_path / name, [place], crs=crs)))
    assert much_alike(area.geom, place)


@pytest.mark.parametrize("folder", ["", "fields/"])
def test_a_zipped_shapefile_is_read_wherever_it_lies_in_the_zip(tmp_path: Path, folder: str) -> None:
    write(tmp_path / "land.shp", [LAND], crs="EPSG:31370")
    with zipfile.ZipFile(tmp_path / "land.zip", "w") as archive:
        for path in tmp_path.glob("land.*"):
            if path.suffix != ".zip":
                archive.write(path, folder + path.name)
    assert much_alike(area_from_text(str(tmp_path / "land.zip")).geom, LAND)


def test_a_geopackage_gives_all_its_polygons_or_one_layer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "farm.gpkg"
    west, east = shapely.box(3.0, 50.8, 3.01, 50.81), shapely.box(3.02, 50.8, 3.03, 50.81)
    write(path, [west], layer="west")
    write(path, [east], layer="east", crs="EPSG:32631", append=True)
    write(path, [shapely.Point(3.5, 50.9)], layer="wells", append=True)
    with caplog.at_level(logging.WARNING):
        whole = area_from_text(str(path))
    assert much_alike(whole.geom, west | east)
    assert "left aside: 1 Point" in caplog.text
    assert much_alike(area_from_text(f"{path}:east").geom, east)
    with pytest.raises(NotFound, match="its layers with shapes are: west, east, wells"):
        area_from_text(f"{path}:north")
    with pytest.raises(InvalidInput, match="no polygon, only 1 Point"):
        area_from_text(f"{path}:wells")


def test_a_file_in_a_projection_of_the_pacific_is_cut_at_the_antimeridian(tmp_path: Path) -> None:
    path = tmp_path / "fiji.gpkg"
    write(path, [shapely.box(179.7, -17, 179.9, -16.9)], crs="EPSG:32760")
    around = shapely.box(179.9, -17, 180.1, -16.9)
    change = Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True)
    turned = shapely.transform(
        shapely.segmentize(around, 0.01), lambda xy: np.stack(change.transform(xy[:, 0], xy[:, 1]), axis=-1)
    )
    wkb = np.array([shapely.to_wkb(turned)], object)
    pyogrio.raw.write(
        path, wkb, [], [], geometry_type="Polygon", crs="EPSG:32760", layer="across", append=True
    )
    area = area_from_text(f"{path}:across").geom
    assert much_alike(area, area_from_bbox((179.9, -17, -179.9, -16.9)).geom)


def test_a_shapefile_without_its_prj_is_told(tmp_path: Path) -> None:
    write(tmp_path / "land.shp", [LAND], crs="EPSG:31370")
    (tmp_path / "land.prj").unlink()
    with pytest.raises(InvalidInput, match=r"tells no coordinate system .*\.prj"):
        area_from_text(str(tmp_path / "land.shp"))


def test_an_unreadable_an_empty_and_an_absent_vector_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "broken.shp").write_bytes(b"nothing of the kind")
    (tmp_path / "broken.zip").write_bytes(b"nothing of the kind")
    zipfile.ZipFile(tmp_path / "bare.zip", "w").close()
    write(tmp_path / "empty.gpkg", [])
    for name, told in (
        ("broken.shp", "cannot be read"), ("broken.zip", "not a readable zip"),
        ("bare.zip", r"holds no \.shp"), ("empty.gpkg", "holds no polygon, only empty layers"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=told):
            area_from_text(str(tmp_path / name))
    with pytest.raises(NotFound, match="does not exist"):
        area_from_text(str(tmp_path / "absent.gpkg"))


def test_without_pyogrio_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "land.shp", [LAND])
    monkeypatch.setitem(__import__("sys").modules, "pyogrio", None)
    with pytest.raises(Unavailable, match=r"earthfield\[ingest\]"):
        area_from_text(str(path))


RING = [(3.0, 50.8), (3.1, 50.8), (3.1, 50.9), (3.0, 50.9)]
LAKE = [(3.02, 50.82), (3.08, 50.82), (3.08, 50.88), (3.02, 50.88)]
ISLAND = [(3.04, 50.84), (3.06, 50.84), (3.06, 50.86), (3.04, 50.86)]


def overpass(ways: list[tuple[str, list[tuple[float, float]]]], relation: int = 54413) -> dict[str, Any]:
    """An answer in the form of `out geom`."""
    members: list[dict[str, Any]] = [{"type": "node", "role": "label", "ref": 1, "lat": 50.85, "lon": 3.05}]
    for role, line in ways:
        points = [{"lat": lat, "lon": lon} for lon, lat in line]
        members.append({"type": "way", "role": role, "ref": len(members), "geometry": points})
    members.append({"type": "way", "role": "subarea", "ref": 99, "geometry": [{"lat": 0, "lon": 0}] * 2})
    return {"version": 0.6, "elements": [{"type": "relation", "id": relation, "members": members}]}


IN_PIECES = [
    ("outer", RING[:2]), ("outer", RING[:0:-1][:2]), ("", [RING[2], RING[1]]), ("outer", [RING[3], RING[0]]),
    ("inner", [*LAKE[:3]]), ("inner", [LAKE[0], LAKE[3], LAKE[2]]), ("outer", [*ISLAND, ISLAND[0]]),
]  # fmt: skip
"""The ring in four ways that run both ways round, one of them twice; a lake in two; an island in the lake."""


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, Any], list[str]]]:
    """A server of OpenStreetMap that gives one answer; tells what it was asked."""
    asked: list[str] = []
    answer: list[Any] = [200, {}]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keeps quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/api/interpreter"
    monkeypatch.setenv("EARTHFIELD_OSM_URL", address)
    areaosm._polygon.cache_clear()

    def serve(status: int, content: Any) -> list[str]:
        answer[:] = [status, content]
        return asked

    yield serve
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("text", ["osm:54413", "osm:relation/54413", " OSM:relation/54413"])
def test_an_openstreetmap_relation_is_put_together_from_its_ways(
    served: Callable[[int, Any], list[str]], text: str
) -> None:
    asked = served(200, overpass(IN_PIECES))
    wanted = shapely.Polygon(RING) - shapely.Polygon(LAKE) | shapely.Polygon(ISLAND)
    assert area_from_text(text).geom.equals(wanted)
    assert "relation(54413);out geom;" in parse_qs(urlsplit(asked[0]).query)["data"][0]
    assert area_from_text(text).geom.equals(wanted)
    assert len(asked) == 1  # a job needs its area more than once


def test_a_server_that_answers_geojson_serves_as_well(
    served: Callable[[int, Any], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    host = os.environ["EARTHFIELD_OSM_URL"].removesuffix("/api/interpreter")
    monkeypatch.setenv("EARTHFIELD_OSM_URL", host + "/lookup?osm_ids=R{relation}&format=geojson")
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(LAND)}
    asked = served(200, {"type": "FeatureCollection", "features": [feature]})
    assert area_from_text("osm:7").geom.equals(LAND)
    assert asked == ["/lookup?osm_ids=R7&format=geojson"]


def test_what_openstreetmap_cannot_give_is_told(served: Callable[[int, Any], list[str]]) -> None:
    served(200, {"elements": []})
    with pytest.raises(NotFound, match="knows no relation 1"):
        area_from_text("osm:1")
    served(200, overpass(IN_PIECES[1:], relation=2))
    with pytest.raises(InvalidInput, match=r"no closed boundary near 3\.\d+ 50\.\d+"):
        area_from_text("osm:2")
    served(429, {})
    with pytest.raises(Unavailable, match="answers 429: try again later, or download the boundary"):
        area_from_text("osm:3")
    served(200, b"<html>busy</html>")
    with pytest.raises(Unavailable, match="answers no JSON"):
        area_from_text("osm:4")
    with pytest.raises(InvalidInput, match="is not an OpenStreetMap relation"):
        area_from_text("osm:way/5")


def test_without_a_network_openstreetmap_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARTHFIELD_OSM_URL", "http://127.0.0.1:9/api")
    with pytest.raises(Unavailable, match="download the boundary of relation 54413 as GeoJSON"):
        area_from_text("osm:54413")


def test_ways_that_run_into_nothing_are_no_area() -> None:
    with pytest.raises(InvalidInput, match="no closed boundary"):
        area_of_ways([], "this")
