"""The bridge to GDAL: it decodes what we fetch, and opens no connection of its own."""

from __future__ import annotations

import atexit
import io
import itertools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any

import rasterio
from rasterio.abc import MultiByteRangeResourceContainer
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from earthfield.errors import BrokenArtefact
from earthfield_ingest.fetch.pieces import Pieces

GDAL_OPTIONS: Mapping[str, Any] = {
    # No look at the neighbours (.aux.xml, .ovr, .msk): they could lead elsewhere, and cost a third of the time.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    # PAM is off; but where INTERNAL stands alone, JPEG 2000 files without a place get one from unset memory.
    "GDAL_GEOREF_SOURCES": "INTERNAL,PAM",
    "GDAL_CACHEMAX": 64,
}

_DRIVERS = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
}
"""The only drivers that open an asset, by how files of theirs begin: others (VRT, WMS) follow addresses."""


def driver_of(head: bytes, name: str) -> str:
    """Tells which driver reads a file, by its first bytes.

    Raises:
        BrokenArtefact: none that we let near.
    """
    for begins, driver in _DRIVERS.items():
        if head.startswith(begins):
            return driver
    raise BrokenArtefact(f"{name} is neither a GeoTIFF nor a JPEG 2000 file")


@contextmanager
def remote_raster(pieces: Pieces, name: str) -> Iterator[Any]:
    """Opens a remote raster.

    Args:
        pieces: the file's bytes.
        name: what to call it in messages.

    Raises:
        RasterioError: GDAL cannot decode it.
        EarthfieldError: as `Pieces.read`; it takes the place of what GDAL makes of it.
    """
    driver = driver_of(pieces.read(0, 16), name)
    stream = _Stream(pieces, name)
    try:
        with _bridge().opened(stream, driver) as dataset:
            yield dataset
    except RasterioError as error:
        if stream.trouble is not None:
            raise stream.trouble from error
        raise
    # GDAL may pass over a piece that did not come.
    if stream.trouble is not None:
        raise stream.trouble


class _Stream:
    """A remote file as GDAL reads it.

    What goes wrong is kept and not raised: an exception would be lost on its way through GDAL.
    """

    def __init__(self, pieces: Pieces, name: str) -> None:
        self._pieces, self._name = pieces, name
        self._at = 0
        self.trouble: BaseException | None = None

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to close."""

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._pieces.size}[whence]
        self._at = begin + offset
        return self._at

    def read(self, length: int = -1) -> bytes:
        data = self._safe(self._at, self._at + length if length >= 0 else self._pieces.size)
        self._at += len(data)
        return data

    def get_byte_ranges(self, offsets: list[int], sizes: list[int]) -> list[bytes]:
        """Gives several ranges, which GDAL asks for before it decodes a window.

        GDAL does not learn how much came: what a cut file lacks would be decoded from unset memory.
        """
        ranges = [(start, start + size) for start, size in zip(offsets, sizes, strict=True)]
        try:
            if any(stop > self._pieces.size for _, stop in ranges):
                raise BrokenArtefact(f"{self._name} is cut short: it ends after {self._pieces.size} bytes")
            self._pieces.expect(ranges)
        except BaseException as error:  # noqa: BLE001 - see above; an interrupt too
            self.trouble = self.trouble or error
        return [self._safe(start, stop) for start, stop in ranges]

    def _safe(self, start: int, stop: int) -> bytes:
        if self.trouble is not None:
            return b""
        try:
            return self._pieces.read(start, stop)
        except BaseException as error:  # noqa: BLE001 - see above; an interrupt too
            self.trouble = error
            return b""


class _Counter(MultiByteRangeResourceContainer):
    """Hands open streams to GDAL, by number; whatever else GDAL looks for is not there."""

    def __init__(self) -> None:
        self.streams: dict[str, Any] = {}

    def open(self, path: str, mode: str = "r", **_: Any) -> Any:
        if mode.startswith("r") and "+" not in mode and self.isfile(path):
            return self.streams[path.rpartition("/")[2]]
        raise FileNotFoundError(path)

    def isfile(self, path: str) -> bool:
        return path.rpartition("/")[2] in self.streams

    def isdir(self, path: str) -> bool:
        return False

    def ls(self, path: str) -> list[str]:
        return []

    def mtime(self, path: str) -> int:
        return 0

    def rm(self, path: str) -> None:
        raise FileNotFoundError(path)

    def size(self, path: str) -> int:
        if not self.isfile(path):
            raise FileNotFoundError(path)
        stream = self.streams[path.rpartition("/")[2]]
        before = stream.tell()
        length: int = stream.seek(0, io.SEEK_END)
        stream.seek(before)
        return length


class _Bridge:
    """rasterio's opener plug-in, installed once for the life of the process.

    `rasterio.open(..., opener=...)` installs a file system in GDAL for each file and removes it afterwards, and
    GDAL walks its list of file systems without a lock: two threads doing so crash the process. So one file is held
    open for ever, and all others are opened below the file system that it brought.
    """

    def __init__(self) -> None:
        self._counter = _Counter()
        self._numbers = itertools.count(1)
        self._counter.streams["0"] = io.BytesIO(_smallest_tif())
        self._anchor = rasterio.open("earthfield/0", opener=self._counter, driver="GTiff")
        self._root = self._anchor.name.rpartition("/")[0]
        # The plug-in looks its openers up in the context of the thread that calls; this one knows ours.
        self._context: Context = copy_context()
        atexit.register(self._context.run, self._anchor.close)

    @contextmanager
    def opened(self, stream: _Stream, driver: str) -> Iterator[Any]:
        """Opens a stream with a driver."""
        number, context = str(next(self._numbers)), self._context.copy()
        self._counter.streams[number] = stream
        try:
            dataset = context.run(rasterio.open, f"{self._root}/{number}", driver=driver)
            try:
                yield dataset
            finally:
                context.run(dataset.close)
        finally:
            del self._counter.streams[number]


_lock = threading.Lock()
_bridges: list[_Bridge] = []


def _bridge() -> _Bridge:
    with _lock:
        if not _bridges:
            _bridges.append(_Bridge())
        return _bridges[0]


def build_bridge() -> None:
    """Installs the plug-in, if it is not; called before threads read."""
    _bridge()


def _smallest_tif() -> bytes:
    profile = {"driver": "GTiff", "width": 1, "height": 1, "count": 1, "dtype": "uint8"}
    with MemoryFile() as memory:
        with memory.open(**profile, crs="EPSG:4326", transform=rasterio.Affine(1, 0, 0, 0, -1, 1)):
            pass
        return bytes(memory.read())
