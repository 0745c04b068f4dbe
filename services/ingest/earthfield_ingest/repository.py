"""Repositories: making a tile's cube, and being the only one that writes it."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zarr

from earthfield.cube import open_repository
from earthfield.errors import Unavailable
from earthfield.storage import make_folder, writing


@contextmanager
def only_writer(cube: Path) -> Iterator[None]:
    """Holds the lock of a cube; the system frees it when the process ends, however it ends.

    Raises:
        Unavailable: another process or thread writes this cube.
    """
    make_folder(cube.parent)
    path = cube.with_name(f".{cube.name}.lock")
    with writing(path), path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(
                f"the cube {cube} is being written by another ingest: wait for it to end, then run again"
            ) from error
        yield


def make_repository(cube: Path) -> None:
    """Makes an empty repository in one move, so that no reader meets half of one; needs `only_writer`."""
    if cube.is_dir():
        return
    beside = cube.with_name(f".{cube.name}.new")
    with writing(cube):
        shutil.rmtree(beside, ignore_errors=True)
        session = open_repository(beside, create=True).writable_session("main")
        zarr.create_group(session.store)
        session.commit("new cube")
        beside.rename(cube)
