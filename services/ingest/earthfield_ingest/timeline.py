"""Timelines: what a cube holds, in a line that a terminal can show."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from earthfield.cube import Cube

_BARS = " ▁▂▃▄▅▆▇█"
_STEPS_A_MONTH = 7


@dataclass(frozen=True)
class Held:
    """What a cube holds of one source."""

    tile: str
    """Id of the tile."""
    source: str
    """Name of the source."""
    steps: int
    """5-day steps stored."""
    items: int
    """Items that gave pixels."""
    first: str
    """Day of the first frame."""
    last: str
    """Day of the last frame."""
    bars: str
    """One character a month, as high as it holds steps; a blank where it holds none."""


def held(path: Path) -> list[Held]:
    """Lists what the cube at `path` holds, by source."""
    cube = Cube(path)
    rows = []
    for source in cube.sources:
        seen = cube.observations(source)
        items = {item for one in seen for item in one.items}
        instants = sorted(one.acquired for one in seen)
        days = [f"{when:%Y-%m-%d}" for when in instants] or [""]
        rows.append(Held(path.name, source, len(seen), len(items), days[0], days[-1], months(instants)))
    return rows


def months(instants: list[datetime]) -> str:
    """Draws how many of some instants fall into each month, from the first to the last."""
    counts = Counter(when.year * 12 + when.month for when in instants)
    if not counts:
        return ""
    span = range(min(counts), max(counts) + 1)
    return "".join(_BARS[min(-(-counts[month] * 8 // _STEPS_A_MONTH), 8)] for month in span)
