"""News: what a refresh has to do, and what of it was new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from earthfield.cube import Cube
from earthfield.schemas import EmbedReport, FieldReport, IndexReport
from earthfield.timeline import step_start

if TYPE_CHECKING:
    from earthfield_ingest.jobs import Plan, TileReport

_MOST_NAMED = 100


@dataclass
class SourceNews:
    """What was new of one source."""

    items: int = 0
    """Acquisitions that no cube of the area knew before."""
    named: list[str] = field(default_factory=list)
    """Their STAC ids, the first hundred."""
    steps: list[str] = field(default_factory=list)
    """First days of the 5-day steps that were made for them."""


@dataclass
class News:
    """What a refresh found and did for one schedule."""

    schedule: str
    """Its name."""
    periods: list[str]
    """Periods that were looked at."""
    tiles: int = 0
    """Tiles of the area that hold scenes."""
    sources: dict[str, SourceNews] = field(default_factory=dict)
    """By source that had something new."""
    waiting: int = 0
    """Items that another run tries again, because they or others of their step could not be read."""
    ingested: list[str] = field(default_factory=list)
    """Tiles whose cubes have grown."""
    fields: list[FieldReport] = field(default_factory=list)
    """Fields that were made, for the first time or again."""
    kept: int = 0
    """Fields that were left as they are, because their inputs are the same."""
    absent: int = 0
    """Fields that cannot be made yet, because nothing clear was seen in their period."""
    cells: int = 0
    """Cells of the index that were written."""
    seconds: float = 0.0
    """Wall time."""

    @property
    def is_new(self) -> bool:
        """Whether anything was written."""
        return bool(self.ingested or self.fields or self.cells)

    @property
    def text(self) -> str:
        """All of it in one sentence."""
        if not self.is_new:
            return f"{self.schedule}: nothing new in {', '.join(self.periods)}"
        found = ", ".join(f"{one.items} of {name}" for name, one in self.sources.items()) or "none"
        return (
            f"{self.schedule}: new acquisitions: {found}; {len(self.ingested)} tiles ingested, "
            f"{len(self.fields)} fields made, {self.kept} left as they are, {self.cells} cells indexed"
        )


@dataclass
class RefreshReport:
    """What a refresh did."""

    at: str
    """The day that was looked at."""
    schedules: list[News] = field(default_factory=list)
    """By schedule."""
    seconds: float = 0.0
    """Wall time."""


def lacking(plan: Plan) -> Plan:
    """Gives the part of a plan whose cubes lack something; only metadata and ledgers are read."""
    from earthfield_ingest.estimate import estimate

    expected = estimate(plan).tiles
    tiles = [part for part in plan.tiles if any(one.to_read for one in expected[part.tile.id].values())]
    parts = [plan.only(part) for part in tiles]
    wanted = {name: {scene.id for part in parts for scene in part.items[name]} for name in plan.items}
    items = {name: tuple(one for one in held if one.id in wanted[name]) for name, held in plan.items.items()}
    return replace(plan, tiles=tuple(tiles), items=items)


def known(plan: Plan) -> dict[str, set[str]]:
    """Gives the ids by source that cubes of a plan's tiles know already."""
    found: dict[str, set[str]] = {name: set() for name in plan.items}
    for part in plan.tiles:
        place = plan.request.catalog_root.cube(part.tile)
        cube = Cube(place) if place.exists() else None
        for name in plan.items:
            if cube is not None and name in cube.sources:
                found[name] |= set(cube.attributes(name).get("ledger", {}))
    return found


def found_new(
    plan: Plan, before: Mapping[str, set[str]], tiles: Sequence[TileReport]
) -> dict[str, SourceNews]:
    """Tells what of a plan cubes did not know before and know now.

    Args:
        plan: what was ingested.
        before: what `known` gave before it.
        tiles: the reports.
    """
    news = {}
    for name, scenes in plan.items.items():
        left = {item for one in tiles if name in one.details for item in one.details[name].left}
        new = [
            one for one in scenes if one.flaw is None and one.id not in before[name] and one.id not in left
        ]
        steps = [f"{step_start(step):%Y-%m-%d}" for step in sorted({one.step for one in new})]
        if new:
            news[name] = SourceNews(len(new), [one.id for one in new[:_MOST_NAMED]], steps)
    return news


def tell(news: News, tiles: Sequence[TileReport], embedded: EmbedReport, indexed: IndexReport) -> News:
    """Adds to news what the jobs reported."""
    return replace(
        news,
        waiting=sum(len(detail.left) for one in tiles for detail in one.details.values()),
        ingested=[one.tile for one in tiles if one.snapshot],
        fields=[one for one in embedded.fields if one.written],
        kept=sum(not one.written and not one.absent for one in embedded.fields),
        absent=sum(bool(one.absent) for one in embedded.fields),
        cells=indexed.written,
    )
