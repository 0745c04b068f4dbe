"""Saved searches, and questions of likeness over HTTP."""

from __future__ import annotations

import io
import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from fastapi.testclient import TestClient
from small_fields import KINDS, WINDOW, kinds, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.cli import app, exit_code_of
from earthfield.errors import BrokenArtefact, Conflict, InvalidInput, NotFound
from earthfield.schemas import IndexRequest
from earthfield_search.api.app import create_app
from earthfield_search.asking import saved as searches
from earthfield_search.asking.question import Like, SimilarQuestion
from earthfield_search.asking.saved import forget_search, load_search, save_search, search_again, search_names
from earthfield_search.ground.places import pixel_centre
from earthfield_search.jobs.index import index_fields
from earthfield_search.jobs.similar import find_similar

LON, LAT = pixel_centre(32631, WINDOW.y0 + 20, WINDOW.x0 + 45)
ON_1 = pixel_centre(32631, WINDOW.y0 + 20, WINDOW.x0 + 28)
QUESTION = SimilarQuestion("small", Like(at=((LON, LAT),)), "2018", k=5)
ASKED = {"model": "small", "period": "2018", "lon": LON, "lat": LAT, "k": 5}


def rooted(folder: Path) -> Catalog:
    catalog = Catalog(folder)
    write_small(catalog, "2018", vectors_of(kinds()))
    index_fields(IndexRequest(root=catalog.root, model="small"))
    return catalog


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return rooted(tmp_path_factory.mktemp("saved"))


@pytest.fixture(scope="module")
def client(catalog: Catalog) -> TestClient:
    return TestClient(create_app(Path(str(catalog.root))))


def test_a_search_is_kept_with_its_hits_and_read_by_others(catalog: Catalog) -> None:
    answer = find_similar(catalog, QUESTION)
    path = save_search(catalog, "fields", answer)
    frame = geopandas.read_parquet(path)
    assert frame["score"].tolist() == pytest.approx([hit.score for hit in answer.hits])
    kept = load_search(catalog, "fields")
    assert kept.question == QUESTION
    assert kept.cells == [hit.cell for hit in answer.hits]
    assert "fields" in search_names(catalog)
    forget_search(catalog, "fields")
    assert "fields" not in search_names(catalog)
    with pytest.raises(NotFound, match="no saved search 'fields'"):
        forget_search(catalog, "fields")


def test_a_search_asked_again_tells_what_is_new_since(tmp_path: Path) -> None:
    catalog = rooted(tmp_path)
    before = find_similar(catalog, QUESTION)
    save_search(catalog, "fields", before)
    same = search_again(catalog, "fields")
    assert (same.new, same.gone, same.answer.cautions) == ([], [], [])
    land = kinds()
    land[:, :16] = 3
    land[:8, 60:80] = 0
    write_small(catalog, "2018", vectors_of(land, noise=0.0), inputs="b")
    assert "earthfield index" in find_similar(catalog, QUESTION).cautions[0]
    index_fields(IndexRequest(root=catalog.root, model="small"))
    again = search_again(catalog, "fields")
    now = [hit.cell for hit in again.answer.hits]
    assert again.new
    assert set(again.new) == set(now) - {hit.cell for hit in before.hits}
    assert set(again.gone) == {hit.cell for hit in before.hits} - set(now)
    kept = load_search(catalog, "fields")
    assert kept.cells == now
    assert search_again(catalog, "fields").new == []


def test_searches_of_owners_are_apart(catalog: Catalog) -> None:
    save_search(catalog, "mine", find_similar(catalog, QUESTION), owner="ann")
    assert search_names(catalog, owner="ann") == ["mine"]
    assert "mine" not in search_names(catalog)
    for owner in ("", "bob"):
        with pytest.raises(NotFound):
            load_search(catalog, "mine", owner=owner)


def test_a_search_that_cannot_be_kept_or_read_is_told(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = find_similar(catalog, QUESTION)
    with pytest.raises(InvalidInput, match="not a usable name"):
        save_search(catalog, "../../x", answer)
    path = save_search(catalog, "torn", answer)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BrokenArtefact, match="cannot be read"):
        load_search(catalog, "torn")
    geopandas.GeoDataFrame({"cell": ["a"]}, geometry=[shapely.Point(1, 2)], crs=4326).to_parquet(path)
    with pytest.raises(BrokenArtefact, match="not a saved search"):
        load_search(catalog, "torn")
    forget_search(catalog, "torn")
    monkeypatch.setattr(searches, "MOST_SEARCHES", 0)
    with pytest.raises(Conflict, match="remove one"):
        save_search(catalog, "more", answer)


def test_the_command_keeps_lists_repeats_and_forgets(
    catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*more: object) -> str:
        line = ["search", *map(str, more), "--root", str(catalog.root)]
        assert exit_code_of(lambda: app(line, standalone_mode=False)) == 0
        return capsys.readouterr().out

    run("--at", LON, LAT, "-k", 3, "--model", "small", "--save", "kept", "--no-map")
    assert "kept" in run("--saved")
    again = json.loads(run("--again", "kept", "--json"))
    assert (len(again["hits"]), again["new"], again["gone"]) == (3, [], [])
    assert "0 new since" in run("--again", "kept")
    told = json.loads(run("--forget", "kept", "--json"))
    assert "kept" not in [one["name"] for one in told["searches"]]


def test_the_service_takes_every_kind_of_example(client: TestClient) -> None:
    box = shapely.box(*ON_1, ON_1[0] + 4e-4, ON_1[1] + 4e-4)
    for like in (
        {"lon": LON, "lat": LAT},
        {"at": [[LON, LAT], ON_1]},
        {"vector": KINDS[0].tolist()},
        {"polygon": box.wkt},
        {"polygon": shapely.geometry.mapping(box)},
        {"polygon": list(box.bounds)},
        {"vector": KINDS[0].tolist(), "not_at": [ON_1]},
    ):
        answer = client.post("/similarity", json={"model": "small", "period": "2018", **like})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["numberReturned"] == len(found["features"]) == 20
        assert found["query"]["cells"] == 50


def test_the_service_pages_filters_and_explains(client: TestClient) -> None:
    whole = client.post("/similarity", json={**ASKED, "k": 12}).json()
    assert whole["next_offset"] is None
    first = client.post("/similarity", json={**ASKED, "k": 12, "limit": 7, "explain": True}).json()
    assert (first["numberMatched"], first["numberReturned"], first["next_offset"]) == (12, 7, 7)
    assert first["features"][0]["properties"]["quality"] == {"clear_sentinel-2-l2a": 9}
    rest = client.post(
        "/similarity", json={**ASKED, "k": 12, "limit": 7, "offset": first["next_offset"]}
    ).json()
    cells = [one["properties"]["cell"] for page in (first, rest) for one in page["features"]]
    assert cells == [one["properties"]["cell"] for one in whole["features"]]
    area = [LON - 0.001, LAT - 0.001, LON + 0.001, LAT + 0.001]
    near = client.post("/similarity", json={**ASKED, "k": 50, "area": area}).json()["features"]
    assert 0 < len(near) < 20
    for one in near:
        assert area[0] <= one["properties"]["lon"] <= area[2]


def test_geoparquet_is_given_to_those_who_accept_or_ask_for_it(client: TestClient) -> None:
    for asked, headers in (
        ({**ASKED, "format": "geoparquet"}, {}),
        (ASKED, {"Accept": "application/vnd.apache.parquet"}),
    ):
        answer = client.post("/similarity", json=asked, headers=headers)
        assert answer.headers["content-type"] == "application/vnd.apache.parquet"
        assert len(geopandas.read_parquet(io.BytesIO(answer.content))) == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"lat": None},
        {"lon": None, "lat": None},
        {"polygon": "/etc/passwd"},
        {"polygon": "osm:relation/54413"},
        {"polygon": {"type": "Polygon"}},
        {"area": "https://example.org/a.geojson"},
        {"vector": [1.0, 2.0]},
        {"text": "\ud800"},
        {"label": "x:y' OR '1'='1"},
        {"tiles": ["' OR 1=1 --"]},
        {"periods": ["2018' OR '1'='1"]},
        {"model": "../../x"},
        {"at": [[1000, 0]]},
        {"k": 0},
        {"above": 7},
        {"unknown": 1},
    ],
)
def test_a_wrong_request_is_refused_in_a_sentence(client: TestClient, wrong: dict[str, object]) -> None:
    answer = client.post("/similarity", content=json.dumps({**ASKED, **wrong}))
    assert answer.status_code in (404, 422), answer.text
    assert set(answer.json()) == {"error", "message"}


def test_searches_are_kept_over_http(client: TestClient) -> None:
    assert client.put("/searches/grass", json=ASKED).json()["numberReturned"] == 5
    listed = client.get("/searches").json()["searches"]
    assert [(one["name"], one["found"]) for one in listed if one["name"] == "grass"] == [("grass", 5)]
    kept = client.get("/searches/grass").json()
    assert len(kept["features"]) == 5
    assert kept["question"]["k"] == 5
    stored = client.get("/searches/grass", headers={"Accept": "application/vnd.apache.parquet"})
    assert len(geopandas.read_parquet(io.BytesIO(stored.content))) == 5
    again = client.post("/searches/grass/run").json()
    assert (again["new"], again["gone"], again["numberReturned"]) == ([], [], 5)
    assert client.delete("/searches/grass").status_code == 204
    for answer in (
        client.get("/searches/grass"),
        client.delete("/searches/grass"),
        client.post("/searches/grass/run"),
    ):
        assert answer.status_code == 404
    assert client.put("/searches/..%2fx", json=ASKED).status_code in (404, 422)


def test_every_pixel_is_compared_over_http_and_the_files_are_linked(client: TestClient) -> None:
    answer = client.post(
        "/similarity/map", json={**ASKED, "area": [LON - 0.001, LAT - 0.001, LON + 0.001, LAT + 0.001]}
    )
    assert answer.status_code == 200, answer.text
    links = answer.json()["links"]
    assert sorted(link["title"].rpartition(".")[2] for link in links) == ["geojson", "png", "tif"]
    for link in links:
        assert client.get(link["href"]).status_code == 200
    assert np.isfinite(answer.json()["query"]["purity"])
