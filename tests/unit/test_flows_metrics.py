"""Metrics of the flows: runs tell, the process that started them keeps the sums, Prometheus asks it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from earthfield.errors import Conflict, Unavailable
from earthfield.settings import Settings
from earthfield_flows import exporter, gpus
from earthfield_flows.exporter import FlowMetrics, exported
from earthfield_flows.measures import SOCKET, tell_run, tell_stage
from earthfield_flows.watching import kind_of, tell_over, watched


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    # Nobody listens where Prefect would be.
    return Settings(
        root=tmp_path, metrics_port=free_port(), prefect_url=f"http://127.0.0.1:{free_port()}/api"
    )


@pytest.fixture
def metrics(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlowMetrics]:
    monkeypatch.setattr(exporter, "gpus", list)
    with exported(settings) as made:
        assert made is not None
        yield made


def value(metrics: FlowMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def test_what_another_process_measures_reaches_prometheus(settings: Settings, metrics: FlowMetrics) -> None:
    lines = (
        "from earthfield_flows.measures import tell_stage\n"
        "for _ in range(3): tell_stage('embed', 'made', seconds=2.0, km2=104.8)\n"
        "tell_stage('ingest', 'failed', seconds=1.0, kind='Unavailable')\n"
    )
    subprocess.run([sys.executable, "-c", lines], check=True, timeout=600)
    until(lambda: value(metrics, "earthfield_flow_failures_total", stage="ingest", kind="Unavailable") == 1)
    text = httpx.get(f"http://127.0.0.1:{settings.metrics_port}/metrics").text
    assert 'earthfield_flow_tiles_total{outcome="made",stage="embed"} 3.0' in text
    assert 'earthfield_flow_seconds_total{outcome="made",stage="embed"} 6.0' in text
    assert 'earthfield_flow_area_km2_total{stage="embed"} 314.4' in text
    assert "earthfield_disk_free_bytes" in text and "_created" not in text
    # Nobody knows how many runs wait, and there is no GPU: absent, not zero.
    assert "earthfield_flow_queue" not in text and "earthfield_gpu" not in text


def test_runs_that_wait_are_told_where_prefect_answers(
    settings: Settings, metrics: FlowMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "count_runs", lambda _: {"waiting": 4.0, "running": 1.0})
    assert value(metrics, "earthfield_flow_queue", state="waiting") == 4


def test_only_this_user_reaches_the_socket_and_nothing_is_left(settings: Settings) -> None:
    with exported(settings):
        path = Path(os.environ[SOCKET])
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert SOCKET not in os.environ and not path.parent.exists()
    with exported(settings):  # the port is free again
        pass


def test_without_a_port_nothing_is_opened(settings: Settings) -> None:
    with exported(settings.model_copy(update={"metrics_port": 0})) as made:
        assert made is None and SOCKET not in os.environ


def test_a_taken_port_is_told(settings: Settings, metrics: FlowMetrics) -> None:
    with pytest.raises(Conflict, match="EARTHFIELD_METRICS_PORT"), exported(settings):
        pass


def test_a_run_goes_on_where_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("", str(tmp_path / "gone"), "/dev/null"):
        monkeypatch.setenv(SOCKET, path)
        tell_stage("embed", "made", seconds=1.0)
        tell_run("map", "completed", seconds=1.0)


@pytest.mark.parametrize(
    "datagram", [b"", b"{", b"[]", b"null", b'{"what": "stage"}', b'{"what": "run", "flow": 1}']
)
def test_what_cannot_be_read_is_let_go(settings: Settings, datagram: bytes) -> None:
    metrics = FlowMetrics(settings)
    metrics.take(datagram)
    assert [sample for family in metrics.runs.collect() for sample in family.samples] == []


def test_work_is_counted_by_what_came_of_it(metrics: FlowMetrics) -> None:
    with watched("embed", "tile") as work:
        work.km2 = 2.5
    with watched("embed", "tile") as work:
        work.is_new = False
    with pytest.raises(Unavailable), watched("embed"):
        raise Unavailable("away")
    until(lambda: value(metrics, "earthfield_flow_failures_total", stage="embed", kind="Unavailable") == 1)
    counts = [
        value(metrics, "earthfield_flow_tiles_total", stage="embed", outcome=one)
        for one in ("made", "there", "failed")
    ]
    assert counts == [1, 1, 1] and value(metrics, "earthfield_flow_area_km2_total", stage="embed") == 2.5
    assert kind_of(ZeroDivisionError()) == "Unforeseen" and kind_of(KeyboardInterrupt()) == "Cancelled"


def test_a_run_that_is_over_is_counted_with_its_time(metrics: FlowMetrics) -> None:
    from prefect.types._datetime import now

    began = now("UTC")
    state = SimpleNamespace(
        timestamp=began.replace(year=began.year + 1), type=SimpleNamespace(value="FAILED"), message="why",
        name="Failed", is_completed=lambda: False,
    )  # fmt: skip
    run = SimpleNamespace(id="0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", name="brave-fox", start_time=began)
    tell_over(SimpleNamespace(name="map"), run, state)
    until(lambda: value(metrics, "earthfield_flow_runs_total", flow="map", state="failed") == 1)
    assert value(metrics, "earthfield_flow_run_seconds_total", flow="map", state="failed") >= 365 * 86400 - 1


def test_every_flow_tells_when_it_is_over() -> None:
    from earthfield_flows.tasks import FLOW

    assert all(tell_over in FLOW[hook] for hook in ("on_completion", "on_failure", "on_crashed"))


def test_a_worker_runs_with_metrics_and_gives_its_status(settings: Settings, tmp_path: Path) -> None:
    lines = f"import os, sys; sys.exit(7 if os.path.exists(os.environ['{SOCKET}']) else 1)"
    environment = {
        **os.environ, "EARTHFIELD_ROOT": str(tmp_path), "EARTHFIELD_METRICS_PORT": str(settings.metrics_port),
    }  # fmt: skip
    command = [sys.executable, "-m", "earthfield_flows.exporter", sys.executable, "-c", lines]
    assert subprocess.run(command, env=environment, timeout=600, check=False).returncode == 7


class TestGpus:
    def told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> Any:
        program = tmp_path / "nvidia-smi"
        program.write_text("#!/bin/sh\ncat <<'END'\n" + "\n".join(lines) + "\nEND\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return gpus.gpus()

    def test_each_is_told_with_its_use_and_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = self.told(
            tmp_path,
            monkeypatch,
            "0, NVIDIA H100 80GB HBM3, 35, 1024, 81559",
            "1, NVIDIA H100 80GB HBM3, [N/A], 0, 81559",
        )
        assert first == gpus.Gpu("0", "NVIDIA H100 80GB HBM3", 0.35, 1024 * 2**20, 81559 * 2**20)
        assert second.use is None and second.used_bytes == 0

    def test_where_the_driver_fails_there_is_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.told(tmp_path, monkeypatch, "No devices were found") == []
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
        assert gpus.gpus() == []
        monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
        assert gpus.gpus() == []
