"""Timelines: what a cube holds, in lines that a terminal can show."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import groupby
from operator import or_

import numpy as np

from earthfield.cube import STEPS_PER_CHUNK, Cube, Observation
from earthfield.grid import TILE_PX, Window
from earthfield.places import CubePlace
from earthfield.sources import known_sources
from earthfield.timeline import STEP_DAYS, Period, step_of, step_start
from earthfield_ingest.write import ledger_of

_BARS = " ▁▂▃▄▅▆▇█"
_STEPS_A_MONTH = 7
_STEPS_A_YEAR = 76
GAP = "·"
"""Stands for a 5-day step without an observation."""


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
    clear_share: float | None = None
    """Mean share of the pixels ever seen that a step shows, 0..1; None where that was not looked up."""


@dataclass(frozen=True)
class Track:
    """One source of a tile on the 5-day line."""

    source: str
    """Name of the source."""
    shares: Mapping[int, float]
    """By step: share of the pixels ever seen that it shows, 0..1."""

    @property
    def mean(self) -> float:
        """Mean share over the steps that are there."""
        return sum(self.shares.values()) / len(self.shares) if self.shares else 0.0


def held(place: CubePlace, *, with_clear: bool = False) -> list[Held]:
    """Lists what the cube at `place` holds, by source; with the clear share, for which every mask is read."""
    cube = Cube(place)
    rows = []
    for source in cube.sources:
        seen = cube.observations(source)
        items = {item for one in seen for item in one.items}
        instants = sorted(one.acquired for one in seen)
        days = [f"{when:%Y-%m-%d}" for when in instants] or [""]
        clear = round(track(cube, source).mean, 4) if with_clear else None
        rows.append(
            Held(place.tile.id, source, len(seen), len(items), days[0], days[-1], months(instants), clear)
        )
    return rows


def months(instants: list[datetime]) -> str:
    """Draws how many of some instants fall into each month, from the first to the last."""
    counts = Counter(when.year * 12 + when.month for when in instants)
    if not counts:
        return ""
    span = range(min(counts), max(counts) + 1)
    return "".join(_BARS[min(-(-counts[month] * 8 // _STEPS_A_MONTH), 8)] for month in span)


def track(cube: Cube, source: str, period: Period | None = None) -> Track:
    """Gives how much each step of a source shows, by its masks."""
    window = extent(cube, source)
    counts: dict[int, int] = {}
    ever = np.zeros(window.shape, bool)
    for run in runs(cube.observations(source, period)):
        valid = cube.read_valid(source, [one.slot for one in run], window)
        ever |= valid.any(axis=0)
        counts |= {one.step: int(np.count_nonzero(mask)) for one, mask in zip(run, valid, strict=True)}
    whole = max(int(np.count_nonzero(ever)), 1)
    return Track(source, {step: pixels / whole for step, pixels in sorted(counts.items())})


def extent(cube: Cube, source: str) -> Window:
    """Gives the pixels of a source's array that any ingest has looked at."""
    windows = [entry.window for entry in ledger_of(cube.attributes(source)).values()]
    whole = known_sources()[source].grid(cube.place.tile).shape if source in known_sources() else None
    rows, cols = whole or (TILE_PX, TILE_PX)
    return reduce(or_, windows) if windows else Window(0, rows, 0, cols)


def runs(seen: Sequence[Observation]) -> Iterator[list[Observation]]:
    """Groups observations by the chunk that holds them, so that each is decoded once."""
    ordered = sorted(seen, key=lambda one: one.slot)
    for _, run in groupby(ordered, key=lambda one: one.slot // STEPS_PER_CHUNK):
        yield list(run)


def middle(step: int) -> datetime:
    """Gives the middle of a step, by which it belongs to a month and a year."""
    return step_start(step) + timedelta(days=STEP_DAYS / 2)


@dataclass(frozen=True)
class Stretch:
    """Steps that stand in one line, under those of the same season of other years."""

    steps: range
    """The steps, in order."""
    offset: int = 0
    """Places that stay empty before the first, so that seasons stand below one another."""

    @property
    def length(self) -> int:
        """Places up to the last step."""
        return self.offset + len(self.steps)

    @property
    def year(self) -> str:
        """The year that most of it lies in."""
        return f"{middle(self.steps[len(self.steps) // 2]):%Y}"


def stretches(steps: range, *, longest: int) -> list[Stretch]:
    """Cuts steps into lines: one if they fit in it, else calendar years, else half-years.

    Args:
        steps: from when to when.
        longest: places that a line has.
    """
    if len(steps) <= longest:
        return [Stretch(steps)] if steps else []
    months = 12 if longest >= _STEPS_A_YEAR else 6
    # A step on the border at either end goes with its neighbours: it would be a line of its own.
    inner = range(steps[0] + 1, steps[-1])
    found = []
    for part, group in groupby(steps, key=lambda step: _part_of(min(max(step, inner[0]), inner[-1]), months)):
        inside = list(group)
        first = step_of(datetime(part[0], part[1] * months + 1, 1, tzinfo=UTC))
        first += _part_of(first, months) != part
        found.append(Stretch(range(inside[0], inside[-1] + 1), inside[0] - first))
    shift = max(-one.offset for one in found)
    return [Stretch(one.steps, one.offset + max(shift, 0)) for one in found]


def _part_of(step: int, months: int) -> tuple[int, int]:
    return middle(step).year, (middle(step).month - 1) // months


def month_starts(steps: range) -> dict[int, str]:
    """Gives the short name of each month by the first of the steps that belongs to it."""
    names: dict[int, str] = {}
    for previous, step in zip((None, *steps), steps, strict=False):
        if previous is None or middle(previous).month != middle(step).month:
            names[step] = f"{middle(step):%b}"
    return names


def drawn(tracks: Sequence[Track], steps: range, *, width: int) -> list[str]:
    """Draws tracks as lines of text: a character a step, as high as it shows pixels, a dot where there is none.

    Args:
        tracks: the sources, one line each.
        steps: from when to when.
        width: characters that a line may have; longer spans are cut into years or half-years.
    """
    gutter = max((len(one.source) for one in tracks), default=0) + 2
    lines: list[str] = []
    for part in stretches(steps, longest=width - gutter):
        empty = " " * part.offset
        lines += ["", part.year.ljust(gutter) + empty + _month_line(part.steps)]
        for one in tracks:
            shown = "".join(_glyph(one.shares.get(step)) for step in part.steps)
            lines.append(one.source.ljust(gutter) + empty + shown)
    return lines[1:]


def _month_line(steps: range) -> str:
    line = ""
    starts = {step - steps[0]: name for step, name in month_starts(steps).items()}
    for at, name in starts.items():
        # The rest of a month at either end may be too short for its name.
        crowded = any(other in starts for other in range(at + 1, at + 4)) or at + len(name) > len(steps)
        if len(starts) == 1 or not crowded:
            line = line.ljust(at) + name
    return line


def _glyph(share: float | None) -> str:
    return GAP if share is None else _BARS[min(max(math.ceil(share * 8), 1), 8)]
