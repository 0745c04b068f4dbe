"""What the service allows: how often, how much, how long, how many at a time; and what it tells of itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient

from earthfield_search.api.app import Service, create_app
from earthfield_search.api.lanes import turn_in
from earthfield_search.api.limits import Buckets, Limits


def app_with(root: Path, router: APIRouter | None = None, **limits: float) -> TestClient:
    app = create_app(root, service=Service(limits=Limits(**limits)))  # type: ignore[arg-type]
    if router:
        app.include_router(router)
    return TestClient(app)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What slow routes of a test wait for; opened at its end, so that no thread stays behind."""
    event = threading.Event()
    yield event
    event.set()


def slow_routes(gate: threading.Event, ended: list[str]) -> APIRouter:
    router = APIRouter()

    @router.post("/slow", dependencies=[turn_in("jobs")])
    def slow(content: dict[str, str]) -> dict[str, str]:
        gate.wait(20)
        ended.append(content["name"])
        return content

    return router


def test_a_bucket_fills_at_its_rate() -> None:
    now = 0.0
    buckets = Buckets(2.0, clock=lambda: now)
    assert [buckets.wait_s("a") for _ in range(5)] == [0, 0, 0, 0, 0.5], "as deep as two seconds"
    assert buckets.wait_s("b") == 0, "everyone has one of their own"
    now = 0.5
    assert [buckets.wait_s("a") for _ in range(2)] == [0, 0.5]
    now = 1000.0
    assert [buckets.wait_s("a") for _ in range(5)] == [0, 0, 0, 0, 0.5], "no deeper after a pause"
    assert [Buckets(0).wait_s("a") for _ in range(100)] == [0] * 100


def test_who_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    client = app_with(tmp_path, rate=0.5)
    assert client.get("/health").status_code == 200
    answer = client.get("/health")
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= 2
    assert answer.json()["error"] == "Unavailable"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_that_is_too_large_is_refused(tmp_path: Path, chunked: bool) -> None:
    client = app_with(tmp_path, body_bytes=1000)
    read = []

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            read.append(100)
            yield b" " * 100

    body = pieces() if chunked else b" " * 10_000
    answer = client.post("/embeddings", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413 and answer.json()["error"] == "InvalidInput", answer.text


def test_a_request_that_takes_too_long_is_answered_and_counted(tmp_path: Path, gate: threading.Event) -> None:
    ended: list[str] = []
    with app_with(tmp_path, slow_routes(gate, ended), seconds=0.3, jobs=1) as client:
        first = client.post("/slow", json={"name": "first"})
        assert first.status_code == 504 and first.json()["error"] == "Unavailable"
        metrics = client.get("/metrics").text
        assert "earthfield_unheard 1.0" in metrics and 'earthfield_running{lane="jobs"} 1.0' in metrics
        # Its thread still has the only turn; who waits for one until the time is over never begins.
        assert client.post("/slow", json={"name": "second"}).status_code == 504
        assert client.get("/health").status_code == 200
        gate.set()
        deadline = time.monotonic() + 10
        while "earthfield_unheard 0.0" not in client.get("/metrics").text and time.monotonic() < deadline:
            time.sleep(0.02)
        assert client.post("/slow", json={"name": "third"}).json() == {"name": "third"}
    assert ended == ["first", "third"]


def test_a_full_queue_refuses_with_the_time_to_come_again(tmp_path: Path, gate: threading.Event) -> None:
    with app_with(tmp_path, slow_routes(gate, []), jobs=1) as client:
        answers: list[int] = []

        def ask() -> None:
            answers.append(client.post("/slow", json={"name": "x"}).status_code)

        threads = [threading.Thread(target=ask) for _ in range(9)]
        for thread in threads:
            thread.start()
        lane = client.app.state.lanes["jobs"]  # type: ignore[attr-defined]
        deadline = time.monotonic() + 10
        while lane.running + lane.waiting < 9 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (lane.running, lane.waiting) == (1, 8)
        full = client.post("/slow", json={"name": "one more"})
        assert full.status_code == 503 and int(full.headers["retry-after"]) > 0
        gate.set()
        for thread in threads:
            thread.join(20)
    assert answers == [200] * 9, "whoever waited was served"


def test_a_mistake_of_ours_is_an_answer_with_an_id_that_the_log_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    router = APIRouter()

    @router.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("a secret")

    answer = app_with(tmp_path, router).get("/broken", headers={"X-Request-Id": "my-own-id"})
    assert answer.status_code == 500 and answer.json()["error"] == "Internal"
    assert "my-own-id" in answer.json()["message"] and "secret" not in answer.text
    assert answer.headers["x-request-id"] == "my-own-id" and "a secret" in caplog.text


@pytest.mark.parametrize("wrong", ["a" * 65, "a b", "a\tb", ""])
def test_an_id_that_could_spoil_the_log_is_replaced(tmp_path: Path, wrong: str) -> None:
    answer = app_with(tmp_path).get("/health", headers={"X-Request-Id": wrong})
    assert answer.headers["x-request-id"] not in ("", wrong)


def test_every_answer_carries_safe_headers_and_every_refusal_one_form(tmp_path: Path) -> None:
    client = app_with(tmp_path)
    for answer in (
        client.get("/health"),
        client.get("/nowhere"),
        client.put("/models"),
        client.get("/areas/"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        if not answer.is_success:
            assert set(answer.json()) == {"error", "message"}, answer.text
    assert client.get("/nowhere").status_code == client.get("/areas/").status_code == 404
    assert client.put("/models").status_code == 405


def test_metrics_count_by_route_and_not_by_path(tmp_path: Path) -> None:
    client = app_with(tmp_path)
    for number in range(3):
        client.get(f"/fields/m{number}/2018/bounds")
        client.get(f"/nowhere/{number}")
    text = client.get("/metrics").text
    assert (
        'earthfield_requests_total{method="GET",route="/fields/{model}/{period}/bounds",status="404"} 3.0'
        in text
    )
    assert 'route="none",status="404"} 3.0' in text and "/nowhere" not in text
    assert "earthfield_request_seconds_bucket" in text and "earthfield_index_rows" in text


def test_pages_of_other_origins_may_ask_only_if_told(tmp_path: Path) -> None:
    asked = {"Origin": "https://map.example", "Access-Control-Request-Method": "POST"}
    assert (
        "access-control-allow-origin" not in app_with(tmp_path).options("/similarity", headers=asked).headers
    )
    service = Service(origins=("https://map.example",))
    client = TestClient(create_app(tmp_path, service=service))
    allowed = client.options("/similarity", headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://map.example"
    other = client.get("/health", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


def test_the_log_has_a_line_for_each_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="earthfield_search.access"):
        app_with(tmp_path).get("/areas?model=smooth", headers={"X-Request-Id": "abc"})
    lines = [one.getMessage() for one in caplog.records if one.name == "earthfield_search.access"]
    assert len(lines) == 1 and "GET /areas 200" in lines[0] and lines[0].endswith("abc")
