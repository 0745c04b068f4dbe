"""Parts of the pages that need no browser: places by name, how long a run takes, the document, tiles."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from earthfield.area import area_from_bbox
from earthfield.areaosm import places_named
from earthfield.client import Client
from earthfield.errors import InvalidInput, NotFound, Unavailable
from earthfield_dashboard.document import document_routes
from earthfield_dashboard.layers import Layer
from earthfield_dashboard.maps import field_tiles, hits_layer
from earthfield_dashboard.pages import PAGES
from earthfield_dashboard.runs import Run
from earthfield_dashboard.thumbnails import thumbnail_address, thumbnail_route
from earthfield_dashboard.views.area_chosen import Chosen
from earthfield_dashboard.views.area_estimate import Pace, paces_of

TOWN = {
    "type": "relation", "id": 897671, "tags": {"name": "Gent", "boundary": "administrative", "admin_level": "8"},
    "bounds": {"minlon": 3.6, "minlat": 51.0, "maxlon": 3.8, "maxlat": 51.2},
}  # fmt: skip
PARK = {"type": "relation", "id": 7, "tags": {"name": "Gent", "boundary": "protected_area"}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server of OpenStreetMap that knows two areas named Gent; tells what it was asked."""
    queries: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            queries.append(parse_qs(urlsplit(self.path).query)["data"][0])
            found: list[Any] = [PARK, TOWN] if '"Gent"' in queries[-1] else []
            body = json.dumps({"elements": found}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keeps quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("EARTHFIELD_OSM_URL", f"http://127.0.0.1:{server.server_address[1]}/api/interpreter")
    yield queries
    server.shutdown()
    server.server_close()


def test_places_are_found_by_name_largest_first(asked: list[str]) -> None:
    town, park = places_named("  Gent ")
    assert (town.relation, town.kind) == (897671, "administrative, level 8")
    assert town.bounds == (3.6, 51.0, 3.8, 51.2)
    assert (park.relation, park.bounds) == (7, None)
    assert all(f'["{key}"="Gent"]' in asked[0] for key in ("name", "name:en", "int_name"))


def test_a_name_cannot_become_a_part_of_the_query(asked: list[str]) -> None:
    with pytest.raises(NotFound, match="OpenStreetMap has no area named"):
        places_named('"];node(1);rel["\\')
    assert r'["name"="\"];node(1);rel[\"\\"]' in asked[0]


def test_without_a_name_or_a_network_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="no name was given"):
        places_named(" ")
    monkeypatch.setenv("EARTHFIELD_OSM_URL", "http://127.0.0.1:9/api")
    with pytest.raises(Unavailable, match="cannot be reached"):
        places_named("Gent")
    monkeypatch.setenv("EARTHFIELD_OSM_URL", "http://127.0.0.1:9/{relation}")
    with pytest.raises(InvalidInput, match="by number only"):
        places_named("Gent")


def run_of(seconds: float, *, state: str = "COMPLETED", **request: Any) -> Run:
    return Run("id", "name", state, "", None, None, seconds, request)


def test_the_slowest_run_over_the_same_land_tells_how_long_a_map_takes() -> None:
    box = [3.0, 50.0, 3.1, 50.1]
    once, again = run_of(100, bbox=box, periods=["2018"]), run_of(20, bbox=box, periods=["2019"])
    failed = run_of(900, state="FAILED", bbox=box, periods=["2018"])
    twice = run_of(190, bbox=box, periods=["2018", "2019"])
    elsewhere = run_of(5, aoi="/etc/passwd", periods=["2018"])
    paces = sorted(paces_of([again, once, failed, twice, elsewhere, run_of(5)]), key=lambda one: one.km2)
    assert [one.seconds for one in paces] == [100, 190]
    assert paces[1].km2 == pytest.approx(2 * paces[0].km2)


def test_a_larger_area_takes_longer_and_a_smaller_one_as_long() -> None:
    assert Pace(2.0, 60.0).seconds_for(4.0) == 120.0
    assert Pace(2.0, 60.0).seconds_for(0.1) == 60.0


def test_a_box_is_asked_for_as_a_box_and_any_other_shape_as_its_outline() -> None:
    box = Chosen("box", area_from_bbox([3.0, 50.0, 3.1, 50.1]))
    assert box.asked() == {"bbox": (3.0, 50.0, 3.1, 50.1)}
    shape = Chosen("circle", box.geometry.buffer(0.05, resolution=256))
    assert json.loads(shape.asked()["aoi"])["type"] == "Polygon"
    assert len(shape.geojson(at_most=10)["coordinates"][0]) < len(shape.geojson()["coordinates"][0])


def test_every_page_begins_with_a_document_that_knows_its_server() -> None:
    client = TestClient(Starlette(routes=document_routes()), follow_redirects=False)
    for path in ["", *(one.path for one in PAGES if one.path not in ("area", "health"))]:
        told = client.get(f"/{path}")
        assert told.status_code == 200 and "BACKEND_BASE_URL" in told.text
        assert told.text.index("BACKEND_BASE_URL") < told.text.index('<script type="module"')
    assert client.get("/area?run=1").headers["location"] == "./?run=1"


def test_tiles_of_a_side_lie_in_its_pane_and_are_others_once_the_field_was_made_again() -> None:
    layer = Layer("starter", "2018", "20180101_20190101", ("a",), (), (0, 0, 1, 1), "one")
    again = Layer("starter", "2018", "20180101_20190101", ("a",), (), (0, 0, 1, 1), "two")
    tiles = field_tiles(layer, style="quality", quality="agreement", side="right", low=0.0, high=1.0)
    assert "style=quality&v=" in tiles.tiles and tiles.tiles.endswith("&layer=agreement&low=0&high=1")
    assert tiles.options["pane"] == "earthfield-right" and tiles.options["earthfield_name"] == "2018"
    assert field_tiles(again).tiles != field_tiles(layer).tiles


ERRORS = {404: "NotFound", 503: "Unavailable"}
LAYER = Layer("starter", "2018", "20180101_20190101", ("a",), (), (0, 0, 1, 1), "one")


def pictures(status: int, asked: list[str]) -> TestClient:
    """The dashboard's route over a service whose tiles are red west of the meridian and blue east of it."""

    def tile(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if status != 200:
            return httpx.Response(status, json={"error": ERRORS[status], "message": "there is none"})
        x = int(request.url.path.split("/")[5])
        colour = (255, 0, 0, 255) if x < 2**13 else (0, 0, 255, 255)
        stream = io.BytesIO()
        Image.new("RGBA", (256, 256), colour).save(stream, "PNG")
        return httpx.Response(200, content=stream.getvalue(), headers={"Content-Type": "image/png"})

    client = Client("http://search", "", tries=1, transport=httpx.MockTransport(tile))
    return TestClient(Starlette(routes=[thumbnail_route(client)]))


def test_the_picture_of_a_place_is_cut_from_the_tiles_around_it() -> None:
    asked: list[str] = []
    there = pictures(200, asked)
    told = there.get(thumbnail_address(LAYER, (0.0, 50.0)))
    assert told.status_code == 200 and "max-age" in told.headers["cache-control"]
    picture = Image.open(io.BytesIO(told.content)).convert("RGB")
    assert picture.size == (96, 96)
    assert [picture.getpixel((x, 10)) for x in (0, 47, 48, 95)] == [(255, 0, 0)] * 2 + [(0, 0, 255)] * 2
    assert picture.getpixel((38, 48)) == (255, 255, 255), "the ring"
    assert len(asked) == 2 and all(one.startswith("/tiles/starter/") for one in asked)
    there.get(thumbnail_address(LAYER, (0.0, 50.0)))
    assert len(asked) == 2, "tiles are kept"
    again = Layer("starter", "2018", "20180101_20190101", ("a",), (), (0, 0, 1, 1), "two")
    there.get(thumbnail_address(again, (0.0, 50.0)))
    assert len(asked) == 4, "but not those of a field that was made again"
    assert there.get(thumbnail_address(LAYER, (-180.0, 50.0))).status_code == 200
    assert {int(one.split("/")[5]) for one in asked[4:]} == {0, 2**14 - 1}, "both sides of the date line"


@pytest.mark.parametrize(
    "query", ["", "lon=1", "lon=x&lat=2", "lon=nan&lat=2", "lon=181&lat=2", "lon=1&lat=-86"]
)
def test_a_picture_of_no_place_is_refused(query: str) -> None:
    asked: list[str] = []
    assert pictures(200, asked).get(f"/service/places/starter/2018.png?{query}").status_code == 422
    assert not asked


@pytest.mark.parametrize("status", ERRORS)
def test_a_picture_that_cannot_be_made_is_told_and_not_kept(status: int) -> None:
    answer = pictures(status, []).get("/service/places/starter/2018.png?lon=1&lat=2")
    assert answer.status_code == status and answer.json()["message"]
    assert "cache-control" not in answer.headers


def test_hits_go_to_the_map_with_their_rank_and_score_only() -> None:
    hit = {"geometry": {"type": "Point", "coordinates": [3.0, 51.0]},
           "properties": {"rank": 1, "score": 0.5, "cell": "<script>"}}  # fmt: skip
    drawn = hits_layer([hit])
    assert drawn.data["features"][0]["properties"].items() >= {"rank": 1, "score": 0.5}.items()
    assert "cell" not in drawn.data["features"][0]["properties"]
