"""Patience: what may pass is tried again, and a host that does not answer is left alone for a while."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from earthfield.errors import BrokenArtefact, Unavailable
from earthfield_ingest.access import shown
from earthfield_ingest.fetch.limits import Limits, Traffic
from earthfield_ingest.providers import UNKNOWN, provider_of

log = logging.getLogger(__name__)

T = TypeVar("T")


class Trouble(Exception):
    """A server or the network fails in a way that may pass."""

    def __init__(self, reason: str, *, after_s: float | None = None) -> None:
        """Args: what happened, for the message; how long the server asks to wait."""
        super().__init__(reason)
        self.after_s = after_s


def retry_after_s(text: str | None) -> float | None:
    """Reads the header `Retry-After`: seconds, or a date; None where it is neither."""
    if not text:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


@dataclass
class _Host:
    """What is known of a host's health."""

    failures: int = 0
    """Pieces that failed one after another."""
    closed_until: float = 0.0
    """Until when it is left alone, by the monotonic clock."""


class Patience:
    """Asks servers with tries, pauses and connection limits; shared by the threads of a job."""

    def __init__(self, limits: Limits, traffic: Traffic) -> None:
        """Args: how patient; where requests are counted."""
        self._limits, self._traffic = limits, traffic
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}
        self._doors: dict[str, threading.BoundedSemaphore] = {}

    def ask(self, address: str, once: Callable[[float], T]) -> T:
        """Asks for one piece until it comes.

        Args:
            address: what is read; its host decides about health and connections.
            once: one try, given the instant (monotonic) at which it must have ended; it raises Trouble where
                another try may help.

        Raises:
            Unavailable: it did not come within the tries and the time allowed, or its host is being left alone.
        """
        host, limits = host_of(address), self._limits
        deadline = time.monotonic() + limits.budget_s
        again = Retrying(
            retry=retry_if_exception_type(Trouble),
            wait=self._pause,
            stop=lambda state: (
                stop_after_attempt(limits.tries)(state) or time.monotonic() + state.upcoming_sleep > deadline
            ),
            before_sleep=lambda state: self._note(address, state),
            reraise=True,
        )
        try:
            answer = again(self._once, address, host, once, deadline)
        except Trouble as error:
            self._failed(host)
            raise Unavailable(f"{shown(address)} does not answer ({error}): try again later") from error
        except BrokenArtefact:
            self._answered(host)
            raise
        self._answered(host)
        return answer

    def _once(self, address: str, host: str, once: Callable[[float], T], deadline: float) -> T:
        self._refuse_where_closed(address, host)
        with self.door(address):
            self._traffic.count(host, requests=1)
            return once(deadline)

    def door(self, address: str) -> AbstractContextManager[object]:
        """Gives what holds one of the connections that an address's provider grants."""
        provider = provider_of(address)
        known = provider is not UNKNOWN
        key = provider.name if known else host_of(address)
        with self._lock:
            if key not in self._doors:
                many = provider.max_connections if known else self._limits.connections
                self._doors[key] = threading.BoundedSemaphore(many)
            return self._doors[key]

    def _pause(self, state: RetryCallState) -> float:
        limits = self._limits
        longest = min(limits.pause_max_s, limits.pause_s * 2 ** (state.attempt_number - 1))
        pause = longest * random.uniform(0.5, 1.0)  # so that threads do not come back in step
        error = state.outcome.exception() if state.outcome else None
        asked = error.after_s if isinstance(error, Trouble) else None
        return max(pause, min(asked or 0.0, limits.retry_after_max_s))

    def _note(self, address: str, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._traffic.count(host_of(address), retries=1)
        log.debug("%s: %s; again in %.1f s", shown(address), error, state.upcoming_sleep)

    def _refuse_where_closed(self, address: str, host: str) -> None:
        with self._lock:
            wait = self._hosts.setdefault(host, _Host()).closed_until - time.monotonic()
        if wait > 0:
            raise Unavailable(
                f"{shown(address)} was not asked for: {host} failed {self._limits.failures_to_trip} times in a "
                f"row and is left alone for another {wait:.0f} s; try again later"
            )

    def _failed(self, host: str) -> None:
        with self._lock:
            health = self._hosts[host]
            health.failures += 1
            if health.failures >= self._limits.failures_to_trip:
                if health.closed_until < time.monotonic():
                    log.warning("%s does not answer and is left alone for %.0f s", host, self._limits.trip_s)
                health.closed_until = time.monotonic() + self._limits.trip_s

    def _answered(self, host: str) -> None:
        with self._lock:
            self._hosts[host] = _Host()


def host_of(address: str) -> str:
    """Names the server of an address: host and port, or the bucket."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{host}" if parts.scheme not in ("http", "https") else host
