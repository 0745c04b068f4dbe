"""What tests of a real tritonserver need: free ports, a running server, and a look at what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

EARTHFIELD = str(Path(sys.executable).with_name("earthfield"))
SHARED = Path("/dev/shm")


@dataclass
class Served:
    """A server that `earthfield serve encoder` runs."""

    command: subprocess.Popen[str]
    """The command."""
    told: dict[str, Any]
    """What it told when it was ready."""

    @property
    def address(self) -> str:
        """Address for `--encoder`."""
        return str(self.told["encoder"])

    @property
    def program(self) -> psutil.Process:
        """The tritonserver itself."""
        return psutil.Process(self.told["pid"])

    def stop(self) -> int:
        """Ends it as a person would, and gives the command's status."""
        if self.command.poll() is None:
            self.command.send_signal(signal.SIGTERM)
        return self.command.wait(600)


def free_ports(count: int = 3) -> list[int]:
    """Finds ports that nobody listens on."""
    with_sockets = [socket.socket() for _ in range(count)]
    try:
        for one in with_sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in with_sockets]
    finally:
        for one in with_sockets:
            one.close()


def words_of(repository: Path, ports: list[int], log: Path) -> list[str]:
    """Gives the command that serves a repository."""
    grpc, http, metrics = map(str, ports)
    return [
        EARTHFIELD, "serve", "encoder", str(repository), "--port", grpc, "--http-port", http,
        "--metrics-port", metrics, "--log", str(log), "--json",
    ]  # fmt: skip


def start(repository: Path, ports: list[int], log: Path) -> Served:
    """Starts a server and waits until it is ready."""
    environment = {**os.environ, "EARTHFIELD_THREADS": "1"}
    command = subprocess.Popen(
        words_of(repository, ports, log),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert command.stdout is not None
    lines: list[str] = []
    for line in command.stdout:
        lines.append(line)
        if line == "}\n":
            return Served(command, json.loads("".join(lines)))
    assert command.stderr is not None
    raise AssertionError(f"{command.stderr.read()}\n{log.read_text()[-3000:] if log.exists() else ''}")


@contextmanager
def serving(repository: Path, folder: Path) -> Iterator[Served]:
    """Runs a server for the block, and makes sure that it ends well."""
    served = start(repository, free_ports(), folder / "server.log")
    try:
        yield served
    finally:
        assert served.stop() == 0


def shared_files() -> set[str]:
    """Lists our files in shared memory: clients' and servers'."""
    return {path.name for path in SHARED.iterdir() if path.name.startswith("earthfield")}
