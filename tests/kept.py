"""What takes minutes to make is made once for all processes that test; whoever changes it does so in a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from command import Told, told_by

from earthfield.storage import make_folder, one_at_a_time

YEAR = "2018"
SPRING = "2018-04..2018-05"
HALVES = ("2018-01..2018-06", "2018-07..2018-10")


def made(folder: Path, make: Callable[[Path], object]) -> Path:
    """Gives a folder that `make` fills; who comes while another process makes it waits for that one."""
    whole = folder / "made"
    with one_at_a_time(make_folder(folder)):
        if not whole.exists():
            for one in folder.iterdir():  # of who was killed amid it
                shutil.rmtree(one) if one.is_dir() else one.unlink()
            make(folder)
            whole.touch()
    return folder


def ingest_spring(folder: Path, place: Path) -> Path:
    """Gives the root of a place with cubes of April and May 2018."""

    def make(to: Path) -> None:
        told = told_by("ingest", "--catalog", place, "--period", SPRING, "--root", to / "root")
        assert told.code == 0, told.err

    return made(folder, make) / "root"


def map_year(folder: Path, place: Path) -> tuple[Path, Told]:
    """Gives the root of a place that `earthfield map` made of 2018 with the starter, and what it told."""

    def make(to: Path) -> None:
        told = told_by("map", "--catalog", place, "--period", YEAR, "--root", to / "root", "--json")
        assert told.code == 0, told.err
        (to / "out").write_text(told.out)
        (to / "err").write_text(told.err)

    made(folder, make)
    return folder / "root", Told(0, *((folder / name).read_text() for name in ("out", "err")))


def embed_halves(folder: Path, mapped: Path) -> Path:
    """Gives the root of the same place with the two halves of the year alone, which nothing indexed."""

    def make(to: Path) -> None:
        shutil.copytree(mapped / "cubes", to / "root" / "cubes")
        periods = (part for one in HALVES for part in ("--period", one))
        told = told_by("embed", "--root", to / "root", *periods)
        assert told.code == 0, told.err

    return made(folder, make) / "root"
