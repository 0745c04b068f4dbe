"""What every test shares: markers by folder, who runs them together, and the real data beside the repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from command import Told
from kept import embed_halves, ingest_spring, map_year
from xdist.scheduler import LoadScopeScheduling

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_DATA = REPOSITORY.parent / "shared" / "data"

TOGETHER = {
    "tests/browser": "pages",
    "tests/e2e/test_map_real.py": "mapped",
    "tests/e2e/test_classify_real.py": "mapped",
}
"""Folders and files that one process tests one after another: they share what takes minutes to make."""

SLOW = {
    "area", "betaearth_network", "field", "field_convert", "field_readers", "import_aef", "import_raster",
    "import_remote", "import_used", "infer_jobs", "ingest_estimate", "ingest_jobs", "ingest_properties",
    "model_flops", "search_change", "search_classify", "search_cluster", "search_index", "search_jobs",
    "search_pixels", "search_similar", "train_emulate", "train_run",
}  # fmt: skip
"""Unit tests whose file takes more than 12 s: `make test-fast` leaves them out."""


LONG = {"flows", "flows_cron", "kills", "object_store", "triton"}
"""Files of services that take minutes: they begin before the short ones, which fill up the end beside the pages."""


class ByFile(LoadScopeScheduling):
    """Gives each process a file's tests at a time, or those of several files that share what they need."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return TOGETHER.get(path) or TOGETHER.get(path.rpartition("/")[0]) or path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Tells several processes who runs what; a single one never asks."""
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test by the folder it lies in, and those of slow files; the quick ones tell first."""
    for item in items:
        folder, name = _file_of(item)
        if folder in ("unit", "e2e", "browser", "services"):
            item.add_marker(folder)
        if folder == "unit" and name in SLOW:
            item.add_marker("slow")
    # Stable: within these, tests stay in the order of their files, those that share what takes long together.
    items.sort(key=_turn)


def _file_of(item: pytest.Item) -> tuple[str, str]:
    path = Path(item.path).relative_to(REPOSITORY / "tests")
    return path.parts[0], path.stem.removeprefix("test_")


def _turn(item: pytest.Item) -> int:
    folder, name = _file_of(item)
    if folder == "services":
        return 4 if name in LONG else 5
    return {"e2e": 2, "browser": 3}.get(folder, int(name in SLOW))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real satellite data; tests that need it are skipped only where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data is absent: {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all processes of this session; the one that EARTHFIELD_TESTS_KEEP names stays for later ones."""
    if named := os.environ.get("EARTHFIELD_TESTS_KEEP"):
        return Path(named).absolute()
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "kept"


@pytest.fixture(scope="session")
def spring(real_data: Path, kept: Path) -> Path:
    """A root that holds the spring of real land as cubes, over two tiles; whoever adds to it does so in a copy."""
    return ingest_spring(kept / "spring", real_data / "places" / "flanders_a")


@pytest.fixture(scope="session")
def mapped(real_data: Path, kept: Path) -> tuple[Path, Told]:
    """Real land of 2018, mapped once by the command, and what it told; whoever adds to it does so in a copy."""
    return map_year(kept / "mapped", real_data / "places" / "flanders_a")


@pytest.fixture(scope="session")
def halved(mapped: tuple[Path, Told], kept: Path) -> Path:
    """The same place for two halves of the year, not indexed; whoever adds to it does so in a copy."""
    return embed_halves(kept / "halved", mapped[0])
