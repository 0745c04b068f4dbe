"""How often a password may be tried: a few times at once, then ever more slowly."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

_FREE = 5
"""Failures in a row that cost nothing: people mistype."""
_FIRST_S, _LONGEST_S = 10.0, 900.0
_FORGOTTEN_S = 3600.0
_MOST = 10_000


class Attempts:
    """Counts failures by address; a success forgets those of its address."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: what tells the time, seconds."""
        self._clock = clock
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Gives how long an address has to wait before it may try again, seconds; 0 for not at all."""
        now = self._clock()
        count, last = self._failed.get(_network(address), (0, 0.0))
        if count < _FREE or now - last > _FORGOTTEN_S:
            return 0.0
        return max(0.0, last + min(_LONGEST_S, _FIRST_S * 2.0 ** min(count - _FREE, 20)) - now)

    def failed(self, address: str) -> None:
        """Counts a failure."""
        now, who = self._clock(), _network(address)
        count, last = self._failed.pop(who, (0, now))
        self._failed[who] = (count + 1 if now - last < _FORGOTTEN_S else 1, now)
        if len(self._failed) > _MOST:
            self._failed.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forgets the failures of an address."""
        self._failed.pop(_network(address), None)


def _network(address: str) -> str:
    """Gives what stands for an address: whoever has one of IPv6 has 2^64 of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if found.version == 6:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
