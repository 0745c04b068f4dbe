"""Cubes: their schema on disk, and reading frames from them, across tiles."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, EarthfieldError, InvalidInput, NotFound
from earthfield.frames import Frames, SourceFrames
from earthfield.geometry import NUM_FEATURES, geometry_of
from earthfield.grid import CHIP_PX, TILE_PX, Tile, Window, tiles_over
from earthfield.places import CubePlace
from earthfield.sources import known_sources
from earthfield.storage import cause_of, refused
from earthfield.timeline import EPOCH, Period

P = ParamSpec("P")
R = TypeVar("R")

SCHEMA = "earthfield-cube/2"
STEPS_PER_CHUNK = 8
"""Steps in one chunk of `values`: a chip for a run of steps is read in one piece."""
SHARD_PX = 512
"""Side of a shard: one file of the store, encoded in one go."""

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
    """Gives (chunks, shards) of `values` and `valid`: chunks of a chip, shards of a quarter of a tile, for a run of
    steps.

    Args:
        num_bands: bands of `values`.
        shape: rows and columns; a grid smaller than a chip is one chunk without shards.
    """
    run = STEPS_PER_CHUNK
    if shape[0] % CHIP_PX or shape[1] % CHIP_PX:
        return {"values": ((run, num_bands, *shape), None), "valid": ((run, *shape), None)}
    return {
        "values": ((run, num_bands, CHIP_PX, CHIP_PX), (run, num_bands, SHARD_PX, SHARD_PX)),
        "valid": ((run, CHIP_PX, CHIP_PX), (run, SHARD_PX, SHARD_PX)),
    }


def _reading(do: Callable[Concatenate[Cube, P], R]) -> Callable[Concatenate[Cube, P], R]:
    """Turns what damaged files or a bucket's server answer to a method of a cube into one clear sentence."""

    @wraps(do)
    def told(cube: Cube, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return do(cube, *args, **kwargs)
        except EarthfieldError:
            raise
        except (icechunk.IcechunkError, RuntimeError, ValueError) as error:
            # Codecs complain of a damaged chunk with the last two.
            raise refused(error, cube.place) or BrokenArtefact(
                f"the cube {cube.place} cannot be read ({cause_of(error)}): remove it and ingest again"
            ) from error

    return told


class Cube:
    """One tile's cube at its last commit, for reading.

    Every method raises BrokenArtefact where files of the cube are damaged, and Unavailable where a bucket's server
    does not answer.
    """

    @_reading
    def __init__(self, place: CubePlace) -> None:
        """Opens the cube at `place`; errors as in `CubePlace.open`."""
        self.place = place
        repository = place.open()
        session = repository.readonly_session("main")
        self.snapshot = session.snapshot_id
        self._root = _root_group(repository, session)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources it holds, sorted; none where nothing was committed yet."""
        return tuple(sorted(name for name, _ in self._root.groups())) if self._root is not None else ()

    @_reading
    def attributes(self, source: str) -> Mapping[str, Any]:
        """Attributes of a source's group: schema, bands, nodata, and the ledger of items.

        Raises:
            NotFound: the cube does not hold the source.
        """
        return dict(self._group(source).attrs)

    @_reading
    def shape(self, source: str) -> tuple[int, int]:
        """Gives the rows and columns of a source's arrays: the tile's, or those of the source's own grid."""
        rows, cols = self._array(source, "values").shape[2:]
        return int(rows), int(cols)

    @_reading
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

    @_reading
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

    @_reading
    def read_valid(self, source: str, slots: Sequence[int], window: Window) -> NDArray[np.bool_]:
        """Reads only valid (T, H, W) of some slots over a window of the tile's array."""
        valid: Any = self._group(source)["valid"]
        first, last = min(slots), max(slots) + 1
        ys, xs = window.slices
        return np.asarray(valid[first:last, ys, xs], bool)[[slot - first for slot in slots]]

    def _group(self, source: str) -> zarr.Group:
        if self._root is None or source not in self._root:
            raise NotFound(
                f"the cube {self.place} holds no {source}; it holds {', '.join(self.sources) or 'nothing'}"
            )
        group = self._root[source]
        if not isinstance(group, zarr.Group) or group.attrs.get("schema") != SCHEMA:
            raise BrokenArtefact(
                f"the cube {self.place} does not follow {SCHEMA} for {source}: ingest it again"
            )
        return group

    def _array(self, source: str, name: str) -> zarr.Array:
        array = self._group(source)[name]
        if not isinstance(array, zarr.Array):
            raise BrokenArtefact(f"{name} of {source} in the cube {self.place} is no array: ingest it again")
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
            place = self._catalog.cube(tile)
            self._cubes[tile] = Cube(place) if place.exists() else None
        return self._cubes[tile]

    def observed(self, tile: Tile, support: Period) -> dict[str, list[Observation]]:
        """Lists for each source what a tile holds of a support period; what stands for all time is always held."""
        cube = self.cube(tile)
        if cube is None:
            return {}
        names = [name for name in self._sources if name in cube.sources]
        return {name: cube.observations(name, None if _is_static(name) else support) for name in names}

    def read(self, epsg: int, window: Window, support: Period) -> Frames:
        """Reads what was acquired in the support period over a window of the zone's grid.

        Pixels that no cube holds are invalid. Where neighbouring tiles hold the same step, they make one frame
        with the instant and the geometry of the first tile.
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
        if first.shape(source) != (TILE_PX, TILE_PX):
            raise InvalidInput(
                f"{source} has a grid of its own, coarser than 10 m: read it tile by tile with Cube.read"
            )
        bands, nodata = tuple(attributes["bands"]), int(attributes["nodata"])
        values = np.full((len(steps), len(bands), *window.shape), nodata, attributes["dtype"])
        valid = np.zeros((len(steps), *window.shape), bool)
        acquired = np.zeros(len(steps), "datetime64[us]")
        geometry = np.zeros((len(steps), NUM_FEATURES), np.float32)
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
            geometry[rows] = [geometry_of(one.about, bands) for one in seen]
        return SourceFrames(source, bands, values, valid, acquired, nodata, geometry)


def _root_group(repository: icechunk.Repository, session: icechunk.Session) -> zarr.Group | None:
    """Gives the group of all sources, or None where nothing was committed yet."""
    try:
        return zarr.open_group(session.store, mode="r")
    except zarr.errors.GroupNotFoundError:
        # Damage looks the same, and must never pass for an empty cube. Asked of what this session sees: meanwhile
        # a writer may have made the first commit.
        if next(repository.ancestry(snapshot_id=session.snapshot_id)).parent_id is None:
            return None
        raise


def _is_static(source: str) -> bool:
    declared = known_sources().get(source)
    return declared is not None and declared.cadence == "static"


def _instant(microseconds: int) -> datetime:
    return EPOCH + np.timedelta64(microseconds, "us").astype(object)
