"""`earthfield up` starts everything that a person needs; `earthfield down` ends exactly that."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from stack_parts import free_ports

from earthfield.errors import Conflict, Unavailable
from earthfield_flows.processes import recorded, start, stop
from earthfield_flows.stack import Ports, start_stack, stop_stack

EARTHFIELD = str(Path(sys.executable).with_name("earthfield"))


def left_over(root: Path) -> list[str]:
    """Processes that still carry this root in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("EARTHFIELD_ROOT") == str(root) and process.pid != os.getpid():
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stop_stack(tmp_path)


def test_up_serves_every_part_and_down_leaves_no_process(root: Path) -> None:
    ports = free_ports()
    own = ["--root", str(root), "--json"]
    up = [EARTHFIELD, "up", "--port-base", str(ports.dashboard), "--no-encoder", *own]
    status = [EARTHFIELD, "up", "--status", *own]
    done = subprocess.run(status, capture_output=True, text=True, timeout=900, check=False)
    assert (done.returncode, json.loads(done.stdout)["parts"]) == (4, []), "nothing runs yet"
    done = subprocess.run(up, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["name"] for one in told["services"]] == ["prefect", "search", "dashboard", "flows"]
    assert httpx.get(told["dashboard"]).is_success
    assert httpx.get(f"http://127.0.0.1:{ports.search}/areas").json()["areas"] == []
    api = f"http://127.0.0.1:{ports.prefect}/api"
    assert httpx.get(f"{api}/deployments/name/map/map").json()["name"] == "map"

    again = subprocess.run([EARTHFIELD, "up", *own], capture_output=True, text=True, timeout=900, check=False)
    assert json.loads(again.stdout)["was_running"] is True, "a second up finds it running"
    done = subprocess.run(status, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout
    parts = {one["name"]: one for one in json.loads(done.stdout)["parts"]}
    assert {one["state"] for one in parts.values()} == {"answers"}
    assert all(one["memory_mb"] > 20 for one in parts.values())
    with pytest.raises(Conflict, match=rf"is running, its dashboard at port {ports.dashboard}"):
        start_stack(root, ports=Ports.from_base(ports.dashboard + 100))
    with pytest.raises(Conflict, match=r"is running with the catalogue \(none\): leave --catalog out"):
        start_stack(root, catalog="elsewhere")

    stranger = subprocess.Popen(["sleep", "60"])
    try:
        down = [EARTHFIELD, "down", "--root", str(root), "--json"]
        done = subprocess.run(down, capture_output=True, text=True, timeout=900, check=False)
        assert sorted(json.loads(done.stdout)["ended"]) == ["dashboard", "flows", "prefect", "search"]
        assert left_over(root) == []
        assert recorded(root / "run") == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
    done = subprocess.run(down, capture_output=True, text=True, timeout=900, check=False)
    assert json.loads(done.stdout) == {"ended": []}


def test_a_taken_port_is_told_and_nothing_is_started(root: Path) -> None:
    ports = free_ports()
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports.search))
        other.listen()
        with pytest.raises(Conflict, match=rf"port {ports.search} for the search is taken.*--port-base"):
            start_stack(root, ports=ports)
    assert left_over(root) == []


def test_a_part_that_dies_is_named_with_its_log(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "nonsense://")
    with pytest.raises(Unavailable, match=r"prefect ended while starting .*prefect\.log"):
        start_stack(root, ports=free_ports())
    assert left_over(root) == []


def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(tmp_path: Path) -> None:
    sleeper = start("sleeper", ["sleep", "60"], folder=tmp_path, address="", environment={})
    file = tmp_path / "sleeper.pid.json"
    earlier = {"started": sleeper.started - 100, "mark": "sleeper-of-yesterday"}
    file.write_text(json.dumps(json.loads(file.read_text()) | earlier))
    (other,) = recorded(tmp_path)
    assert stop(other, folder=tmp_path) is False
    assert sleeper.process is not None
    assert stop(sleeper, folder=tmp_path) is True
    assert sleeper.process is None


def test_children_and_grandchildren_end_too(tmp_path: Path) -> None:
    script = (
        "import subprocess, time; subprocess.Popen(['sleep', '61'], start_new_session=True); time.sleep(60)"
    )
    parent = start("parent", [sys.executable, "-c", script], folder=tmp_path, address="", environment={})
    process = parent.process
    assert process is not None
    while not process.children():
        pass
    (child,) = process.children()
    stop(parent, folder=tmp_path)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_what_a_killed_process_has_left_is_ended_too_and_nothing_else(tmp_path: Path) -> None:
    script = (
        "import subprocess, time; subprocess.Popen(['sleep', '61'], start_new_session=True); time.sleep(60)"
    )
    parent = start("parent", [sys.executable, "-c", script], folder=tmp_path, address="", environment={})
    process, stranger = parent.process, subprocess.Popen(["sleep", "61"])
    assert process is not None
    try:
        while not process.children():
            pass
        (child,) = process.children()
        process.kill()
        process.wait()
        assert child.is_running(), "nobody has ended it"
        assert stop(parent, folder=tmp_path) is False
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
        assert stranger.poll() is None
    finally:
        stranger.kill()


def test_ports_come_in_a_row() -> None:
    assert Ports.from_base(9000) == Ports(9000, 9001, 9002, 9003, 9004, 9005)
