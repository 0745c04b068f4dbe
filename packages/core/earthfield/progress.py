"""Progress: a callable that long loops tell how far they are."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told after each unit of work."""

    def __call__(self, task: str, done: int, total: int) -> None:
        """Args: what is being done; units done so far; units in all."""
        ...


def silent(task: str, done: int, total: int) -> None:
    """Tells nobody."""
