"""What is kept in memory: the last used of many things, up to so many bytes, each made once however many ask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Things by key, for any number of threads."""

    def __init__(self, most_bytes: int, *, size_of: Callable[[T], int]) -> None:
        """Keeps nothing yet.

        Args:
            most_bytes: how much is kept at most; 0 for nothing.
            size_of: gives the bytes of a thing.
        """
        self.most_bytes = most_bytes
        self._size_of = size_of
        self._held: OrderedDict[Hashable, Future[T]] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}
        self._lock = Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._sizes

    @property
    def num_bytes(self) -> int:
        """How much is kept."""
        with self._lock:
            return sum(self._sizes.values())

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Gives what has a key; makes it where it is not kept. Whoever asks meanwhile waits for it.

        Args:
            key: what tells things apart; a new one where a thing has changed.
            make: makes it; what it raises is raised for everyone who waits, and nothing is kept.
        """
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            else:
                own = self._held[key] = Future()
        if found is not None:
            return found.result()
        try:
            thing = make()
        except BaseException as error:  # whatever it is, nobody may wait for ever
            with self._lock:
                self._held.pop(key, None)
            own.set_exception(error)
            raise
        own.set_result(thing)
        self._keep(key, self._size_of(thing))
        return thing

    def _keep(self, key: Hashable, size: int) -> None:
        """Counts a thing, and lets go of those that were not used for longest."""
        with self._lock:
            self._sizes[key] = size
            total = sum(self._sizes.values())
            for old in [one for one in self._held if one in self._sizes]:
                if total <= self.most_bytes:
                    break
                del self._held[old]
                total -= self._sizes.pop(old)
