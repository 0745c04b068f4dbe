"""Reports: what became of the items in one tile, and over all tiles."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from earthfield.schemas import IngestReport, SourceReport
from earthfield.timeline import step_start
from earthfield_ingest.compose import NOT_CLEAR, USED
from earthfield_ingest.plan import Plan

IN_PLACE = "already in place"


@dataclass
class TileSource:
    """What became of one source's items in one tile."""

    outcomes: dict[str, str] = field(default_factory=dict)
    """By STAC id, for the items acquired in the period: `used`, or the reason why not."""
    read: set[str] = field(default_factory=set)
    """Ids of the items read in this run."""
    clear_px: dict[int, int] = field(default_factory=dict)
    """By step that the cube holds for the period: pixels of the area that it shows."""
    bytes_read: int = 0
    """Decoded bytes read in this run."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """By STAC id what made it unreadable."""
    unanswered: dict[str, str] = field(default_factory=dict)
    """By STAC id what the network failed with."""
    left: dict[str, str] = field(default_factory=dict)
    """By STAC id, for the items of steps that this run could not make: why."""
    shifts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By STAC id, for the items that a co-registered cube shows: `px` south and east, `confidence`, `reason`."""
    seconds: float = 0.0
    """Wall time of reading and writing."""
    area_px: int = 0
    """Pixels of the area on the source's own grid."""

    def summary(self) -> SourceReport:
        """Puts it in numbers."""
        area_px = self.area_px
        counts = Counter(self.outcomes.values())
        used = counts.pop(USED, 0)
        shown = (
            sum(self.clear_px.values()) / (area_px * len(self.clear_px)) if self.clear_px and area_px else 0.0
        )
        return SourceReport(
            found=len(self.outcomes),
            used=used,
            dropped=dict(sorted(counts.items())),
            read=len(self.read),
            steps=len(self.clear_px),
            clear_share=round(shown, 4),
            waiting=len(self.left),
            clear_by_step={
                f"{step_start(step):%Y-%m-%d}": round(pixels / area_px, 4) if area_px else 0.0
                for step, pixels in sorted(self.clear_px.items())
            },
            bytes_read=self.bytes_read,
            **self._moved(),
            seconds=round(self.seconds, 3),
        )

    def _moved(self) -> dict[str, Any]:
        """Puts the shifts in numbers."""
        lengths = [math.hypot(*one["px"]) for one in self.shifts.values() if any(one["px"])]
        unmoved = Counter(one.get("reason") or IN_PLACE for one in self.shifts.values() if not any(one["px"]))
        return {
            "moved": len(lengths),
            "moved_px": round(median(lengths), 3) if lengths else 0.0,
            "unmoved": dict(sorted(unmoved.items())),
        }


@dataclass
class TileReport:
    """What an ingest did in one tile."""

    tile: str
    """Id of the tile."""
    area_px: int
    """Pixels of the area in it."""
    details: dict[str, TileSource] = field(default_factory=dict)
    """By source."""
    snapshot: str = ""
    """The commit that this run made; empty where there was nothing to write."""
    seconds: float = 0.0
    """Wall time."""

    @property
    def sources(self) -> dict[str, SourceReport]:
        """By source, in numbers."""
        return {name: one.summary() for name, one in self.details.items()}


def summarise(plan: Plan, tiles: Iterable[TileReport], *, seconds: float) -> IngestReport:
    """Puts the reports of a plan's tiles together; an item that touches several tiles counts once."""
    tiles = sorted(tiles, key=lambda one: one.tile)
    whole = {name: TileSource() for name in plan.items}
    for name, total in whole.items():
        parts = [one.details[name] for one in tiles if name in one.details]
        total.outcomes = {scene.id: scene.flaw or NOT_CLEAR for scene in plan.counted(name)}
        for part in reversed(parts):
            total.outcomes |= part.outcomes
        total.outcomes |= {
            item: USED for part in parts for item, what in part.outcomes.items() if what == USED
        }
        # A scene moves in each tile by itself.
        total.shifts = {
            f"{one.tile}/{item}": shift
            for one in tiles
            if name in one.details
            for item, shift in one.details[name].shifts.items()
        }
        for part in parts:
            total.read |= part.read
            total.bytes_read += part.bytes_read
            total.area_px += part.area_px
            total.seconds += part.seconds
            total.left |= part.left
            total.unreadable |= part.unreadable
            total.unanswered |= part.unanswered
            for step, pixels in part.clear_px.items():
                total.clear_px[step] = total.clear_px.get(step, 0) + pixels
    return IngestReport(
        sources={name: total.summary() for name, total in whole.items()},
        tiles={one.tile: one.sources for one in tiles},
        unreadable=[text for total in whole.values() for _, text in sorted(total.unreadable.items())],
        unanswered=[text for total in whole.values() for _, text in sorted(total.unanswered.items())],
        broken=list(plan.broken),
        seconds=round(seconds, 3),
    )
