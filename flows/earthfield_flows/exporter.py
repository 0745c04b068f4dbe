"""Metrics of the flows for Prometheus, in the process that starts runs.

Runs end too soon to be asked themselves, so they tell this process, which keeps the sums in memory: files of
prometheus-client's own way for many processes would pile up with every run, and get mixed up where two containers
with the same process ids share a root. Sums begin at zero when it starts again, which Prometheus allows for.

`python -m earthfield_flows.exporter COMMAND ...` runs a worker of Prefect's with it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx
from prometheus_client import CollectorRegistry, Counter, disable_created_metrics, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from earthfield.errors import Conflict
from earthfield.health import count_runs
from earthfield.settings import Settings
from earthfield_flows.gpus import gpus
from earthfield_flows.logs import settings_of_runs
from earthfield_flows.measures import SOCKET

log = logging.getLogger(__name__)

T = TypeVar("T")

_MOST_BYTES = 4096
_KEPT_S = 10.0
"""How long what is asked of others when Prometheus asks is kept."""


class FlowMetrics:
    """The sums, and what is looked up when somebody asks."""

    def __init__(self, settings: Settings) -> None:
        """Begins at zero."""
        self.registry = CollectorRegistry()
        count = partial(Counter, registry=self.registry)
        self.tiles = count("earthfield_flow_tiles", "Pieces of work, mostly tiles.", ("stage", "outcome"))
        self.seconds = count("earthfield_flow_seconds", "Time that they took.", ("stage", "outcome"))
        self.km2 = count(
            "earthfield_flow_area_km2", "Area that was made, each period counted, km2.", ("stage",)
        )
        self.failures = count(
            "earthfield_flow_failures", "Failures; what is tried again counts too.", ("stage", "kind")
        )
        self.runs = count("earthfield_flow_runs", "Runs that are over.", ("flow", "state"))
        self.run_seconds = count("earthfield_flow_run_seconds", "Time that they took.", ("flow", "state"))
        self.registry.register(_Found(settings))

    def take(self, datagram: bytes) -> None:
        """Adds what a run told; what cannot be read is let go."""
        try:
            told = json.loads(datagram)
            if told["what"] == "stage":
                self._take_stage(
                    told["stage"], told["outcome"], float(told["seconds"]), float(told["km2"]), told["kind"]
                )
            elif told["what"] == "run":
                self.runs.labels(told["flow"], told["state"]).inc()
                self.run_seconds.labels(told["flow"], told["state"]).inc(max(0.0, float(told["seconds"])))
        except (ValueError, KeyError, TypeError) as error:
            log.debug("a measurement cannot be read: %s", error)

    def _take_stage(self, stage: str, outcome: str, seconds: float, km2: float, kind: str) -> None:
        self.tiles.labels(stage, outcome).inc()
        self.seconds.labels(stage, outcome).inc(max(0.0, seconds))
        if km2 > 0:
            self.km2.labels(stage).inc(km2)
        if kind:
            self.failures.labels(stage, kind).inc()


class _Found(Collector):
    """What is not summed but looked up: runs that wait, free space, GPUs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runs = _kept(lambda: _runs(settings.prefect_url))
        self._gpus = _kept(gpus)

    def describe(self) -> Iterator[Metric]:
        return iter(())  # nothing is asked before Prometheus does

    def collect(self) -> Iterator[Metric]:
        if runs := self._runs():
            family = GaugeMetricFamily(
                "earthfield_flow_queue", "Runs that wait, or are at work.", labels=("state",)
            )
            for state, number in runs.items():
                family.add_metric((state,), number)
            yield family
        if isinstance(self._settings.root, Path) and self._settings.root.is_dir():
            usage = shutil.disk_usage(self._settings.root)
            yield GaugeMetricFamily(
                "earthfield_disk_free_bytes", "Free space under the root.", value=usage.free
            )
            yield GaugeMetricFamily(
                "earthfield_disk_total_bytes", "All space under the root.", value=usage.total
            )
        yield from self._of_gpus()

    def _of_gpus(self) -> Iterator[Metric]:
        found = self._gpus()
        if not found:
            return
        use = GaugeMetricFamily(
            "earthfield_gpu_use_ratio", "Share of time that a GPU computes.", labels=("gpu", "name")
        )
        memory = GaugeMetricFamily(
            "earthfield_gpu_memory_bytes", "Memory of a GPU.", labels=("gpu", "name", "state")
        )
        for one in found:
            if one.use is not None:
                use.add_metric((one.index, one.name), one.use)
            for state, number in (("used", one.used_bytes), ("total", one.total_bytes)):
                if number is not None:
                    memory.add_metric((one.index, one.name, state), number)
        yield use
        yield memory


@contextmanager
def exported(settings: Settings) -> Iterator[FlowMetrics | None]:
    """Has runs that are started inside the block tell of themselves; Prometheus asks at EARTHFIELD_METRICS_PORT.

    Yields:
        The metrics, None where that port is 0: then nothing is opened.

    Raises:
        Conflict: the port is taken.
    """
    if not settings.metrics_port:
        yield None
        return
    disable_created_metrics()  # when a sum began says nothing that Prometheus does not see
    metrics = FlowMetrics(settings)
    try:
        server, _ = start_http_server(settings.metrics_port, settings.metrics_host, metrics.registry)
    except OSError as error:
        raise Conflict(
            f"port {settings.metrics_port} for metrics is taken ({error.strerror}): set EARTHFIELD_METRICS_PORT"
        ) from error
    # A short path that only this user can reach: paths of sockets have few characters.
    with (
        tempfile.TemporaryDirectory(prefix="earthfield-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
    ):
        path = f"{folder}/metrics"
        ear.bind(path)
        threading.Thread(target=_listen, args=(ear, metrics), name="metrics", daemon=True).start()
        before = os.environ.get(SOCKET)
        os.environ[SOCKET] = path
        try:
            yield metrics
        finally:
            os.environ.pop(SOCKET)
            if before is not None:
                os.environ[SOCKET] = before
            server.shutdown()
            server.server_close()


def _listen(ear: socket.socket, metrics: FlowMetrics) -> None:
    while True:
        try:
            datagram = ear.recv(_MOST_BYTES)
        except OSError:  # closed: the block has ended
            return
        metrics.take(datagram)


def _runs(api: str) -> dict[str, float]:
    try:
        return count_runs(api)
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return {}  # absent, not zero: nobody knows


def _kept(ask: Callable[[], T]) -> Callable[[], T]:
    """Asks at most once in a while."""
    lock, kept = threading.Lock(), list[tuple[float, T]]()

    def asked() -> T:
        with lock:
            if not kept or time.monotonic() - kept[0][0] > _KEPT_S:
                kept[:] = [(time.monotonic(), ask())]
            return kept[0][1]

    return asked


def main(command: list[str]) -> int:
    """Runs a command with metrics until it ends; signals are passed on. Gives its status."""
    os.environ.update(settings_of_runs())
    with exported(Settings()):
        child = subprocess.Popen(command)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: child.send_signal(number))
        return child.wait()


if __name__ == "__main__":
    from earthfield.cli import exit_code_of
    from earthfield.log import set_up

    set_up(verbose=True)
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
