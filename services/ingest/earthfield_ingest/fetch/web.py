"""The web: one request over HTTP, every hop of it checked, every byte of it counted and timed."""

from __future__ import annotations

import threading
import urllib.request
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from earthfield.errors import BrokenArtefact
from earthfield.hosts import certificates
from earthfield_ingest.access import Access, shown
from earthfield_ingest.fetch.limits import Limits
from earthfield_ingest.fetch.patience import Trouble, retry_after_s
from earthfield_ingest.fetch.sockets import CheckedBackend, Clock

_AGAIN = {408, 425, 429}
_MOVED = {301, 302, 303, 307, 308}
_AGENT = "earthfield-ingest"
_FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
)


@dataclass(frozen=True)
class Answer:
    """What a server sent."""

    status: int
    """200 or 206."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes
    """All of it, as it came over the wire."""


class Refused(BrokenArtefact):
    """A server answers, and not with what was asked for."""

    def __init__(self, message: str, status: int) -> None:
        """Args: a sentence; the HTTP status."""
        super().__init__(message)
        self.status = status


class Web:
    """Sends requests over connections that the threads of a job share."""

    def __init__(self, access: Access, limits: Limits) -> None:
        """Args: what may be reached; how long to wait and how much to take."""
        self._access, self._limits = access, limits
        self._lock, self._clock = threading.Lock(), Clock()
        self._pools: dict[str, httpcore.ConnectionPool] = {}
        self._proxies = urllib.request.getproxies()

    def get(self, address: str, *, span: str = "", deadline: float, most: int) -> Answer:
        """Sends one request and takes its whole answer.

        Args:
            address: http(s) URL.
            span: value of the header `Range`, if a part is wanted.
            deadline: instant (monotonic) at which it must be done.
            most: longest body taken, bytes.

        Raises:
            Trouble: another try may help.
            Refused: the server will not give it.
            BrokenArtefact: it leads where it may not, or is too long.
        """
        url = httpx.URL(address)
        for _ in range(self._limits.redirects + 1):
            self._access.place(str(url))
            try:
                answer = self._sent(url, address, span, deadline, most)
            except _FAILURES as error:
                raise Trouble(_told(error)) from error
            except OSError as error:
                raise Trouble(f"{url.host}: {error.strerror or error}") from error
            if answer.status not in _MOVED:
                return answer
            url = _next(url, answer, address)
        raise Refused(f"{shown(address)} leads on through more than {self._limits.redirects} addresses", 310)

    def close(self) -> None:
        """Closes every connection."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()

    def _sent(self, url: httpx.URL, address: str, span: str, deadline: float, most: int) -> Answer:
        limits, self._clock.deadline = self._limits, deadline
        waits = {"connect": limits.connect_s, "read": limits.read_s, "write": limits.read_s}
        waits["pool"] = self._clock.bound(None)
        headers = {"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
        if span:
            headers["Range"] = span
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        with self._pool_for(url).stream(
            "GET", target, headers=list(headers.items()), extensions={"timeout": waits}
        ) as response:
            told = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
            }
            if response.status in _MOVED:
                return Answer(response.status, told, b"")
            _check_status(response.status, told, address)
            if int(told.get("content-length") or 0) > most:
                raise _too_long(address, most)
            body = _taken(response.iter_stream(), address, most)
        return Answer(response.status, told, body)

    def _pool_for(self, url: httpx.URL) -> httpcore.ConnectionPool:
        """Gives the pool for a URL: straight to its host, or through the proxy that the environment names."""
        proxy = self._proxies.get(url.scheme, "")
        if proxy and urllib.request.proxy_bypass(url.host):
            proxy = ""
        if proxy:
            self._check_target(url)
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = self._new_pool(proxy)
            return self._pools[proxy]

    def _new_pool(self, proxy: str) -> httpcore.ConnectionPool:
        common: dict[str, Any] = {
            "ssl_context": certificates(),
            "max_connections": 64,
            "keepalive_expiry": 30.0,
        }
        if proxy:
            return httpcore.HTTPProxy(proxy, network_backend=CheckedBackend(self._clock, None), **common)
        return httpcore.ConnectionPool(network_backend=CheckedBackend(self._clock, self._access), **common)

    def _check_target(self, url: httpx.URL) -> None:
        """Checks what a proxy will be asked for; a name that only the proxy can resolve is left to it."""
        try:
            self._access.addresses(url.host, url.port or (443 if url.scheme == "https" else 80))
        except OSError:
            return


def text_of(answer: Answer, address: str, *, most: int) -> str:
    """Reads an answer as text; one that came compressed without being asked for is unpacked.

    Raises:
        BrokenArtefact: it is no text, or too long.
    """
    body = answer.body
    try:
        if answer.headers.get("content-encoding", "identity").lower() in ("gzip", "x-gzip", "deflate"):
            unpacker = zlib.decompressobj(wbits=47)
            body = unpacker.decompress(body, most)
            if unpacker.unconsumed_tail:
                raise _too_long(address, most)
        return body.decode("utf-8")
    except (zlib.error, UnicodeDecodeError) as error:
        raise BrokenArtefact(f"{shown(address)} is no text ({error})") from error


def _check_status(status: int, headers: Mapping[str, str], address: str) -> None:
    if status in (200, 206):
        return
    if status in _AGAIN or status >= 500:
        raise Trouble(f"it answers {status}", after_s=retry_after_s(headers.get("retry-after")))
    why = {
        401: "it wants a login",
        403: "it refuses access",
        404: "nothing is there",
        410: "it is gone",
        416: "it is empty or shorter than it was",
    }.get(status, "that cannot be used")
    raise Refused(f"{shown(address)} answers {status}: {why}", status)


def _taken(parts: Iterable[bytes], address: str, most: int) -> bytes:
    body = bytearray()
    for part in parts:
        body += part
        if len(body) > most:
            raise _too_long(address, most)
    return bytes(body)


def _too_long(address: str, most: int) -> BrokenArtefact:
    return BrokenArtefact(
        f"{shown(address)} sends more than {most / 1e6:.0f} MB at once, where a part of the file was asked for: "
        "fetch it to this machine, or use a server that gives parts"
    )


def _next(url: httpx.URL, answer: Answer, address: str) -> httpx.URL:
    to = answer.headers.get("location", "")
    try:
        following = url.join(to)
    except (httpx.InvalidURL, ValueError):
        following = httpx.URL("")
    if following.scheme not in ("http", "https"):
        raise Refused(f"{shown(address)} leads on to {shown(to)!r}, which is no web address", answer.status)
    return following


def _told(error: Exception) -> str:
    if isinstance(error, httpcore.ConnectTimeout):
        return "no connection within the time allowed"
    if isinstance(error, httpcore.TimeoutException):
        return "it fell silent"
    return str(error) or type(error).__name__
