"""The `earthfield` command and what it leaves; not in `conftest`, a name that processes of tests find elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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


def contents(folder: Path) -> dict[str, bytes]:
    """Gives every file below a folder with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
