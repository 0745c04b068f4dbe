"""Death at any moment of an indexer, and several writers and readers at once: nothing lost, nothing double."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import time
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Run
from forked import Command

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import normalised, quantise
from earthfield.field import MANIFEST, Field, FieldContent, write_field
from earthfield.grid import Tile, Window, geobox_of
from earthfield.timeline import Period
from earthfield_search.cells.opening import open_index
from earthfield_search.cells.rows import fingerprint_of
from earthfield_search.jobs.index import index_field

MODEL, SIDE_PX, CELLS_A_FIELD = "small", 96, 144
TILES = [Tile(32631, 48 + one, 549) for one in range(6)]
PERIODS = [Period.parse("2018"), Period.parse("2019")]
QUERY = np.ones(64, np.float32)
NUM_KILLS = 4


def write_fields(catalog: Catalog, tiles: Sequence[Tile], periods: Sequence[Period], inputs: str) -> None:
    """Gives tiles copies of one small field; other inputs make others of them."""
    for tile in tiles:
        for period in periods:
            folder = catalog.field(FieldKey(MODEL, tile, period))
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(the_field(), folder)
            manifest = json.loads((folder / MANIFEST).read_text())
            window = tile.window
            manifest["window"] = [window.y0, window.y0 + SIDE_PX, window.x0, window.x0 + SIDE_PX]
            manifest["inputs"] = f"{inputs} {tile.id} {period}"
            (folder / MANIFEST).write_text(json.dumps(manifest))


@cache
def the_field() -> Path:
    """Writes the one field that all others are copies of."""
    catalog = Catalog(tempfile.mkdtemp(prefix="earthfield-"))
    whole = TILES[0].window
    window = Window(whole.y0, whole.y0 + SIDE_PX, whole.x0, whole.x0 + SIDE_PX)
    vectors = normalised(np.random.default_rng(0).normal(size=(SIDE_PX, SIDE_PX, 64)))
    manifest = {
        "window": [window.y0, window.y1, window.x0, window.x1], "inputs": "", "pixels": SIDE_PX**2,
        "area": geobox_of(TILES[0].epsg, window).extent.wkt,
        "model": {"name": MODEL, "fingerprint": "f"}, "sources": {},
    }  # fmt: skip
    codes = np.ascontiguousarray(np.moveaxis(quantise(vectors), -1, 0))
    key = FieldKey(MODEL, TILES[0], PERIODS[0])
    write_field(
        catalog, FieldContent(key, window, codes, {}, np.zeros((*window.shape, 4), np.uint8), manifest)
    )
    return catalog.field(key)


def prints(root: Path) -> dict[tuple[str, str], str]:
    """What the fields of a root are now."""
    catalog = Catalog(root)
    return {
        (key.tile.id, key.period.id): fingerprint_of(Field(catalog, key), cell_px=8)
        for key in catalog.fields(MODEL)
    }


def held_in(root: Path) -> dict[tuple[str, str], str]:
    """Reads the whole table; every field in it must be whole, and none there twice."""
    index = open_index(Catalog(root), MODEL)
    found: dict[tuple[str, str], set[str]] = {}
    places = []
    for batch in index.cells(columns=["tile", "period", "row", "col", "fingerprint"]):
        for row in batch.to_pylist():
            places.append((row["tile"], row["period"], row["row"], row["col"]))
            found.setdefault((row["tile"], row["period"]), set()).add(row["fingerprint"])
    assert len(set(places)) == len(places) == CELLS_A_FIELD * len(found)
    assert all(len(told) == 1 for told in found.values())
    assert index.nearest(QUERY, k=5).num_rows == 5
    return {name: told.pop() for name, told in found.items()}


@pytest.fixture(scope="module")
def begun(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose index holds a year of it; then a tile was made again, and the second year was added."""
    root = tmp_path_factory.mktemp("begun") / "root"
    write_fields(Catalog(root), TILES, PERIODS[:1], "a")
    assert run("index", "--model", MODEL, "--root", root).code == 0
    write_fields(Catalog(root), TILES[:2], PERIODS[:1], "b")
    write_fields(Catalog(root), TILES, PERIODS[1:], "a")
    return root


def num_files(root: Path) -> int:
    return sum(1 for _ in (root / "index").rglob("*"))


def test_killed_at_any_moment_the_version_before_is_searched_and_a_rerun_completes_it(
    begun: Path, run: Run, tmp_path: Path
) -> None:
    before, wanted = held_in(begun), prints(begun)
    root, num_dead, states = tmp_path / "root", 0, []
    shutil.copytree(begun, root)
    began = time.monotonic()
    command = ("index", "--model", MODEL, "--dask", "none", "--root", root)
    assert run(*command, "--check").code == 0
    start_s = time.monotonic() - began
    assert held_in(root) == before
    for number in range(NUM_KILLS):
        files, began = num_files(root), time.monotonic()
        child = Command(*command)
        # At first while it starts and reads; then when its first, second, .. file appears.
        while child.poll() is None:
            if number < 2 and time.monotonic() - began > start_s * (0.7 + 0.3 * number):
                break
            if number >= 2 and num_files(root) - files >= number - 1:
                break
            time.sleep(0.002)
        child.kill()
        child.wait()
        num_dead += child.returncode == -9
        held = held_in(root)
        assert all(told in (before.get(name), wanted[name]) for name, told in held.items())
        assert set(before) <= set(held)
        states.append(held)
        if held == wanted:
            shutil.rmtree(root)
            shutil.copytree(begun, root)
    assert num_dead >= NUM_KILLS - 2
    assert any(held != wanted for held in states)
    assert run(*command).code == 0
    assert held_in(root) == wanted


def keep_reading(root: str, stop: Any, told: Any) -> None:
    """What a reader does all the time, in its own process."""
    count, seen = 0, 0
    try:
        while not stop.is_set():
            held = held_in(Path(root))
            assert len(held) >= seen
            count, seen = count + 1, len(held)
        told.put((count, ""))
    except Exception:  # noqa: BLE001 - a border: whatever a reader meets is told to the test
        told.put((count, traceback.format_exc()))


def index_some(root: str, tiles: Sequence[int], told: Any) -> None:
    """What a writer does in its own process: field by field, as the flow does."""
    try:
        for number in tiles:
            for period in PERIODS:
                index_field(Catalog(root), FieldKey(MODEL, TILES[number], period))
        told.put((0, ""))
    except Exception:  # noqa: BLE001 - a border: whatever a writer meets is told to the test
        told.put((0, traceback.format_exc()))


def test_writers_and_readers_at_once_lose_nothing_and_double_nothing(begun: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(begun, root)
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue()
    # The third tile is written by both.
    writers = [
        context.Process(target=index_some, args=(str(root), tiles, told), daemon=True)
        for tiles in ([0, 2, 4], [2, 1, 3, 5])
    ]
    reader = context.Process(target=keep_reading, args=(str(root), stop, told), daemon=True)
    for one in (reader, *writers):
        one.start()
    for one in writers:
        one.join(120)
    stop.set()
    troubles = [told.get(timeout=600) for _ in range(3)]
    reader.join()
    assert [trouble for _, trouble in troubles] == ["", "", ""]
    assert max(count for count, _ in troubles) > 0
    assert held_in(root) == prints(root)
