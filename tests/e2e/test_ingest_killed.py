"""Death at any moment of an ingest, and two ingests at once: no reader sees harm, and nothing is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import zarr
from forked import Command

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.grid import Window
from earthfield.places import CubePlace
from earthfield.simulate import Landscape, simulate
from earthfield_ingest.repository import tidy

NUM_KILLS = 20
KILLS_A_ROOT = 4
BEGUN, WHOLE = "2022-01", "2022-01..2022-02"
WHOLE_TILE = Window(0, 1024, 0, 1024)


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("land") / "land"
    simulate(folder, Landscape(size_px=(64, 64), cloudiness=0.3))
    return folder


def start(land: Path, root: Path, period: str) -> Command:
    """Starts the command."""
    return Command("ingest", "--catalog", land, "--root", root, "--period", period)


def ingest(land: Path, root: Path, period: str) -> None:
    child = start(land, root, period)
    _, told = child.communicate()
    assert child.returncode == 0, told


def place_in(root: Path) -> CubePlace | None:
    tiles = Catalog(root).cube_tiles()
    return Catalog(root).cube(tiles[0]) if tiles else None


def num_files(root: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(root))


def arrays_of(session: icechunk.Session) -> dict[str, Any]:
    """Every array and attribute of a commit, over the pixels that its ledger tells of, in the order of slots."""
    found: dict[str, Any] = {}
    try:
        root = zarr.open_group(session.store, mode="r")
    except zarr.errors.GroupNotFoundError:
        return found
    for source, group in root.groups():
        told = dict(group.attrs)
        part = WHOLE_TILE
        for entry in told["ledger"].values():
            part = part & Window(*entry["window"]).padded(2)
        ys, xs = part.slices
        found[f"{source}/attributes"] = json.dumps(told, sort_keys=True)
        for name, array in group.arrays():
            whole = array[..., ys, xs] if name in ("values", "valid") else array[:]
            found[f"{source}/{name}"] = np.asarray(whole)
    return found


def check_whole(place: CubePlace) -> dict[str, Any]:
    """Reads every commit of a cube's history and checks that nothing in it is half; gives the last one's arrays."""
    repository = place.open()
    last: dict[str, Any] | None = None
    for commit in repository.ancestry(branch="main"):
        held = arrays_of(repository.readonly_session(snapshot_id=commit.id))
        assert held or commit.parent_id is None
        for source in {key.partition("/")[0] for key in held}:
            check_source({key.partition("/")[2]: one for key, one in held.items() if key.startswith(source)})
        last = held if last is None else last
    assert last is not None
    return last


def check_source(held: dict[str, Any]) -> None:
    told = json.loads(held["attributes"])
    steps = held["step"].tolist()
    assert len(set(steps)) == len(steps) > 0
    for name in ("acquired", "items", "about", "values", "valid"):
        assert len(held[name]) == len(steps)
    ids = [json.loads(str(one)) for one in held["items"]]
    used = {name: entry["step"] for name, entry in told["ledger"].items() if entry["outcome"] == "used"}
    assert {one for slot in ids for one in slot} == set(used)
    assert all(used[one] == step for step, slot in zip(steps, ids, strict=True) for one in slot)
    assert (held["acquired"] // 86_400_000_000 // 5 == held["step"]).all()
    assert held["valid"].any(axis=(1, 2)).all()
    unseen = ~held["valid"][:, None].repeat(held["values"].shape[1], axis=1)
    assert (held["values"][unseen] == told["nodata"]).all()


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def keep_reading(parent: str, stop: Event, told: Any) -> None:
    """What a reader does half of the time, in its own process: opens whatever is there, and reads it."""
    count = 0
    try:
        while not stop.is_set():
            began = time.monotonic()
            roots = sorted(Path(parent).glob("root*"))
            if roots and (place := place_in(roots[count % len(roots)])):
                cube = Cube(place)
                for source in cube.sources:
                    seen, known = cube.observations(source), cube.attributes(source)["ledger"]
                    part = Window(*next(iter(known.values()))["window"])
                    _, valid = cube.read(source, [one.slot for one in seen], part)
                    assert valid.any(axis=(1, 2)).all()
            count += 1
            time.sleep(max(0.02, time.monotonic() - began))
        told.put((count, ""))
    except Exception:  # noqa: BLE001 - a border: whatever a reader meets is told to the test
        told.put((count, traceback.format_exc()))


@contextmanager
def reader_over(parent: Path) -> Iterator[None]:
    """Lets a reader read on while the block runs, and fails where it met anything broken."""
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue()
    reader = context.Process(target=keep_reading, args=(str(parent), stop, told), daemon=True)
    reader.start()
    yield
    stop.set()
    count, trouble = told.get(timeout=900)
    reader.join()
    assert trouble == ""
    assert count >= NUM_KILLS


@dataclass(frozen=True)
class Begin:
    """What a root holds before the ingest that is killed, and what it must hold in the end."""

    root: Path | None
    """A root to start from; None for none."""
    before: dict[str, Any]
    """Arrays at the start."""
    after: dict[str, Any]
    """Arrays of an undisturbed run."""
    num_files: int
    """Files that an undisturbed run adds."""
    num_at_end: int
    """Files of an undisturbed cube."""


def begin(land: Path, folder: Path, first: str | None) -> Begin:
    """Runs undisturbed."""
    root, start = folder / "undisturbed", folder / "begun" if first else None
    before: dict[str, Any] = {}
    if first and start:
        ingest(land, start, first)
        shutil.copytree(start, root)
        before = arrays_in(root)
    num = num_files(root)
    ingest(land, root, WHOLE)
    return Begin(start, before, arrays_in(root), num_files(root) - num, num_files(root / "cubes"))


def arrays_in(root: Path) -> dict[str, Any]:
    place = place_in(root)
    return {} if place is None else check_whole(place)


def moments(seed: int, seconds: float) -> Iterator[tuple[float, float]]:
    """Yields moments of death: after so many seconds, or when such a share of the files is there."""
    draw = random.Random(seed)
    for number in range(NUM_KILLS):
        kind = number % 4
        if kind == 0:  # starting, reading
            yield draw.uniform(0, seconds), 1e9
        elif kind == 1:  # writing
            yield 1e9, draw.uniform(0, 0.8)
        else:  # writing the last, committing
            yield 1e9, draw.uniform(0.7, 1.05)


def kill_at(child: Command, root: Path, seconds: float, files: float) -> bool:
    """Kills a command at a moment; gives whether it was still alive."""
    began, before = time.monotonic(), num_files(root)
    while child.poll() is None and time.monotonic() - began < seconds and num_files(root) - before < files:
        time.sleep(0.01)
    child.kill()
    child.communicate()
    return child.returncode == -9


def test_killed_at_twenty_moments_and_run_again_every_array_is_an_undisturbed_run_s(
    land: Path, tmp_path: Path
) -> None:
    began = time.monotonic()
    begins = [begin(land, tmp_path / "from-nothing", None), begin(land, tmp_path / "from-some", BEGUN)]
    seconds = (time.monotonic() - began) / 3
    roots: dict[Path, Begin] = {}
    places, num_dead, num_in_root = tmp_path / "roots", 0, KILLS_A_ROOT
    places.mkdir()
    with reader_over(places):
        for after_s, share in moments(7, seconds):
            if num_in_root == KILLS_A_ROOT:
                state, root, num_in_root = begins[len(roots) % 2], places / f"root{len(roots)}", 0
                if state.root:
                    shutil.copytree(state.root, places / "copying")
                    (places / "copying").rename(root)
                roots[root] = state
            num_dead += kill_at(start(land, root, WHOLE), root, after_s, share * state.num_files)
            held = arrays_in(root)
            num_in_root += 1
            if same(held, state.after):
                num_in_root = KILLS_A_ROOT
            else:
                assert same(held, state.before)
        for root, state in roots.items():
            ingest(land, root, WHOLE)
            assert same(arrays_in(root), state.after)
            check_tidy(root, state)
    assert num_dead >= NUM_KILLS * 3 // 4


def check_tidy(root: Path, state: Begin) -> None:
    """What the killed left goes, and nothing else."""
    place, when = place_in(root), time.time() - timedelta(days=2).total_seconds()
    assert place is not None
    for path in (root / "cubes").rglob("*"):
        os.utime(path, (when, when))
    spare = num_files(root / "cubes") - state.num_at_end
    assert tidy(place).objects == spare
    assert num_files(root / "cubes") == state.num_at_end
    assert same(arrays_in(root), state.after)


def by_step(root: Path) -> dict[str, Any]:
    """Everything that the cubes of a root hold, whatever the slots."""
    found: dict[str, Any] = {}
    place = place_in(root)
    assert place is not None
    cube = Cube(place)
    for source in cube.sources:
        seen = cube.observations(source)
        values, valid = cube.read(source, [one.slot for one in seen], Window(300, 724, 300, 724))
        for one, numbers, clear in zip(seen, values, valid, strict=True):
            found[f"{source}/{one.step}"] = (one.acquired, one.items, numbers.tobytes(), clear.tobytes())
        found[source] = cube.attributes(source)
    return found


def test_two_ingests_of_a_tile_at_once_give_what_one_after_the_other_gives(
    land: Path, tmp_path: Path
) -> None:
    periods = (BEGUN, "2022-01-20/2022-02-20")
    children = [start(land, tmp_path / "at-once", period) for period in periods]
    told = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], told
    for period in periods:
        ingest(land, tmp_path / "in-turn", period)
    assert by_step(tmp_path / "at-once") == by_step(tmp_path / "in-turn")
