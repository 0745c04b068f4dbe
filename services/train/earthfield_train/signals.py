"""Signals: a polite request to stop is kept until the step is done."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_PATIENCE_S = 1.0
"""A second Ctrl-C this long after the first ends the process at once; a sooner one is the same request."""


class StopRequest:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        """Nobody did yet."""
        self.number = 0
        """The signal, 0 for none."""
        self._first_s = 0.0

    def take(self, number: int, frame: FrameType | None) -> None:
        """Notes a signal; see `_PATIENCE_S`."""
        now = time.monotonic()
        if self.number and number == signal.SIGINT and now - self._first_s > _PATIENCE_S:
            raise KeyboardInterrupt
        if not self.number:
            self.number, self._first_s = number, now


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Listens to SIGTERM and SIGINT inside the block, where this is the main thread; elsewhere nobody asks."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {one: signal.signal(one, request.take) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
