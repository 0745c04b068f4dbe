"""Traces: spans of what takes time, joined across processes by a header; nothing at all where nobody collects them.

They go, by OpenTelemetry's protocol over HTTP, to where its own variable OTEL_EXPORTER_OTLP_ENDPOINT says.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter  # type: ignore[attr-defined]
    from opentelemetry.trace import Span, Tracer  # type: ignore[attr-defined]

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_HEADER = "traceparent"
_FIXED: ContextVar[tuple[int, int] | None] = ContextVar("fixed", default=None)
_given: list[SpanExporter] = []
_service = ["earthfield"]

Kind = Literal["internal", "client", "server"]


def is_on() -> bool:
    """Tells whether somebody collects traces."""
    return bool(_given) or any(os.environ.get(one) for one in _ENDPOINTS)


def name_service(name: str) -> None:
    """Says what this process is called in traces, unless OTEL_SERVICE_NAME does; before its first span."""
    _service[0] = name


@contextmanager
def span(
    name: str, *, kind: Kind = "internal", parent: Mapping[str, str] | None = None, **attributes: Any
) -> Iterator[Span | None]:
    """Times the block, under the span around it.

    Args:
        name: what is done, one of few: no ids.
        kind: `client` where another process is asked, `server` where one is answered.
        parent: headers that carry the span of whoever asked, instead of the span around the block.
        attributes: more about it; those that are None are left out.

    Yields:
        The span, None where nobody collects them.
    """
    tracer = _tracer() if is_on() else None
    if tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind  # type: ignore[attr-defined]

    told = {key.replace("__", "."): value for key, value in attributes.items() if value is not None}
    with tracer.start_as_current_span(
        name, context=_context(parent), kind=SpanKind[kind.upper()], attributes=told
    ) as made:
        yield made


def carried() -> dict[str, str]:
    """Gives the headers that carry the present span to another process; none where there is none."""
    if not is_on():
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return headers


def trace_id() -> str:
    """Gives the id of the present trace, empty where there is none."""
    return carried().get(_HEADER, "--").split("-")[1]


def of_run(run_id: str) -> dict[str, str]:
    """Gives the headers of a run's own span, in any process: its trace has the id of the run."""
    trace, own = _ids_of(run_id)
    return {_HEADER: f"00-{trace:032x}-{own:016x}-01"}


def keep_run(
    run_id: str, name: str, *, began_s: float, ended_s: float, error: str = "", **attributes: Any
) -> None:
    """Keeps the span of a run that is over.

    Args:
        run_id: its id, a UUID.
        name: of its flow.
        began_s: when it began, seconds since 1970.
        ended_s: when it ended.
        error: why it failed; empty where it did not.
        attributes: more about it.
    """
    tracer = _tracer() if is_on() else None
    if tracer is None:
        return
    from opentelemetry.context import Context  # type: ignore[attr-defined]
    from opentelemetry.trace import Status, StatusCode  # type: ignore[attr-defined]

    token = _FIXED.set(_ids_of(run_id))
    try:
        made = tracer.start_span(
            name, context=Context(), start_time=int(began_s * 1e9), attributes=attributes
        )
    finally:
        _FIXED.reset(token)
    if error:
        made.set_status(Status(StatusCode.ERROR, error))
    made.end(int(ended_s * 1e9))


@contextmanager
def collected(exporter: SpanExporter) -> Iterator[None]:
    """Gives spans of the block to an exporter of one's own, for tests."""
    _given.append(exporter)
    _tracer.cache_clear()
    try:
        yield
    finally:
        _given.remove(exporter)
        _tracer.cache_clear()


@cache
def _tracer() -> Tracer | None:
    try:
        from opentelemetry.sdk.resources import Resource  # type: ignore[attr-defined]
        from opentelemetry.sdk.trace import TracerProvider  # type: ignore[attr-defined]
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor  # type: ignore[attr-defined]
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        class Ids(RandomIdGenerator):
            """Random ids, but those of a run where its own span is made."""

            def generate_span_id(self) -> int:
                return fixed[1] if (fixed := _FIXED.get()) else super().generate_span_id()

            def generate_trace_id(self) -> int:
                return fixed[0] if (fixed := _FIXED.get()) else super().generate_trace_id()

        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": _service[0]}
        about = Resource.create({**named, "service.version": version("earthfield")})
        provider = TracerProvider(resource=about, id_generator=Ids(), shutdown_on_exit=False)
        if _given:
            provider.add_span_processor(SimpleSpanProcessor(_given[-1]))
        else:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # type: ignore[attr-defined]
                OTLPSpanExporter,
            )

            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            atexit.register(provider.shutdown)
    except ModuleNotFoundError as error:
        log.warning(
            "no traces: %s is set, but %s is not installed: pip install 'earthfield[otel]'",
            _ENDPOINTS[0],
            error.name,
        )
        return None
    # Ours alone, not the one of the whole process: other libraries decide for themselves.
    return provider.get_tracer("earthfield")


def _context(parent: Mapping[str, str] | None) -> Any:
    """The context that headers carry; that of the caller where there are none."""
    if not parent or _HEADER not in parent:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(parent)


def _ids_of(run_id: str) -> tuple[int, int]:
    trace = uuid.UUID(run_id)
    return trace.int, int.from_bytes(hashlib.sha256(trace.bytes).digest()[:8]) or 1
