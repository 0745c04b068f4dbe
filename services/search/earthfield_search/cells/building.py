"""Cells of many fields: made one after the other here, or side by side on the workers of Dask."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from earthfield.catalog import Catalog, FieldKey
from earthfield.errors import InvalidInput, Unavailable
from earthfield.field import Field
from earthfield_search.cells.index import Cells
from earthfield_search.cells.rows import cells_of

if TYPE_CHECKING:
    from distributed import Client

LOCAL, NONE = "local", "none"
"""Dask workers of our own, one a core; this process alone."""
_WORTH_IT = 8
"""Fields from which workers of our own pay for their start, on more than two cores."""
_WORKER_MEMORY = "2GiB"
_CONNECT_S = 20
_AHEAD = 2
"""Fields that a worker may have waiting: whoever writes is not overrun."""


def make_cells(catalog: Catalog, key: FieldKey, cell_px: int) -> Cells:
    """Makes the cells of one field; errors as in `earthfield_search.cells.rows.cells_of`."""
    return Cells(key.tile.id, key.period.id, cells_of(Field(catalog, key), cell_px=cell_px))


def cells_of_all(
    catalog: Catalog, keys: Sequence[FieldKey], *, cell_px: int, dask: str | None
) -> Iterator[Cells]:
    """Yields the cells of fields, in the order of the fields, never many ahead.

    Args:
        catalog: where the fields lie; workers must see it under the same address.
        keys: which fields.
        cell_px: side of a cell in pixels.
        dask: address of a scheduler, `local` or `none`; where absent, `local` if it pays.

    Raises:
        Unavailable: no scheduler answers at that address, or the workers keep dying.
        InvalidInput: Dask is not installed.
        EarthfieldError: what making the cells of a field raised.
    """
    where = dask or (LOCAL if len(keys) >= _WORTH_IT and (os.cpu_count() or 1) > 2 else NONE)
    if where == NONE or not keys:
        yield from (make_cells(catalog, key, cell_px) for key in keys)
        return
    with _cluster(where, len(keys)) as client:
        from distributed import KilledWorker

        most = max(2, _AHEAD * len(client.scheduler_info()["workers"]))
        left, waiting = iter(keys), deque[object]()
        try:
            for _ in keys:
                while len(waiting) < most and (key := next(left, None)) is not None:
                    waiting.append(client.submit(make_cells, catalog, key, cell_px, pure=False))
                yield waiting.popleft().result()  # type: ignore[attr-defined]
        except KilledWorker as error:
            text = f"Dask workers keep dying on one field ({error}): give them more memory"
            raise Unavailable(text) from error


@contextmanager
def _cluster(scheduler: str, num_fields: int) -> Iterator[Client]:
    try:
        import dask
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"--dask needs {error.name}, which is not installed: pip install distributed, or use --dask none"
        ) from error
    # What Dask says when workers come and go is no news to a user; what goes wrong is raised.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set({"distributed.comm.timeouts.connect": _CONNECT_S}):
        if scheduler == LOCAL:
            with (
                LocalCluster(
                    n_workers=min(num_fields, os.cpu_count() or 1), threads_per_worker=1,
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
