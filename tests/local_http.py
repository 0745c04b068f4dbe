"""A web server on this machine whose answers a test decides, for the tests of the ingest service."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


@dataclass
class Answer:
    """One answer; a dict or list as body becomes JSON, `cut` leaves out the end of it."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0


@dataclass
class Server:
    """A running server and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0


Respond = Callable[[Asked], Answer]


@contextmanager
def serving(respond: Respond, *, delay_s: float = 0.0) -> Iterator[Server]:
    """Runs a server that answers as `respond` says, each answer `delay_s` late."""
    lock, running = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            asked = Asked(
                self.command, parts.path, dict(parse_qsl(parts.query)), json.loads(raw) if raw else None
            )
            asked.query |= {"range": self.headers["Range"]} if "Range" in self.headers else {}
            with lock:
                server.asked.append(asked)
                running[0] += 1
                server.most_at_once = max(server.most_at_once, running[0])
            time.sleep(delay_s)
            answer = respond(asked)
            with lock:
                running[0] -= 1
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked has ended
                    self.wfile.write(body[: len(body) - answer.cut])
            if answer.cut:
                self.close_connection = True

        do_POST = do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            """Keeps quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{httpd.server_address[1]}")
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()


def files_in(folder: Path) -> Respond:
    """Answers with the files of a folder, parts of them where a range is asked for."""

    def respond(asked: Asked) -> Answer:
        path = folder / asked.path.lstrip("/")
        if not path.is_file():
            return Answer(b"nothing here", 404)
        data = path.read_bytes()
        if "range" not in asked.query:
            return Answer(data, headers={"Accept-Ranges": "bytes"})
        first, _, last = asked.query["range"].removeprefix("bytes=").partition("-")
        start = len(data) - int(last) if not first else int(first)
        end = min(int(last), len(data) - 1) if first and last else len(data) - 1
        return Answer(data[start : end + 1], 206, {"Content-Range": f"bytes {start}-{end}/{len(data)}"})

    return respond
