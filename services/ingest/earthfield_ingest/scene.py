"""Scenes: what ingest needs of a STAC item, and which of two processings of one acquisition counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pystac
import shapely
from pystac.utils import str_to_datetime
from shapely.geometry.base import BaseGeometry

from earthfield.sources import Source
from earthfield.timeline import Period, as_utc, step_of
from earthfield_ingest.dialect import asset_key, property_ending

NO_ASSET = "no usable asset"
NO_QUALITY = "no quality asset"
NO_FOOTPRINT = "no footprint"
SUPERSEDED = "superseded by a newer processing"
_ALWAYS = Period(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_REMOTE = {"http", "https", "s3", "gs", "az", "abfs"}


@dataclass(frozen=True)
class Scene:
    """One acquisition of a source as a catalogue describes it."""

    id: str
    """STAC id."""
    source: str
    """Name of the source."""
    acquired: datetime
    """Instant of the acquisition, UTC."""
    footprint: BaseGeometry
    """Where it lies, degrees; empty where the item does not tell."""
    properties: Mapping[str, Any]
    """The item's properties."""
    assets: Mapping[str, Mapping[str, Any]]
    """The assets that the source can use, by key, each with an absolute `href`."""
    flaw: str | None = None
    """Why it cannot be used, where that is known before anything is read."""
    stands_for: Period | None = None
    """The interval that it stands for; None for an acquisition, which stands for its instant."""
    part: str = ""
    """Which part of its files it is, where a file holds many times."""

    def inside(self, period: Period) -> bool:
        """Tells whether it was acquired in a period, or stands for an interval that meets it."""
        if self.stands_for is None:
            return self.acquired in period
        return self.stands_for.start < period.end and period.start < self.stands_for.end

    @property
    def step(self) -> int:
        """The 5-day step that holds it."""
        return step_of(self.acquired)

    @property
    def item(self) -> dict[str, Any]:
        """The item as a source's `to_stored` reads it."""
        return {"id": self.id, "properties": self.properties, "assets": self.assets}


def is_remote(address: str) -> bool:
    """Tells whether an address is one of a network, not of this machine's disk."""
    return urlsplit(address).scheme.lower() in _REMOTE


def scene_of(item: pystac.Item, source: Source, *, remote: bool = False) -> Scene:
    """Takes from an item what its source needs.

    Args:
        item: the item.
        source: the source whose collection it belongs to.
        remote: whether the catalogue came over the network; then assets on the local disk are left out, so that
            nobody else's catalogue can make us read our own files.
    """
    wanted = {name for band in source.bands for name in band.assets}
    wanted |= {name for quality in source.quality for name in quality.assets}
    assets = {}
    for key in sorted(wanted & item.assets.keys()):
        href = item.assets[key].get_absolute_href() or item.assets[key].href
        if is_remote(href) or not remote:
            assets[key] = {**item.assets[key].to_dict(), "href": href}
    footprint = footprint_of(item)
    return Scene(
        id=item.id,
        source=source.name,
        acquired=_instant(item),
        footprint=footprint,
        properties=item.properties,
        assets=assets,
        flaw=source.refuses(item.to_dict(transform_hrefs=False)) or _flaw(source, assets, footprint),
        stands_for=_interval(item, source),
    )


def footprint_of(item: pystac.Item) -> BaseGeometry:
    """Gives an item's footprint in degrees, cut in two where it crosses the antimeridian; empty if it has none."""
    if item.geometry is not None:
        shape = shapely.geometry.shape(item.geometry)
    elif item.bbox is not None and len(item.bbox) in (4, 6):
        half = len(item.bbox) // 2
        west, south, east, north = (*item.bbox[:2], *item.bbox[half : half + 2])
        shape = shapely.box(west, south, east + 360 if east < west else east, north)
    else:
        return shapely.Polygon()
    return _unwrapped(shapely.force_2d(shape))


def without_superseded(scenes: Iterable[Scene]) -> list[Scene]:
    """Marks every scene of which the catalogue holds a newer processing."""
    newest: dict[tuple[str, ...], Scene] = {}
    scenes = list(scenes)
    for scene in scenes:
        key = _acquisition(scene)
        if key not in newest or _processing(newest[key]) < _processing(scene):
            newest[key] = scene
    return [
        replace(scene, flaw=SUPERSEDED)
        if _processing(scene)[:2] < _processing(newest[_acquisition(scene)])[:2] and scene.flaw is None
        else scene
        for scene in scenes
    ]


def _acquisition(scene: Scene) -> tuple[str, ...]:
    """What two processings of one acquisition share: sensor, place on the mission's grid, and instant."""
    properties = scene.properties
    platform = property_ending(properties, "platform", "constellation") or ""
    place = properties.get("grid:code") or property_ending(properties, "mgrs_tile") or ""
    path, row = property_ending(properties, "wrs_path"), property_ending(properties, "wrs_row")
    if path is not None and row is not None:
        place = f"WRS-{int(path):03}{int(row):03}"
    sensed = re.search(r"_S(\d{8}T\d{6})", str(property_ending(properties, "datastrip_id") or ""))
    instant = sensed[1] if sensed else f"{scene.acquired:%Y%m%dT%H%M%S}"
    place = re.sub(r"^MGRS-0?", "", str(place)).lstrip("0").upper()
    # A place on the grid is what makes the instant enough; without one only a whole match is safe.
    where = place or shapely.to_wkt(shapely.envelope(scene.footprint), rounding_precision=3)
    return scene.source, str(platform).lower(), where, instant


def _processing(scene: Scene) -> tuple[str, str, str]:
    """What orders processings of one acquisition, oldest first: baseline, time of making, id."""
    properties = scene.properties
    baseline = property_ending(properties, "processing_baseline", "version") or ""
    made = property_ending(properties, "generation_time", "processing_datetime") or ""
    return str(baseline), str(made), scene.id


def _instant(item: pystac.Item) -> datetime:
    if item.datetime is not None:
        return as_utc(item.datetime)
    return as_utc(str_to_datetime(item.properties["start_datetime"]))


def _interval(item: pystac.Item, source: Source) -> Period | None:
    """What an item of a source with a slower cadence stands for; one that tells no end stands for its instant."""
    if source.cadence == "static":
        return _ALWAYS
    end = item.properties.get("end_datetime")
    if source.cadence == "instant" or not end or as_utc(str_to_datetime(end)) <= _instant(item):
        return None
    start = item.properties.get("start_datetime") or item.properties["datetime"]
    return Period(as_utc(str_to_datetime(start)), as_utc(str_to_datetime(end)))


def _flaw(source: Source, assets: Mapping[str, Any], footprint: BaseGeometry) -> str | None:
    if footprint.is_empty:
        return NO_FOOTPRINT
    if all(asset_key(assets, band.assets) is None for band in source.bands):
        return NO_ASSET
    if any(one.required and asset_key(assets, one.assets) is None for one in source.quality):
        return NO_QUALITY
    return None


def _unwrapped(shape: BaseGeometry) -> BaseGeometry:
    """Cuts a shape at the antimeridian; one wider than half the globe is taken to cross it."""
    west, _, east, _ = shape.bounds
    if east - west > 180 and shape.geom_type == "Polygon":
        shape = shapely.transform(shape, lambda xy: xy + [[360.0, 0.0]] * (xy[:, :1] < 0))
    shape = shapely.make_valid(shape)
    if shape.bounds[2] <= 180:
        return shape
    east_part = shapely.transform(
        shape.intersection(shapely.box(180, -90, 540, 90)), lambda xy: xy - [360.0, 0.0]
    )
    return shapely.union_all([shape.intersection(shapely.box(-180, -90, 180, 90)), east_part])
