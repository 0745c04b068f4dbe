"""Pieces: a remote file's bytes as they were fetched, kept so that none is fetched twice."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from earthfield.errors import BrokenArtefact, Unavailable
from earthfield_ingest.access import shown
from earthfield_ingest.fetch.limits import Limits

_GAP_BYTES = 64 * 1024
"""Ranges nearer than this are asked for as one: a request costs more than these bytes."""


@dataclass(frozen=True)
class Piece:
    """Some bytes of a remote file."""

    start: int
    """Where they begin; not always where they were asked for, as some servers only give the whole."""
    data: bytes
    """The bytes."""
    size: int
    """Length of the whole file."""
    version: str = ""
    """What the server calls this state of the file; empty where it does not say."""


Fetch = Callable[[int, int], Piece]
"""Fetches bytes from `start` to `stop` (exclusive); past the end of the file it gives what there is."""


class Pieces:
    """The bytes of one remote file; not shared by threads."""

    def __init__(self, address: str, fetch: Fetch, limits: Limits) -> None:
        """Args: the address, for messages; what fetches a piece; how much at once."""
        self._address, self._fetch, self._limits = address, fetch, limits
        self._starts: list[int] = []
        self._held: dict[int, bytes] = {}
        self._order: deque[int] = deque()
        self._first: Piece | None = None
        self._ahead = limits.header_bytes
        self._last_stop = 0

    @property
    def size(self) -> int:
        """Length of the file; the first time this fetches its header."""
        return self._header().size

    def read(self, start: int, stop: int) -> bytes:
        """Gives bytes from `start` to `stop`, fewer where the file ends before.

        Raises:
            BrokenArtefact: the server refuses, or the file is empty.
            Unavailable: the network fails, also after some tries, or the file changed while it was read.
        """
        stop = min(stop, self.size)
        parts = []
        while start < stop:
            place = bisect_right(self._starts, start) - 1
            first = self._starts[place] if place >= 0 else 0
            held = self._held[first] if place >= 0 else b""
            if start < first + len(held):
                part = held[start - first : stop - first]
            else:
                following = self._starts[place + 1] if place + 1 < len(self._starts) else self.size
                part = self._fetched(start, stop, following)
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Fetches ranges that will be read, neighbours in one request; errors as in `read`."""
        for start, stop in _merged(ranges, self._limits.piece_bytes):
            self.read(start, stop)

    def _header(self) -> Piece:
        if self._first is None:
            self._first = self._fetch(0, self._limits.header_bytes)
            if self._first.size == 0:
                raise BrokenArtefact(f"{shown(self._address)} is empty")
            self._keep(self._first.start, self._first.data)
            self._last_stop = len(self._first.data)
        return self._first

    def _fetched(self, start: int, stop: int, following: int) -> bytes:
        """Fetches what lies between two pieces that are held, and a little more for the next small read."""
        if start == self._last_stop:
            self._ahead = min(2 * self._ahead, self._limits.piece_bytes // 4)
        else:
            self._ahead = self._limits.header_bytes
        end = min(max(stop, start + self._ahead), start + self._limits.piece_bytes, following)
        piece, first = self._fetch(start, end), self._header()
        if (piece.size, piece.version) != (first.size, first.version):
            raise Unavailable(f"{shown(self._address)} changed while it was being read: try again later")
        if piece.start > start or piece.start + len(piece.data) < end:
            raise Unavailable(
                f"{shown(self._address)} gives another part than was asked for: try again later"
            )
        data = piece.data[start - piece.start : end - piece.start]
        self._keep(start, data)
        self._last_stop = end
        return data[: stop - start]

    def _keep(self, start: int, data: bytes) -> None:
        self._starts.insert(bisect_right(self._starts, start), start)
        self._held[start] = data
        self._order.append(start)
        # The newest and the header stay, whatever their length.
        while len(self._order) > 2 and sum(map(len, self._held.values())) > self._limits.held_bytes:
            self._order.rotate(-1)
            oldest = self._order.popleft()
            self._order.rotate(1)
            del self._held[oldest]
            self._starts.remove(oldest)


class PieceFile(io.RawIOBase):
    """A remote file for readers that want one of Python's."""

    def __init__(self, pieces: Pieces) -> None:
        """Args: the file's bytes."""
        self._pieces = pieces
        self._at = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read anywhere."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a place."""
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._pieces.size}[whence]
        self._at = max(0, begin + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer as far as the file goes; errors as in `Pieces.read`."""
        into = memoryview(buffer).cast("B")
        data = self._pieces.read(self._at, self._at + len(into))
        into[: len(data)] = data
        self._at += len(data)
        return len(data)


def _merged(ranges: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if merged and start - merged[-1][1] <= _GAP_BYTES and stop - merged[-1][0] <= most:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
