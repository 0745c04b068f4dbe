"""Estimates: what an ingest will read, fetch, store and take, told from its plan before anything is fetched."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from earthfield.cube import Cube
from earthfield.grid import TileWindow, Window
from earthfield.sources import Source, source_named
from earthfield_ingest.assets import AssetSize, size_of
from earthfield_ingest.compose import UNREADABLE
from earthfield_ingest.dialect import asset_key, property_ending
from earthfield_ingest.ledger import Ledger, StepWork, pending
from earthfield_ingest.plan import Plan
from earthfield_ingest.scene import Scene
from earthfield_ingest.write import ledger_of

MAX_TILES = 16
"""Tiles of an area from which on `earthfield ingest` asks before it begins, unless there is nothing to read."""
MAX_BYTES = 50_000_000_000
"""Bytes to fetch from which on it asks."""

_OVERCAST = 98.0
"""Told cloud cover, per cent, from which on only the quality asset of an item is expected to be read."""
_COVERED = 0.99
"""Share of the area from which on footprints count as covering it: their outlines are rounded."""
_STORED = 0.9
"""Bytes of a cube on disk for each byte of its values, metadata included (0.89 on 64 px of farmland)."""


@dataclass(frozen=True)
class Rates:
    """How fast this machine and its network are; measured on two cores at 2.5 GHz with files on a local disk."""

    asset_s: float = 0.0014
    """To open and read a small file of the disk, its share of writing included."""
    remote_asset_s: float = 0.15
    """To open a file over the network: two round trips."""
    connections: int = 8
    """Files that are waited for side by side."""
    pixels_per_s: float = 60e6
    """Native pixels decoded, aligned and written."""
    bytes_per_s: float = 25e6
    """Over the network."""

    def seconds(self, one: SourceEstimate) -> float:
        """Gives the expected time of some work."""
        local = one.assets - one.remote_assets
        waiting = one.remote_assets * self.remote_asset_s / self.connections
        carrying = one.remote_bytes / self.bytes_per_s
        return local * self.asset_s + max(waiting, carrying) + one.pixels / self.pixels_per_s


@dataclass
class SourceEstimate:
    """What an ingest is expected to do for one source, in one tile or in all."""

    items: int = 0
    """Items that the catalogue holds for the area and period."""
    there: int = 0
    """Of these, items that the cube knows already."""
    unusable: int = 0
    """Of these, items that are left out for what their metadata say."""
    to_read: int = 0
    """Of these, items whose 5-day step must be made."""
    steps: int = 0
    """5-day steps to be stored, anew or again."""
    assets: int = 0
    """Files to open."""
    remote_assets: int = 0
    """Of these, files of the network."""
    pixels: int = 0
    """Pixels to read, all bands counted, at their native size."""
    bytes: int = 0
    """Bytes to read from files, compressed as they are there."""
    remote_bytes: int = 0
    """Of these, bytes to fetch over the network."""
    disk_bytes: int = 0
    """What the cube grows by."""
    seconds: float = 0.0
    """Expected time in one process."""

    def add(self, other: SourceEstimate) -> None:
        """Adds work; the items are counted by who knows which are the same."""
        for name in ("steps", "assets", "remote_assets", "pixels", "bytes", "remote_bytes", "disk_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.seconds = round(self.seconds + other.seconds, 3)


@dataclass
class Estimate:
    """What an ingest is expected to do."""

    sources: dict[str, SourceEstimate] = field(default_factory=dict)
    """By source; an item that touches several tiles counts once."""
    tiles: dict[str, dict[str, SourceEstimate]] = field(default_factory=dict)
    """By tile and source."""
    broken: list[str] = field(default_factory=list)
    """Items that break the rules of STAC, each with the reason."""

    @property
    def total(self) -> SourceEstimate:
        """All sources together."""
        whole = SourceEstimate()
        for one in self.sources.values():
            whole.add(one)
            for name in ("items", "there", "unusable", "to_read"):
                setattr(whole, name, getattr(whole, name) + getattr(one, name))
        return whole

    @property
    def too_large(self) -> str:
        """Why one should think twice about the area, in half a sentence; empty where nothing speaks against it."""
        total, num = self.total, len(self.tiles)
        if total.to_read and (num > MAX_TILES or total.bytes > MAX_BYTES):
            return (
                f"it has {num:,} tiles of 10 km with about {total.bytes / 1e9:,.2g} GB to read, and from "
                f"{MAX_TILES} tiles or {MAX_BYTES / 1e9:.0f} GB on that is asked"
            )
        return ""


def estimate(plan: Plan, *, rates: Rates | None = None) -> Estimate:
    """Tells what a plan's ingest will do, from items' metadata and what cubes remember; no asset is opened.

    Items are counted exactly. What is read of them is expected: a source with a quality asset reads that of every
    item and all bands of those not told to be overcast; one without reads items of a step until their footprints
    cover the area. Sizes are told by the items, or follow from pixels (`AssetSize`).

    Args:
        plan: what is wanted.
        rates: how fast this machine is.

    Raises:
        BrokenArtefact: a cube that is there cannot be read.
        Unavailable: a bucket's server does not answer.
    """
    made = Estimate(broken=list(plan.broken))
    to_read: dict[str, set[str]] = {name: set() for name in plan.items}
    for part in plan.tiles:
        place = plan.request.catalog_root.cube(part.tile)
        cube = Cube(place) if place.exists() else None
        rows = made.tiles[part.tile.id] = {}
        for name in plan.items:
            ledger = ledger_of(cube.attributes(name)) if cube is not None and name in cube.sources else {}
            work = _Work(plan, part, source_named(name), ledger)
            rows[name] = work.expected(rates or Rates())
            to_read[name] |= work.to_read
    for name in plan.items:
        made.sources[name] = whole = _counted(plan.counted(name), to_read[name])
        for rows in made.tiles.values():
            whole.add(rows[name])
    return made


def _counted(scenes: Sequence[Scene], to_read: set[str]) -> SourceEstimate:
    unusable = sum(scene.flaw is not None for scene in scenes)
    reading = sum(scene.flaw is None and scene.id in to_read for scene in scenes)
    return SourceEstimate(len(scenes), len(scenes) - unusable - reading, unusable, reading)


class _Work:
    """One source's work in one tile."""

    def __init__(self, plan: Plan, part: TileWindow, source: Source, ledger: Ledger) -> None:
        self._source, self._part = source, part
        self._area = part.area.to_crs("EPSG:4326").geom
        self._box = shapely.box(*self._area.bounds)
        scenes = plan.scenes_in(part, source.name)
        window = source.window(part.tile, part.tile.local(part.window))
        again = () if plan.request.skip_unreadable else ledger
        failed = frozenset(name for name in again if ledger[name].outcome == UNREADABLE)
        self._steps = pending(ledger, scenes, window, again=failed)
        self._inside = [scene for scene in scenes if scene.inside(plan.request.span)]
        self.to_read = {scene.id for work in self._steps for scene in work.scenes}

    def expected(self, rates: Rates) -> SourceEstimate:
        """Gives what is to be done."""
        whole = _counted(self._inside, self.to_read)
        for work in self._steps:
            seen = _read_in_full(self._source, work.scenes, self._area)
            looked_at = work.scenes if self._source.quality else seen
            sizes = [size for scene in looked_at for size in self._quality(scene, work.window)]
            sizes += [size for scene in seen for size in self._bands(scene, work.window)]
            remote = [size for size in sizes if size.remote]
            whole.steps += bool(seen)
            whole.assets += len(sizes)
            whole.remote_assets += len(remote)
            whole.pixels += sum(size.pixels for size in sizes)
            whole.bytes += sum(size.bytes for size in sizes)
            whole.remote_bytes += sum(size.bytes for size in remote)
            whole.disk_bytes += self._stored(work, seen)
        whole.seconds = round(rates.seconds(whole), 3)
        return whole

    def _quality(self, scene: Scene, window: Window) -> Iterator[AssetSize]:
        for quality in self._source.quality:
            key = asset_key(scene.assets, quality.assets)
            if key is not None:
                gsd = min(band.gsd_m for band in self._source.bands) * 2
                yield size_of(scene, key, self._source, self._extent(window), gsd_m=gsd, dtype="uint8")

    def _bands(self, scene: Scene, window: Window) -> Iterator[AssetSize]:
        for band in self._source.bands:
            key = asset_key(scene.assets, band.assets)
            if key is not None:
                yield size_of(
                    scene, key, self._source, self._extent(window), gsd_m=band.gsd_m, dtype=self._source.dtype
                )

    def _extent(self, window: Window) -> tuple[float, float]:
        """Height and width of a window of the source's array, metres."""
        rows, cols = window.shape
        if self._source.lattice is None:
            return rows * 10.0, cols * 10.0
        box = self._part.tile.geobox.boundingbox
        return box.span_y, box.span_x

    def _stored(self, work: StepWork, seen: Sequence[Scene]) -> int:
        """Bands that are not published and places where nothing lies take no space."""
        bands = {
            band.name
            for scene in seen
            for band in self._source.bands
            if asset_key(scene.assets, band.assets) is not None
        }
        lies = shapely.union_all([scene.footprint for scene in seen]).intersection(self._box).area
        share = min(lies / self._box.area, 1.0)
        values = math.prod(list(work.window.shape)) * len(bands) * share
        return round(values * np.dtype(self._source.dtype).itemsize * _STORED)


def _read_in_full(source: Source, scenes: Sequence[Scene], area: BaseGeometry) -> list[Scene]:
    """Lists the scenes of a step whose bands are expected to be read."""
    if source.quality:
        return [scene for scene in scenes if not _is_overcast(scene.properties)]
    read, seen = [], shapely.union_all([])
    for scene in sorted(scenes, key=lambda one: (one.acquired, one.id)):
        if len(scenes) > 1 and seen.intersection(area).area > _COVERED * area.area:
            break
        read.append(scene)
        seen = seen.union(scene.footprint)
    return read


def _is_overcast(properties: Mapping[str, object]) -> bool:
    told = property_ending(properties, "cloud_cover")
    return isinstance(told, int | float) and told >= _OVERCAST
