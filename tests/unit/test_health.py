"""The health of an installation: what is asked, how it is told, and what to do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from earthfield import health
from earthfield.health import Part, check_health
from earthfield.settings import Settings
from earthfield_dashboard.login import Gate, rules_of

Answers = dict[str, Any]
BUSY = HTTPStatus.SERVICE_UNAVAILABLE


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], str]]:
    """Serves JSON by path on this machine; an HTTPStatus is told as one. Gives the address."""
    servers: list[ThreadingHTTPServer] = []

    def served(answers: Answers) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = answers.get(self.path, HTTPStatus.NOT_FOUND)
                found = found() if callable(found) else found
                body = b"{}" if isinstance(found, HTTPStatus) else json.dumps(found).encode()
                self.send_response(found if isinstance(found, HTTPStatus) else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield served
    for one in servers:
        one.shutdown()
        one.server_close()


def search(**more: Any) -> Answers:
    disk = {"free_gb": 50.0, "total_gb": 100.0}
    return {"/ready": {"indexes": 2, "disk": disk}, "/health": {"status": "ok", "version": "0.1.0"}, **more}


def prefect(*, ago_s: float = 5.0, worker_ago_s: float | None = None, **more: Any) -> Answers:
    def at(ago: float) -> str:
        return (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()

    workers = [] if worker_ago_s is None else [{"last_heartbeat_time": at(worker_ago_s)}]
    return {
        "/api/health": True,
        "/api/admin/version": "3.8.8",
        "/api/deployments/filter": [{"last_polled": at(ago_s)}, {"last_polled": None}],
        "/api/work_pools/filter": [{"name": "p"}],
        "/api/work_pools/p/workers/filter": workers,
        "/api/flow_runs/count": 3,
        **more,
    }


def nobody() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def settings(root: Path, search_url: str, prefect_url: str, **more: Any) -> Settings:
    return Settings(root=root, search_url=search_url, prefect_url=f"{prefect_url}/api", **more)


def parts(found: health.Health) -> dict[str, Part]:
    return {one.name: one for one in found.parts}


def test_where_all_answers_it_is_well_and_tells_versions_and_figures(
    tmp_path: Path, serve: Callable[[Answers], str]
) -> None:
    encoder = serve({"/v2/health/ready": {}, "/v2": {"version": "2.51.0"}})
    found = check_health(
        settings(tmp_path, serve(search()), serve(prefect()), encoder_http=encoder), dashboard=False
    )
    assert (
        found.is_well
        and {one.state for one in found.parts} == {"ok"}
        and not any(one.todo for one in found.parts)
    )
    told = parts(found)
    assert [told[one].version for one in ("search", "prefect", "encoder")] == ["0.1.0", "3.8.8", "2.51.0"]
    assert told["search"].told == "answers questions, over 2 indexes"
    figures = told["worker"].figures or {}
    assert figures["waiting"] == figures["running"] == 3 and 4 < figures["seconds_ago"] < 60
    assert told["disk"].figures == {"free_gb": 50.0, "total_gb": 100.0}
    content = json.loads(json.dumps(found.as_json()))
    assert content["status"] == "ok" and len(content["parts"]) == 5 and content["versions"]["earthfield"]


def test_what_does_not_answer_is_down_and_told_what_to_do(tmp_path: Path) -> None:
    found = check_health(settings(tmp_path, nobody(), nobody(), encoder_url=nobody().replace("http", "grpc")))
    told = parts(found)
    assert not found.is_well and found.as_json()["status"] == "down"
    assert [one for one, part in told.items() if part.state == "down"] == [
        "dashboard", "search", "prefect", "worker", "encoder",
    ]  # fmt: skip
    assert all(part.todo for part in told.values() if part.state == "down")
    assert told["search"].told == "does not answer (nobody listens there)"
    assert "earthfield up" in told["search"].todo and "Prefect back first" in told["worker"].todo
    assert told["disk"].state == "ok", "where the search service is down the disk here is looked at"


def test_a_part_that_refuses_is_told_in_its_own_words(
    tmp_path: Path, serve: Callable[[Answers], str]
) -> None:
    url = serve({"/ready": BUSY})
    part = parts(check_health(settings(tmp_path, url, serve(prefect()))))["search"]
    assert part.state == "down" and part.told.startswith("answers 503") and "search.log" in part.todo


def test_another_program_at_the_address_is_found_out(tmp_path: Path, serve: Callable[[Answers], str]) -> None:
    part = parts(check_health(settings(tmp_path, serve({"/ready": {"hello": 1}}), serve(prefect()))))[
        "search"
    ]
    assert part.state == "down" and part.told == "something else answers there"


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ({"ago_s": 5.0}, "ok"),
        ({"ago_s": 600.0}, "down"),
        ({"ago_s": 600.0, "worker_ago_s": 20.0}, "ok"),
        ({"ago_s": 600.0, "worker_ago_s": 300.0}, "down"),
    ],
)
def test_a_worker_is_there_as_long_as_it_asks_for_work(
    tmp_path: Path, serve: Callable[[Answers], str], given: Any, state: str
) -> None:
    part = parts(check_health(settings(tmp_path, serve(search()), serve(prefect(**given)))))["worker"]
    assert part.state == state and bool(part.todo) == (state == "down")


def test_prefect_is_asked_again_while_its_database_is_busy(
    tmp_path: Path, serve: Callable[[Answers], str]
) -> None:
    turns: Iterator[Any] = iter([BUSY, 3, BUSY, BUSY, 1])
    asked = prefect(**{"/api/flow_runs/count": lambda: next(turns)})
    part = parts(check_health(settings(tmp_path, serve(search()), serve(asked))))["worker"]
    assert part.state == "ok" and part.told.endswith("1 running, 3 waiting")


def test_a_full_disk_is_told_before_runs_fail(tmp_path: Path, serve: Callable[[Answers], str]) -> None:
    full = search(**{"/ready": {"indexes": 0, "disk": {"free_gb": 1.5, "total_gb": 100.0}}})
    part = parts(check_health(settings(tmp_path, serve(full), serve(prefect()))))["disk"]
    assert part.state == "down" and part.told == "1.5 GB of 100.0 GB free" and "enlarge" in part.todo


def test_without_an_encoder_of_its_own_nothing_is_wrong(
    tmp_path: Path, serve: Callable[[Answers], str]
) -> None:
    found = check_health(settings(tmp_path, serve(search()), serve(prefect())), dashboard=False)
    assert parts(found)["encoder"].state == "off" and found.is_well


def test_the_dashboard_answers_200_or_503_and_tells_strangers_no_more(
    tmp_path: Path, serve: Callable[[Answers], str]
) -> None:
    from earthfield_dashboard.server import health_route

    def client(search_url: str, **more: Any) -> TestClient:
        given = settings(tmp_path, search_url, serve(prefect()), **more)
        rules = rules_of(given)
        routes = [health_route(given, rules)]
        app = Starlette(routes=routes, middleware=[Middleware(Gate, rules=rules)])
        made = TestClient(app, base_url="http://localhost")
        if not rules.is_open:
            made.cookies.set(rules.cookie, rules.sessions.begin("password"))
        return made

    well = client(serve(search()))
    assert well.get("/health").status_code == 200 and len(well.get("/health").json()["parts"]) == 5
    ill = client(nobody(), dashboard_password="long enough, and more")
    answer = ill.get("/health")
    assert answer.status_code == 503 and "search" in {one["name"] for one in answer.json()["parts"]}
    ill.cookies.clear()
    answer = ill.get("/health")
    assert answer.status_code == 503 and set(answer.json()) == {"status", "at"}
