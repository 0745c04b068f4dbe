"""The client asks what it is told, tries again where that helps, and writes files whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import shapely
from fastapi.testclient import TestClient
from pyproj import Transformer
from smooth_fields import TILE, write_smooth_field

from earthfield.catalog import Catalog
from earthfield.client import Client, connection
from earthfield.errors import Conflict, InvalidInput, NotAllowed, NotFound, Unavailable
from earthfield.grid import PIXEL_M, Window
from earthfield_search.api.app import Service, create_app
from earthfield_search.api.keys import KeyRing, add_key
from earthfield_search.jobs.index import index_field

LOCAL = Window(128, 192, 256, 320)


def lonlat(row: int, col: int) -> tuple[float, float]:
    """The middle of a pixel of the fields' window."""
    y, x = TILE.window.y0 + LOCAL.y0 + row, TILE.window.x0 + LOCAL.x0 + col
    return Transformer.from_crs(TILE.epsg, 4326, always_xy=True).transform(
        (x + 0.5) * PIXEL_M, -(y + 0.5) * PIXEL_M
    )


def client_of(answer: Callable[[httpx.Request], httpx.Response], **more: Any) -> Client:
    return Client("http://service.example/base", "ef_key", transport=httpx.MockTransport(answer), **more)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(connection.time, "sleep", found.append)
    return found


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a real service, in this process, with two periods, an index and a key."""
    folder = tmp_path_factory.mktemp("client")
    catalog = Catalog(folder / "root")
    for number, period in enumerate(("2018", "2019")):
        index_field(catalog, write_smooth_field(catalog, period=period, local=LOCAL, seed=number))
    key, _ = add_key(folder / "keys.json", "ann", ["read", "ask", "write"])
    app = create_app(folder / "root", service=Service(keys=KeyRing(folder / "keys.json")))
    with TestClient(app) as served:

        def answer(request: httpx.Request) -> httpx.Response:
            told = served.request(
                request.method, str(request.url), content=request.content, headers=dict(request.headers)
            )
            return httpx.Response(told.status_code, headers=dict(told.headers), content=told.content)

        yield Client("http://testserver", key, transport=httpx.MockTransport(answer))


def test_what_is_there_comes_page_by_page(client: Client) -> None:
    assert client.health()["status"] == "ok" and client.ready()["status"] == "ready"
    assert [one["period"] for one in client.areas(page=1)] == ["2018", "2019"], "two pages"
    assert [one["period"] for one in client.areas(period="2019")] == ["2019"]
    model = next(one for one in client.models() if one["name"] == "smooth")
    assert model["dim"] == 64 and model["periods"] == ["2018", "2019"] and model["fingerprint"] == "f" * 64
    assert client.model_report("smooth") == {
        "model": "smooth",
        "bundled": False,
        "card": None,
        "figures": None,
    }
    assert client.model_report("starter")["bundled"] and client.model_curves("smooth", most=2)["curves"] == []
    assert client.model_evaluations("smooth")["evaluations"] == []


def test_embeddings_come_one_by_one_and_as_tables(client: Client, tmp_path: Path) -> None:
    places = [lonlat(30, 30), lonlat(2, 2), (10.0, 10.0), lonlat(40, 41)]
    one = client.embedding("smooth", "2018", places[0])["embedding"]
    many = client.embeddings("smooth", "2018-01-01/2019-01-01", places)
    found = [feature["properties"]["embedding"] for feature in many["features"]]
    assert found[0] == pytest.approx(one, abs=1e-6) and len(found[3]) == 64
    assert found[1] is None and found[2] is None and many["missing"] == 2
    table = client.save_embeddings("smooth", "2018", places, tmp_path / "a.csv").read_text().splitlines()
    assert len(table) == 5 and table[0].startswith("lon,lat,tile,A00,A01") and table[3].endswith(",,,,")
    from earthfield_search.files.geoparquet import read_geoparquet

    held = read_geoparquet(client.save_embeddings("smooth", "2018", places, tmp_path / "a.parquet"))
    assert held.columns["A00"].to_pylist()[0] == pytest.approx(one[0], abs=1e-6)
    with pytest.raises(InvalidInput, match="does not end in"):
        client.save_embeddings("smooth", "2018", places, tmp_path / "a.xlsx")


def test_questions_are_answered(client: Client, tmp_path: Path) -> None:
    here = lonlat(30, 30)
    box = shapely.box(here[0] - 0.01, here[1] - 0.01, here[0] + 0.01, here[1] + 0.01)
    found = client.similar("smooth", [here], period="2018", k=5, area=box)
    assert [one["properties"]["rank"] for one in found["features"]] == [1, 2, 3, 4, 5]
    paged = list(client.all_similar("smooth", [here], period="2018", k=5, limit=2))
    assert [one["properties"]["rank"] for one in paged] == [1, 2, 3, 4, 5]
    kept = client.save_similar(tmp_path / "hits.geojson", "smooth", [here], period="2018", k=5)
    assert len(json.loads(kept.read_text())["features"]) == 5
    maps = client.similarity_map("smooth", [here], period="2018", k=5)
    files = client.download(maps, tmp_path / "maps")
    assert {one.suffix for one in files} >= {".tif", ".geojson"} and all(one.stat().st_size for one in files)
    assert len(client.answers()) == 1
    client.remove_answer(client.answers()[0]["id"])
    assert client.answers() == []
    assert client.change("smooth", "2018", "2019")["model"] == "smooth"
    assert client.temporal("smooth", here, references={"there": lonlat(50, 50)})
    heat = client.heat("smooth", "2018", here)
    assert heat.png.startswith(b"\x89PNG") and heat.low < heat.high == 1
    assert client.picture("smooth", "2018").startswith(b"\x89PNG")
    assert client.bounds("smooth", "2018")["tiles"] == [TILE.id]
    west, south, east, north = client.tile_set("smooth", "2018")["bounds"]
    assert west < here[0] < east and south < here[1] < north
    assert client.tile("smooth", "2018", 14, 1, 1, style="similarity", place=here).startswith(b"\x89PNG")


def test_labels_and_searches_are_kept(client: Client, tmp_path: Path) -> None:
    features = [
        {"type": "Feature", "geometry": shapely.geometry.mapping(shapely.Point(lonlat(row, col))),
         "properties": {"class": "ab"[col > 30]}}
        for row in (10, 20, 30, 40, 50) for col in (10, 20, 40, 50)
    ]  # fmt: skip
    file = tmp_path / "labels.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert client.save_labels("mine", file)["classes"] == {"a": 10, "b": 10}
    assert [one["name"] for one in client.labels()] == ["mine"]
    assert len(client.label_set("mine")["features"]) == 20
    answer = client.classify("smooth", "2018", "mine")
    assert len(client.download(answer, tmp_path / "classes")) >= 2
    client.remove_labels("mine")
    with pytest.raises(NotFound):
        client.label_set("mine")
    client.save_search("fields", "smooth", [lonlat(30, 30)], period="2018", k=3)
    assert [one["name"] for one in client.searches()] == ["fields"]
    assert len(client.search("fields")["features"]) == 3
    assert client.run_search("fields")["new"] == []
    client.remove_search("fields")
    assert client.searches() == []


def test_the_key_goes_along_and_the_base_stays(tmp_path: Path) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"models": []})

    client_of(answer).models()
    assert str(asked[0].url) == "http://service.example/base/models"
    assert asked[0].headers["authorization"] == "Bearer ef_key"


def test_a_busy_service_is_asked_again_when_it_says(pauses: list[float]) -> None:
    answers = iter(
        [
            httpx.Response(
                429, headers={"Retry-After": "3"}, json={"error": "Unavailable", "message": "often"}
            ),
            httpx.Response(503, json={"error": "Unavailable", "message": "busy"}),
            httpx.Response(503, headers={"Retry-After": "9999"}),
            httpx.Response(200, json={"status": "ok"}),
        ]
    )
    assert client_of(lambda _: next(answers)).health() == {"status": "ok"}
    assert pauses == [3.0, 1.0, 60.0]


def test_a_service_that_stays_busy_is_told(pauses: list[float]) -> None:
    busy = {"error": "Unavailable", "message": "too many wait"}
    with pytest.raises(Unavailable, match="too many wait"):
        client_of(lambda _: httpx.Response(503, json=busy), tries=3).health()
    assert len(pauses) == 2


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (404, {"error": "NotFound", "message": "no field"}, NotFound),
        (422, {"error": "InvalidInput", "message": "no field"}, InvalidInput),
        (413, {"error": "InvalidInput", "message": "no field"}, InvalidInput),
        (401, {"error": "NotAllowed", "message": "no field"}, NotAllowed),
        (409, {"error": "Conflict", "message": "no field"}, Conflict),
        (504, {"error": "Unavailable", "message": "no field"}, Unavailable),
        (403, None, NotAllowed),
        (404, {"detail": "x"}, NotFound),
        (502, None, Unavailable),
    ],
)
def test_errors_come_back_as_errors(
    status: int, content: dict[str, str] | None, kind: type[Exception]
) -> None:
    told = httpx.Response(status, json=content) if content else httpx.Response(status, text="<html>")
    with pytest.raises(kind, match="no field" if content and "message" in content else str(status)):
        client_of(lambda _: told).models()


def test_a_service_that_is_not_there_is_told() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Unavailable, match=r"no search service answers at http://service\.example/base"):
        client_of(answer).health()


def test_a_file_comes_whole_or_not_at_all(tmp_path: Path) -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"half"
            raise httpx.ReadError("gone")

    link = {"href": "/base/answers/a-0123456789abcdef/map.tif", "type": "image/tiff", "title": "map.tif"}
    with pytest.raises(Unavailable, match="broke off"):
        client_of(lambda _: httpx.Response(200, stream=Broken())).download({"links": [link]}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    whole = client_of(lambda request: httpx.Response(200, content=request.url.path.encode()))
    (path,) = whole.download({"links": [link]}, tmp_path)
    assert path.read_text() == "/base/answers/a-0123456789abcdef/map.tif", "under the base of the service"


@pytest.mark.parametrize(
    "href",
    ["http://evil.example/answers/a/map.tif", "//evil.example/answers/a/x", "/answers/a/..", "/answers/a/.x"],
)
def test_a_key_never_goes_elsewhere_and_no_file_leaves_its_folder(tmp_path: Path, href: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    with pytest.raises(Unavailable, match="strange address"):
        client_of(answer).download({"links": [{"href": href}]}, tmp_path)
    with pytest.raises(InvalidInput, match="no files"):
        client_of(answer).download({"links": []}, tmp_path)
