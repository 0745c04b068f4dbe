"""Whatever is asked, the service answers or refuses: no mistake of its own, no way to what it does not serve."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from pyproj import Transformer

from earthfield.catalog import Catalog
from earthfield.grid import PIXEL_M, Window
from earthfield_search.api.app import Service, create_app
from earthfield_search.api.limits import Limits
from earthfield_search.jobs.index import index_field

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from smooth_fields import TILE, write_smooth_field

CANARY = "the-canary-sings"
LOCAL = Window(128, 192, 256, 320)
MIDDLE = LOCAL.shifted(TILE.window.y0 + 32, TILE.window.x0 + 32)


def lonlat(row: int, col: int) -> tuple[float, float]:
    """The middle of a pixel of the zone's grid."""
    to_degrees = Transformer.from_crs(TILE.epsg, 4326, always_xy=True)
    return to_degrees.transform((col + 0.5) * PIXEL_M, -(row + 0.5) * PIXEL_M)


LON, LAT = lonlat(MIDDLE.y0, MIDDLE.x0)
BOX = [LON - 0.01, LAT - 0.01, LON + 0.01, LAT + 0.01]
Z = 14
X, Y = int((LON + 180) / 360 * 2**Z), int((1 - math.asinh(math.tan(math.radians(LAT))) / math.pi) / 2 * 2**Z)
LEADING: dict[str, list[Any]] = {
    "model": ["smooth"], "period": ["2018", "2019"], "lon": [LON], "lat": [LAT], "points": [[[LON, LAT]]],
    "area": [BOX, None], "polygon": [None], "text": [None], "label": [None], "labelled": [None], "vector": [[]],
    "at": [[]], "not_at": [[]], "periods": [["2018"], []], "tiles": [[TILE.id], []], "above": [None, 0.1],
    "min_distance_m": [0, 50], "before": ["2018"], "after": ["2019"], "labels": ["known"], "name": ["known"],
    "z": [Z], "x": [X], "y": [Y], "references": [[]], "column": [None], "period_column": [None],
    "skip_bad": [False],
    "offset": [0], "method": ["linear", "knn"], "block_m": [None], "seed": [1],
}  # fmt: skip
"""Values of fields and parameters, by name, that the service can answer."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two small fields, an index and labels, and beside it what nobody may read."""
    folder = tmp_path_factory.mktemp("fuzz")
    catalog = Catalog(folder / "root")
    for number, period in enumerate(("2018", "2019")):
        key = write_smooth_field(catalog, period=period, local=LOCAL, seed=number)
        index_field(catalog, key)
    ring = [[3.0, 50.7], [3.2, 50.7], [3.2, 50.9], [3.0, 50.9], [3.0, 50.7]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": shape, "properties": {"class": CANARY}}
    (folder / "canary.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    (folder / "canary.parquet").write_text(CANARY)
    return folder


@pytest.fixture(scope="module")
def app(folder: Path) -> FastAPI:
    return create_app(folder / "root", service=Service(limits=Limits(body_bytes=200_000)))


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.put("/labels/known", json={"labels": some_labels()}).is_success
        yield client


def some_labels() -> dict[str, Any]:
    """Points of two classes inside the fields."""
    places = [(MIDDLE.y0 + row, MIDDLE.x0 + col) for row in (-20, -5, 5, 20) for col in (-20, -5, 5, 20)]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": lonlat(*place)},
            "properties": {"class": "ab"[place[1] > MIDDLE.x0]},
        }
        for place in places
    ]
    return {"type": "FeatureCollection", "features": features}


def _led_on(part: Any) -> Any:
    """Gives a description whose models, periods, places and areas exist: random ones lead nowhere."""
    if isinstance(part, list):
        return [_led_on(one) for one in part]
    if not isinstance(part, dict):
        return part
    changed = {name: _led_on(one) for name, one in part.items()}
    for name, values in LEADING.items():
        if isinstance(part.get("properties"), dict) and name in part["properties"]:
            changed["properties"][name] = {"enum": values}
        if part.get("name") == name and "schema" in part:
            changed["schema"] = {"enum": values}
    return changed


def _cases(operation: Any, *, num: int = 10) -> list[Any]:
    """Gives requests of one operation, the same in every run."""
    found: list[Any] = []

    @settings(
        max_examples=num, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def keep(case: Any) -> None:
        found.append(case)

    keep()
    return found


@pytest.mark.parametrize("led", [False, True], ids=["any", "that leads somewhere"])
def test_no_request_that_the_description_allows_is_a_mistake_of_ours(client: TestClient, led: bool) -> None:
    described = client.app.openapi()  # type: ignore[attr-defined]
    schema = schemathesis.openapi.from_dict(_led_on(described) if led else described)
    mistakes: dict[str, str] = {}
    asked: dict[str, list[int]] = {}
    for found in schema.get_all_operations():
        for case in _cases(found.ok(), num=4 if led else 6):
            answer = _sent(client, case)
            name = f"{case.operation.method.upper()} {case.operation.path}"
            asked.setdefault(name, []).append(answer.status_code)
            if answer.status_code >= 500:
                mistakes.setdefault(name, f"{answer.status_code} {answer.text[:200]} for {case.body!r:.500}")
    assert not mistakes, "\n".join(f"{name}: {words}" for name, words in mistakes.items())
    if led:
        answered = [name for name, seen in asked.items() if 200 in seen]
        assert len(answered) >= len(asked) / 2, f"the requests lead nowhere: {asked}"


def _sent(client: TestClient, case: Any) -> Any:
    told = case.as_transport_kwargs(base_url=str(client.base_url))
    told = {name: told.get(name) for name in ("method", "url", "params", "headers", "json", "data")}
    if isinstance(told["data"], bytes | str):
        told["content"] = told.pop("data")
    return client.request(**{name: value for name, value in told.items() if value is not None})


def test_no_value_of_any_field_leads_out_of_the_root(client: TestClient, folder: Path) -> None:
    opened: list[str] = []
    watched = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watched and event == "open" and "canary" in str(arguments[0]):
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)  # it cannot be taken away, only told to look aside
    described = client.app.openapi()  # type: ignore[attr-defined]
    hostile, number, wrong = _hostile(folder), 0, []
    try:
        for path, method, parameters, body in _operations(described):
            for place, name in [("query", one) for one in parameters] + [("body", one) for one in body]:
                # Each field meets a way out, and a few others; the next field the next ones.
                few = [hostile[(number + step * 4) % len(hostile)] for step in range(3)]
                for value in [str(folder / "canary.geojson"), *few]:
                    number += 1
                    answer = _asked(client, path, method, dict(parameters), dict(body), (place, name, value))
                    if answer.status_code >= 500 or CANARY in answer.text or "root:x:0" in answer.text:
                        wrong.append(
                            f"{method} {path} {name}={value!r:.80}: {answer.status_code} {answer.text[:200]}"
                        )
    finally:
        watched = False
    assert not wrong, "\n".join(wrong)
    assert not opened and number > 300


def _hostile(folder: Path) -> list[Any]:
    canary = str(folder / "canary.geojson")
    return [
        "' OR 1=1 --", "'; DROP TABLE cells; --", "\") OR (1=1", "2018' OR period != '", "x' UNION SELECT 1 --",
        canary, "../../canary.parquet", f"file://{canary}", f"/vsizip/{canary}", "../canary.geojson",
        "osm:relation/54413", "/etc/passwd", "..\\..\\canary.parquet", "http://127.0.0.1:9/canary", "s3://canary/x",
        "a\x00b", "\ud800", "\u202e\u0000ä" * 20, "x" * 5000, "%00", "{}", '{"type": "Polygon"}', "POLYGON((0 0",
        "${jndi:x}",
        float("nan"), float("inf"), -float("inf"), 1e308, 10**40, -1, 0, True, None, [], {}, [[[[]]]],
        {"type": "Polygon", "coordinates": "x"}, {"type": "Point", "coordinates": [float("nan"), 1e400]},
        [float("nan")] * 64, [1e308] * 64,
        "{" * 900, '{"a":' * 900, ["../../canary.parquet"], [canary], "__class__", "con", ".", "..",
    ]  # fmt: skip


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Yields each operation with parameters and a body that it can answer."""
    for path, methods in described["paths"].items():
        for method, about in methods.items():
            parameters = {
                one["name"]: LEADING.get(one["name"], [None])[0]
                for one in about.get("parameters", [])
                if one["in"] in ("path", "query")
            }
            content = (
                about.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            )
            name = content.get("$ref", "").rpartition("/")[2]
            fields = described["components"]["schemas"].get(name, {}).get("properties", {})
            body = {one: LEADING.get(one, [None])[0] for one in fields}
            yield path, method.upper(), parameters, body


def _asked(
    client: TestClient, path: str, method: str, parameters: dict[str, Any], body: dict[str, Any],
    changed: tuple[str, str, Any],
) -> Any:  # fmt: skip
    place, name, value = changed
    (parameters if place == "query" else body)[name] = value
    body = {one: held for one, held in body.items() if held is not None or one == name}
    for one in [one for one in parameters if f"{{{one}}}" in path]:
        text = str(parameters.pop(one)).encode("utf-8", "surrogatepass")
        path = path.replace(f"{{{one}}}", quote(text, safe=""))
    query = {
        one: str(held).encode("utf-8", "surrogatepass")
        for one, held in parameters.items()
        if held is not None or one == name
    }
    address = f"{path}?{urlencode(query)}" if query else path
    content = json.dumps(body).encode() if body else None
    return client.request(method, address, content=content, headers={"Content-Type": "application/json"})
