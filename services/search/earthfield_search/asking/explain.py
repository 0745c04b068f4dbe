"""What lies behind a hit: its quality layers, and the scenes that showed the pixel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from earthfield.catalog import Catalog
from earthfield.cube import Cube, CubeReader, Observation
from earthfield.errors import EarthfieldError
from earthfield.field import Field, frames_read, plain_value
from earthfield.grid import Tile, Window


@dataclass(frozen=True)
class Scene:
    """A scene that showed the pixel clear."""

    scene: str
    """Its STAC id."""
    acquired: str
    """Instant of the clearest scene of its 5-day step, ISO 8601."""


@dataclass(frozen=True)
class Explained:
    """Quality and scenes of one pixel of a field."""

    quality: dict[str, int | float | None] = field(default_factory=dict)
    """Quality layers at the pixel, such as counts of clear observations, days and agreement."""
    scenes: dict[str, list[Scene]] = field(default_factory=dict)
    """By source, in the order of time, the scenes whose steps show the pixel and whose pixels reach it. Scenes that
    only stood in the window around it are told by `earthfield field provenance`."""
    read: int = 0
    """Frames of its tile that were read."""
    note: str = ""
    """Why scenes are missing: the cube is gone or has changed since, or the field was imported."""


class Explainer:
    """Explains pixels, each cube opened once."""

    def __init__(self, catalog: Catalog) -> None:
        """Args: where fields and cubes lie."""
        self._reader = CubeReader(catalog, ())
        self._seen: dict[tuple[Tile, str], tuple[dict[int, Observation], Mapping[str, Any]]] = {}

    def explained(self, held: Field, row: int, col: int) -> Explained:
        """Tells what lies behind a pixel of a field, given in the zone's grid.

        The field's manifest says which frames were read, the cube's masks which of them show the pixel. Where the
        cube cannot tell, that is noted: an answer is worth having without it.
        """
        spot = Window(row, row + 1, col, col + 1)
        quality = {name: plain_value(layer) for name, layer in held.quality(spot).items()}
        frames: dict[str, list[Mapping[str, Any]]] = {}
        for neighbour, source, frame in frames_read(held.manifest):
            if neighbour is None:
                frames.setdefault(source, []).append(frame)
        read = sum(map(len, frames.values()))
        if "imported" in held.manifest:
            return Explained(quality, {}, read, "the field was imported: it names no scenes")
        tile = held.key.tile
        try:
            cube = self._reader.cube(tile)
            if cube is None:
                return Explained(quality, {}, read, f"the cube of tile {tile.id} is gone: ingest it again")
            scenes: dict[str, list[Scene]] = {}
            changed = 0
            for source, own in frames.items():
                scenes[source], missing = self._clear(cube, tile, source, own, spot)
                changed += missing
        except EarthfieldError as error:
            return Explained(quality, {}, read, str(error))
        note = f"{changed} frames are no longer in the cube as they were read" if changed else ""
        return Explained(quality, scenes, read, note)

    def _clear(
        self, cube: Cube, tile: Tile, source: str, frames: Sequence[Mapping[str, Any]], spot: Window
    ) -> tuple[list[Scene], int]:
        """Gives the scenes of frames that show a pixel, and how many frames the cube holds no more."""
        known, ledger = self._stored(cube, tile, source)
        held = [
            known[frame["step"]]
            for frame in frames
            if frame["step"] in known and list(known[frame["step"]].items) == list(frame["items"])
        ]
        local = tile.local(spot)
        if not held:
            return [], len(frames)
        shown = cube.read_valid(source, [one.slot for one in held], local)
        scenes = [
            Scene(item, f"{one.acquired:%Y-%m-%dT%H:%M:%SZ}")
            for one, clear in zip(held, shown, strict=True)
            if clear.any()
            for item in _reaching(one.items, ledger, local)
        ]
        return scenes, len(frames) - len(held)

    def _stored(
        self, cube: Cube, tile: Tile, source: str
    ) -> tuple[dict[int, Observation], Mapping[str, Any]]:
        if (tile, source) not in self._seen:
            there = source in cube.sources
            known = {one.step: one for one in cube.observations(source)} if there else {}
            ledger = cube.attributes(source).get("ledger", {}) if there else {}
            self._seen[tile, source] = known, ledger
        return self._seen[tile, source]


def _reaching(items: Iterable[str], ledger: Mapping[str, Any], spot: Window) -> list[str]:
    """Names the scenes of a step whose pixels reach a pixel of the tile; all where the ledger does not tell."""
    named = list(items)
    reaching = [
        item for item in named if (held := ledger.get(item, {}).get("window")) is None or Window(*held) & spot
    ]
    return reaching or named
