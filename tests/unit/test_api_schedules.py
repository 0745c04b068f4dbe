"""Schedules over HTTP: kept, paused and removed by who may, listed with what was new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from earthfield.catalog import Catalog
from earthfield.client import Client
from earthfield.errors import InvalidInput, NotAllowed, NotFound
from earthfield.schedules import checked_schedule, schedule_named, store_schedule
from earthfield.storage import write_json
from earthfield_search.api.app import Service, create_app
from earthfield_search.api.keys import KeyRing, add_key


class _ToApp(httpx.BaseTransport):
    """Leads a client of the service to the application in this process."""

    def __init__(self, app: TestClient) -> None:
        self.app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        answer = self.app.request(
            request.method, str(request.url), content=request.content, headers=dict(request.headers)
        )
        return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with (
        TestClient(create_app(tmp_path)) as app,
        Client("http://testserver", "", transport=_ToApp(app)) as found,
    ):
        yield found


ASKED = {
    "catalog": "earth-search",
    "area": [3.0, 50.8, 3.1, 50.9],
    "period_of": ["season"],
    "since": "2025-03",
}


def test_a_schedule_is_kept_listed_paused_and_removed(client: Client, catalog: Catalog) -> None:
    assert client.schedules() == []
    made = client.save_schedule("polder", ASKED)
    assert made["area"].startswith("POLYGON") and made["periods"] and made["broken"] == ""
    assert schedule_named(catalog, "polder").period_of == ("season",)
    client.save_schedule("polder", {**ASKED, "active": False})
    (one,) = client.schedules()
    assert (one["name"], one["active"], one["news"]) == ("polder", False, None)
    write_json(catalog.report("refresh", "polder"), {"at": "2026-01-02T03:04:05Z", "fields": []})
    assert client.schedules()[0]["news"] == {"at": "2026-01-02T03:04:05Z", "fields": []}
    client.remove_schedule("polder")
    assert client.schedules() == []
    with pytest.raises(NotFound, match="no schedule 'polder'"):
        client.remove_schedule("polder")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"cron": "every day"}, "not a cron expression"),
        ({"cron": "99 3 * * *"}, "not a cron expression"),
        ({"period_of": ["week"]}, "period_of"),
        ({"since": "soon"}, "neither a year nor a month"),
        ({"area": "/etc/passwd"}, "neither GeoJSON nor the WKT"),
        ({"period_of": ["month"], "since": "1700"}, "periods"),
    ],
)
def test_what_cannot_run_is_told_when_it_is_added(
    client: Client, catalog: Catalog, wrong: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        client.save_schedule("polder", {**ASKED, **wrong})
    assert catalog.schedule_names() == []


def test_what_only_the_command_sets_stays_when_a_page_pauses(client: Client, catalog: Catalog) -> None:
    own = checked_schedule(
        name="polder", catalog="land", allow=("/data",), encoder="grpc://host:1", coregister=True
    )
    store_schedule(catalog, own)
    client.save_schedule("polder", {"catalog": "land", "active": False})
    after = schedule_named(catalog, "polder")
    assert after == own.model_copy(update={"active": False})


def test_a_broken_file_is_told_and_holds_up_no_other(client: Client, catalog: Catalog) -> None:
    client.save_schedule("good", ASKED)
    catalog.schedule("bad").write_text(json.dumps({"schema": "other"}))
    bad, good = client.schedules()
    assert (bad["name"], bad["active"], good["broken"]) == ("bad", False, "")
    assert "is not a schedule" in bad["broken"]


def test_only_a_key_for_that_changes_schedules(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    writer, _ = add_key(keys, "ann", ["read", "ask", "write"])
    with TestClient(create_app(tmp_path / "root", service=Service(keys=KeyRing(keys)))) as app:
        with Client("http://testserver", writer, transport=_ToApp(app)) as client:
            assert client.schedules() == []
            with pytest.raises(NotAllowed):
                client.save_schedule("polder", ASKED)
            with pytest.raises(NotAllowed):
                client.remove_schedule("polder")
        admin, _ = add_key(keys, "bob", ["read", "write", "admin"])
        with Client("http://testserver", admin, transport=_ToApp(app)) as client:
            assert client.save_schedule("polder", ASKED)["name"] == "polder"
