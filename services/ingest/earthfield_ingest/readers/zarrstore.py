"""Zarr stores read through the fetcher, so that every piece of one passes its checks, on a disk or the network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from earthfield.errors import BrokenArtefact
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.fetch.web import Refused
from earthfield_ingest.scene import is_remote

_ABSENT = (404, 410)


class FetchedStore(Store):
    """A Zarr store that is only read; on the network it is not listed, so its metadata must be consolidated."""

    def __init__(self, address: str, fetcher: Fetcher) -> None:
        """Args: folder or URL; what opens its files."""
        super().__init__(read_only=True)
        self._address, self._fetcher = address.rstrip("/"), fetcher

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FetchedStore) and other._address == self._address

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Gives the bytes of a file or a part of them, None where there is no such file."""
        # Opened, read and closed in one thread, as the fetcher wants it.
        content = await asyncio.to_thread(self._read, key, byte_range)
        return None if content is None else prototype.buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Gives parts of several files."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Tells whether a file is there."""
        return await asyncio.to_thread(self._read, key, RangeByteRequest(0, 1)) is not None

    @property
    def supports_writes(self) -> bool:
        """It does not."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """It does not."""
        return False

    @property
    def supports_listing(self) -> bool:
        """Only on a disk."""
        return not is_remote(self._address)

    async def set(self, key: str, value: Buffer) -> None:
        """Nothing is written."""
        raise NotImplementedError(key)

    async def delete(self, key: str) -> None:
        """Nothing is removed."""
        raise NotImplementedError(key)

    def list(self) -> AsyncIterator[str]:
        """Lists every file."""
        return self.list_prefix("")

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Lists the files whose key begins so."""
        folder = Path(self._address)
        for path in sorted(folder.rglob("*")):
            key = path.relative_to(folder).as_posix()
            if key.startswith(prefix) and path.is_file():
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Lists what lies directly in a folder of the store."""
        folder = Path(self._address) / prefix
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            yield path.name

    def _read(self, key: str, part: ByteRequest | None) -> bytes | None:
        try:
            with self._fetcher.file(f"{self._address}/{key}") as file:
                if isinstance(part, RangeByteRequest):
                    file.seek(part.start)
                    return file.read(part.end - part.start)
                if isinstance(part, OffsetByteRequest):
                    file.seek(part.offset)
                elif isinstance(part, SuffixByteRequest):
                    file.seek(max(0, file.seek(0, 2) - part.suffix))
                return file.read()
        except Refused as error:
            if error.status in _ABSENT:
                return None
            raise


def opened_store(address: str, fetcher: Fetcher) -> tuple[FetchedStore, dict[str, Any]]:
    """Opens a Zarr store, and gives what xarray must be told of it.

    Raises:
        BrokenArtefact: there is none, or it can neither be listed nor is consolidated.
        Unavailable: the network fails.
    """
    store = FetchedStore(address, fetcher)
    try:
        group = zarr.open_group(store, mode="r")
    except FileNotFoundError as error:
        raise BrokenArtefact(f"{address} is no Zarr store: it has no metadata of a group") from error
    consolidated = group.metadata.consolidated_metadata is not None
    if not consolidated and not store.supports_listing:
        raise BrokenArtefact(
            f"{address} has no consolidated metadata, without which it cannot be read from here"
        )
    return store, {"engine": "zarr", "consolidated": consolidated}
