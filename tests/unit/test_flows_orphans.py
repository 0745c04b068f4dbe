"""Runs that lost their process are begun again, but not for ever; those to be cancelled end."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from earthfield_flows.orphans import MOST_TRIES, Orphans


class FakeServer:
    """A Prefect server with one run."""

    def __init__(self, state: str, tries: int = 1) -> None:
        self.run = {"id": "1f0", "name": "happy-owl", "state_type": state, "run_count": tries}
        self.told: list[tuple[str, str]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        content = json.loads(request.content)
        if request.url.path.endswith("/filter"):
            is_asked_for = self.run["state_type"] in content["flow_runs"]["state"]["type"]["any_"]
            return httpx.Response(200, json=[self.run] if is_asked_for else [])
        state = content["state"]
        self.told.append((state["name"], state["message"]))
        self.run["state_type"] = state["type"]
        return httpx.Response(201, json={"status": "ACCEPT"})


@pytest.fixture
def freed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Runs whose slots were given back."""
    found: list[Any] = []
    monkeypatch.setattr("earthfield_flows.orphans.free", lambda runs: found.extend(runs))
    return found


def orphans_of(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Orphans:
    client = functools.partial(httpx.Client, transport=httpx.MockTransport(server.answer))
    monkeypatch.setattr("earthfield_flows.orphans.httpx.Client", client)
    return Orphans("http://prefect/api")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """The process of the run."""
    import os

    script = "import time; print('here', flush=True); time.sleep(60)"
    running = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PREFECT__FLOW_RUN_ID": "1f0"},
        stdout=subprocess.PIPE,
    )
    assert running.stdout is not None
    running.stdout.readline()
    yield running
    running.kill()
    running.wait()


def test_a_run_without_a_process_crashes_with_a_reason_and_begins_again(
    freed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FakeServer("RUNNING")
    orphans = orphans_of(server, monkeypatch)
    assert orphans.settle() == [], "its end may be told in a moment"
    assert orphans.settle() == ["1f0"]
    assert [name for name, _ in server.told] == ["Crashed", "AwaitingRetry"]
    assert "ended before it could say anything" in server.told[0][1]
    assert freed == ["1f0"], "nobody waits for what it held"


def test_a_run_that_loses_its_process_again_and_again_stays_crashed(
    freed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FakeServer("RUNNING", tries=MOST_TRIES)
    assert orphans_of(server, monkeypatch).settle(at_once=True) == ["1f0"]
    assert [name for name, _ in server.told] == ["Crashed"]


def test_a_run_with_a_process_is_left_alone(
    freed: list[Any], process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FakeServer("RUNNING")
    orphans = orphans_of(server, monkeypatch)
    assert [orphans.settle(at_once=True), orphans.settle()] == [[], []]
    assert server.told == [] and freed == [] and process.poll() is None


def test_a_run_that_was_to_be_cancelled_and_goes_on_is_ended(
    freed: list[Any], process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FakeServer("CANCELLING")
    orphans = orphans_of(server, monkeypatch)
    orphans.settle()
    assert process.poll() is None, "whoever runs it may be about to end it"
    orphans.settle()
    assert process.wait(timeout=600) != 0
    while not orphans.settle():
        pass
    assert [name for name, _ in server.told] == ["Cancelled"]
