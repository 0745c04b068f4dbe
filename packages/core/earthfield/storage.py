"""Writing whole or not at all, and naming what a disk refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earthfield.errors import InvalidInput, Unavailable

_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT}
_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what a disk refuses while `path` is written into one clear sentence.

    Raises:
        Unavailable: the disk is full.
        InvalidInput: the place cannot be written.
    """
    try:
        yield
    except Exception as error:
        # A border: libraries wrap the disk's refusal in errors of their own.
        raise _told(error, path) or error from error


def _told(error: Exception, path: Path) -> Exception | None:
    number = error.errno if isinstance(error, OSError) else None
    text = str(error)
    if number in _FULL or "No space left" in text or "os error 28" in text:
        return Unavailable(f"the disk of {path} is full: free some space and run the same command again")
    denied = ("Read-only file system", "Permission denied", "os error 30", "os error 13")
    if number in _READ_ONLY or any(words in text for words in denied):
        return InvalidInput(
            f"{path} cannot be written ({text}): choose another folder with --root or EARTHFIELD_ROOT"
        )
    return None


def make_folder(path: Path) -> Path:
    """Makes a folder and its parents; errors as in `writing`."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside `path` that takes its place when the block ends well.

    A crash leaves `path` as it was; the temporary file of this process is removed on an error.
    """
    make_folder(path.parent)
    # The process id keeps two writers apart; the suffix stays, because drivers choose by it.
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    with writing(path):
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Gives an empty folder on the same disk as `parent`, gone afterwards."""
    folder = parent / f".writing-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Writes JSON whole: sorted keys, so that equal content gives equal bytes."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def hash_of(content: Any) -> str:
    """Gives the SHA-256 of JSON content in one canonical spelling."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def hash_of_file(path: Path) -> str:
    """Gives the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
