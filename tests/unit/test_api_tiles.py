"""Map tiles stand where the land is, say when they changed, and cost nothing where nothing is."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pyproj import Transformer
from smooth_fields import TILE, write_smooth_field

from earthfield.catalog import Catalog
from earthfield.field import Field
from earthfield.grid import PIXEL_M, Tile, Window, geobox_of, pixel_at
from earthfield.timeline import Period
from earthfield_search.api.app import create_app
from earthfield_search.api.easel import Easel, Look
from earthfield_search.api.shelf import Shelf
from earthfield_search.api.tiling import EMPTY, bounds_of, middle_of, under
from earthfield_search.api.warming import warm_up

EAST = Tile(TILE.epsg, TILE.col + 1, TILE.row)
BASE = "/tiles/smooth/20180101_20190101"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("root"))
    # Side by side over the border of two tiles.
    write_smooth_field(catalog, local=Window(0, 256, 768, 1024))
    write_smooth_field(catalog, tile=EAST, local=Window(0, 256, 0, 128), seed=1)
    return catalog


@pytest.fixture(scope="module")
def client(catalog: Catalog) -> TestClient:
    return TestClient(create_app(catalog.folder))


def lonlat(row: int, col: int) -> tuple[float, float]:
    """The middle of a pixel of the zone's grid."""
    return Transformer.from_crs(TILE.epsg, 4326, always_xy=True).transform(
        (col + 0.5) * PIXEL_M, -(row + 0.5) * PIXEL_M
    )


def tile_over(lon: float, lat: float, z: int) -> tuple[int, int, int, int]:
    """Column and row of the tile that holds a place, and the pixel in it."""
    x = (lon + 180) / 360 * 2**z
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**z
    return int(x), int(y), int(y % 1 * 256), int(x % 1 * 256)


def painted(client: TestClient, z: int, x: int, y: int, **query: object) -> np.ndarray:
    answer = client.get(f"{BASE}/{z}/{x}/{y}.png", params=query)
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png", answer.text
    picture = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert picture.shape == (256, 256, 4)
    return picture


@pytest.mark.parametrize("z", [11, 13, 14, 16])
def test_a_tile_shows_the_pixel_that_lies_there(client: TestClient, catalog: Catalog, z: int) -> None:
    field = Field(catalog, next(key for key in catalog.fields() if key.tile == TILE))
    window = field.window
    wrong = 0
    for row in range(window.y0 + 20, window.y1 - 20, 100):
        for col in range(window.x0 + 20, window.x1 - 20, 100):
            lon, lat = lonlat(row, col)
            x, y, down, right = tile_over(lon, lat, z)
            picture = painted(client, z, x, y, style="similarity", lon=lon, lat=lat)
            assert picture[down, right, 3] == 255
            # Viridis ends in yellow: the place itself, or in an overview the mean around it, is most alike.
            wrong += picture[down, right, 0] < 180
    assert wrong == 0


def test_the_grid_under_a_tile_is_right_to_a_pixel(client: TestClient) -> None:
    lon, lat = lonlat(TILE.window.y0 + 100, TILE.window.x0 + 900)
    x, y, _, _ = tile_over(lon, lat, 12)
    bounds = bounds_of(12, x, y)
    rows, cols = under(TILE.epsg, bounds)
    to_degrees = Transformer.from_crs(3857, 4326, always_xy=True)
    side = (bounds[2] - bounds[0]) / 256
    for down, right in ((0, 0), (7, 250), (128, 3), (255, 255), (77, 133)):
        place = to_degrees.transform(bounds[0] + (right + 0.5) * side, bounds[3] - (down + 0.5) * side)
        row, col = pixel_at(TILE.epsg, *place)
        assert abs(rows[down, right] - row) <= 1 and abs(cols[down, right] - col) <= 1


@pytest.mark.parametrize("style", ["pca", "axes"])
def test_neighbouring_tiles_have_one_palette_and_no_seam(client: TestClient, style: str) -> None:
    lon, lat = lonlat(TILE.window.y0 + 100, TILE.window.x1)
    x, y, down, right = tile_over(lon, lat, 14)
    picture = painted(client, 14, x, y, style=style)
    inside = picture[max(0, down - 30) : down + 30, max(0, right - 30) : right + 30, 3]
    assert inside.size > 100 and (inside == 255).all(), "no gap between two fields"


@pytest.mark.parametrize("style", ["pca", "axes"])
def test_a_period_in_the_colours_of_another_has_like_colours_for_like_vectors(
    tmp_path: Path, style: str
) -> None:
    catalog = Catalog(tmp_path)
    local = Window(0, 256, 768, 1024)
    write_smooth_field(catalog, local=local)
    write_smooth_field(catalog, tile=EAST, local=Window(0, 256, 0, 256), seed=1)
    # The same vectors without those of the other tile: coloured by themselves they look otherwise.
    write_smooth_field(catalog, local=local, period="2019")
    client = TestClient(create_app(tmp_path))
    lon, lat = lonlat(TILE.window.y0 + 128, TILE.window.x0 + 896)
    x, y, down, right = tile_over(lon, lat, 14)

    def shown(period: str, **query: str) -> np.ndarray:
        answer = client.get(f"/tiles/smooth/{period}/14/{x}/{y}.png", params={"style": style} | query)
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content)))[down - 4 : down + 4, right - 4 : right + 4]

    first, by_itself = shown("2018"), shown("2019")
    assert not np.array_equal(first, by_itself), "or the test proves nothing"
    for like in ("2018", "20180101_20190101"):
        np.testing.assert_array_equal(shown("2019", like=like), first)
    told = client.get("/tiles/smooth/2019", params={"style": style, "like": "2018"}).json()
    assert told["tiles"][0].endswith(f"?style={style}&like=20180101_20190101")


def test_a_tile_in_the_colours_of_another_period_is_sent_again_when_that_one_changed(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    write_smooth_field(catalog)
    write_smooth_field(catalog, period="2019")
    client = TestClient(create_app(tmp_path))
    lon, lat = lonlat(TILE.window.y0 + 250, TILE.window.x0 + 350)
    x, y, _, _ = tile_over(lon, lat, 14)
    address = f"/tiles/smooth/2019/14/{x}/{y}.png?like=2018"
    first = client.get(address)
    assert client.get(address, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    write_smooth_field(catalog, seed=7)
    changed = client.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200 and changed.content != first.content


@pytest.mark.parametrize("z", [8, 13, 18])
def test_the_middle_of_a_field_lies_in_the_tile_that_is_named(catalog: Catalog, z: int) -> None:
    layer = Shelf(catalog).layer("smooth", Period.parse("2018"))
    box = layer.boxes[0]
    left, bottom, right, top = bounds_of(*middle_of(box, z))
    assert left <= (box[0] + box[2]) / 2 <= right
    assert bottom <= (box[1] + box[3]) / 2 <= top


def test_a_fields_box_holds_its_outline_in_web_mercator(catalog: Catalog) -> None:
    layer = Shelf(catalog).layer("smooth", Period.parse("2018"))
    for one, box in zip(layer.fields, layer.boxes, strict=True):
        outline = geobox_of(one.key.tile.epsg, one.window).footprint("EPSG:3857").boundingbox
        assert np.abs(box - [outline.left, outline.bottom, outline.right, outline.top]).max() < 0.1


def test_the_first_tile_after_warming_is_the_one_that_it_would_be_without(catalog: Catalog) -> None:
    warm, cold = (Easel(catalog, Shelf(catalog)) for _ in range(2))
    warm_up(catalog, warm).join()
    layer = warm.shelf.layer("smooth", Period.parse("2018"))
    at = middle_of(layer.boxes[0], 14)
    tiles = [one.tiler.tile(layer, one.paint(layer, Look()), *at) for one in (warm, cold)]
    assert tiles[0] == tiles[1] != EMPTY


def test_where_nothing_is_the_tile_is_empty(client: TestClient) -> None:
    answer = client.get(f"{BASE}/14/0/0.png")
    assert answer.status_code == 200 and answer.content == EMPTY and len(EMPTY) < 1000
    assert (np.asarray(Image.open(io.BytesIO(EMPTY)))[..., 3] == 0).all()


def test_a_tile_is_sent_again_only_when_it_changed(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    write_smooth_field(catalog)
    client = TestClient(create_app(tmp_path))
    lon, lat = lonlat(TILE.window.y0 + 250, TILE.window.x0 + 350)
    x, y, _, _ = tile_over(lon, lat, 14)
    address = f"{BASE}/14/{x}/{y}.png"
    first = client.get(address)
    assert "max-age" in first.headers["cache-control"]
    again = client.get(address, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert again.status_code == 304 and not again.content and again.headers["etag"] == first.headers["etag"]
    write_smooth_field(catalog, seed=7)
    changed = client.get(address, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200 and changed.content != first.content


def test_tilejson_leads_to_tiles_that_are_not_empty(client: TestClient) -> None:
    told = client.get(BASE).json()
    west, south, east, north = told["bounds"]
    x, y, _, _ = tile_over((west + east) / 2, (south + north) / 2, 13)
    answer = client.get(told["tiles"][0].format(z=13, x=x, y=y))
    assert answer.status_code == 200 and len(answer.content) > len(EMPTY)
    assert told["minzoom"] <= 13 <= told["maxzoom"]


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        (f"{BASE}/3/0/0.png", 422, "no tiles at zoom 3"),
        (f"{BASE}/20/0/0.png", 422, "no tiles at zoom 20"),
        (f"{BASE}/9/512/0.png", 422, "no tile 9/512/0"),
        (f"{BASE}/9/-1/0.png", 422, "greater than or equal to 0"),
        (f"{BASE}/9/1e3/0.png", 422, "valid integer"),
        (f"{BASE}/9/{'9' * 50}/0.png", 422, "x:"),
        (f"{BASE}/14/1/1.png?style=similarity", 422, "needs lon and lat"),
        (f"{BASE}/14/1/1.png?style=similarity&lon=nan&lat=1", 422, "lon"),
        (f"{BASE}/14/1/1.png?style=similarity&lon=100&lat=1", 404, "outside every field"),
        ("/tiles/absent/2018/14/1/1.png", 404, "no field of model"),
        (f"{BASE}/14/1/1.png?like=1999", 404, "no field of model"),
        (f"{BASE}/14/1/1.png?like=yesterday", 422, "yesterday"),
        ("/tiles/..%5c../2018/14/1/1.png", 422, "not a usable name"),
    ],
)
def test_a_tile_that_cannot_be_is_told(client: TestClient, address: str, status: int, words: str) -> None:
    answer = client.get(address)
    assert answer.status_code == status and words in answer.json()["message"], answer.text
