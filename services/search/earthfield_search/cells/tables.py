"""Where the tables of the index lie, a folder or a bucket, and how they are reached."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import Unavailable
from earthfield.places import Bucket, Root, object_store, root_of
from earthfield.settings import Settings
from earthfield.storage import make_folder, one_at_a_time, refused, writing

T = TypeVar("T")

_CACHE_BYTES = 4 * 2**30
"""Most memory for parts of indexes that were read once; a quarter of the machine's where that is less."""
_TRIES = 12
_LOSSES = ("conflict", "Conflict", "Retryable", "concurrent")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_AWS = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION",
    "AWS_ALLOW_HTTP", *_ENDPOINTS,
)  # fmt: skip
_connections: dict[tuple[Any, ...], Any] = {}
_connecting = threading.Lock()


def index_root(catalog: Catalog, at: str | Root | None = None) -> Root:
    """Gives the folder or the bucket that holds the tables of all models.

    Args:
        catalog: holds them where nothing else is said.
        at: another place, a folder or `s3://bucket/prefix`; by default that of EARTHFIELD_INDEX, if it is set.

    Raises:
        InvalidInput: an address of another kind.
    """
    named = at if at is not None else Settings().index
    return catalog.index if named is None else root_of(named)


def table_at(root: Root, model: str) -> Root:
    """Gives the address of a model's table."""
    return root / f"{checked_name(model)}.lance"


def connected(root: Root) -> Any:
    """Gives the database of a folder or bucket; the same one each time, so that what was read once stays read."""
    told = tuple(os.environ.get(name) for name in _AWS) if isinstance(root, Bucket) else ()
    # A child that was forked must not use its parent's threads.
    key = (os.getpid(), str(root), told)
    with _connecting:
        if key not in _connections:
            # What it warns of, such as parts without rows, is no news to a user; what goes wrong is raised.
            os.environ.setdefault("LANCEDB_LOG", "error")
            import lancedb

            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            session = lancedb.Session(index_cache_size_bytes=min(_CACHE_BYTES, memory // 4))
            _connections[key] = lancedb.connect(
                str(root), session=session, storage_options=_options() if isinstance(root, Bucket) else None
            )
        return _connections[key]


def exists(place: Root) -> bool:
    """Tells whether a table was begun here.

    Raises:
        Unavailable: a bucket's server does not answer.
        InvalidInput: it refuses, or has no such bucket.
    """
    if isinstance(place, Path):
        # The folder comes before its first version.
        return any(place.glob("_versions/*.manifest"))
    with writing(place):
        return bool(next(iter(object_store(place / "_versions").list(chunk_size=1)), None))


@contextmanager
def one_writer(place: Root) -> Iterator[None]:
    """Waits until no other process of this machine is in such a block; in a bucket the commit alone decides."""
    if isinstance(place, Bucket):
        yield
        return
    make_folder(place)
    with one_at_a_time(place):
        yield


def committed(place: Root, do: Callable[[], T]) -> T:
    """Does what writes one version, again where another writer was first.

    Args:
        place: what is written, for messages.
        do: reads what the table holds now, and commits.

    Raises:
        Unavailable: others are always first, the disk is full, or a server does not answer.
        InvalidInput: the place cannot be written.
    """
    for left in reversed(range(_TRIES)):
        try:
            with writing(place):
                return do()
        except (OSError, RuntimeError, ValueError) as error:
            if not any(word in str(error) for word in _LOSSES) or refused(error, place):
                raise
            if not left:
                raise Unavailable(
                    f"{place} is written by others all the time: run the same command again later"
                ) from error
            time.sleep(random.uniform(0.02, 0.2) * (_TRIES - left))
    raise AssertionError("unreachable")


def _options() -> dict[str, str]:
    """Tells what LanceDB does not read from the environment by itself."""
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
    options = {"region": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"}
    if endpoint:
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": "false"}
        options["allow_http"] = str(endpoint.startswith("http://")).lower()
    return options
