"""Planning: which scenes, over which windows of which tiles, a request asks for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import shapely
from odc.geo.geom import Geometry

from earthfield.area import area_of_footprints, tile_windows
from earthfield.errors import InvalidInput, NotFound
from earthfield.grid import TileWindow
from earthfield.progress import Progress, silent
from earthfield.schemas import IngestRequest
from earthfield.sources import source_named
from earthfield.timeline import Period, step_start
from earthfield_ingest.catalogues import Findings, Question, open_archive, touches
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.providers import address_of
from earthfield_ingest.readers.series import parts
from earthfield_ingest.scene import Scene, without_superseded

_MAX_NAMED = 20
"""Collections named in a message."""


@dataclass(frozen=True)
class Plan:
    """What an ingest will do."""

    request: IngestRequest
    """What was asked."""
    area: Geometry
    """The area in EPSG:4326."""
    tiles: tuple[TileWindow, ...]
    """Its tiles and windows, sorted."""
    items: Mapping[str, tuple[Scene, ...]]
    """Scenes by source, by time. They cover whole 5-day steps, so that a step never depends on where a period
    ends; those outside the period are read with their step but not counted."""
    broken: tuple[str, ...] = ()
    """Items that break the rules of STAC, each with the reason; they are not among the scenes."""

    def counted(self, source: str) -> list[Scene]:
        """Lists the scenes of a source that were acquired in the period asked for."""
        span = self.request.span
        return [scene for scene in self.items[source] if scene.inside(span)]

    @property
    def num_px(self) -> int:
        """Band pixels that a first run reads at most."""
        return sum(
            math.prod(source_named(name).window(part.tile, part.window).shape)
            * len(source_named(name).bands)
            * len(self.scenes_in(part, name))
            for part in self.tiles
            for name in self.items
        )

    def only(self, tile_window: TileWindow) -> Plan:
        """Gives the part of the plan that one tile needs."""
        items = {name: tuple(self.scenes_in(tile_window, name)) for name in self.items}
        return replace(self, tiles=(tile_window,), items=items)

    def scenes_in(self, tile_window: TileWindow, source: str) -> list[Scene]:
        """Lists the scenes of a source that touch the area inside a tile."""
        part, scenes = tile_window.area.to_crs("EPSG:4326"), self.items[source]
        near = sorted(self._trees[source].query(part.geom))
        return [scenes[place] for place in near if touches(scenes[place].footprint, part)]

    @cached_property
    def _trees(self) -> Mapping[str, shapely.STRtree]:
        """Footprints by source, so that thousands of tiles need not look at every scene."""
        return {
            name: shapely.STRtree([scene.footprint for scene in scenes])
            for name, scenes in self.items.items()
        }


def plan(request: IngestRequest, *, progress: Progress = silent) -> Plan:
    """Finds what a request asks for, reading metadata only; `progress` is told after each document or page.

    Raises:
        NotFound: there is no catalogue, or nothing in the period.
        InvalidInput: the catalogue is not STAC, or the area lies outside of it.
        BrokenArtefact: the catalogue's server leads in a circle.
        Unavailable: the catalogue's server does not answer.
    """
    sources = [source_named(name) for name in dict.fromkeys(request.sources)]
    span, area = request.span, request.area
    found = open_archive(request.catalog, allow=request.allow).find(
        Question(sources, area=area, period=whole_steps(span)), progress=progress
    )
    if area is None and found.extent.shapes:
        area = area_of_footprints(found.extent.shapes)
    scenes = _with_parts(found.scenes, request)
    if area is None or not any(scene.inside(span) for scene in scenes):
        raise _why_nothing(found, request, area)
    ordered = sorted(without_superseded(scenes), key=lambda one: (one.acquired, one.id))
    items = {source.name: tuple(one for one in ordered if one.source == source.name) for source in sources}
    made = Plan(request, area, tuple(tile_windows(area)), items, found.broken)
    # Tiles on which no scene falls would only make reports longer.
    return replace(
        made, tiles=tuple(part for part in made.tiles if any(made.scenes_in(part, name) for name in items))
    )


def _with_parts(found: Iterable[Scene], request: IngestRequest) -> list[Scene]:
    """Puts the times that series hold in the place of their items."""
    made, items = [], dict[str, list[Scene]]()
    for scene in found:
        if source_named(scene.source).layout == "series":
            items.setdefault(scene.source, []).append(scene)
        else:
            made.append(scene)
    for name, held in items.items():
        times = parts(source_named(name), held, fetcher_for(request))
        made += [scene for scene in times if scene.inside(request.span)]
    return made


def fetcher_for(request: IngestRequest) -> Fetcher:
    """Gives what opens the files that a request's items lead to, and nothing else."""
    return Fetcher(request.allow, home=address_of(request.catalog))


def whole_steps(span: Period) -> Period:
    """Widens a period to whole 5-day steps."""
    return Period(step_start(span.steps[0]), step_start(span.steps[-1] + 1))


def _why_nothing(found: Findings, request: IngestRequest, area: Geometry | None) -> Exception:
    extent, catalog = found.extent, request.catalog
    names = ", ".join(dict.fromkeys(request.sources))
    also = f"; {len(found.broken)} items are broken, first: {found.broken[0]}" if found.broken else ""
    if extent.is_empty:
        held = ", ".join(found.collections[:_MAX_NAMED]) or "none that can be told"
        more = len(found.collections) - _MAX_NAMED
        held += f" and {more} more" if more > 0 else ""
        return NotFound(
            f"the catalogue {catalog} holds no {names}; its collections are: {held}{also}: "
            "name other --sources or another catalogue"
        )
    if area is not None and not extent.shape.is_empty and not extent.shape.intersects(area.geom):
        return InvalidInput(
            f"the area lies outside the catalogue {catalog}, which covers {extent.where}{also}: "
            "change --bbox or --aoi"
        )
    return NotFound(
        f"the catalogue {catalog} holds no {names} for {request.span} in this area; "
        f"it has scenes from {extent.when}{also}: change --period"
    )
