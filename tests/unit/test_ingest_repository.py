"""A cube has one writer at a time, is never seen half made, and can be rid of garbage without harm."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import icechunk
import numpy as np
import pytest
import zarr

from earthfield.catalog import Catalog
from earthfield.cube import SCHEMA, Cube
from earthfield.errors import BrokenArtefact, InvalidInput, NotFound, Unavailable
from earthfield.grid import Tile
from earthfield.places import FolderPlace
from earthfield_ingest import repository
from earthfield_ingest.repository import MIN_AGE, commit, make_repository, only_writer, tidy

TILE = Tile.parse("32631_0048_0549")
DAY = timedelta(days=1)


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    place = Catalog(tmp_path).cube(TILE)
    assert isinstance(place, FolderPlace)
    return place


@pytest.fixture
def cube(place: FolderPlace) -> FolderPlace:
    """A cube of three commits, each of which writes the one array anew."""
    with only_writer(place):
        make_repository(place)
    for number in range(3):
        write(place, number)
        time.sleep(0.01)
    return place


def write(place: FolderPlace, number: int) -> str:
    return commit(writing(place, number), place, f"number {number}")


def writing(place: FolderPlace, number: int) -> icechunk.Session:
    """A session that has written but not committed."""
    session = place.open().writable_session("main")
    group = zarr.open_group(session.store, mode="a").require_group("source")
    group.attrs["schema"] = SCHEMA
    array = group.require_array("values", shape=(4096,), chunks=(1024,), dtype="int64")
    array[:] = np.random.default_rng(number).integers(0, 2**62, 4096)
    return session


def numbers(session: icechunk.Session) -> list[int]:
    array = zarr.open_group(session.store, mode="r")["source/values"]
    assert isinstance(array, zarr.Array)
    return [int(one) for one in np.asarray(array[:5])]


def expected(number: int) -> list[int]:
    return [int(one) for one in np.random.default_rng(number).integers(0, 2**62, 4096)[:5]]


def history(place: FolderPlace) -> list[str]:
    return [one.message for one in place.open().ancestry(branch="main")]


def files(place: FolderPlace) -> list[Path]:
    return sorted(path for path in place.path.rglob("*") if path.is_file())


def age(place: FolderPlace, by: timedelta = 2 * DAY) -> None:
    """Makes every file look older."""
    when = time.time() - by.total_seconds()
    for path in [*files(place), *place.path.with_name(f".{place.path.name}.new").rglob("*")]:
        os.utime(path, (when, when))


@contextmanager
def locked_for(place: FolderPlace, seconds: float) -> Iterator[None]:
    """Holds the lock of a cube for a while, as another process would."""
    place.path.parent.mkdir(parents=True, exist_ok=True)
    with place.path.with_name(f".{place.path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        timer = threading.Timer(seconds, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
        timer.start()
        yield
        timer.cancel()


def test_the_second_writer_waits_for_the_first(place: FolderPlace) -> None:
    with locked_for(place, 0.4), only_writer(place):
        make_repository(place)
    assert place.exists()


def test_the_second_writer_is_refused_when_the_first_takes_too_long(place: FolderPlace) -> None:
    with (
        locked_for(place, 60),
        pytest.raises(Unavailable, match="being written by another ingest"),
        only_writer(place, wait_s=0.3),
    ):
        pass


def test_a_new_cube_appears_whole_and_empty(place: FolderPlace) -> None:
    with pytest.raises(NotFound, match="earthfield ingest"):
        Cube(place)
    assert not place.path.exists()
    with only_writer(place):
        make_repository(place)
        make_repository(place)
    assert Cube(place).sources == ()
    with pytest.raises(NotFound, match="it holds nothing"):
        Cube(place).attributes("source")


def test_a_reader_that_came_before_the_first_commit_sees_an_empty_cube(
    place: FolderPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_repository(place)
    opened = zarr.open_group

    def committed_meanwhile(store: icechunk.IcechunkStore, **options) -> zarr.Group:
        monkeypatch.setattr(zarr, "open_group", opened)
        write(place, 0)
        return opened(store, **options)

    monkeypatch.setattr(zarr, "open_group", committed_meanwhile)
    assert Cube(place).sources == ()
    assert Cube(place).sources == ("source",)


def test_a_cube_whose_making_was_cut_off_is_made_anew(
    place: FolderPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with only_writer(place):
        monkeypatch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            make_repository(place)
        monkeypatch.undo()
        assert not place.exists()
        assert Catalog(place.path.parents[1]).cube_tiles() == []
        make_repository(place)
    assert Cube(place).sources == ()
    assert not place.path.with_name(f".{place.path.name}.new").exists()


def test_the_second_of_two_commits_is_refused_and_the_first_stays(cube: FolderPlace) -> None:
    first, second = writing(cube, 7), writing(cube, 8)
    commit(first, cube, "first")
    with pytest.raises(Unavailable, match=r"just written.*nothing is lost.*again"):
        commit(second, cube, "second")
    assert history(cube)[0] == "first"
    assert numbers(cube.open().readonly_session("main")) == expected(7)


def test_tidying_takes_what_no_commit_refers_to_and_changes_nothing_that_is_seen(cube: FolderPlace) -> None:
    before, whole = Cube(cube).snapshot, files(cube)
    writing(cube, 9)  # killed before its commit
    assert len(files(cube)) > len(whole)
    orphans = {path: path.stat().st_size for path in files(cube) if path not in whole}
    age(cube)
    told = tidy(cube)
    assert (told.tile, told.objects, told.bytes, told.commits) == (
        TILE.id, len(orphans), sum(orphans.values()), 0,
    )  # fmt: skip
    assert files(cube) == whole
    assert Cube(cube).snapshot == before
    for number, one in enumerate(["number 2", "number 1", "number 0"]):
        snapshot = next(each for each in cube.open().ancestry(branch="main") if each.message == one)
        assert numbers(cube.open().readonly_session(snapshot_id=snapshot.id)) == expected(2 - number)
    assert tidy(cube).objects == 0


def test_what_a_running_writer_has_written_is_too_young_to_go(cube: FolderPlace) -> None:
    age(cube)
    running = writing(cube, 9)
    assert tidy(cube, older_than=MIN_AGE).objects == 0
    commit(running, cube, "late")
    assert numbers(cube.open().readonly_session("main")) == expected(9)


def test_half_written_files_and_half_made_cubes_go_when_they_are_old(cube: FolderPlace) -> None:
    staged = cube.path / "chunks" / "ABC#1"
    staged.write_bytes(b"12345")
    beside = cube.path.with_name(f".{cube.path.name}.new") / "snapshots" / "X"
    beside.parent.mkdir(parents=True)
    beside.write_bytes(b"1")
    assert tidy(cube).objects == 0
    age(cube)
    assert (tidy(cube).objects, staged.exists(), beside.exists()) == (2, False, False)


def test_a_short_history_leaves_what_was_last_within_the_age(cube: FolderPlace) -> None:
    commits = {one.message: one for one in cube.open().ancestry(branch="main")}
    reader = cube.open().readonly_session(snapshot_id=commits["number 1"].id)
    # An instant at which "number 1" was the last commit: somebody may have opened it then.
    limit = commits["number 1"].written_at + timedelta(milliseconds=1)
    assert limit < commits["number 2"].written_at
    assert repository._shorten(cube.open(), limit) == 1
    age(cube)
    assert tidy(cube).objects > 0
    assert history(cube) == ["number 2", "number 1", "Repository initialized"]
    assert numbers(reader) == expected(1)
    assert repository._shorten(cube.open(), datetime.now(UTC)) == 1
    age(cube)
    tidy(cube)
    assert history(cube) == ["number 2", "Repository initialized"]
    assert numbers(cube.open().readonly_session("main")) == expected(2)


def test_a_young_history_stays_whole(cube: FolderPlace) -> None:
    age(cube)
    assert tidy(cube, keep_history=False).commits == 0
    assert len(history(cube)) == 4


def test_tidying_asks_for_a_safe_age_and_for_nobody_to_write(cube: FolderPlace, place: FolderPlace) -> None:
    with pytest.raises(InvalidInput, match="a running ingest or reader may need it"):
        tidy(cube, older_than=timedelta(minutes=59))
    with locked_for(cube, 60), pytest.raises(Unavailable, match="being written"):
        tidy(cube)
    with pytest.raises(NotFound):
        tidy(FolderPlace(place.path.with_name("32631_0001_0001")))


@pytest.mark.parametrize("part", ["chunks", "manifests", "snapshots", "refs"])
@pytest.mark.parametrize("harm", ["torn", "gone"])
def test_damage_is_named_and_never_taken_for_an_empty_cube(cube: FolderPlace, part: str, harm: str) -> None:
    found = [path for path in files(cube) if path.parts[len(cube.path.parts)] == part]
    for path in found:
        if harm == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(BrokenArtefact, match=f"{TILE.id}.*ingest"):
        held = Cube(cube)
        assert held.sources == ("source",)
        held.attributes("source")
        read_all(held)


def read_all(cube: Cube) -> None:
    from earthfield.cube import _reading

    _reading(lambda cube: np.asarray(cube._array("source", "values")[:]))(cube)
