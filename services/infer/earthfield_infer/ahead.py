"""Work ahead: items go through threads, results come back in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def worked_ahead(
    do: Callable[[T], R], items: Iterable[T], *, ahead: int, threads: int = 1
) -> Generator[R, None, None]:
    """Yields `do(item)` for every item, in order, while later ones are being worked on.

    Whoever stops listening stops the work: items that nobody began are dropped.

    Args:
        do: safe to call from `threads` threads at once.
        items: taken as they are needed, by the thread that listens.
        ahead: items that may be under way or wait to be taken, beside the one that is yielded.
        threads: how many are worked on at once.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            # What is logged and timed there belongs to the run and the tile here.
            pending.append(pool.submit(copy_context().run, do, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
