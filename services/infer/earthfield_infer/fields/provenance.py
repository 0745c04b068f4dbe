"""Which scenes lie behind one pixel: those that saw it clear, and those that only stood around it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from earthfield.catalog import Catalog
from earthfield.codec import is_missing
from earthfield.cube import Cube, CubeReader, Observation
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import Field, fields_of, frames_read, plain_value
from earthfield.grid import Tile, Window, pixel_at, tile_at, zone_of
from earthfield.timeline import Period
from earthfield_infer.windows import windows_over_pixel


@dataclass(frozen=True)
class SceneSeen:
    """A scene that entered a pixel's vector."""

    scene: str
    """Its STAC id."""
    acquired: str
    """Instant of the clearest scene of its 5-day step, ISO 8601."""
    step: int
    """The 5-day step that it was composed into."""
    tile: str
    """Tile whose cube holds it."""


@dataclass
class SourceScenes:
    """The scenes of one source."""

    clear: list[SceneSeen] = field(default_factory=list)
    """Scenes of steps that show the pixel itself, as far as their pixels reach it. Where a step was composed of
    several scenes the cube does not tell which of them filled the pixel: all that reach it are named."""
    context: list[SceneSeen] = field(default_factory=list)
    """Scenes that were read with the window and show something of it, but not the pixel."""
    masked: int = 0
    """Frames that were read and show nothing in the window."""


@dataclass
class Provenance:
    """What lies behind one pixel of a field."""

    model: str
    """Name of the model."""
    fingerprint: str
    """Hash of the model."""
    period: str
    """Valid period."""
    support: str
    """When inputs were taken."""
    tile: str
    """The tile."""
    lon: float
    """The place that was asked for, degrees."""
    lat: float
    """The place that was asked for, degrees."""
    row: int
    """Row of the zone's grid."""
    col: int
    """Column of the zone's grid."""
    has_vector: bool
    """Whether the pixel has a vector at all."""
    quality: dict[str, int | float | None] = field(default_factory=dict)
    """Quality layers at the pixel."""
    windows: list[list[int]] = field(default_factory=list)
    """Windows that were encoded over the pixel: y0, y1, x0, x1 in the zone's grid."""
    sources: dict[str, SourceScenes] = field(default_factory=dict)
    """Scenes by source."""
    changed: list[str] = field(default_factory=list)
    """Frames of the manifest that the cubes no longer hold as they were: what they showed cannot be told."""
    imported: dict[str, Any] = field(default_factory=dict)
    """Where the field was imported from; such a field names no scenes."""


def provenance(
    catalog: Catalog, model: str, lon: float, lat: float, *, periods: Sequence[str] = ()
) -> list[Provenance]:
    """Tells for each period which scenes lie behind the pixel at a place.

    The field's manifest says which frames were read, the cubes' masks say what these showed.

    Args:
        catalog: where fields and cubes lie.
        model: name of the model.
        lon: degrees.
        lat: degrees.
        periods: texts of periods; all where empty.

    Raises:
        InvalidInput: no place on Earth, or a period that cannot be read.
        NotFound: no field covers the place, or a cube behind it is gone.
    """
    if not (math.isfinite(lon) and math.isfinite(lat) and -180 <= lon <= 180 and -80 <= lat <= 84):
        raise InvalidInput(f"{lon} {lat} is no place that fields cover: give LON (-180..180) LAT (-80..84)")
    wanted = {period.id for period in Period.parse_all(periods)}
    found = [
        _traced(catalog, one, (lon, lat), pixel)
        for one, pixel in _covering(catalog, model, lon, lat)
        if not wanted or one.key.period.id in wanted
    ]
    if not found:
        when = f" for {', '.join(periods)}" if periods else ""
        raise NotFound(
            f"no field of model {model!r} covers {lon} {lat}{when}: `earthfield field info --model {model}` lists "
            "what there is"
        )
    return found


def _covering(
    catalog: Catalog, model: str, lon: float, lat: float
) -> Iterator[tuple[Field, tuple[int, int]]]:
    """Yields the fields that hold a place: in its own zone, or else in a neighbouring one that reaches over."""
    keys = list(catalog.fields(model))
    if not keys:
        fields_of(catalog, model)
    own = zone_of(lon, lat)
    for epsg in sorted(
        {key.tile.epsg for key in keys if _near(key.tile.epsg, own)}, key=lambda one: one != own
    ):
        row, col = pixel_at(epsg, lon, lat)
        here = tile_at(epsg, row, col)
        fields = [Field(catalog, key) for key in keys if key.tile == here]
        held = [one for one in fields if Window(row, row + 1, col, col + 1) in one.window]
        yield from ((one, (row, col)) for one in held)
        if held:
            return


def _near(epsg: int, own: int) -> bool:
    """Tells whether a zone is a point's own, on either hemisphere, or beside it."""
    return abs(epsg % 100 - own % 100) in (0, 1, 59)


def _traced(catalog: Catalog, one: Field, place: tuple[float, float], pixel: tuple[int, int]) -> Provenance:
    row, col = pixel
    spot = Window(row, row + 1, col, col + 1)
    manifest = one.manifest
    imported = dict(manifest.get("imported", {}))
    windows = [] if imported else windows_over_pixel(row, col, manifest.get("windows"))
    told = Provenance(
        one.key.model, manifest["model"]["fingerprint"], str(one.key.period),
        str(manifest.get("support", {}).get("text", "")), one.key.tile.id, *place, row, col,
        has_vector=not bool(is_missing(one.codes(spot)).any()),
        quality={name: plain_value(layer) for name, layer in one.quality(spot).items()},
        windows=[[window.y0, window.y1, window.x0, window.x1] for window in windows], imported=imported,
    )  # fmt: skip
    _Trace(CubeReader(catalog, ()), one.key.tile, spot, windows, told).follow(manifest)
    return told


@dataclass(frozen=True)
class _Trace:
    """Looks up what the frames of a manifest showed of a pixel and its windows."""

    reader: CubeReader
    own: Tile
    spot: Window
    windows: Sequence[Window]
    told: Provenance

    def follow(self, manifest: Mapping[str, Any]) -> None:
        frames: dict[tuple[Tile, str], list[Mapping[str, Any]]] = {}
        for tile, source, frame in frames_read(manifest):
            where = self.own if tile is None else Tile.parse(tile)
            frames.setdefault((where, source), []).append(frame)
        for (holder, source), held in frames.items():
            self._look(holder, source, held)
        for scenes in self.told.sources.values():
            clear = {one.scene for one in scenes.clear}
            context = {one.scene: one for one in reversed(scenes.context) if one.scene not in clear}
            scenes.context = sorted(context.values(), key=lambda one: (one.step, one.scene))
            scenes.clear.sort(key=lambda one: (one.step, one.scene))

    def _look(self, tile: Tile, source: str, frames: Sequence[Mapping[str, Any]]) -> None:
        scenes = self.told.sources.setdefault(source, SourceScenes())
        parts = [part for window in self.windows if (part := window & tile.window)]
        if not parts:
            return
        cube = self.reader.cube(tile)
        if cube is None:
            raise NotFound(
                f"the cube of tile {tile.id} is gone, and with it what its {len(frames)} frames showed: ingest it "
                "again to trace pixels; the field's manifest.json names all its scenes"
            )
        known, ledger = self._stored(cube, source)
        for frame in frames:
            seen = known.get(frame["step"])
            if seen is None or list(seen.items) != list(frame["items"]):
                now = "is gone" if seen is None else f"holds {', '.join(seen.items)} now"
                self.told.changed.append(f"{tile.id} {source} step {frame['step']}: {now}")
                continue
            self._sort_in(scenes, cube, tile, source, seen, ledger, parts)

    def _stored(self, cube: Cube, source: str) -> tuple[dict[int, Observation], Mapping[str, Any]]:
        if source not in cube.sources:
            return {}, {}
        return {one.step: one for one in cube.observations(source)}, cube.attributes(source).get("ledger", {})

    def _sort_in(
        self, scenes: SourceScenes, cube: Cube, tile: Tile, source: str, seen: Observation,
        ledger: Mapping[str, Any], parts: Iterable[Window],
    ) -> None:  # fmt: skip
        def shows(window: Window) -> bool:
            return bool(cube.read_valid(source, [seen.slot], tile.local(window)).any())

        clear = tile == self.own and shows(self.spot)
        if clear:
            scenes.clear += self._reaching(tile, seen, ledger, [self.spot])
        if clear or any(shows(part) for part in parts):
            scenes.context += self._reaching(tile, seen, ledger, parts)
        else:
            scenes.masked += 1

    def _reaching(
        self, tile: Tile, seen: Observation, ledger: Mapping[str, Any], windows: Iterable[Window]
    ) -> list[SceneSeen]:
        """Names the scenes of a step whose pixels reach one of the windows."""
        local = [tile.local(window) for window in windows]
        reaching = [
            item
            for item in seen.items
            if (held := ledger.get(item, {}).get("window")) is None
            or any(Window(*held) & window for window in local)
        ]
        when = f"{seen.acquired:%Y-%m-%dT%H:%M:%SZ}"
        return [SceneSeen(item, when, seen.step, tile.id) for item in reaching or seen.items]
