"""Limits of fetching: how long, how often and how much; and the count of what was fetched."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """How patient a job is with servers, and how much it takes from them."""

    connect_s: float = 10.0
    """Longest wait for a connection."""
    read_s: float = 30.0
    """Longest silence of a server that owes an answer."""
    budget_s: float = 180.0
    """Longest time for one piece of a file, all tries and pauses together."""
    tries: int = 5
    """How often one piece is asked for."""
    pause_s: float = 0.5
    """First pause between two tries; each is about twice as long as the one before."""
    pause_max_s: float = 15.0
    """Longest such pause."""
    retry_after_max_s: float = 60.0
    """Longest pause that a server may ask for."""
    failures_to_trip: int = 4
    """Pieces that fail one after another, each after all its tries, until a host is left alone."""
    trip_s: float = 60.0
    """How long a host is left alone."""
    redirects: int = 5
    """Hops from one address to the next."""
    header_bytes: int = 64 * 1024
    """First piece of every file: it holds the header of nearly every cloud-optimised GeoTIFF."""
    piece_bytes: int = 16 * 1024**2
    """Longest piece of a file asked for at once."""
    whole_bytes: int = 64 * 1024**2
    """Largest file taken whole from a server that gives no parts, and largest text."""
    held_bytes: int = 32 * 1024**2
    """Bytes of one open file that are kept."""
    connections: int = 8
    """Connections to a host that no provider is known for."""


@dataclass
class Traffic:
    """What went over the wire, over all threads of a job."""

    requests: int = 0
    """Requests sent, redirects not counted."""
    retries: int = 0
    """Requests that were sent again."""
    bytes_by_provider: Counter[str] = field(default_factory=Counter)
    """Bytes received, by the name of the provider, or by host where none is known."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def bytes_fetched(self) -> int:
        """Bytes received."""
        with self._lock:
            return sum(self.bytes_by_provider.values())

    def count(self, provider: str, *, received: int = 0, requests: int = 0, retries: int = 0) -> None:
        """Adds to the counts."""
        with self._lock:
            self.requests += requests
            self.retries += retries
            if received:
                self.bytes_by_provider[provider] += received
