"""What the service tells of itself: Prometheus metrics, a line in the log for each request, ids, safe headers."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earthfield import traces
from earthfield.log import about
from earthfield_search.api.limits import Lane
from earthfield_search.api.refusals import refusal

ACCESS_LOG = "earthfield_search.access"
log = logging.getLogger(ACCESS_LOG)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_KEPT_S = 15.0
_UNTRACED = ("/health", "/ready", "/metrics")
"""Asked again and again by those who watch: no traces of these."""


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        """Begins at zero."""
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("earthfield_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "earthfield_request_seconds", "Seconds until an answer was complete.", labels[:2], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.open = Gauge("earthfield_requests_open", "Requests being answered.", registry=self.registry)

    def watch(self, lanes: Sequence[Lane], unheard: Callable[[], int]) -> None:
        """Adds how many questions run and wait in each lane, and how many run on although nobody listens."""
        for name, told in (("running", "being answered"), ("waiting", "waiting for their turn")):
            gauge = Gauge(f"earthfield_{name}", f"Questions {told}.", ("lane",), registry=self.registry)
            for lane in lanes:
                gauge.labels(lane.name).set_function(partial(getattr, lane, name))
        late = Gauge(
            "earthfield_unheard", "Questions that run on past the time limit.", registry=self.registry
        )
        late.set_function(unheard)

    def count_rows(self, rows: Callable[[], dict[str, int]]) -> None:
        """Adds the rows of each index."""
        self.registry.register(_Rows(rows))

    def text(self) -> bytes:
        """Gives all of them as Prometheus reads them."""
        return generate_latest(self.registry)


class _Rows:
    """Counts rows when it is asked, but not at every question: an index is opened for it."""

    def __init__(self, rows: Callable[[], dict[str, int]]) -> None:
        self._rows, self._known, self._until = rows, dict[str, int](), 0.0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if time.monotonic() > self._until:
            self._known, self._until = self._rows(), time.monotonic() + _KEPT_S
        family = GaugeMetricFamily(
            "earthfield_index_rows", "Cells in the index of a model.", labels=("model",)
        )
        for model, rows in sorted(self._known.items()):
            family.add_metric((model,), rows)
        yield family


class Watched:
    """The outermost layer: every request gets an id, safe headers, a line in the log, and is counted."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        """Args: what is watched; where it is counted."""
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        method = str(scope["method"])
        if scope["path"] in _UNTRACED:
            await self._answered(scope, receive, send, request_id)
            return
        with (
            about(request=request_id),
            traces.span(method, kind="server", parent=headers, http__request__method=method) as span,
        ):
            status = await self._answered(scope, receive, send, request_id)
            if span is not None:
                span.update_name(f"{method} {_route_of(scope)}")
                span.set_attribute("http.response.status_code", status)
                span.set_attribute("earthfield.request", request_id)

    async def _answered(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> int:
        """Has a request answered, and noted; gives the status."""
        status, started = 0, time.perf_counter()

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in _SAFE.items():
                    headers.setdefault(name, value)
            await send(message)

        self._metrics.open.inc()
        try:
            await self._app(scope, receive, told)
        except Exception:  # a border: whatever it was, the client gets an answer and the log the reason
            log.exception("%s %s failed, request %s", scope["method"], scope["path"], request_id)
            if not status:
                words = f"the service made a mistake; its log has the reason under request {request_id}"
                await refusal(500, "Internal", words)(scope, receive, told)
        finally:
            self._metrics.open.dec()
            self._note(scope, status, time.perf_counter() - started, request_id)
        return status

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        # The route's template, not the path: paths are endless.
        route = _route_of(scope)
        method = scope["method"] if route != "none" else "any"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        caller = scope.get("state", {}).get("caller")
        log.info(
            "%s %s %s %d %.1f ms %s", caller.id if caller else "-", scope["method"],
            scope["path"].encode("unicode_escape").decode()[:300], status, seconds * 1e3, request_id,
            extra={
                "about": {
                    "caller": caller.id if caller else "", "method": scope["method"], "route": route,
                    "status": status, "ms": round(seconds * 1e3, 1),
                }
            },
        )  # fmt: skip


def _route_of(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "none"))
