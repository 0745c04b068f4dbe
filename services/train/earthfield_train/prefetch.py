"""Prefetching: batches made by threads ahead of the step that needs them, in the order that was asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from earthfield_train.dataset import TrainBatch

_AHEAD = 2
"""Batches that each worker may be ahead."""


def prefetched(
    batches: Callable[[int], TrainBatch], numbers: Iterable[int], *, workers: int
) -> Generator[TrainBatch]:
    """Yields `batches(number)` for each number, in order; the same batches whatever the number of workers.

    Threads are enough: reading and copying pixels lets other threads run. Close the iterator (or use it up) to
    end them.

    Args:
        batches: makes a batch; a function of its number alone.
        numbers: which batches.
        workers: threads; 0 makes each batch when it is asked for.
    """
    if workers < 1:
        yield from map(batches, numbers)
        return
    left = iter(numbers)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batch")
    pending: deque[Future[TrainBatch]] = deque()
    try:
        pending.extend(pool.submit(batches, number) for number in islice(left, workers * _AHEAD))
        while pending:
            done = pending.popleft().result()
            pending.extend(pool.submit(batches, number) for number in islice(left, 1))
            yield done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
