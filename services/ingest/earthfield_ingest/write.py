"""Writing: a tile's cube in Icechunk, one writer at a time, one commit a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from earthfield.cube import CUBE_DIMS, SCHEMA, SHARD_PX, STEPS_PER_CHUNK, chunking
from earthfield.errors import Conflict
from earthfield.grid import Tile, Window
from earthfield.places import CubePlace
from earthfield.sources import Source
from earthfield.storage import writing
from earthfield.timeline import EPOCH, as_utc
from earthfield_ingest.compose import Frame
from earthfield_ingest.ledger import Entry, Ledger
from earthfield_ingest.reference import REFERENCE, Reference
from earthfield_ingest.repository import commit

_CODEC = BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle")
_ROWS = 512
"""Slots in one chunk of the arrays that have a value a step."""
_COLUMNS: Mapping[str, tuple[Any, Any]] = {
    "step": ("int32", 0), "acquired": ("int64", 0), "items": (str, "[]"), "about": (str, "{}"),
}  # fmt: skip
"""Arrays that have a value a step: type and fill value."""


class CubeWriter:
    """Everything that one run writes into one cube: nothing of it is seen before `commit`."""

    def __init__(self, cube: CubePlace, tile: Tile) -> None:
        """Args: the cube's place, which must hold a repository; its tile. The caller is its only writer."""
        self._path, self._tile = cube, tile
        self._session = cube.open().writable_session("main")
        self._root = zarr.open_group(self._session.store, mode="a")

    def source(self, source: Source) -> SourceWriter:
        """Gives the writer of one source's group, made if it is not there.

        Raises:
            Conflict: the cube was made with other bands.
        """
        with writing(self._path):
            return SourceWriter(self._path, self._root, source, self._tile)

    def commit(self, message: str) -> bool:
        """Makes everything written so far visible at once; gives whether there was something."""
        if not self._session.has_uncommitted_changes:
            return False
        commit(self._session, self._path, message)
        return True


class SourceWriter:
    """One source's group of a cube in the making."""

    def __init__(self, path: CubePlace, root: zarr.Group, source: Source, tile: Tile) -> None:
        """Args: the cube's folder, for messages; its root group; the source; the tile. Errors as in
        `CubeWriter.source`."""
        self._path = path
        self._source = source
        group = root[source.name] if source.name in root else _new_group(root, source, tile)
        assert isinstance(group, zarr.Group)
        self._group, held = group, group.attrs
        if held["bands"] != list(source.band_names) or held["dtype"] != source.dtype:
            raise Conflict(
                f"the cube {path} holds {source.name} as {held['dtype']} with bands {held['bands']}, but the "
                f"source is {source.dtype} with {list(source.band_names)} now: remove the cube and ingest again"
            )
        self._columns = {name: list(np.asarray(self._array(name)[:])) for name in _COLUMNS}
        self._slots = {int(step): slot for slot, step in enumerate(self._columns["step"])}
        self._run: _Run | None = None
        # Encoding runs beside reading: zarr leaves a core idle where only one of them does something.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._writing: Future[None] | None = None

    @property
    def slots(self) -> Mapping[int, int]:
        """The slot of every stored step."""
        return self._slots

    def stored(self, step: int, window: Window) -> Frame | None:
        """Gives what the cube holds of a step over a window of the tile's array."""
        slot = self._slots.get(step)
        if slot is None:
            return None
        ys, xs = window.slices
        values, valid = self._array("values")[slot, :, ys, xs], self._array("valid")[slot, ys, xs]
        columns = {name: column[slot] for name, column in self._columns.items()}
        return Frame(
            step, EPOCH + timedelta(microseconds=int(columns["acquired"])), tuple(json.loads(columns["items"])),
            np.asarray(values), np.asarray(valid, bool), json.loads(columns["about"]),
        )  # fmt: skip

    @property
    def coregistered(self) -> bool:
        """Whether scenes of this group are moved onto a reference."""
        return REFERENCE in self._group.attrs

    @property
    def reference(self) -> Reference | None:
        """What scenes are moved onto, if there is one."""
        if REFERENCE not in self._group:
            return None
        told: Any = self._group.attrs[REFERENCE]
        return Reference(np.asarray(self._array(REFERENCE)[:]), told["band"], tuple(told["items"]))

    def keep_reference(self, reference: Reference | None) -> None:
        """Keeps a new reference; without one only remembers that scenes are to be moved."""
        with writing(self._path):
            self._group.attrs[REFERENCE] = reference.attributes if reference is not None else {}
            if reference is not None:
                self._group.create_array(
                    REFERENCE, data=reference.values, chunks=(SHARD_PX, SHARD_PX), fill_value=np.nan,
                    dimension_names=("y", "x"), compressors=_CODEC,
                )  # fmt: skip

    def put(self, frame: Frame, window: Window) -> None:
        """Takes one frame over a window of the group's arrays; frames are written a chunk's run at a time."""
        slot = self._slots.setdefault(frame.step, len(self._slots))
        row = {
            "step": frame.step,
            "acquired": round((as_utc(frame.acquired) - EPOCH).total_seconds() * 1e6),
            "items": json.dumps(list(frame.items)),
            "about": json.dumps(frame.about, sort_keys=True),
        }
        for name, column in self._columns.items():
            column[slot : slot + 1] = [row[name]]
        if self._run is None or not self._run.takes(slot, window):
            self._flush()
            self._run = _Run(slot, window, self._source)
        self._run.add(frame)

    def finish(self, ledger: Ledger) -> None:
        """Writes what still waits, the columns that have a value a step, and the ledger."""
        self._flush()
        self._wait()
        self._pool.shutdown()
        with writing(self._path):
            for name, (kind, _) in _COLUMNS.items():
                array = self._array(name)
                array.resize((len(self._slots),))
                if self._slots:
                    array[:] = np.array(self._columns[name], dtype=object if kind is str else kind)
            self._group.attrs["ledger"] = {name: entry.as_json() for name, entry in sorted(ledger.items())}

    def _flush(self) -> None:
        """Hands the run to the thread that writes, once that has written the one before."""
        self._wait()
        run, self._run = self._run, None
        if run is not None:
            self._writing = self._pool.submit(self._write, run, len(self._slots))

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write(self, run: _Run, num_slots: int) -> None:
        values, valid = self._array("values"), self._array("valid")
        with writing(self._path):
            if values.shape[0] < num_slots:
                values.resize((num_slots, *values.shape[1:]))
                valid.resize((num_slots, *valid.shape[1:]))
            # A shard at a time: encoding them all at once would hold the run in memory once more.
            for part in _shards(run.window):
                (ys, xs), (y, x) = part.slices, part.shifted(-run.window.y0, -run.window.x0).slices
                values[run.slots, :, ys, xs] = run.values[:, :, y, x]
                valid[run.slots, ys, xs] = run.valid[:, y, x]

    def _array(self, name: str) -> Any:
        return self._group[name]


def ledger_of(attributes: Mapping[str, Any]) -> Ledger:
    """Reads the ledger from a group's attributes."""
    return {name: Entry.from_json(entry) for name, entry in attributes.get("ledger", {}).items()}


def _shards(window: Window) -> Iterator[Window]:
    """Cuts a window along the borders of shards."""
    for y in range(window.y0 // SHARD_PX * SHARD_PX, window.y1, SHARD_PX):
        for x in range(window.x0 // SHARD_PX * SHARD_PX, window.x1, SHARD_PX):
            yield window & Window(y, y + SHARD_PX, x, x + SHARD_PX)


class _Run:
    """Frames of neighbouring slots of one chunk over one window, so that each shard is encoded once."""

    def __init__(self, slot: int, window: Window, source: Source) -> None:
        room = STEPS_PER_CHUNK - slot % STEPS_PER_CHUNK
        self.window = window
        self._start, self._count = slot, 0
        self._values = np.empty((room, len(source.bands), *window.shape), source.dtype)
        self._valid = np.empty((room, *window.shape), bool)

    def takes(self, slot: int, window: Window) -> bool:
        """Tells whether a frame continues the run."""
        return window == self.window and slot == self._start + self._count < self._start + len(self._values)

    def add(self, frame: Frame) -> None:
        """Takes the next frame."""
        self._values[self._count], self._valid[self._count] = frame.values, frame.valid
        self._count += 1

    @property
    def slots(self) -> slice:
        """Their slots."""
        return slice(self._start, self._start + self._count)

    @property
    def values(self) -> NDArray[Any]:
        """(T, B, H, W)."""
        return self._values[: self._count]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(T, H, W)."""
        return self._valid[: self._count]


def _new_group(root: zarr.Group, source: Source, tile: Tile) -> zarr.Group:
    group = root.create_group(source.name)
    grid = source.grid(tile)
    num_bands, (rows, cols) = len(source.bands), grid.shape
    shapes = {"values": (0, num_bands, rows, cols), "valid": (0, rows, cols)}
    kinds = {"values": (source.dtype, source.nodata), "valid": ("bool", False), **_COLUMNS}
    cut = chunking(num_bands, (rows, cols))
    for name, dims in CUBE_DIMS.items():
        chunks, shards = cut.get(name, ((_ROWS,), None))
        kind, fill = kinds[name]
        group.create_array(
            name, shape=shapes.get(name, (0,)), chunks=chunks, shards=shards, dtype=kind, fill_value=fill,
            dimension_names=dims, compressors=_CODEC if name in cut else "auto",
        )  # fmt: skip
    group.attrs.update(
        {
            "schema": SCHEMA,
            "crs": str(grid.crs),
            "transform": list(grid.affine)[:6],
            "bands": list(source.band_names),
            "dtype": source.dtype,
            "nodata": source.nodata,
            "scale": [band.scale for band in source.bands],
            "offset": [band.offset for band in source.bands],
            "unit": [band.unit for band in source.bands],
            "ledger": {},
        }
    )
    return group
