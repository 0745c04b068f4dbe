"""Repositories: making a tile's cube, being the only one that writes it, committing, and tidying up."""

from __future__ import annotations

import fcntl
import logging
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import icechunk

from earthfield.errors import InvalidInput, NotFound, Unavailable
from earthfield.places import BucketPlace, CubePlace, FolderPlace, object_store
from earthfield.storage import make_folder, writing

log = logging.getLogger(__name__)

WAIT_S = 60.0
"""Longest wait for another ingest of the same tile."""
_POLL_S = 0.2
MIN_AGE = timedelta(hours=1)
"""What is younger may belong to a running writer or reader and is never removed."""
_FIRST = "1CECHNKREP0F1RSTCMT0"
"""Id of the empty snapshot that Icechunk begins every repository with."""


@contextmanager
def only_writer(cube: CubePlace, *, wait_s: float | None = None) -> Iterator[None]:
    """Makes sure that one process at a time writes a cube.

    In a folder that is a lock, which the system frees when the process ends, however it ends; who comes second
    waits. A bucket knows no locks: there the second to commit is refused (`commit`).

    Args:
        cube: the place.
        wait_s: longest wait, seconds; WAIT_S where absent.

    Raises:
        Unavailable: another process or thread still writes this cube.
    """
    if not isinstance(cube, FolderPlace):
        yield
        return
    make_folder(cube.path.parent)
    path = cube.path.with_name(f".{cube.path.name}.lock")
    until = time.monotonic() + (WAIT_S if wait_s is None else wait_s)
    with writing(path), path.open("w") as lock:
        waits = False
        while not _locked(lock.fileno()):
            if time.monotonic() >= until:
                raise Unavailable(
                    f"the cube {cube} is being written by another ingest: wait for it to end, then run again"
                )
            if not waits:
                log.info("the cube %s is being written by another ingest: waiting for it", cube)
            waits = True
            time.sleep(_POLL_S)
        yield


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def make_repository(cube: CubePlace) -> None:
    """Makes an empty repository where there is none, so that no reader meets half of one.

    In a folder it needs `only_writer`; in a bucket any number may try at once.
    """
    if cube.exists():
        return
    if isinstance(cube, FolderPlace):
        _make_in_folder(cube)
    elif isinstance(cube, BucketPlace):
        _make_in_bucket(cube)


def _make_in_folder(cube: FolderPlace) -> None:
    beside = cube.path.with_name(f".{cube.path.name}.new")
    with writing(cube):
        shutil.rmtree(beside, ignore_errors=True)
        icechunk.Repository.create(FolderPlace(beside).storage())
        beside.rename(cube.path)


def _make_in_bucket(cube: BucketPlace) -> None:
    with writing(cube):
        try:
            icechunk.Repository.create(cube.storage())
        except icechunk.IcechunkError:
            # Somebody else has just made it, or is just making it, or was killed while making it.
            if not cube.exists() and not _finish_making(cube):
                raise


def _finish_making(cube: BucketPlace) -> bool:
    """Gives its branch to a repository of which only the first snapshot is there; the first to do so wins."""
    import obstore
    from obstore.exceptions import AlreadyExistsError

    store = object_store(cube.at)
    names = {one["path"] for page in store.list() for one in page}
    if names != {f"snapshots/{_FIRST}"}:
        return cube.exists()
    try:
        # As Icechunk writes it, and as conditionally.
        obstore.put(store, "refs/branch.main/ref.json", b'{"snapshot":"%b"}' % _FIRST.encode(), mode="create")
    except AlreadyExistsError:
        log.debug("%s was made by another ingest at the same moment", cube)
    return True


def commit(session: icechunk.Session, cube: CubePlace, message: str) -> str:
    """Makes what a session wrote visible at once, and gives the snapshot's id.

    Raises:
        Unavailable: another ingest has written the cube since the session began, or the disk is full.
    """
    with writing(cube):
        try:
            return session.commit(message)
        except icechunk.ConflictError as error:
            raise Unavailable(
                f"another ingest has just written the cube {cube}: nothing is lost, run the same command again"
            ) from error


@dataclass(frozen=True)
class Tidied:
    """What tidying up a cube removed."""

    tile: str
    """Id of the tile."""
    objects: int
    """Files or objects."""
    bytes: int
    """Their size, as far as the store tells it."""
    commits: int
    """Commits that left the history."""


def tidy(cube: CubePlace, *, older_than: timedelta = timedelta(days=1), keep_history: bool = True) -> Tidied:
    """Removes what killed or refused ingests left behind, and on wish the history.

    What the cube shows does not change. Nothing that a reader or writer which began within `older_than` may need
    is touched: only objects older than that which no commit refers to go, and only commits that had a successor
    that long ago.

    Args:
        cube: the place.
        older_than: age that garbage must have; at least an hour, and more than any ingest of one tile takes.
        keep_history: leave every commit readable; else only those go on that were the last one within `older_than`.

    Raises:
        InvalidInput: `older_than` is below an hour.
        NotFound: there is no cube.
        Unavailable: an ingest writes the cube (in a folder), or a bucket's server does not answer.
    """
    if older_than < MIN_AGE:
        raise InvalidInput(
            f"garbage must be at least {MIN_AGE} old, not {older_than}: a running ingest or reader may need it"
        )
    if not cube.exists():
        raise NotFound(f"there is no cube at {cube}: run `earthfield ingest` for this area first")
    limit = datetime.now(UTC) - older_than
    with only_writer(cube, wait_s=0), writing(cube):
        repository = cube.open()
        commits = 0 if keep_history else _shorten(repository, limit)
        freed = repository.garbage_collect(limit)
        objects, size = _sweep(cube, limit)
    counts = (
        freed.chunks_deleted, freed.manifests_deleted, freed.snapshots_deleted, freed.attributes_deleted,
        freed.transaction_logs_deleted, objects,
    )  # fmt: skip
    return Tidied(cube.tile.id, sum(counts), freed.bytes_deleted + size, commits)


def _shorten(repository: icechunk.Repository, limit: datetime) -> int:
    """Takes the commits out of the history that had a successor at an instant; gives how many."""
    # What was the last commit then may be what a reader of that time still reads.
    last = next((one for one in repository.ancestry(branch="main") if one.written_at <= limit), None)
    return 0 if last is None else len(repository.expire_snapshots(older_than=last.written_at))


_STAGED = re.compile(r".+#\d+")
"""Names under which a file is written before it takes its own."""


def _sweep(cube: CubePlace, limit: datetime) -> tuple[int, int]:
    """Removes files that a killed process was just writing, and a cube that it was just making."""
    if not isinstance(cube, FolderPlace):
        return 0, 0
    beside = cube.path.with_name(f".{cube.path.name}.new")
    found = [path for path in cube.path.rglob("*") if _STAGED.fullmatch(path.name)]
    found += [path for path in beside.rglob("*") if path.is_file()]
    old = [path for path in found if path.stat().st_mtime < limit.timestamp()]
    size = sum(path.stat().st_size for path in old)
    for path in old:
        path.unlink()
    if not any(path.is_file() for path in beside.rglob("*")):
        shutil.rmtree(beside, ignore_errors=True)
    return len(old), size
