"""Scenes: what ingest needs of a STAC item, and which of two processings of one acquisition counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pystac
import shapely
from pystac.utils import str_to_datetime
from shapely.geometry.base import BaseGeometry

from earthfield.sources import Band, Quality, Source, known_sources
from earthfield.timeline import Period, as_utc, step_of
from earthfield_ingest.dialect import (
    addresses,
    asset_key,
    collection_of,
    declared,
    flown_since,
    property_ending,
    unknown_crs,
)
from earthfield_ingest.footprint import footprint_of

__all__ = ["Scene", "footprint_of", "is_remote", "scene_of", "sources_of", "why_unread", "without_superseded"]

NO_ASSET = "no usable asset: `assets` names none of the source's bands"
NO_QUALITY = "no quality asset: `assets` names none that tells clear pixels"
NO_FOOTPRINT = "no footprint: neither `geometry` nor `bbox` tells its place"
FROM_THE_FUTURE = "its `datetime` lies in the future"
BEFORE_LAUNCH = "its `datetime` lies before the launch of its `platform`"
SUPERSEDED = "superseded by a newer processing"
JOINED = "read with the item that holds the other bands of its scene"
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


def sources_of(item: Mapping[str, Any], under: str | None = None) -> list[Source]:
    """Lists the declared sources that read an item, given as a dict; see `collection_of`."""
    collection = collection_of(item, under)
    return [source for source in known_sources().values() if collection in source.collections]


def why_unread(item: Mapping[str, Any], under: str | None = None) -> str:
    """Says in a sentence why no declared source reads an item."""
    collection = collection_of(item, under)
    if collection is not None:
        return f"no declared source reads its `collection` {collection}"
    return "it names no `collection`, and neither its product type nor its `id` tells a product that is known"


def scene_of(item: pystac.Item, source: Source, *, remote: bool = False) -> Scene:
    """Takes from an item what its source needs.

    Args:
        item: the item.
        source: the source whose collection it belongs to.
        remote: whether the catalogue came over the network; then an address on the local disk is the last choice
            (and whoever opens it refuses it, unless the user allows it).
    """
    assets, footprint = dict(_usable(item, source, remote=remote)), footprint_of(item)
    return Scene(
        id=item.id,
        source=source.name,
        acquired=_instant(item),
        footprint=footprint,
        properties=item.properties,
        assets=assets,
        flaw=_flaw(item, source, assets, footprint),
        stands_for=_interval(item, source),
    )


def without_superseded(scenes: Iterable[Scene]) -> list[Scene]:
    """Brings every acquisition to one scene: older processings are marked, and parts of one are joined.

    Parts are items of one processing of one acquisition that publish different bands, as the USGS does with surface
    reflectance and surface temperature. The first of them gets the assets of all.
    """
    scenes = list(scenes)
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, scene in enumerate(scenes):
        groups.setdefault(_acquisition(scene), []).append(place)
    changed: dict[int, Scene | None] = {}
    for places in groups.values():
        newest = max(_processing(scenes[place])[:2] for place in places)
        usable = [place for place in places if scenes[place].flaw is None]
        old = {place for place in usable if _processing(scenes[place])[:2] < newest}
        changed |= {place: replace(scenes[place], flaw=SUPERSEDED) for place in old}
        changed |= _joined(scenes, [place for place in usable if place not in old])
    return [one for place, scene in enumerate(scenes) if (one := changed.get(place, scene)) is not None]


def _usable(item: pystac.Item, source: Source, *, remote: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the assets that a source can use, each with an address that can be read, and its nodata.

    An asset whose own address may not be read, or is of a scheme that nobody knows, is taken from an alternate one.
    """
    parts: tuple[Band | Quality, ...] = (*source.bands, *source.quality)
    for part in parts:
        for key in part.assets:
            if key not in item.assets:
                continue
            asset = item.assets[key].to_dict()
            own = item.assets[key].get_absolute_href()
            told = (own, *addresses(asset)[1:]) if own else addresses(asset)
            local = next((one for one in told if "://" not in one or one.startswith("file://")), None)
            href = next((one for one in told if is_remote(one) or (not remote and one == local)), local)
            if href is None:
                continue
            asset["href"] = href
            if part.nodata is not None and declared(item.properties, asset).nodata is None:
                asset["nodata"] = part.nodata
            yield key, asset


def _joined(scenes: Sequence[Scene], places: Sequence[int]) -> dict[int, Scene | None]:
    """Joins parts of one acquisition to the one with the most bands; a part with the same id falls away."""
    if len(places) < 2:
        return {}
    bands = {place: _band_keys(scenes[place]) for place in places}
    first = max(places, key=lambda place: (len(bands[place]), -place))
    parts = [place for place in places if place != first and bands[place].isdisjoint(bands[first])]
    if not parts:
        return {}
    changed: dict[int, Scene | None] = {}
    assets = dict(scenes[first].assets)
    for place in parts:
        assets = {**scenes[place].assets, **assets}
        same = scenes[place].id == scenes[first].id
        changed[place] = None if same else replace(scenes[place], flaw=JOINED)
    return {**changed, first: replace(scenes[first], assets=assets)}


def _band_keys(scene: Scene) -> set[str]:
    """Names of the bands that a scene holds."""
    source = known_sources().get(scene.source)
    bands = source.bands if source is not None else ()
    return {band.name for band in bands if asset_key(scene.assets, band.assets) is not None}


def _acquisition(scene: Scene) -> tuple[str, ...]:
    """What two processings of one acquisition share: sensor, place on the mission's grid, and instant."""
    properties = scene.properties
    platform = property_ending(properties, "platform", "constellation") or ""
    place = properties.get("grid:code") or property_ending(properties, "mgrs_tile") or ""
    path, row = property_ending(properties, "wrs_path"), property_ending(properties, "wrs_row")
    if path is not None and row is not None:
        place = f"WRS-{path!s:0>3}{row!s:0>3}"
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
    made = property_ending(properties, "generation_time", "processing_datetime")
    made = made or properties.get("processing:datetime") or ""
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


def _flaw(
    item: pystac.Item, source: Source, assets: Mapping[str, Any], footprint: BaseGeometry
) -> str | None:
    """Says why an item cannot be used, the most telling reason first."""
    content = item.to_dict(include_self_link=False, transform_hrefs=False)
    refused = source.refuses(content) or _skewed(content, _instant(item))
    if refused is not None:
        return refused
    if footprint.is_empty:
        return NO_FOOTPRINT
    if all(asset_key(assets, band.assets) is None for band in source.bands):
        return NO_ASSET
    if any(one.required and asset_key(assets, one.assets) is None for one in source.quality):
        return NO_QUALITY
    field = unknown_crs(item.properties, assets.values())
    return f"its `{field}` tells a coordinate system that PROJ does not know" if field else None


def _skewed(item: Mapping[str, Any], acquired: datetime) -> str | None:
    """Says whether a clock was wrong: nothing is measured before launch, or more than a day from now."""
    if acquired > datetime.now(UTC) + timedelta(days=1):
        return FROM_THE_FUTURE
    launch = flown_since(item)
    if launch is not None and acquired < as_utc(datetime.fromisoformat(launch)):
        return BEFORE_LAUNCH
    return None
