"""Many at once: tasks in threads that keep their order, and tiles over the workers of Dask."""

from __future__ import annotations

import ctypes
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from earthfield.errors import EarthfieldError, Unavailable
from earthfield.progress import Progress

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")

LOCAL = "local"
"""Asks for a Dask cluster of this machine's cores, ended with the job."""
_WORKER_MEMORY = "2GiB"
"""Memory at which Dask restarts a worker; one holds about half of it at most, whatever the area."""
_CONNECT_S = 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""glibc's numbers for: how much freed memory it keeps, from which size on it asks the system, how many heaps."""


@cache
def bound_memory() -> None:
    """Lets threads share heaps, so that memory does not grow from tile to tile.

    glibc gives every thread a heap of its own and keeps what is freed there: after 16 tiles it held 1.25 GB instead
    of 0.85.
    Elsewhere than on glibc this does nothing.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 2)
        # By itself glibc learns to keep large pieces; Dask's setting for its workers stops it from learning, and
        # fetching every page anew takes as long as the work.
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 64 << 20)


def in_order(do: Callable[[T], R], tasks: Iterable[T], *, num_threads: int) -> Iterator[tuple[T, R]]:
    """Does tasks in threads and gives them back in their order, never more than one a thread ahead."""
    if num_threads < 2:
        yield from ((task, do(task)) for task in tasks)
        return
    with ThreadPoolExecutor(num_threads) as pool:
        waiting: deque[tuple[T, Future[R]]] = deque()
        for task in tasks:
            # What is logged there belongs to the run and the tile here.
            waiting.append((task, pool.submit(copy_context().run, do, task)))
            if len(waiting) > num_threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def over_workers(
    do: Callable[[T], R], tasks: Sequence[T], *, scheduler: str, name: str, progress: Progress
) -> list[R]:
    """Does tasks on the workers of a Dask cluster; a worker that dies has its task given to another.

    Args:
        do: what to do; it and what it takes and gives must be picklable.
        tasks: what to do it with.
        scheduler: address of a scheduler, or `local`.
        name: what a task is called in the progress.
        progress: told after each task.

    Returns:
        What each task gave, in the order of the tasks.

    Raises:
        Unavailable: no scheduler answers at that address, or the workers keep dying.
        EarthfieldError: the first that a task raised, when all the others have ended.
    """
    from distributed import KilledWorker, as_completed

    with _cluster(scheduler, len(tasks)) as client:
        futures = {client.submit(do, task, pure=False): place for place, task in enumerate(tasks)}
        results: dict[int, R] = {}
        failed: list[EarthfieldError] = []
        for done, future in enumerate(as_completed(futures), 1):
            try:
                results[futures[future]] = future.result()
            except EarthfieldError as error:
                failed.append(error)
            except KilledWorker as error:
                text = f"Dask workers keep dying on one task ({error}): give them more memory"
                failed.append(Unavailable(text))
            progress(name, done, len(tasks))
        if failed:
            raise failed[0]
        return [results[place] for place in range(len(tasks))]


@contextmanager
def _cluster(scheduler: str, num_tasks: int) -> Iterator[Client]:
    import dask
    from distributed import Client, LocalCluster

    # What Dask says when workers come and go is no news to a user; what goes wrong is raised.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set({"distributed.comm.timeouts.connect": _CONNECT_S}):
        if scheduler == LOCAL:
            with (
                LocalCluster(
                    n_workers=min(num_tasks, os.cpu_count() or 1), threads_per_worker=1,
                    memory_limit=_WORKER_MEMORY, dashboard_address=None, silence_logs=logging.CRITICAL,
                ) as cluster,
                Client(cluster) as client,
            ):  # fmt: skip
                yield client
            return
        try:
            client = Client(scheduler, timeout=_CONNECT_S)
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"no Dask scheduler answers at {scheduler} ({error}): start one with `dask scheduler`, "
                "or use --dask local"
            ) from error
        with client:
            yield client
