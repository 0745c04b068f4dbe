"""Tiles of answers show each pixel where it lies, in the colours that the answer has, and to nobody else."""

from __future__ import annotations

import io
import math
import shutil
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from matplotlib import colormaps
from PIL import Image
from pyproj import Transformer

from earthfield.catalog import Catalog
from earthfield.client import Client
from earthfield.grid import PIXEL_M, Window
from earthfield_search.api.app import Service, create_app
from earthfield_search.api.keys import KeyRing, add_key
from earthfield_search.api.tiling import EMPTY
from earthfield_search.files.answers import write_raster
from earthfield_search.ground.coverage import Coverage

EPSG = 32631
WINDOW = Window(-563_200, -563_200 + 1301, 50_100, 50_100 + 907)
"""Of odd sides, so that overviews do not halve evenly."""
SPOT = (slice(600, 680), slice(300, 380))
"""Rows and columns of what differs from the rest."""
BLUE, ORANGE = (0, 114, 178), (230, 159, 0)
ANSWER = "a-0123456789abcdef"


def lonlat(row: int, col: int) -> tuple[float, float]:
    """The middle of a pixel of the window."""
    x, y = (WINDOW.x0 + col + 0.5) * PIXEL_M, -(WINDOW.y0 + row + 0.5) * PIXEL_M
    return Transformer.from_crs(EPSG, 4326, always_xy=True).transform(x, y)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    catalog = Catalog(tmp_path_factory.mktemp("root"))
    coverage = Coverage(EPSG, WINDOW, (), "")
    folder = catalog.owned_answers("") / ANSWER
    folder.mkdir(parents=True)
    classes = np.full(WINDOW.shape, 1, np.uint8)
    classes[SPOT], classes[:100] = 2, 0
    tags = {"class_1": "water", "class_2": "crops", "model": "smooth"}
    table = {1: BLUE, 2: ORANGE}
    write_raster(folder / "classes.tif", classes, coverage, nodata=0, name="class", colours=table, tags=tags)
    percent = np.full(WINDOW.shape, 20, np.uint8)
    percent[SPOT], percent[:100] = 100, 255
    write_raster(
        folder / "percent.tif", percent, coverage, nodata=255, name="probability", tags={"unit": "percent"}
    )
    numbers = np.full(WINDOW.shape, 0.25, np.float32)
    numbers[SPOT], numbers[:100] = 0.75, np.nan
    write_raster(folder / "numbers.tif", numbers, coverage, nodata=float("nan"), name="cosine similarity")
    (folder / "report.json").write_text("{}")
    return catalog.folder


@pytest.fixture(scope="module")
def service(root: Path) -> TestClient:
    return TestClient(create_app(root))


def pixel(service: TestClient, name: str, row: int, col: int, z: int, **query: object) -> list[int]:
    """What a tile shows of a pixel of the window."""
    lon, lat = lonlat(row, col)
    x = (lon + 180) / 360 * 2**z
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**z
    answer = service.get(f"/answers/{ANSWER}/{name}/tiles/{z}/{int(x)}/{int(y)}.png", params=query)
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png", answer.text
    picture = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert picture.shape == (256, 256, 4)
    return picture[int(y % 1 * 256), int(x % 1 * 256)].tolist()


@pytest.mark.parametrize("z", [9, 11, 13, 14, 17])
def test_classes_lie_where_they_are_in_their_own_colours(service: TestClient, z: int) -> None:
    room = 8 if z < 12 else 2
    for row, col in ((600 + room, 300 + room), (679 - room, 379 - room)):
        assert pixel(service, "classes.tif", row, col, z) == [*ORANGE, 255]
    for row, col in ((590 - room, 340), (640, 390 + room), (1290 - room, 890), (110 + room, 20)):
        assert pixel(service, "classes.tif", row, col, z) == [*BLUE, 255]
    assert pixel(service, "classes.tif", 90 - room, 340, z) == [0, 0, 0, 0], "nothing is known there"


def test_numbers_run_through_the_palette_between_limits_found_or_given(service: TestClient) -> None:
    viridis, cividis = (
        colormaps[name](np.arange(256), bytes=True).tolist() for name in ("viridis", "cividis")
    )
    spot, other = (640, 340), (640, 200)
    assert pixel(service, "numbers.tif", *other, 14) == viridis[0]
    assert pixel(service, "numbers.tif", *spot, 14, low=0, high=1) == viridis[round(0.75 * 255)]
    assert pixel(service, "numbers.tif", *other, 14, low=0.5, high=1) == viridis[0]
    assert pixel(service, "numbers.tif", *spot, 14, low=0, high=0.5, palette="cividis") == cividis[255]
    assert pixel(service, "numbers.tif", 50, 340, 14, low=0, high=1) == [0, 0, 0, 0]
    assert pixel(service, "percent.tif", *other, 14) == viridis[51], "percent run from 0 to 100"
    assert pixel(service, "percent.tif", 50, 340, 14) == [0, 0, 0, 0]


def test_what_colours_mean_is_told_beside_the_tiles(service: TestClient) -> None:
    def answered(request: httpx.Request) -> httpx.Response:
        told = service.get(str(request.url))
        return httpx.Response(told.status_code, content=told.content)

    with Client("http://testserver", "", transport=httpx.MockTransport(answered)) as client:
        told = client.answer_tile_set(f"/answers/{ANSWER}/classes.tif")
        assert told["kind"] == "classes" and told["about"]["model"] == "smooth" and told["low"] is None
        assert told["classes"] == [
            {"value": 1, "name": "water", "colour": "#0072B2"},
            {"value": 2, "name": "crops", "colour": "#E69F00"},
        ]
        west, south, east, north = told["bounds"]
        lon, lat = lonlat(650, 450)
        assert west < lon < east and south < lat < north and east - west < 0.2
        told = client.answer_tile_set(f"/answers/{ANSWER}/percent.tif", palette="magma")
        assert (told["kind"], told["unit"], told["low"], told["high"]) == ("numbers", "percent", 0, 100)
        assert [one["value"] for one in told["stops"]] == [0, 25, 50, 75, 100]
        assert "palette=magma" in told["tiles"][0]
        address = told["tiles"][0].format(z=8, x=130, y=86)
        assert service.get(address).content == client.answer_tile(
            f"/answers/{ANSWER}/percent.tif", 8, 130, 86, palette="magma"
        )


def test_a_tile_that_a_browser_has_is_not_sent_again(service: TestClient) -> None:
    address = f"/answers/{ANSWER}/numbers.tif/tiles/8/130/86.png"
    first = service.get(address)
    again = service.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = service.get(f"{address}?low=0&high=0.3", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200 and other.content != first.content
    assert service.get(f"/answers/{ANSWER}/numbers.tif/tiles/8/1/1.png").content == EMPTY


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        (f"{ANSWER}/report.json/tiles", 404, "no GeoTIFF"),
        (f"{ANSWER}/absent.tif/tiles/8/130/86.png", 404, "no answer"),
        ("a-0000000000000000/numbers.tif/tiles", 404, "no answer"),
        (f"{ANSWER}/..%5c..%5cnumbers.tif/tiles", 404, "no answer"),
        (f"{ANSWER}/numbers.tif/tiles?low=2&high=1", 422, "low must be the smaller"),
        (f"{ANSWER}/numbers.tif/tiles?low=nan", 422, "low"),
        (f"{ANSWER}/numbers.tif/tiles?palette=jet", 422, "palette"),
        (f"{ANSWER}/numbers.tif/tiles/3/1/1.png", 422, "zoom"),
        (f"{ANSWER}/numbers.tif/tiles/9/600/1.png", 422, "no tile"),
    ],
)
def test_tiles_that_cannot_be_are_told(service: TestClient, address: str, status: int, words: str) -> None:
    answer = service.get(f"/answers/{address}")
    assert answer.status_code == status and words in answer.json()["message"], answer.text


def test_tiles_are_their_owners_alone_and_a_map_may_send_its_key_in_the_address(
    root: Path, tmp_path: Path
) -> None:
    keys, catalog = tmp_path / "keys.json", Catalog(root)
    (ann, _), (bob, _) = (add_key(keys, owner, ["read"]) for owner in ("ann", "bob"))
    shutil.copytree(catalog.owned_answers("") / ANSWER, catalog.owned_answers("ann") / ANSWER)
    service = TestClient(create_app(root, service=Service(keys=KeyRing(keys))))
    address = f"/answers/{ANSWER}/numbers.tif/tiles/8/130/86.png"
    assert service.get(address).status_code == 401
    assert service.get(f"{address}?key={bob}").status_code == 404
    assert service.get(f"{address}?key={ann}").status_code == 200
    assert service.get(f"/answers/{ANSWER}/numbers.tif?key={ann}").status_code == 401, "for tiles alone"
