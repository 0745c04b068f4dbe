"""Writing whole or not at all, and naming what a disk refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earthfield.errors import EarthfieldError, InvalidInput, Unavailable

_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FULL_WORDS = "the disk of {path} is full: free some space and run the same command again"
_ASKED_BYTES = 2**24
"""More than any library writes at once: where it could not, this cannot be written either."""
_NO_BUCKET = ("NoSuchBucket",)
_NO_RIGHT = (
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "Forbidden",
    "no providers in chain provided credentials", "credentials were not properly configured",
)  # fmt: skip
_NO_ANSWER = (
    "dispatch failure", "timeout", "timed out", "SlowDown", "ServiceUnavailable", "InternalError", "os error 111",
    "error sending request", "request has failed",
)  # fmt: skip


@contextmanager
def writing(path: object) -> Iterator[None]:
    """Turns what a disk or a bucket refuses while `path` is written into one clear sentence.

    Raises:
        Unavailable: the disk is full, or the bucket's server does not answer.
        InvalidInput: the place cannot be written.
    """
    try:
        yield
    except Exception as error:
        # A border: libraries wrap the disk's refusal in errors of their own.
        raise refused(error, path) or error from error


def refused(error: Exception, path: object) -> EarthfieldError | None:
    """Gives in our words what a disk or a bucket's server refused, or None where it is something else.

    Args:
        error: what a library raised.
        path: the folder, file or address.
    """
    if isinstance(error, EarthfieldError):
        return None
    number = error.errno if isinstance(error, OSError) else None
    text = str(error)
    if number in _FULL or "No space left" in text or "os error 28" in text:
        return Unavailable(_FULL_WORDS.format(path=path))
    denied = ("Read-only file system", "Permission denied", "os error 30", "os error 13")
    if number in _READ_ONLY or any(words in text for words in denied):
        return InvalidInput(
            f"{path} cannot be written ({text}): choose another folder with --root or EARTHFIELD_ROOT"
        )
    # LanceDB tells what a server said by errors that are not its own.
    in_bucket = str(path).startswith("s3://")
    from_server = in_bucket or type(error).__module__.startswith(("icechunk", "obstore", "_icechunk"))
    return _refused_by_server(error, path) if from_server else None


def cause_of(error: Exception) -> str:
    """Gives the cause of causes out of the many lines that Icechunk tells; other errors as they are."""
    return str(error).strip().rpartition("\n")[2].strip("`|-> ")


def _refused_by_server(error: Exception, path: object) -> EarthfieldError | None:
    text, cause = str(error), cause_of(error)
    if any(words in text for words in _NO_BUCKET):
        return InvalidInput(f"{path}: there is no such bucket: make it, or choose another root")
    if any(words in text for words in _NO_RIGHT):
        return InvalidInput(
            f"{path} may not be reached by whom the environment names ({cause}): check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and what they may do"
        )
    if any(words in text for words in _NO_ANSWER):
        return Unavailable(
            f"the server of {path} does not answer ({cause}): check AWS_ENDPOINT_URL and AWS_REGION, or run the "
            "same command again later"
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

    A crash leaves `path` as it was; the temporary file of this writer is removed on an error.
    """
    make_folder(path.parent)
    # Process and thread keep two writers apart; the suffix stays, because drivers choose by it.
    temporary = path.with_name(f".writing-{os.getpid()}-{threading.get_ident()}-{path.name}")
    with writing(path):
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Waits until no other process is in such a block for the same folder; errors as in `writing`.

    The lock is the system's own: it leaves no file, and ends with the process that holds it.
    """
    # Not at the top: only whoever writes needs it, and Windows has none.
    import fcntl

    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Gives an empty folder on the same disk as `parent`, gone afterwards.

    Raises:
        Unavailable: the block failed, and the disk is full: GDAL only tells that it could not write.
    """
    folder = parent / f".writing-{os.getpid()}-{threading.get_ident()}"
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    try:
        yield folder
    except EarthfieldError:
        raise
    except Exception as error:
        if _is_full(folder):
            raise Unavailable(_FULL_WORDS.format(path=parent)) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_full(folder: Path) -> bool:
    """Asks the disk itself, while everything that was written still lies there."""
    try:
        with (folder / "ask").open("wb") as file:
            file.write(bytes(_ASKED_BYTES))
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in _FULL
    return False


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
