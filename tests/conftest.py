"""What every test shares: markers by folder, and the real data where it lies beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_DATA = REPOSITORY.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test by the folder it lies in."""
    for item in items:
        folder = Path(item.path).relative_to(REPOSITORY / "tests").parts[0]
        if folder in ("unit", "e2e", "browser", "services"):
            item.add_marker(folder)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real satellite data; tests that need it are skipped only where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data is absent: {REAL_DATA}")
    return REAL_DATA
