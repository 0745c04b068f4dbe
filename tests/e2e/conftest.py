"""Running the `earthfield` command as a user would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from command import Run, Told
from forked import Command


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs `earthfield` with arguments and gives what it left."""

    def command(*args: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Told:
        process = Command(*args, env=env, cwd=cwd)
        out, err = process.communicate()
        assert process.returncode is not None
        return Told(process.returncode, out, err)

    return command


@pytest.fixture(scope="session")
def mapped(run: Run, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    """Real land of 2018, mapped once by the command; whoever adds to it does so in a copy."""
    root = tmp_path_factory.mktemp("flanders")
    told = run(
        "map", "--catalog", real_data / "places" / "flanders_a", "--period", 2018, "--root", root, "--json"
    )
    assert told.code == 0, told.err
    return root, told
