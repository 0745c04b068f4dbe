"""Cubes: their schema on disk, and reading frames from them, across tiles."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, NotFound
from earthfield.frames import Frames, SourceFrames
from earthfield.grid import CHIP_PX, TILE_PX, Tile, Window, tiles_over
from earthfield.timeline import EPOCH, Period

SCHEMA = "earthfield-cube/2"
STEPS_PER_CHUNK = 8
"""Steps in one chunk of `values`: a chip for a run of steps is read in one piece."""

CUBE_DIMS: Mapping[str, tuple[str, ...]] = {
    "values": ("step", "band", "y", "x"),
    "valid": ("step", "y", "x"),
    "step": ("step",),
    "acquired": ("step",),
    "items": ("step",),
    "about": ("step",),
}
"""Arrays of a source's group and their dimensions. `acquired` is in microseconds since 1970-01-01 UTC, `items` a
JSON list of STAC ids, `about` a JSON object of how the clearest one was taken; slots stand in the order in which
steps arrived, so readers sort by `step`."""


@dataclass(frozen=True)
class Observation:
    """One stored step of a source in a tile."""

    step: int
    """Index of the 5-day step."""
    acquired: datetime
    """True instant of its clearest acquisition."""
    items: tuple[str, ...]
    """STAC ids that it was made from, clearest first."""
    slot: int
    """Its place along the arrays' step axis."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the clearest item tells of how it was taken: orbit, angles, platform."""


def chunking(
    num_bands: int, shape: tuple[int, int] = (TILE_PX, TILE_PX)
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...] | None]]:
    """Gives (chunks, shards) of `values` and `valid`: chunks of a chip, one shard for a run of steps of a tile.

    Args:
        num_bands: bands of `values`.
        shape: rows and columns; a grid smaller than a chip is one chunk without shards.
    """
    run = STEPS_PER_CHUNK
    if shape[0] % CHIP_PX or shape[1] % CHIP_PX:
        return {"values": ((run, num_bands, *shape), None), "valid": ((run, *shape), None)}
    return {
        "values": ((run, num_bands, CHIP_PX, CHIP_PX), (run, num_bands, *shape)),
        "valid": ((run, CHIP_PX, CHIP_PX), (run, *shape)),
    }


def open_repository(path: Path, *, create: bool = False) -> icechunk.Repository:
    """Opens the Icechunk repository of a tile.

    Raises:
        NotFound: there is none and `create` is not set.
        BrokenArtefact: what lies there is not one.
    """
    _quiet()
    storage = icechunk.local_filesystem_storage(str(path))
    try:
        if create:
            return icechunk.Repository.open_or_create(storage)
        return icechunk.Repository.open(storage)
    except icechunk.IcechunkError as error:
        if not path.is_dir() or not any(path.iterdir()):
            raise NotFound(
                f"there is no cube at {path}: run `earthfield ingest` for this area first"
            ) from error
        raise BrokenArtefact(
            f"the cube {path} cannot be opened ({error}): remove it and ingest again"
        ) from error


@cache
def _quiet() -> None:
    """Silences the warning about side-by-side commits on a local disk: a tile has one writer at a time."""
    if "ICECHUNK_LOG" not in os.environ:
        icechunk.set_logs_filter("warn,icechunk::storage::object_store=error")


class Cube:
    """One tile's cube at its last commit, for reading."""

    def __init__(self, path: Path) -> None:
        """Opens the cube at `path`; errors as in `open_repository`."""
        self.path = path
        session = open_repository(path).readonly_session("main")
        self.snapshot = session.snapshot_id
        self._root = zarr.open_group(session.store, mode="r")

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources it holds, sorted."""
        return tuple(sorted(name for name, _ in self._root.groups()))

    def attributes(self, source: str) -> Mapping[str, Any]:
        """Attributes of a source's group: schema, bands, nodata, and the ledger of items.

        Raises:
            NotFound: the cube does not hold the source.
        """
        return dict(self._group(source).attrs)

    def observations(self, source: str, period: Period | None = None) -> list[Observation]:
        """Lists the stored steps, by step; with a period only those acquired inside it."""
        columns = (
            np.asarray(self._array(source, name)[:]) for name in ("step", "acquired", "items", "about")
        )
        found = [
            Observation(
                int(step), _instant(int(when)), tuple(json.loads(str(ids))), slot, json.loads(str(about))
            )
            for slot, (step, when, ids, about) in enumerate(zip(*columns, strict=True))
        ]
        inside = (one for one in found if period is None or one.acquired in period)
        return sorted(inside, key=lambda one: one.step)

    def read(
        self, source: str, slots: Sequence[int], window: Window
    ) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
        """Reads values (T, B, H, W) and valid (T, H, W) of some slots over a window of the tile's array."""
        stored_values, stored_valid = self._array(source, "values"), self._array(source, "valid")
        ys, xs = window.slices
        values = np.empty((len(slots), stored_values.shape[1], *window.shape), stored_values.dtype)
        valid = np.empty((len(slots), *window.shape), bool)
        # By runs of a chunk: each chunk is decoded once, and never more than the slots asked for.
        for run in sorted({slot // STEPS_PER_CHUNK for slot in slots}):
            start = run * STEPS_PER_CHUNK
            block = slice(start, start + STEPS_PER_CHUNK)
            here = [place for place, slot in enumerate(slots) if slot // STEPS_PER_CHUNK == run]
            inside = [slots[place] - start for place in here]
            values[here] = np.asarray(stored_values[block, :, ys, xs])[inside]
            valid[here] = np.asarray(stored_valid[block, ys, xs])[inside]
        return values, valid

    def read_valid(self, source: str, slots: Sequence[int], window: Window) -> NDArray[np.bool_]:
        """Reads only valid (T, H, W) of some slots over a window of the tile's array."""
        valid: Any = self._group(source)["valid"]
        first, last = min(slots), max(slots) + 1
        ys, xs = window.slices
        return np.asarray(valid[first:last, ys, xs], bool)[[slot - first for slot in slots]]

    def _group(self, source: str) -> zarr.Group:
        if source not in self._root:
            raise NotFound(
                f"the cube {self.path} holds no {source}; it holds {', '.join(self.sources) or 'nothing'}"
            )
        group = self._root[source]
        if not isinstance(group, zarr.Group) or group.attrs.get("schema") != SCHEMA:
            raise BrokenArtefact(
                f"the cube {self.path} does not follow {SCHEMA} for {source}: ingest it again"
            )
        return group

    def _array(self, source: str, name: str) -> zarr.Array:
        array = self._group(source)[name]
        if not isinstance(array, zarr.Array):
            raise BrokenArtefact(f"{name} of {source} in the cube {self.path} is no array: ingest it again")
        return array


class CubeReader:
    """Reads frames over any window of a zone from the cubes of the tiles that it touches."""

    def __init__(self, catalog: Catalog, sources: Iterable[str]) -> None:
        """Args: where cubes lie; the sources to read, the others are left alone."""
        self._catalog = catalog
        self._sources = tuple(sources)
        self._cubes: dict[Tile, Cube | None] = {}

    def cube(self, tile: Tile) -> Cube | None:
        """Gives the cube of a tile, or None where there is none."""
        if tile not in self._cubes:
            path = self._catalog.cube(tile)
            self._cubes[tile] = Cube(path) if path.is_dir() else None
        return self._cubes[tile]

    def observed(self, tile: Tile, support: Period) -> dict[str, list[Observation]]:
        """Lists for each source what a tile holds of a support period."""
        cube = self.cube(tile)
        if cube is None:
            return {}
        names = [name for name in self._sources if name in cube.sources]
        return {name: cube.observations(name, support) for name in names}

    def read(self, epsg: int, window: Window, support: Period) -> Frames:
        """Reads what was acquired in the support period over a window of the zone's grid.

        Pixels that no cube holds are invalid. Where neighbouring tiles hold the same step, they make one frame
        with the instant of the first tile.
        """
        parts = [(tile, self.observed(tile, support)) for tile in tiles_over(epsg, window)]
        found = {}
        for name in self._sources:
            held = [(tile, seen[name]) for tile, seen in parts if seen.get(name)]
            if held:
                found[name] = self._joined(name, held, window)
        return found

    def _joined(
        self, source: str, held: list[tuple[Tile, list[Observation]]], window: Window
    ) -> SourceFrames:
        steps = sorted({one.step for _, seen in held for one in seen})
        place = {step: index for index, step in enumerate(steps)}
        first = self._cubes[held[0][0]]
        assert first is not None
        attributes = first.attributes(source)
        bands, nodata = tuple(attributes["bands"]), int(attributes["nodata"])
        values = np.full((len(steps), len(bands), *window.shape), nodata, attributes["dtype"])
        valid = np.zeros((len(steps), *window.shape), bool)
        acquired = np.zeros(len(steps), "datetime64[us]")
        for tile, seen in reversed(held):
            cube = self._cubes[tile]
            assert cube is not None
            overlap = tile.window & window
            ys, xs = overlap.shifted(-window.y0, -window.x0).slices
            rows = [place[one.step] for one in seen]
            got_values, got_valid = cube.read(source, [one.slot for one in seen], tile.local(overlap))
            values[rows, :, ys, xs] = got_values
            valid[rows, ys, xs] = got_valid
            acquired[rows] = [np.datetime64(one.acquired.replace(tzinfo=None), "us") for one in seen]
        return SourceFrames(source, bands, values, valid, acquired, nodata)


def _instant(microseconds: int) -> datetime:
    return EPOCH + np.timedelta64(microseconds, "us").astype(object)
