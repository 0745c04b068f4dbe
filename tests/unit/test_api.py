"""The search service answers over HTTP what lies under its root, and nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pyproj import Transformer
from smooth_fields import TILE, write_smooth_field

from earthfield.catalog import Catalog, FieldKey
from earthfield.field import Field
from earthfield.grid import PIXEL_M, Tile, Window, pixel_at
from earthfield_search.api.app import create_app
from earthfield_search.jobs.index import index_field

BASE = "/fields/smooth/20180101_20190101"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    catalog = Catalog(folder)
    east = Tile(TILE.epsg, TILE.col + 1, TILE.row)
    write_smooth_field(catalog, period="2018-04..2018-07", seed=3)
    for key in (
        write_smooth_field(catalog),
        write_smooth_field(catalog, tile=east, local=Window(128, 384, 0, 128), seed=1),
    ):
        index_field(catalog, key)
    return folder


@pytest.fixture(scope="module")
def client(root: Path) -> TestClient:
    return TestClient(create_app(root))


def key_of(root: Path) -> FieldKey:
    return next(key for key in Catalog(root).fields("smooth", TILE) if str(key.period) == "2018")


def place(root: Path, row: int, col: int) -> dict[str, float]:
    """The middle of a pixel of the first field."""
    window = Field(Catalog(root), key_of(root)).window
    to_degrees = Transformer.from_crs(TILE.epsg, 4326, always_xy=True)
    lon, lat = to_degrees.transform((window.x0 + col + 0.5) * PIXEL_M, -(window.y0 + row + 0.5) * PIXEL_M)
    return {"lon": lon, "lat": lat}


def picture(client: TestClient, address: str, **query: object) -> np.ndarray:
    answer = client.get(address, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_it_says_that_it_is_well(client: TestClient) -> None:
    assert client.get("/health").json()["status"] == "ok"


def test_areas_lists_the_finished_fields_in_degrees(client: TestClient) -> None:
    areas = client.get("/areas").json()["areas"]
    assert [(one["period"], one["tile"]) for one in areas] == [
        ("2018", TILE.id),
        ("2018-04..2018-07", TILE.id),
        ("2018", "32631_0049_0549"),
    ]
    west, south, east, north = areas[0]["bounds"]
    assert 2.9 < west < east < 3.2 and 50.7 < south < north < 51
    assert client.get(areas[0]["links"]["picture"]).status_code == 200


def test_models_says_which_periods_each_has(client: TestClient) -> None:
    periods = {one["name"]: one["periods"] for one in client.get("/models").json()["models"]}
    # The bundled model is offered too, though nothing was made with it yet.
    assert periods == {"smooth": ["2018", "2018-04..2018-07"], "starter": []}


@pytest.mark.parametrize("style", ["pca", "axes"])
def test_a_picture_lies_in_mercator_where_its_bounds_say(client: TestClient, root: Path, style: str) -> None:
    told = client.get(f"{BASE}/bounds").json()
    west, south, east, north = told["bounds"]
    rgba = picture(client, f"{BASE}/picture.png", style=style)
    assert list(rgba.shape) == [*told["shape"], 4]
    to_mercator = Transformer.from_crs(4326, 3857, always_xy=True)
    left, bottom = to_mercator.transform(west, south)
    right, top = to_mercator.transform(east, north)

    def colour(row: int, col: int) -> np.ndarray:
        x, y = to_mercator.transform(*place(root, row, col).values())
        height, width = rgba.shape[:2]
        return rgba[int((top - y) / (top - bottom) * height), int((x - left) / (right - left) * width)]

    assert colour(4, 4)[3] == 0, "a pixel without data is transparent"
    assert colour(4, 100)[3] == colour(250, 250)[3] == 255
    edge = [colour(row, col)[3] for row, col in ((0, 8), (8, 0), (7, 7), (8, 8))]
    assert edge == [255, 255, 0, 255], "pixels stand where they are, to one pixel"


def test_tiles_of_a_period_become_one_picture(client: TestClient) -> None:
    told = client.get(f"{BASE}/bounds").json()
    assert told["tiles"] == [TILE.id, "32631_0049_0549"]
    alpha = picture(client, f"{BASE}/picture.png")[..., 3]
    assert (alpha[:, -20] > 0).any() and (alpha[:, 20] > 0).any() and (alpha == 0).any()


def test_a_picture_is_painted_again_when_its_field_changed(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    write_smooth_field(catalog)
    client = TestClient(create_app(tmp_path))
    before = picture(client, f"{BASE}/picture.png")
    write_smooth_field(catalog, seed=9)
    assert not np.array_equal(before, picture(client, f"{BASE}/picture.png"))


def test_the_heat_map_is_brightest_at_the_place_itself(client: TestClient, root: Path) -> None:
    query = {"model": "smooth", "period": "2018", **place(root, 128, 128)}
    answer = client.get("/similarity/map.png", params=query)
    assert -1 <= float(answer.headers["x-score-low"]) < float(answer.headers["x-score-high"]) == 1
    rgba = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert (rgba[rgba[..., 3] > 0][:, :3] == (253, 231, 36)).all(axis=1).any(), "viridis ends in yellow"


def test_an_embedding_is_the_stored_vector_with_its_scenes(client: TestClient, root: Path) -> None:
    at = place(root, 40, 50)
    told = client.get("/embeddings", params={"model": "smooth", "period": "20180101_20190101", **at}).json()
    field = Field(Catalog(root), key_of(root))
    row, col = pixel_at(TILE.epsg, at["lon"], at["lat"])
    stored = field.vectors(Window(row, row + 1, col, col + 1))[0, 0]
    assert np.allclose(told["embedding"], stored, atol=1e-6)
    assert told["quality"] == {"clear_sentinel-2-l2a": 7}
    assert told["scenes"]["sentinel-2-l2a"][0]["items"] == ["S2A_one", "S2A_two"]


def test_the_nearest_cells_come_ranked_and_apart(client: TestClient, root: Path) -> None:
    question = {"model": "smooth", "period": "2018", "k": 5, **place(root, 100, 100)}
    answer = client.post("/similarity", json=question)
    assert answer.status_code == 200, answer.text
    hits = [hit["properties"] for hit in answer.json()["features"]]
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4, 5]
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.5
    assert hits[0]["distance_m"] < 200
    apart = client.post("/similarity", json={**question, "min_distance_m": 400}).json()["features"]
    assert len(apart) == 5 and all(hit["properties"]["distance_m"] >= 400 for hit in apart)


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("/fields/absent/2018/bounds", 404, "no field of model"),
        ("/fields/smooth/2031/bounds", 404, "no field of model"),
        ("/fields/smooth/soon/bounds", 422, "neither a year nor a month"),
        ("/fields/..%2f..%2fetc/2018/bounds", 404, "Not Found"),
        ("/fields/..%5c..%5cetc/2018/bounds", 422, "not a usable name"),
        ("/embeddings?model=../../etc&period=2018&lon=3&lat=50", 422, "not a usable name"),
        ("/embeddings?model=smooth&period=../2018&lon=3&lat=50", 422, "cannot be read"),
        ("/embeddings?model=smooth&period=2018&lon=3&lat=abc", 422, "lat"),
        ("/embeddings?model=smooth&period=2018&lon=nan&lat=50", 422, "is not a place"),
        ("/embeddings?model=smooth&period=2018&lon=300&lat=50", 422, "is not a place"),
        ("/embeddings?model=smooth&period=2018&lon=20&lat=50", 404, "outside every field"),
        (f"{BASE}/picture.png?style=rainbow", 422, "style"),
        ("/catalog", 404, "no folder of scenes is set"),
    ],
)
def test_a_wrong_request_is_told_in_a_sentence(
    client: TestClient, address: str, status: int, words: str
) -> None:
    answer = client.get(address)
    assert answer.status_code == status
    assert words in answer.text and "Traceback" not in answer.text


def test_a_place_without_data_is_told(client: TestClient, root: Path) -> None:
    answer = client.get("/embeddings", params={"model": "smooth", "period": "2018", **place(root, 2, 2)})
    assert answer.status_code == 404 and "choose another point" in answer.json()["message"]


def test_the_catalogue_of_the_settings_tells_its_extent(tmp_path: Path, real_data: Path) -> None:
    client = TestClient(create_app(tmp_path, catalog_href=str(real_data / "places" / "flanders_a")))
    told = client.get("/catalog").json()
    assert "sentinel-2-l2a" in told["collections"]
    assert 3.0 < told["bbox"][0] < told["bbox"][2] < 3.1
    assert told["interval"][0].startswith("2017")
