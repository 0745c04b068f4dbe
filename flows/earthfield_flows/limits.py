"""Limits: one run at a time writes a tile, and few read from one provider, whoever started them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from earthfield.errors import Unavailable
from earthfield.grid import Tile
from earthfield_flows.engine import is_private

if TYPE_CHECKING:
    from prefect.client.schemas.objects import ConcurrencyLeaseHolder

PROVIDER_SLOTS = 4
"""Tiles that are ingested from one provider at a time, unless `prefect gcl update` says otherwise."""
_LEASE_S = 60.0
"""How long a slot stays taken when whoever held it was killed; the shortest that Prefect knows."""


def limits_of(tile: Tile, catalog: str = "") -> dict[str, int]:
    """Gives the limits that work on a tile keeps to, and how many may hold each.

    Args:
        tile: one at a time.
        catalog: where scenes come from; folders have no limit.
    """
    from earthfield_ingest.providers import address_of, provider_of

    address = address_of(catalog)
    host = provider_of(address).name or urlsplit(address).hostname or ""
    is_far = address.startswith(("http://", "https://", "s3://"))
    return {f"tile-{tile.id}": 1} | ({f"provider-{host}": PROVIDER_SLOTS} if is_far and host else {})


@contextmanager
def held(limits: dict[str, int]) -> Iterator[None]:
    """Waits for a slot of each limit and holds them inside the block.

    A limit that the server does not know is made; one that is there keeps the number that a person gave it.

    Raises:
        Unavailable: the server that counts does not answer.
    """
    if is_private() or not limits:
        yield
        return
    import httpx
    from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
    from prefect.concurrency.sync import concurrency

    with ExitStack() as slots:
        try:
            for name, number in limits.items():
                _make(name, number)
            slots.enter_context(concurrency(list(limits), lease_duration=_LEASE_S, holder=_holder()))
        except (httpx.HTTPError, ConcurrencySlotAcquisitionError) as error:
            raise Unavailable(
                f"the Prefect server gave no slot of {', '.join(limits)} ({error}): try again"
            ) from error
        yield


def free(run_ids: Collection[str]) -> int:
    """Gives back at once the slots of runs that are no more; without it they come free within a minute.

    It knows of them where the server keeps who holds a slot in files of this machine, as that of the stack does.

    Returns:
        How many were given back.
    """
    import asyncio

    from prefect.client.orchestration import get_client
    from prefect.server.concurrency.lease_storage.filesystem import ConcurrencyLeaseStorage

    async def give_back() -> int:
        leases, number = ConcurrencyLeaseStorage(), 0
        async with get_client() as client:
            for lease_id in await leases.read_active_lease_ids(limit=10_000):
                lease = await leases.read_lease(lease_id)
                holder = lease.metadata.holder if lease and lease.metadata else None
                if holder is not None and str(holder.id) in run_ids:
                    await client.release_concurrency_slots_with_lease(lease_id)
                    number += 1
        return number

    return asyncio.run(give_back())


def _holder() -> ConcurrencyLeaseHolder | None:
    """Who holds a slot: the run that this is a part of."""
    from uuid import UUID

    from prefect.client.schemas.objects import ConcurrencyLeaseHolder
    from prefect.runtime import flow_run

    return ConcurrencyLeaseHolder(type="flow_run", id=UUID(flow_run.id)) if flow_run.id else None


def _make(name: str, slots: int) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            try:
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=slots))
            except ObjectAlreadyExists:  # another run was quicker
                return
