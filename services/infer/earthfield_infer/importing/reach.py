"""Which files an import may read, and the bytes by which it knows one again, here or on a web server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound, Unavailable
from earthfield.hosts import certificates

PIECE_BYTES = 256 * 1024
"""Length of the pieces at both ends by which a larger file is known again."""
_PUBLISHED = re.compile(r"[^/]+/[^/]+/[^/]+$")
"""The end of a published path: year, zone and name; what stands before it differs between mirrors."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_HOPS = 5
_TRIES = 3
_TIMEOUT_S = 60.0
_GONE = (401, 403, 404, 410)
"""Buckets that may not be listed answer 403 for what is not there."""
_BUSY = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, order=True)
class File:
    """A file that may be read."""

    name: str
    """What it is called where it was named: in an index or on the command line."""
    address: str
    """A path of this machine, or an http(s) address."""

    @property
    def is_remote(self) -> bool:
        """Whether it lies on a web server."""
        return is_remote(self.address)


@dataclass(frozen=True)
class Known:
    """A file as it was found."""

    opened: str
    """What GDAL opens."""
    num_bytes: int
    """Its size."""
    identity: str
    """Hash of its size and of its ends (of the whole where it is small)."""


class Reach:
    """What an import may read: what the user named, and what lies beside it or on a host that the user allowed."""

    def __init__(self, origin: str, *, base: str | None = None, allow: Sequence[str] = ()) -> None:
        """Keeps the rules; nothing is opened.

        Args:
            origin: address of the index or file that the user named.
            base: folder or http(s) address that takes the place of what stands before `<year>/<zone>/<name>` in
                the paths of an index.
            allow: more hosts that may be read from, each `host` or `host:port`.
        """
        self._origin, self._base = origin, base.rstrip("/") if base else None
        self._hosts = {one.lower() for one in allow}
        for address in (origin, base or ""):
            if is_remote(address):
                self._hosts.add(urlsplit(address).netloc.lower())

    def find(self, path: str) -> File:
        """Turns a path of an index into the file that may be read for it.

        Addresses in buckets (`s3://`, `gs://`) are looked for beside the index, by year, zone and name.

        Raises:
            InvalidInput: it leads out of the index's folder, or to a host that nobody allowed.
        """
        if is_remote(path) and self._base is None:
            self.check(path)
            return File(path, path)
        end = _PUBLISHED.search(path) if self._base is not None or _SCHEME.match(path) else None
        return self._beside(self._base or self._folder, end[0] if end else path, path)

    @property
    def _folder(self) -> str:
        return self._origin.rpartition("/")[0] if is_remote(self._origin) else str(Path(self._origin).parent)

    def _beside(self, folder: str, path: str, name: str) -> File:
        if is_remote(folder):
            address = urljoin(f"{folder}/", path)
            if not address.startswith(f"{folder}/") or ".." in urlsplit(address).path.split("/"):
                raise InvalidInput(f"{name} leads out of {folder}: name where the files lie with --base")
            self.check(address)
            return File(name, address)
        whole = Path(folder).resolve()
        found = (whole / path).resolve()
        if not found.is_relative_to(whole):
            raise InvalidInput(f"{name} leads out of {folder}: name where the files lie with --base")
        return File(name, str(found))

    def check(self, address: str) -> None:
        """Makes sure that a web address may be read.

        Raises:
            InvalidInput: nobody allowed its host.
        """
        parts = urlsplit(address)
        host = (parts.hostname or "").lower()
        if parts.scheme not in ("http", "https") or not {host, parts.netloc.lower()} & self._hosts:
            raise InvalidInput(
                f"{address} lies on {parts.netloc or 'no host'}, which was not named: add --allow {host or 'HOST'}"
            )

    def know(self, file: File) -> Known:
        """Looks at both ends of a file.

        Raises:
            NotFound: it is not there.
            Unavailable: its server does not answer, or answers something else.
            InvalidInput: its server sends it elsewhere, or cannot send parts of files.
        """
        return self._know_remote(file) if file.is_remote else _know_local(file)

    def fetch(self, address: str, into: Path) -> None:
        """Brings a whole file of a web server to this machine; errors as in `know`."""
        for attempt in range(_TRIES):
            try:
                self._fetch_once(address, into)
                return
            except Unavailable:
                if attempt + 1 == _TRIES:
                    raise

    def _fetch_once(self, address: str, into: Path) -> None:
        with self._answered(address, {}) as answer, into.open("wb") as file:
            expected = answer.headers.get("Content-Length")
            for piece in answer.iter_raw():
                file.write(piece)
            if expected is not None and file.tell() != int(expected):
                raise Unavailable(f"{address} broke off after {file.tell()} of {expected} bytes: try again")

    def _know_remote(self, file: File) -> Known:
        opened, head, size = self._part(file.address, f"bytes=0-{PIECE_BYTES - 1}")
        tail = b""
        if size > len(head):
            start = max(len(head), size - PIECE_BYTES)
            opened, tail, again = self._part(opened, f"bytes={start}-{size - 1}")
            if again != size or len(tail) != size - start:
                raise Unavailable(f"{file.address} changed while it was read: run the same command again")
        return Known(f"/vsicurl/{opened}", size, _identity(size, head, tail))

    def _part(self, address: str, wanted: str) -> tuple[str, bytes, int]:
        """Gives the final address, the bytes of a range, and the size of the whole."""
        for attempt in range(_TRIES):
            try:
                with self._answered(address, {"Range": wanted}) as answer:
                    size = _size_of(answer, address)
                    return str(answer.url), answer.read(), size
            except Unavailable:
                if attempt + 1 == _TRIES:
                    raise
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _answered(self, address: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Asks, following redirections only where they may lead."""
        headers = {"User-Agent": user_agent(), "Accept-Encoding": "identity", **headers}
        for _ in range(_HOPS):
            self.check(address)
            try:
                with httpx.stream(
                    "GET", address, headers=headers, verify=certificates(), timeout=_TIMEOUT_S
                ) as answer:
                    if answer.is_redirect:
                        address = urljoin(address, answer.headers["Location"])
                        continue
                    _check_status(answer, address)
                    yield answer
                    return
            except (httpx.TransportError, httpx.InvalidURL) as error:
                raise Unavailable(
                    f"{address} cannot be reached ({error}): check the network and run the same command again"
                ) from error
        raise Unavailable(f"{address} leads in circles: ask its provider")


def is_remote(address: str) -> bool:
    """Tells whether an address lies on a web server."""
    return address.lower().startswith(("http://", "https://"))


def user_agent() -> str:
    """What servers are told; some refuse the names that libraries give themselves."""
    return f"earthfield/{version('earthfield')}"


def reading_options() -> dict[str, Any]:
    """Gives GDAL's options for reading parts of remote files, and for never listing folders."""
    return {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MAX_RETRY": _TRIES, "GDAL_HTTP_RETRY_DELAY": 1,
        "GDAL_HTTP_CONNECTTIMEOUT": 20, "GDAL_HTTP_TIMEOUT": 300, "GDAL_HTTP_LOW_SPEED_TIME": 60,
        "GDAL_HTTP_LOW_SPEED_LIMIT": 1000, "GDAL_HTTP_USERAGENT": user_agent(),
        "CPL_VSIL_CURL_CHUNK_SIZE": 65536,
        # What a server said of a file before must not decide about it now.
        "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",
    }  # fmt: skip


def _know_local(file: File) -> Known:
    path = Path(file.address)
    if not path.is_file():
        raise NotFound(f"there is no file {path}: fetch it, or name where the files lie with --base")
    try:
        with path.open("rb") as opened:
            size = path.stat().st_size
            head, tail = opened.read(PIECE_BYTES), b""
            if size > len(head):
                opened.seek(max(len(head), size - PIECE_BYTES))
                tail = opened.read()
    except OSError as error:
        raise BrokenArtefact(f"{path} cannot be read ({error}): check its permissions") from error
    return Known(str(path), size, _identity(size, head, tail))


def _identity(size: int, head: bytes, tail: bytes) -> str:
    return hashlib.sha256(b"%d\n" % size + head + tail).hexdigest()


def _size_of(answer: httpx.Response, address: str) -> int:
    if answer.status_code != 206:
        raise InvalidInput(
            f"the server of {address} sends only whole files: fetch the file and import it from this machine"
        )
    size = answer.headers.get("Content-Range", "").rpartition("/")[2]
    if not size.isdigit():
        raise Unavailable(f"the server of {address} does not tell the file's size: fetch the file instead")
    return int(size)


def _check_status(answer: httpx.Response, address: str) -> None:
    code = answer.status_code
    if code < 400:
        return
    if code in _GONE:
        raise NotFound(f"{address} is not there, or not for everybody ({code}): check the address, or --base")
    if code in _BUSY:
        raise Unavailable(f"the server of {address} is busy ({code}): run the same command again later")
    raise InvalidInput(f"the server of {address} refuses it ({code}): check what may be read there")
