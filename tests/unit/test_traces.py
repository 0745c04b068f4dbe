"""Traces: one from a flow over the client to the service and the encoder; nothing where nobody collects them."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from earthfield import traces
from earthfield.client import Client
from earthfield_search.api.app import create_app
from earthfield_search.api.metrics import Metrics, Watched

pytest.importorskip("opentelemetry.sdk", reason="the extra `otel` is not installed")


@pytest.fixture
def spans() -> Iterator[Any]:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    with traces.collected(exporter):
        yield exporter.get_finished_spans


class Through(httpx.BaseTransport):
    """Hands requests to an application in this process, as the network would."""

    def __init__(self, app: Any) -> None:
        self._client = TestClient(app, base_url="http://testserver")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._client.request(request.method, str(request.url), headers=dict(request.headers))
        return httpx.Response(answer.status_code, json=answer.json())


def named(found: Any, name: str) -> Any:
    (one,) = [span for span in found if span.name == name]
    return one


def test_flow_client_and_service_are_in_one_trace(tmp_path: Path, spans: Any) -> None:
    client, run = Client("http://testserver", "", transport=Through(create_app(tmp_path))), str(uuid.uuid4())
    with traces.span("embed", parent=traces.of_run(run)):
        assert list(client.areas()) == []
    task = named(spans(), "embed")
    asked, answered = sorted(
        (one for one in spans() if one.name == "GET /areas"), key=lambda one: one.start_time
    )
    assert {f"{one.context.trace_id:032x}" for one in (task, asked, answered)} == {uuid.UUID(run).hex}
    assert [task.kind.name, asked.kind.name, answered.kind.name] == ["INTERNAL", "CLIENT", "SERVER"]
    assert asked.parent.span_id == task.context.span_id and answered.parent.span_id == asked.context.span_id
    assert answered.attributes["http.response.status_code"] == 200


def test_the_encoder_is_told_of_the_trace_and_without_one_of_nothing(spans: Any) -> None:
    from earthfield_infer.serving.connection import Connection

    told: list[dict[str, str] | None] = []

    class Server:
        def infer(self, *_: Any, headers: dict[str, str] | None, **__: Any) -> None:
            told.append(headers)

    made = Connection.__new__(Connection)
    made.address, made.model, made._client = "grpc://localhost:1", "starter", Server()
    with traces.span("embed"):
        made._infer("1", [], [], 1.0)
    asked, task = named(spans(), "encode"), named(spans(), "embed")
    (headers,) = told
    ids = [f"{task.context.trace_id:032x}", f"{asked.context.span_id:016x}"]
    assert headers and headers["traceparent"].split("-")[1:3] == ids
    assert asked.parent.span_id == task.context.span_id


def test_spans_of_a_run_carry_its_id_and_hang_below_its_own(spans: Any) -> None:
    run = str(uuid.uuid4())
    with traces.span("embed", parent=traces.of_run(run), earthfield__tile="31UDS_1_2"):
        assert traces.trace_id() == uuid.UUID(run).hex
    traces.keep_run(run, "map", began_s=100.0, ended_s=160.5, error="no such model")
    task, whole = named(spans(), "embed"), named(spans(), "map")
    assert whole.parent is None and f"{whole.context.trace_id:032x}" == uuid.UUID(run).hex
    assert task.parent.span_id == whole.context.span_id and task.context.trace_id == whole.context.trace_id
    assert whole.end_time - whole.start_time == 60_500_000_000 and not whole.status.is_ok
    assert task.attributes["earthfield.tile"] == "31UDS_1_2"


def test_what_fails_is_marked_in_its_span(spans: Any) -> None:
    with pytest.raises(ValueError, match="why"), traces.span("embed"):
        raise ValueError("why")
    assert named(spans(), "embed").status.description == "ValueError: why"


def test_a_header_that_makes_no_sense_begins_a_new_trace(spans: Any) -> None:
    async def here(_: Request) -> Response:
        return JSONResponse({})

    app = Watched(Starlette(routes=[Route("/x", here)]), metrics=Metrics())
    assert TestClient(app).get("/x", headers={"traceparent": "00-zz-zz-01"}).status_code == 200
    assert named(spans(), "GET /x").parent is None


def test_work_in_threads_stays_in_its_trace(spans: Any) -> None:
    from earthfield_infer.ahead import worked_ahead
    from earthfield_ingest.parallel import in_order

    with traces.span("embed"):
        here = traces.trace_id()
        assert list(worked_ahead(lambda _: traces.trace_id(), [1, 2, 3], ahead=2, threads=2)) == [here] * 3
        assert [told for _, told in in_order(lambda _: traces.trace_id(), [1, 2], num_threads=2)] == [
            here
        ] * 2
    assert here and traces.trace_id() == ""


def test_where_nobody_collects_them_nothing_is_loaded_and_no_header_is_sent() -> None:
    lines = (
        "import sys, httpx; from earthfield import traces; from earthfield.client import Client\n"
        "seen = []\n"
        "def answer(request): seen.append(request.headers); return httpx.Response(200, json={'status': 'ok'})\n"
        "with traces.span('x', parent={'traceparent': 'y'}) as span:\n"
        "    Client('http://x', '', transport=httpx.MockTransport(answer)).health()\n"
        "    assert span is None\n"
        "assert 'traceparent' not in seen[0]\n"
        "assert not [one for one in sys.modules if one.startswith('opentelemetry')]\n"
    )
    environment = {"PATH": "", "HOME": str(Path.home())}
    done = subprocess.run(
        [sys.executable, "-c", lines],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
