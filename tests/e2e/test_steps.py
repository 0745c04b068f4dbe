"""The main job step by step, without naming an area again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command import Run
from kept import SPRING


@pytest.fixture(scope="module")
def cubes(spring: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that holds the spring of flanders_a as cubes, over two tiles."""
    return Path(shutil.copytree(spring, tmp_path_factory.mktemp("steps") / "root"))


def test_embed_and_index_take_all_that_was_ingested(run: Run, cubes: Path) -> None:
    told = run("embed", "--period", "2018-04", "--period", "2018-05", "--support", SPRING,
               "--no-agreement", "--root", cubes, "--json")  # fmt: skip
    assert told.code == 0, told.err
    fields = told.report["fields"]
    assert sorted({one["period"] for one in fields}) == ["2018-04", "2018-05"]
    assert sum(one["pixels"] for one in fields) == 2 * 64 * 64
    told = run("index", "--root", cubes, "--json")
    assert told.code == 0, told.err
    assert told.report["written"] > 0


def test_a_period_without_scenes_is_told_with_what_there_is(run: Run, cubes: Path) -> None:
    told = run("embed", "--period", "2016", "--root", cubes)
    assert told.code == 3
    assert "2018-04-0" in told.err
    assert "Traceback" not in told.err


def test_models_are_listed_and_shown(run: Run, cubes: Path) -> None:
    assert "starter" in run("model", "list", "--root", cubes).out
    assert "parameters" in run("model", "show", "starter", "--root", cubes).out
