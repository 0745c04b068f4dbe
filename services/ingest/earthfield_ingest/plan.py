"""Planning: which scenes, over which windows of which tiles, a request asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import shapely
from odc.geo.geom import Geometry

from earthfield.area import area_of_footprints, tile_windows
from earthfield.errors import InvalidInput, NotFound
from earthfield.grid import TileWindow
from earthfield.schemas import IngestRequest
from earthfield.sources import Source, source_named
from earthfield.timeline import Period, step_start
from earthfield_ingest.scene import Scene, without_superseded
from earthfield_ingest.search import Archive, open_archive, touches


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

    def counted(self, source: str) -> list[Scene]:
        """Lists the scenes of a source that were acquired in the period asked for."""
        span = self.request.span
        return [scene for scene in self.items[source] if scene.inside(span)]

    def scenes_in(self, tile_window: TileWindow, source: str) -> list[Scene]:
        """Lists the scenes of a source that touch the area inside a tile."""
        part = tile_window.area.to_crs("EPSG:4326")
        shapely.prepare(part.geom)
        return [scene for scene in self.items[source] if touches(scene.footprint, part)]


def plan(request: IngestRequest) -> Plan:
    """Finds what a request asks for, reading metadata only.

    Raises:
        NotFound: there is no catalogue, or nothing in the period.
        InvalidInput: the catalogue is not STAC, or the area lies outside of it.
        Unavailable: the catalogue's server does not answer.
    """
    sources = [source_named(name) for name in dict.fromkeys(request.sources)]
    span, area = request.span, request.area
    archive = open_archive(request.catalog)
    if area is None:
        shapes = [one.footprint for one in archive.everything(sources) if not one.footprint.is_empty]
        if not shapes:
            raise _nothing(archive, sources)
        area = area_of_footprints(shapes)
    found = archive.scenes(sources, area=area, period=whole_steps(span))
    if not any(scene.inside(span) for scene in found):
        raise _why_nothing(archive, sources, area, span)
    ordered = sorted(without_superseded(found), key=lambda one: (one.acquired, one.id))
    items = {source.name: tuple(one for one in ordered if one.source == source.name) for source in sources}
    return Plan(request, area, tuple(tile_windows(area)), items)


def whole_steps(span: Period) -> Period:
    """Widens a period to whole 5-day steps."""
    return Period(step_start(span.steps[0]), step_start(span.steps[-1] + 1))


def _why_nothing(archive: Archive, sources: Sequence[Source], area: Geometry, span: Period) -> Exception:
    extent = archive.extent(sources)
    if extent.shape.is_empty and not extent.instants:
        return _nothing(archive, sources)
    if not extent.shape.is_empty and not extent.shape.intersects(area.geom):
        return InvalidInput(
            f"the area lies outside the catalogue {archive.address}, which covers {extent.where}: "
            "change --bbox or --aoi"
        )
    names = ", ".join(source.name for source in sources)
    return NotFound(
        f"the catalogue {archive.address} holds no {names} for {span} in this area; "
        f"it has scenes from {extent.when}: change --period"
    )


def _nothing(archive: Archive, sources: Sequence[Source]) -> NotFound:
    names = ", ".join(source.name for source in sources)
    return NotFound(
        f"the catalogue {archive.address} holds no {names}: name other --sources or another catalogue"
    )
