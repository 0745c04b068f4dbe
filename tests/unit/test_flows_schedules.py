"""Schedules: periods that roll, files that last, and words for whoever is told."""

from __future__ import annotations

import functools
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, Conflict, InvalidInput, NotFound, Unavailable
from earthfield.schedules import (
    RefreshRequest,
    Schedule,
    check_cron,
    checked_schedule,
    forget_schedule,
    rolling,
    schedule_named,
    store_schedule,
)
from earthfield_flows.notify import checked_webhook, notify
from earthfield_flows.registry import REBUILD, REFRESH, Follower, entries, register
from earthfield_flows.schedule_cli import schedule

BOX = ("3.0", "50.8", "3.1", "50.9")


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def names(one: Schedule, at: str, **rest: Any) -> list[str]:
    return [str(period) for period in one.periods(day(at), **rest)]


def here(**rest: Any) -> Schedule:
    return checked_schedule(**{"name": "here", "catalog": "earth-search", "period_of": ("month",), **rest})


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server runs and no webhook is set, whatever this machine has."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.delenv("EARTHFIELD_WEBHOOK", raising=False)


@pytest.mark.parametrize(
    ("kind", "first", "last", "expected"),
    [
        ("year", "2023-12-31", "2024-01-01", ["2023", "2024"]),
        ("month", "2023-11-30", "2024-01-01", ["2023-11", "2023-12", "2024-01"]),
        ("season", "2023-11-30", "2024-03-01", ["2023-09..2023-11", "2023-12..2024-02", "2024-03..2024-05"]),
        ("season", "2024-01-15", "2024-02-29", ["2023-12..2024-02"]),
        ("season", "2024-12-01", "2024-12-01", ["2024-12..2025-02"]),
    ],
)
def test_calendar_periods_roll(kind: Any, first: str, last: str, expected: list[str]) -> None:
    assert [str(one) for one in rolling(kind, day(first), day(last))] == expected


def test_a_period_that_ended_is_looked_at_until_late_scenes_have_come() -> None:
    assert names(here(late_days=30), "2024-03-20") == ["2024-02", "2024-03"]
    assert names(here(late_days=5), "2024-03-20") == ["2024-03"]
    assert names(here(late_days=0), "2024-03-01") == ["2024-03"]


def test_a_rebuild_looks_at_every_period_since_the_first_and_a_refresh_at_none_before_it() -> None:
    one = here(since="2024-01", period_of=("month", "year"))
    assert names(one, "2024-03-20", whole=True) == ["2024-01", "2024", "2024-02", "2024-03"]
    assert names(here(since="2024-03"), "2024-03-20") == ["2024-03"]
    assert names(here(), "2024-03-20", whole=True) == names(here(), "2024-03-20")
    assert names(here(since="2025"), "2024-03-20") == ["2024-03"], (
        "one that begins later still has its period"
    )


def test_too_many_periods_are_refused() -> None:
    with pytest.raises(InvalidInput, match="later --since"):
        here(since="1700").periods(day("2024-01-01"), whole=True)


def test_a_schedule_is_stored_whole_and_another_never_takes_its_name_unasked(catalog: Catalog) -> None:
    one = here(area="POINT (3 50)")
    assert store_schedule(catalog, one)
    assert schedule_named(catalog, "here") == one
    assert not store_schedule(catalog, one), "just so already"
    with pytest.raises(Conflict, match="--overwrite"):
        store_schedule(catalog, here(late_days=3))
    assert store_schedule(catalog, here(late_days=3), overwrite=True)
    assert schedule_named(catalog, "here").late_days == 3
    forget_schedule(catalog, "here")
    with pytest.raises(NotFound, match="no schedule 'here'"):
        forget_schedule(catalog, "here")


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"schema": "other"}', '{"schema": "earthfield-schedule/1", "name": "here", "x": 1}'],
)
def test_a_file_that_is_no_schedule_is_told_with_its_address(catalog: Catalog, content: str) -> None:
    path = catalog.schedule("here")
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(BrokenArtefact, match=r"here\.json is not a schedule"):
        schedule_named(catalog, "here")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "../x"}, "not a usable name"),
        ({"period_of": ("week",)}, "period_of"),
        ({"since": "soon"}, "neither a year nor a month"),
        ({"late_days": -1}, "late_days"),
        ({"catalog": ""}, "catalog"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused_in_a_sentence(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        here(**wrong)


def test_a_request_names_one_schedule_or_means_all(catalog: Catalog) -> None:
    for name in ("b", "a"):
        store_schedule(catalog, here(name=name))
    assert [one.name for one in RefreshRequest(root=catalog.root).schedules] == ["a", "b"]
    assert [one.name for one in RefreshRequest(root=catalog.root, name="b").schedules] == ["b"]


def test_each_schedule_has_a_cron_for_what_is_new_and_one_for_everything(catalog: Catalog) -> None:
    store_schedule(catalog, here(cron="1 2 * * *", rebuild_cron="3 4 1 * *"))
    (refresh,), (rebuild,) = entries(catalog, REFRESH), entries(catalog, REBUILD)
    assert (refresh.cron, rebuild.cron) == ("1 2 * * *", "3 4 1 * *")
    assert refresh.parameters == {"request": {"root": str(catalog.root), "name": "here", "whole": False}}
    assert rebuild.parameters["request"]["whole"] is True
    assert refresh.is_same({**refresh.as_json(), "id": "x"})
    assert not refresh.is_same({**refresh.as_json(), "active": False})


def test_where_no_server_runs_schedules_wait_for_one(catalog: Catalog) -> None:
    assert register(catalog) is False


def test_a_cron_that_nobody_understands_is_refused() -> None:
    assert check_cron("0 3 */5 * *") == "0 3 */5 * *"
    with pytest.raises(InvalidInput, match="not a cron expression"):
        check_cron("every day")
    for fine in ("0 3 * * mon-fri", "*/15 0-6,22 1,15 jan-mar *", "* * * * * */10", "0 0 29 2 7"):
        assert check_cron(fine) == fine
    for wrong in (
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-2 * * * *",
        "*/0 * * * *",
        "* * *",
    ):
        with pytest.raises(InvalidInput):
            check_cron(wrong)


def test_a_paused_schedule_does_not_fire_and_a_broken_one_holds_up_no_other(catalog: Catalog) -> None:
    store_schedule(catalog, here(name="paused", active=False))
    store_schedule(catalog, here(name="runs"))
    catalog.schedule("broken").write_text("{}")
    found = {one.slug: one for one in entries(catalog, REFRESH)}
    assert {name: one.active for name, one in found.items()} == {"paused": False, "runs": True}
    assert found["paused"].as_json()["active"] is False
    assert not found["paused"].is_same({**found["paused"].as_json(), "active": True})


def test_the_server_is_told_of_schedules_that_change_and_again_where_it_was_away(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_there, told = [False], []

    def tell(root: Catalog) -> bool:
        told.append(root.schedule_names())
        return is_there[0]

    monkeypatch.setattr("earthfield_flows.registry.register", tell)
    follower = Follower(catalog)
    assert follower.look() is False
    store_schedule(catalog, here())
    assert follower.look() is False, "the server is away"
    is_there[0] = True
    assert follower.look() is True
    assert follower.look() is False
    forget_schedule(catalog, "here")
    assert follower.look() is True
    assert told == [["here"], ["here"], []]


def command(*words: str) -> Any:
    done = CliRunner().invoke(schedule, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_commands_store_show_and_forget(tmp_path: Path) -> None:
    root = ("--root", str(tmp_path))
    made = command("add", "box", "--catalog", "earth-search", "--bbox", *BOX, "--period-of", "season", *root)
    assert made == {"schedule": "box", "is_new": True, "path": made["path"], "is_live": False}
    (one,) = command("list", *root)["schedules"]
    assert one["area"].startswith("POLYGON")
    assert one["period_of"] == ["season"]
    assert one["news"] is None
    assert len(one["periods"]) in (1, 2)
    assert "box" in CliRunner().invoke(schedule, ["list", *root]).output
    command("remove", "box", *root)
    assert command("list", *root) == {"schedules": []}


def test_a_folder_is_stored_so_that_it_holds_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "land").mkdir()
    monkeypatch.chdir(tmp_path)
    command("add", "here", "--catalog", "land", "--root", "root")
    stored = schedule_named(Catalog(tmp_path / "root"), "here")
    assert stored.catalog == str(tmp_path / "land")


@pytest.mark.parametrize(
    ("address", "is_fine"),
    [
        ("https://hooks.example.org/secret", True),
        ("http://localhost:9000/x", True),
        ("http://127.0.0.1/x", True),
        ("http://hooks.example.org/secret", False),
        ("http://localhost.example.org/secret", False),
        ("ftp://localhost/secret", False),
        ("file:///secret", False),
        ("https:///secret", False),
        ("secret", False),
    ],
)
def test_messages_go_by_https_or_stay_on_this_machine(
    address: str, is_fine: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if is_fine:
        assert checked_webhook(address) == address
        return
    with pytest.raises(InvalidInput) as told:
        checked_webhook(address)
    assert "secret" not in str(told.value)
    monkeypatch.setenv("EARTHFIELD_WEBHOOK", address)
    with caplog.at_level(logging.WARNING):
        assert notify("new", "something") is False
    assert "EARTHFIELD_WEBHOOK must be" in caplog.text
    assert "secret" not in caplog.text


def test_a_webhook_that_is_not_there_stops_nothing_and_its_secret_stays_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert notify("new", "something") is False, "none is set"
    monkeypatch.setenv("EARTHFIELD_WEBHOOK", "http://127.0.0.1:9/secret")
    with caplog.at_level(logging.WARNING):
        assert notify("new", "something") is False
    assert "127.0.0.1 cannot be reached" in caplog.text
    assert "secret" not in caplog.text


def test_a_busy_server_is_asked_again_and_keeps_only_what_is_stored(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_schedule(catalog, here())
    (kept,), stale = entries(catalog, REFRESH), {"slug": "old", "id": "s2", "schedule": {}, "parameters": {}}
    busy, told = [True], []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            if busy:
                busy.pop()
                return httpx.Response(503)
            is_rebuild = request.url.path.endswith(REBUILD)
            own = [] if is_rebuild else [{**kept.as_json(), "id": "s1"}, {**stale, "active": True}]
            root = {"request": {"root": str(catalog.root)}}
            return httpx.Response(
                200, json={"id": request.url.path[-7:], "parameters": root, "schedules": own}
            )
        told.append((request.method, request.url.path, json.loads(request.content or "null")))
        return httpx.Response(204)

    client = functools.partial(httpx.Client, transport=httpx.MockTransport(answer))
    monkeypatch.setattr("earthfield_flows.registry.httpx.Client", client)
    monkeypatch.setattr("earthfield_flows.registry._WAITS_S", (0.0,))
    assert register(catalog) is True
    (rebuild,) = entries(catalog, REBUILD)
    assert told == [
        ("DELETE", "/api/deployments/refresh/schedules/s2", None),
        ("POST", "/api/deployments/rebuild/schedules", [rebuild.as_json()]),
    ]
    busy[:] = [True, True]
    with pytest.raises(Unavailable, match=r"503.*are stored"):
        register(catalog)


def test_who_changes_a_schedule_and_who_follows_changes_do_not_tell_the_server_at_once(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_schedule(catalog, here())
    kept: dict[str, list[dict[str, Any]]] = {REFRESH: [], REBUILD: []}

    def answer(request: httpx.Request) -> httpx.Response:
        name = REBUILD if REBUILD in request.url.path else REFRESH
        there, root = list(kept[name]), {"request": {"root": str(catalog.root)}}
        time.sleep(0.05)
        if request.method == "GET":
            return httpx.Response(200, json={"id": name, "parameters": root, "schedules": there})
        new = json.loads(request.content)
        if {one["slug"] for one in new} & {one["slug"] for one in kept[name]}:
            return httpx.Response(500, json={"exception_message": "Internal Server Error"})
        kept[name] += new
        return httpx.Response(201)

    client = functools.partial(httpx.Client, transport=httpx.MockTransport(answer))
    monkeypatch.setattr("earthfield_flows.registry.httpx.Client", client)
    with ThreadPoolExecutor(3) as pool:
        assert [one.result() for one in [pool.submit(register, catalog) for _ in range(3)]] == [True] * 3
    assert {name: len(there) for name, there in kept.items()} == {REFRESH: 1, REBUILD: 1}


def test_a_server_of_another_root_is_left_alone(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"id": "x", "parameters": {"request": {"root": "/elsewhere"}}, "schedules": []}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if request.method == "GET" else 500, json=other)

    client = functools.partial(httpx.Client, transport=httpx.MockTransport(answer))
    monkeypatch.setattr("earthfield_flows.registry.httpx.Client", client)
    store_schedule(catalog, here())
    assert register(catalog) is False
