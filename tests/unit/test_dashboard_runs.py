"""What the dashboard tells of runs: the steps of their last try, what they show, and who may begin again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from earthfield.errors import Conflict, Unavailable
from earthfield_dashboard.runs import RunClient

Respond = Callable[[str, Any], Any]


def client(respond: Respond) -> RunClient:
    """A client of a Prefect server that answers as `respond(path, content)` says; None is busy."""

    def answer(request: httpx.Request) -> httpx.Response:
        content = json.loads(request.content) if request.content else None
        found = respond(request.url.path.removeprefix("/api"), content)
        return httpx.Response(503) if found is None else httpx.Response(200, json=found)

    return RunClient("http://prefect/api", transport=httpx.MockTransport(answer))


def run(**rest: Any) -> dict[str, Any]:
    own = {"id": "1", "name": "happy-owl", "state_type": "RUNNING", "flow_id": "f", "parameters": {}}
    return {**own, "deployment_id": "d", "run_count": 1, **rest}


def test_of_a_run_that_begins_again_only_the_last_try_is_told() -> None:
    tasks = [
        {"id": "a", "name": "plan", "state_type": "COMPLETED", "flow_run_run_count": 1},
        {"id": "b", "name": "ingest x", "state_type": "RUNNING", "flow_run_run_count": 1},
        {"id": "c", "name": "plan", "state_type": "RUNNING", "flow_run_run_count": 2},
    ]
    pages = [tasks, []]
    assert [one.id for one in client(lambda *_: pages.pop(0)).steps("1")] == ["c"]


def test_a_slow_server_is_looked_at_less_often() -> None:
    def respond(path: str, content: Any) -> Any:
        time.sleep(pause_s)
        return []

    asked, pause_s = client(respond), 0.5
    assert asked.pace(2.0) == 2.0, "nothing is known yet"
    for _ in range(8):
        asked.recent()
    assert asked.pace(2.0) > 4.0
    pause_s = 0.0
    for _ in range(30):
        asked.recent()
    assert asked.pace(2.0) == 2.0


def test_a_busy_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earthfield_dashboard.runs.time.sleep", lambda _: None)
    answers = [None, None, run()]
    assert client(lambda *_: answers.pop(0)).run("1").name == "happy-owl"
    with pytest.raises(Unavailable):
        client(lambda *_: None).run("1")


def test_a_run_that_prefect_does_not_begin_again_says_why() -> None:
    refused = {"status": "ABORT", "details": {"reason": "Cannot reschedule a run without a deployment."}}
    with pytest.raises(Conflict, match=r"without a deployment.*ask for the same once more"):
        client(lambda *_: refused).retry("1")
    asked: list[Any] = []
    client(lambda _, content: asked.append(content) or {"status": "ACCEPT"}).retry("1")
    assert asked[0]["state"]["name"] == "AwaitingRetry"


def test_tables_come_as_rows_and_the_oldest_first() -> None:
    shown = [
        {"type": "progress", "key": None, "description": "read", "data": 50.0},
        {"type": "table", "key": "cells", "description": "Cells", "data": '[{"cells": 4}]'},
    ]
    first, second = client(lambda *_: shown).artefacts("1")
    assert (first.kind, first.data, second.data) == ("table", [{"cells": 4}], 50.0)


def test_the_last_runs_of_a_flow_and_state_are_asked_for_with_the_names_of_their_flows() -> None:
    asked: list[Any] = []

    def respond(path: str, content: Any) -> Any:
        asked.append((path, content))
        return [{"id": "f", "name": "index"}] if path == "/flows/filter" else [run()]

    (found,) = client(respond).last(flows=["index"], states=["RUNNING"], limit=5)
    assert (found.flow, found.is_served, found.tries) == ("index", True, 1)
    path, content = asked[0]
    assert (path, content["limit"]) == ("/flow_runs/filter", 5)
    assert content["flows"] == {"name": {"any_": ["index"]}}
    assert content["flow_runs"]["state"] == {"type": {"any_": ["RUNNING"]}}
    assert "before_" in content["flow_runs"]["expected_start_time"], "what is due next year is no run yet"


def test_schedules_in_force_are_told_with_their_next_time() -> None:
    at = "2026-11-26T03:00:00Z"

    def respond(path: str, content: Any) -> Any:
        if path == "/flow_runs/filter":
            due = {"parameters": {"request": {"name": "polder"}}, "auto_scheduled": True}
            return [run(**due, expected_start_time=at)]
        return {
            "id": "d",
            "schedules": [{"slug": "polder", "active": True}, {"slug": "old", "active": False}],
        }

    polder, old = client(respond).upcoming()
    assert (polder.name, polder.active, f"{polder.next:%Y-%m-%dT%H:%M:%SZ}") == ("polder", True, at)
    assert (old.name, old.active, old.next) == ("old", False, None)
