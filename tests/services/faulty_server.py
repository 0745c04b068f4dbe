"""A file server over HTTP that fails on purpose, path by path."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Fault:
    """What goes wrong with a file, and how often; afterwards it is served well."""

    status: int = 0
    """Answered in place of the file; 0 for none."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with that status."""
    stalls: bool = False
    """Whether the server falls silent."""
    cut: bool = False
    """Whether the connection is closed on the way."""
    delay_s: float = 0.0
    """How long the server thinks before it answers."""
    after_bytes: int | None = None
    """Bytes of the body that are sent, before it stalls or is cut; None for all of them."""
    times: int = 1 << 30
    """How often."""


class FaultyServer:
    """Serves a folder, with ranges; keeps count of what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, Fault] = {}
        """By path below the folder, as `collection/item/B04.tif`."""
        self.gives_parts = True
        """False: ranges are passed over, and the whole is sent."""
        self.log: list[tuple[str, int]] = []
        """Path and status of every request."""
        self.most_at_once = 0
        """Requests that were under way at the same time."""
        self.lock = threading.Lock()
        self.over = threading.Event()
        self._at_once = 0
        self._http = _Threads(("127.0.0.1", 0), type("Handler", (_Handler,), {"place": self}))

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def host(self) -> str:
        """Its host and port."""
        return self.url.removeprefix("http://")

    def asked(self, path: str) -> int:
        """Counts the requests for a path."""
        return sum(one == path for one, _ in self.log)

    def fault_for(self, path: str) -> Fault | None:
        """Gives the fault that this request meets."""
        with self.lock:
            fault = self.faults.get(path)
            if fault is None or fault.times <= 0:
                return None
            fault.times -= 1
            return fault

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts a request while it is under way."""
        with self.lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self.lock:
                self._at_once -= 1

    def start(self) -> None:
        """Begins to answer."""
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Ends, and every stalled answer with it."""
        self.over.set()
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def serving(folder: Path) -> Iterator[FaultyServer]:
    """Runs a server of a folder."""
    server = FaultyServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Keeps quiet: guests hang up on purpose."""


class _Handler(BaseHTTPRequestHandler):
    place: FaultyServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        with self.place.counted():
            self._answer(self.path.partition("?")[0].lstrip("/"))

    def _answer(self, path: str) -> None:
        fault = self.place.fault_for(path)
        self.place.over.wait(fault.delay_s if fault else 0)
        if fault is not None and fault.status:
            self._send(path, fault.status, b"sorry", fault.headers)
            return
        try:
            data = (self.place.folder / path).read_bytes()
        except OSError:
            self._send(path, 404, b"", {})
            return
        status, headers = 200, {}
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked and self.place.gives_parts:
            first, last = int(asked[1]), min(int(asked[2]), len(data) - 1)
            if first >= len(data):
                self._send(path, 416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            status, headers = 206, {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            data = data[first : last + 1]
        self._send(path, status, data, headers, fault)

    def _send(
        self, path: str, status: int, body: bytes, headers: dict[str, str], fault: Fault | None = None
    ) -> None:
        with self.place.lock:
            self.place.log.append((path, status))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if fault is None else body[: fault.after_bytes])
        self.wfile.flush()
        if fault is not None and fault.stalls:
            self.place.over.wait(30)
            self.close_connection = True
        if fault is not None and fault.cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Keeps quiet."""
