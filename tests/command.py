"""Running the `earthfield` command as a user would; not in `conftest`, a name that processes find elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forked import Command


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


def told_by(*args: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Told:
    """Runs `earthfield` with arguments and gives what it left."""
    process = Command(*args, env=env, cwd=cwd)
    out, err = process.communicate()
    assert process.returncode is not None
    return Told(process.returncode, out, err)


def contents(folder: Path) -> dict[str, bytes]:
    """Gives every file below a folder with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
