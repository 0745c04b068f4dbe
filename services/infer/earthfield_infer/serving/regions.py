"""Shared memory between a client and a server on one host: a file in /dev/shm that has a name for a moment only."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path("/dev/shm")
PREFIX = "earthfield-"
_NAME = re.compile(rf"{PREFIX}(?P<pid>\d+)-[0-9a-f]+")
_ALIGN = 64
_GROW = 1 << 20


@dataclass(frozen=True)
class TensorSpec:
    """A tensor that travels."""

    name: str
    """Its name."""
    dtype: np.dtype[Any]
    """Its type."""
    shape: tuple[int, ...]
    """Its shape, the batch axis first."""

    @property
    def num_bytes(self) -> int:
        """Its size."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def places_of(specs: Sequence[TensorSpec]) -> tuple[dict[str, int], int]:
    """Gives where tensors lie in a region, and how large it must be."""
    places, end = {}, 0
    for one in specs:
        places[one.name] = end
        end += -(-one.num_bytes // _ALIGN) * _ALIGN
    return places, max(end, _ALIGN)


class Region:
    """Memory that this process and a server both see.

    Its file loses its name as soon as the server has opened it, so nothing is left behind however either ends.
    """

    def __init__(self, size: int) -> None:
        """Takes `size` bytes or more.

        Raises:
            OSError: there is no such memory here, or not enough: the caller sends its tensors instead.
        """
        self.size = -(-size // _GROW) * _GROW
        self.name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        self._path = FOLDER / self.name
        descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            # Taken now: memory that is only promised kills the process that writes when there is none.
            os.posix_fallocate(descriptor, 0, self.size)
            self._memory = mmap.mmap(descriptor, self.size)
        except OSError:
            self.forget_name()
            raise
        finally:
            os.close(descriptor)

    @property
    def key(self) -> str:
        """Its name as `shm_open` takes it."""
        return f"/{self.name}"

    def forget_name(self) -> None:
        """Takes the file's name away; who has it open keeps it."""
        self._path.unlink(missing_ok=True)

    def arrays(self, specs: Sequence[TensorSpec], places: Mapping[str, int]) -> dict[str, NDArray[Any]]:
        """Gives tensors that lie in it, by name."""
        return {
            one.name: np.frombuffer(
                self._memory, one.dtype, one.num_bytes // one.dtype.itemsize, places[one.name]
            ).reshape(one.shape)
            for one in specs
        }

    def close(self) -> None:
        """Gives the memory back; where an array still looks at it, as soon as that is gone."""
        self.forget_name()
        with contextlib.suppress(BufferError):
            self._memory.close()


class RegionPool:
    """Regions of one server: each serves one request at a time and is kept for the next."""

    def __init__(self, register: Callable[[Region], None], unregister: Callable[[str], None]) -> None:
        """Takes how a server is told of a region and how it is told to let it go."""
        self._register, self._unregister = register, unregister
        self._free: list[Region] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def region(self, size: int) -> Any:
        """Lends a region that the server knows; after an error it is not used again.

        The server may still be writing into it, so it is not told to let it go: it does once the owner is gone.

        Raises:
            OSError: there is not enough memory.
        """
        region = self._taken(size)
        try:
            yield region
        except BaseException:
            region.close()
            raise
        with self._lock:
            if not self._closed:
                self._free.append(region)
                return
        self._drop(region)

    def _taken(self, size: int) -> Region:
        with self._lock:
            region = max(self._free, key=lambda one: one.size, default=None)
            if region is not None:
                self._free.remove(region)
        if region is not None and region.size >= size:
            return region
        if region is not None:
            self._drop(region)
        made = Region(size)
        try:
            self._register(made)
        except BaseException:
            made.close()
            raise
        made.forget_name()
        return made

    def _drop(self, region: Region) -> None:
        region.close()
        self._unregister(region.name)

    def clear(self) -> None:
        """Gives back what is not lent; a server that was started again knows none of them."""
        with self._lock:
            free, self._free = self._free, []
        for region in free:
            self._drop(region)

    def close(self) -> None:
        """Gives everything back, what is lent as soon as it returns."""
        self._closed = True
        self.clear()


def owner_of(name: str) -> int | None:
    """Gives the process that made a region, by the region's name; None where it is nobody's of ours."""
    match = _NAME.fullmatch(name)
    return int(match["pid"]) if match else None
