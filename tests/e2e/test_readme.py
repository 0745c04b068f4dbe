"""The README's commands do what they say; these run as they are installed."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command import Run

README = Path(__file__).resolve().parents[2] / "README.md"
EARTHFIELD = str(Path(sys.executable).with_name("earthfield"))


def commands() -> list[list[str]]:
    """Gives the arguments of each `earthfield` line in the README's block that is marked to be run."""
    block = README.read_text().split("<!-- run these", 1)[1].split("```console\n", 1)[1].split("```", 1)[0]
    lines = [shlex.split(line) for line in block.splitlines()]
    assert all(words[0] == "earthfield" for words in lines)
    return [words[1:] for words in lines]


def test_the_marked_commands_run_one_after_another(tmp_path: Path) -> None:
    said = {}
    for args in commands():
        told = subprocess.run([EARTHFIELD, *args], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert told.returncode == 0, (args, told.stderr)
        said[args[0]] = told.stdout
    assert list(said) == ["simulate", "map", "search", "cluster", "change"]
    root = tmp_path / "earthfield-data"
    assert {path.suffix for path in (root / "answers").iterdir()} == {".tif", ".geojson", ".png", ".json"}
    for name in ("search", "cluster", "change"):
        assert ".png" in said[name]


@pytest.mark.parametrize(
    "command",
    [
        "",
        "simulate",
        "map",
        "search",
        "cluster",
        "change",
        "ingest",
        "train",
        "embed",
        "classify",
        "timeline",
        "schedule",
    ],
)
def test_help_tells_what_a_command_is_for(run: Run, command: str) -> None:
    told = run(*command.split(), "--help", env={"COLUMNS": "110", "PATH": "/usr/bin:/bin", "HOME": "/tmp"})
    assert told.code == 0, told.err
    assert "Usage" in told.out
    assert "earthfield" in told.out
