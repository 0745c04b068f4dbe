"""Quality layers lie on the map where they are, on one scale that is told beside the tiles."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import shapely
from fastapi.testclient import TestClient
from matplotlib import colormaps
from PIL import Image
from pyproj import Transformer
from smooth_fields import TILE, smooth_vectors, write_smooth_field

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import quantise
from earthfield.field import FieldContent, write_field
from earthfield.grid import PIXEL_M, Tile, Window, geobox_of
from earthfield.timeline import Period
from earthfield_search.api.app import create_app

LOCAL = Window(0, 360, 640, 1024)
EAST = Tile(TILE.epsg, TILE.col + 1, TILE.row)
BASE = "/tiles/smooth/20180101_20190101"


def write_with_quality(catalog: Catalog) -> None:
    """Writes a field whose agreement is 0.5 in the west and 0.9 in the east, and unknown in the north."""
    window = LOCAL.shifted(TILE.window.y0, TILE.window.x0)
    agreement = np.full(LOCAL.shape, 0.5, np.float32)
    agreement[:, 180:], agreement[:100] = 0.9, np.nan
    clear = np.full(LOCAL.shape, 4, np.uint16)
    clear[:, 180:], clear[:100] = 12, 65535
    codes = np.ascontiguousarray(np.moveaxis(quantise(smooth_vectors(*LOCAL.shape, sigma=2)), -1, 0))
    manifest = {
        "model": {"name": "smooth", "fingerprint": "f" * 64, "sources": ["sentinel-2-l2a"]},
        "window": [window.y0, window.y1, window.x0, window.x1],
        "area": shapely.to_wkt(geobox_of(TILE.epsg, window).extent.geom, rounding_precision=-1),
        "inputs": "with quality", "pixels": window.shape[0] * window.shape[1], "sources": {"sentinel-2-l2a": []},
    }  # fmt: skip
    key = FieldKey("smooth", TILE, Period.parse("2018"))
    layers = {"clear_sentinel-2-l2a": clear, "agreement": agreement}
    write_field(
        catalog, FieldContent(key, window, codes, layers, np.zeros((*LOCAL.shape, 4), np.uint8), manifest)
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    catalog = Catalog(tmp_path_factory.mktemp("root"))
    write_with_quality(catalog)
    write_smooth_field(catalog, tile=EAST, local=Window(0, 64, 0, 64))  # without agreement
    return TestClient(create_app(catalog.folder))


def pixel(client: TestClient, row: int, col: int, z: int, **query: object) -> list[int]:
    """What a tile shows of a pixel of the field."""
    x, y = (TILE.window.x0 + col + 0.5) * PIXEL_M, -(TILE.window.y0 + row + 0.5) * PIXEL_M
    lon, lat = Transformer.from_crs(TILE.epsg, 4326, always_xy=True).transform(x, y)
    across = (lon + 180) / 360 * 2**z
    down = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**z
    answer = client.get(f"{BASE}/{z}/{int(across)}/{int(down)}.png", params={"style": "quality", **query})
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))[
        int(down % 1 * 256), int(across % 1 * 256)
    ].tolist()


@pytest.mark.parametrize("z", [9, 11, 12, 14])
def test_a_layer_is_shown_where_it_lies_on_one_scale(client: TestClient, z: int) -> None:
    viridis = colormaps["viridis"](np.arange(256), bytes=True).tolist()
    room = 30 if z < 11 else 12
    agreement = {"layer": "agreement", "low": 0, "high": 1}
    for row in (100 + room, 350 - room):
        assert pixel(client, row, 820 - room, z, **agreement) == viridis[round(0.5 * 255)]
        assert pixel(client, row, 820 + room, z, **agreement) == viridis[round(0.9 * 255)]
        assert (
            pixel(client, row, 1020 - room, z, layer="clear_sentinel-2-l2a", low=0, high=24) == viridis[128]
        )
    assert pixel(client, 100 - room, 820, z, **agreement) == [0, 0, 0, 0]


def test_the_scale_is_told_and_the_layers_are_named(client: TestClient) -> None:
    told = client.get(BASE, params={"style": "quality", "layer": "agreement", "palette": "cividis"}).json()
    assert told["quality"] == ["clear_sentinel-2-l2a", "agreement"]
    assert "cosine" in told["meaning"] and told["palette"] == "cividis"
    assert told["low"] == pytest.approx(0.5, abs=1e-3) and told["high"] == pytest.approx(0.9, abs=1e-3)
    assert len(told["stops"]) == 5 and told["stops"][0]["colour"] == "#00224D"
    assert client.get(told["tiles"][0].format(z=8, x=130, y=86)).status_code == 200
    counts = client.get(BASE, params={"style": "quality", "layer": "clear_sentinel-2-l2a"}).json()
    assert (counts["low"], counts["high"], counts["unit"]) == (4, 12, "observations")
    plain = client.get(BASE).json()
    assert plain["low"] is None and plain["stops"] == [] and plain["quality"] == told["quality"]


def test_what_similarity_means_is_told_and_can_be_chosen(client: TestClient) -> None:
    west, south, _, north = client.get(BASE).json()["bounds"]
    place = {"style": "similarity", "lon": west + 0.01, "lat": (south + north) / 2}
    told = client.get(BASE, params=place).json()
    assert told["high"] == 1 and told["low"] < 0.5 and told["meaning"].startswith("cosine")
    chosen = client.get(BASE, params={**place, "low": 0.25, "high": 0.75}).json()
    assert (chosen["low"], chosen["high"]) == (0.25, 0.75)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("style=quality", 422, "needs layer"),
        ("style=quality&layer=absent", 404, "there are: clear_sentinel-2-l2a, agreement"),
        ("style=quality&layer=agreement&low=1&high=0", 422, "low must be the smaller"),
    ],
)
def test_a_layer_that_is_not_there_is_told(client: TestClient, query: str, status: int, words: str) -> None:
    for address in (BASE, f"{BASE}/8/130/86.png"):
        answer = client.get(f"{address}?{query}")
        assert answer.status_code == status and words in answer.json()["message"], answer.text
