"""Death at any moment of an embedding: run again, every byte is an undisturbed run's, and nothing is half made."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Run, contents
from forked import Command
from small import small_model

from earthfield.catalog import Catalog
from earthfield.field import Field
from earthfield.simulate import Landscape, simulate

NUM_KILLS = 12
ASKED = (
    "--model", "untrained", "--period", "2022-06-01/2022-06-16", "--period", "2022-06", "--support", "2022-06",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with cubes of a small simulated landscape, two windows of it."""
    folder = tmp_path_factory.mktemp("killed")
    simulate(folder / "land", Landscape(size_px=(48, 48), cloudiness=0.2, lat=52.1595))  # on a border
    told = run("ingest", "--catalog", folder / "land", "--root", folder / "root", "--period", "2022-06")
    assert told.code == 0, told.err
    small_model(folder / "root")
    return folder / "root"


def start(root: Path) -> Command:
    """Starts the command."""
    return Command("embed", "--root", root, *ASKED)


def fields(root: Path) -> dict[str, bytes]:
    """Every file of fields, what the dead were writing apart."""
    found = contents(root / "fields") if (root / "fields").is_dir() else {}
    return {name: told for name, told in found.items() if ".writing-" not in name}


def names(root: Path) -> frozenset[str]:
    """What lies under fields now, half-written files among them."""
    # Not by glob, which fails where a folder goes while it looks.
    return frozenset(
        str(Path(folder, name))
        for folder, kids, files in os.walk(root / "fields")
        for name in (*kids, *files)
    )


def changes(child: Command, root: Path) -> Iterator[float]:
    """Yields seconds since the start whenever files came or went, until the command has ended."""
    began, before = time.monotonic(), names(root)
    while child.poll() is None:
        if (now := names(root)) != before:
            yield time.monotonic() - began
            before = now
        time.sleep(0.01)


def undisturbed(root: Path) -> list[float]:
    """Runs to the end; gives when files came or went."""
    child = start(root)
    found = list(changes(child, root))
    assert child.returncode == 0, child.communicate()[1]
    return found


def kill(root: Path, draw: random.Random, seen: list[float]) -> bool:
    """Kills a command while it starts or encodes, or soon after one of the changes; gives whether it was alive."""
    child = start(root)
    if draw.random() < 0.3:
        time.sleep(draw.uniform(0.2, 0.9) * seen[0])
    else:
        last = draw.randrange(len(seen))
        for number, _ in enumerate(changes(child, root)):
            if number == last:
                time.sleep(draw.uniform(0, 0.02))
                break
    child.kill()
    child.communicate()
    return child.returncode == -9


def check_whole(root: Path, expected: dict[str, bytes]) -> None:
    """Whatever tells that it is finished is what an undisturbed run made."""
    catalog = Catalog(root)
    for key in catalog.fields("untrained"):
        assert Field(catalog, key).vectors().size
        for path in catalog.field(key).iterdir():
            if not path.name.startswith(".writing-"):
                assert path.read_bytes() == expected[str(path.relative_to(root / "fields"))]


@pytest.mark.timeout(1200)
def test_killed_at_twelve_moments_and_run_again_every_byte_is_an_undisturbed_run_s(
    root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "undisturbed")
    seen = undisturbed(tmp_path / "undisturbed")
    expected = fields(tmp_path / "undisturbed")
    assert sum(name.endswith("manifest.json") for name in expected) == 2
    draw, roots, num_dead = random.Random(5), list[Path](), 0
    for _ in range(3 * NUM_KILLS):
        if not roots or fields(roots[-1]) == expected:
            roots.append(tmp_path / f"root{len(roots)}")
            shutil.copytree(root, roots[-1])
        num_dead += kill(roots[-1], draw, seen)
        check_whole(roots[-1], expected)
        if num_dead == NUM_KILLS:
            break
    assert num_dead == NUM_KILLS
    for one in roots:
        undisturbed(one)
        assert fields(one) == expected
        assert list((one / "fields").rglob(".writing-*")) == []
