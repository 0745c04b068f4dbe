"""A real STAC API for tests: stac-fastapi-pgstac on PostgreSQL with PostGIS, started and stopped here."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from earthfield.hosts import certificates

_READY_S = 60.0
_DATABASE = "stac"


def missing() -> str | None:
    """Says what the machine lacks to run the API, or None."""
    if _server_commands() is None:
        return "PostgreSQL is not installed"
    if not any(Path("/usr/share/postgresql").glob("*/extension/postgis.control")):
        return "PostGIS is not installed"
    if os.geteuid() == 0 and not (_has_user("postgres") and shutil.which("runuser")):
        return "PostgreSQL does not run as root, and there is no user postgres to run it as"
    return None


@contextmanager
def stac_api(collections: Sequence[dict[str, Any]], items: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Runs a STAC API that holds the collections and items, and gives its address."""
    with tempfile.TemporaryDirectory(prefix="stac", dir="/tmp") as folder:
        home = Path(folder)
        if os.geteuid() == 0:
            shutil.chown(home, "postgres")
        with _database(home) as port:
            _load(home, port, collections, items)
            with _api(home, port) as url:
                yield url


@contextmanager
def _database(home: Path) -> Iterator[int]:
    """Runs an empty PostgreSQL with the pgstac schema and gives its port."""
    commands = _server_commands()
    assert commands is not None
    port = _free_port()
    data = home / "data"
    _run(
        [
            str(commands / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
    )
    # A test's database may be lost: what makes it safe is what makes it slow.
    settings = f"-p {port} -h 127.0.0.1 -k {home} -F -c synchronous_commit=off -c full_page_writes=off"
    control = [str(commands / "pg_ctl"), "-D", str(data), "-w"]
    _run([*control, "-l", str(home / "log"), "-o", settings, "start"])
    try:
        _run([str(commands / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", _DATABASE])
        _pgstac(port, "migrate")
        yield port
    finally:
        _run([*control, "-m", "immediate", "stop"])


def _load(
    home: Path, port: int, collections: Sequence[dict[str, Any]], items: Iterable[dict[str, Any]]
) -> None:
    for kind, several in (("collections", collections), ("items", items)):
        path = home / f"{kind}.ndjson"
        path.write_text("".join(json.dumps(one) + "\n" for one in several))
        _pgstac(port, "load", kind, str(path), "--method", "upsert")


def _pgstac(port: int, *words: str) -> None:
    address = f"postgresql://postgres@127.0.0.1:{port}/{_DATABASE}"
    _run([str(Path(sys.executable).with_name("pypgstac")), *words, "--dsn", address], own=True)


@contextmanager
def _api(home: Path, database: int) -> Iterator[str]:
    port = _free_port()
    command = [
        sys.executable, "-m", "uvicorn", "--factory", "stac_fastapi.pgstac.app:create_app",
        "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PGUSER": "postgres", "PGPASSWORD": "", "PGHOST": "127.0.0.1", "PGPORT": str(database),
        "PGDATABASE": _DATABASE, "USE_API_HYDRATE": "false",
    }  # fmt: skip
    with (home / "api.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, server, home / "api.log")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until and server.poll() is None:
        try:
            if httpx.get(url, verify=certificates(), timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(f"the STAC API did not start: {log.read_text()[-2000:]}")


def _run(command: list[str], *, own: bool = False) -> None:
    """Runs a command; PostgreSQL's own as its user where we are root, which it refuses."""
    if os.geteuid() == 0 and not own:
        command = ["runuser", "-u", "postgres", "--", *command]
    # Its output goes to a file: a server started here would keep a pipe open for ever.
    with tempfile.TemporaryFile() as told:
        done = subprocess.run(command, stdout=told, stderr=subprocess.STDOUT, cwd="/tmp", check=False)
        told.seek(0)
        assert done.returncode == 0, f"{' '.join(command)}: {told.read().decode(errors='replace')[-2000:]}"


def _server_commands() -> Path | None:
    """The folder of PostgreSQL's commands, the newest version's."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _has_user(name: str) -> bool:
    return any(user.pw_name == name for user in pwd.getpwall())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
