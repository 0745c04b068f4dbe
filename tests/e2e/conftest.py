"""What tests of commands share."""

from __future__ import annotations

import pytest
from command import Run, told_by


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs `earthfield` with arguments and gives what it left."""
    return told_by
