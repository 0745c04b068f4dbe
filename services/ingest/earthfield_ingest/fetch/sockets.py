"""Sockets: connections that lead only where they were checked to lead, and wait no longer than a request may."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from earthfield_ingest.access import Access


class Clock(threading.local):
    """When the request that a thread is sending must be done, by the monotonic clock."""

    deadline: float = float("inf")

    def bound(self, timeout: float | None) -> float:
        """Shortens a wait to the time that is left.

        Raises:
            ReadTimeout: none is left.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("no time is left")
        return left if timeout is None else min(timeout, left)


class CheckedBackend(httpcore.SyncBackend):
    """Connects only to addresses that were checked, so that a name cannot mean another host a moment later."""

    def __init__(self, clock: Clock, access: Access | None) -> None:
        """Args: bounds every wait; what may be reached, None for a proxy that the user named."""
        self._clock, self._access = clock, access

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connects to the first of a host's addresses that answers."""
        failed: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in self._access.addresses(host, port) if self._access is not None else [host]:
            try:
                bound = self._clock.bound(timeout)
                stream = super().connect_tcp(address, port, bound, local_address, socket_options)
                return _TimedStream(stream, self._clock)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore.ConnectError(f"{host} has no address")


class _TimedStream(httpcore.NetworkStream):
    """A connection whose every wait ends with the request: a server that drips does not hold it for ever."""

    def __init__(self, stream: httpcore.NetworkStream, clock: Clock) -> None:
        self._stream, self._clock = stream, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.bound(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._clock.bound(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._stream.start_tls(ssl_context, server_hostname, self._clock.bound(timeout))
        return _TimedStream(inner, self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
