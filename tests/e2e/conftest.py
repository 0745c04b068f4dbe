"""Running the `earthfield` command as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EARTHFIELD = str(Path(sys.executable).with_name("earthfield"))


@dataclass(frozen=True)
class Told:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        """The JSON report on stdout."""
        return json.loads(self.out)


Run = Callable[..., Told]


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs `earthfield` with arguments and gives what it left."""

    def command(*args: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Told:
        words = [EARTHFIELD, *map(str, args)]
        done = subprocess.run(words, capture_output=True, text=True, env=env, cwd=cwd, check=False)
        return Told(done.returncode, done.stdout, done.stderr)

    return command


def contents(folder: Path) -> dict[str, bytes]:
    """Gives every file below a folder with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
