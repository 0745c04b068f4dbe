"""The ledger: what a cube remembers of every item, so that nothing is read twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from earthfield.grid import Window
from earthfield_ingest.scene import Scene


@dataclass(frozen=True)
class Entry:
    """What became of one item in one tile."""

    outcome: str
    """`used`, or the reason why not."""
    step: int
    """Its 5-day step."""
    window: Window
    """Pixels of the tile's array over which that was decided."""
    note: str = ""
    """What made it unreadable."""

    def as_json(self) -> dict[str, Any]:
        """As it stands in the group's attribute `ledger`."""
        w = self.window
        entry: dict[str, Any] = {
            "outcome": self.outcome,
            "step": self.step,
            "window": [w.y0, w.y1, w.x0, w.x1],
        }
        return {**entry, "note": self.note} if self.note else entry

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Entry:
        """Reads what `as_json` wrote."""
        return cls(content["outcome"], content["step"], Window(*content["window"]), content.get("note", ""))


Ledger = dict[str, Entry]
"""Entries by STAC id."""


@dataclass(frozen=True)
class StepWork:
    """A step that must be composed, anew or again."""

    step: int
    """Index of the 5-day step."""
    window: Window
    """Pixels of the tile's array: what is wanted and what the cube holds of the step already."""
    scenes: tuple[Scene, ...]
    """Its usable scenes."""
    forgotten: tuple[str, ...]
    """Ids that gave pixels to the cube and are not among the scenes that the catalogue tells now."""


def pending(
    ledger: Ledger, scenes: Iterable[Scene], window: Window, *, again: frozenset[str]
) -> list[StepWork]:
    """Lists the steps that hold something the ledger does not know over the window wanted, by step.

    Args:
        ledger: what the cube remembers.
        scenes: what the catalogue tells of the tile, the flawed ones too.
        window: pixels of the tile's array that are wanted.
        again: ids to be read again whatever the ledger says.
    """
    scenes = list(scenes)
    # A part of a series that has more of its times now (`...#2018-12-30~3`) takes the place of what it was.
    told = {scene.id.partition("~")[0] for scene in scenes}
    by_step: dict[int, list[Scene]] = {}
    for scene in scenes:
        if scene.flaw is None:
            by_step.setdefault(scene.step, []).append(scene)
    remembered: dict[int, list[tuple[str, Entry]]] = {}
    for name, entry in ledger.items():
        remembered.setdefault(entry.step, []).append((name, entry))
    work = []
    for step, usable in sorted(by_step.items()):
        if all(
            one.id in ledger and window in ledger[one.id].window and one.id not in again for one in usable
        ):
            continue
        union = window
        for _, entry in remembered.get(step, ()):
            union |= entry.window
        lost = tuple(
            name
            for name, entry in remembered.get(step, ())
            if entry.outcome == "used" and name.partition("~")[0] not in told
        )
        work.append(StepWork(step, union, tuple(usable), lost))
    return work
