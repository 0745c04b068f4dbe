"""Writing: a tile's cube in Icechunk, one writer at a time, one commit a run."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from earthfield.cube import CUBE_DIMS, SCHEMA, STEPS_PER_CHUNK, chunking, open_repository
from earthfield.errors import Conflict, Unavailable
from earthfield.grid import TILE_PX, Window
from earthfield.sources import Source
from earthfield.storage import make_folder, writing
from earthfield.timeline import EPOCH, as_utc
from earthfield_ingest.compose import Frame
from earthfield_ingest.ledger import Entry, Ledger

_CODEC = BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")
_ROWS = 512
"""Slots in one chunk of the arrays that have a value a step."""


@contextmanager
def only_writer(cube: Path) -> Iterator[None]:
    """Holds the lock of a cube; the system frees it when the process ends, however it ends.

    Raises:
        Unavailable: another process or thread writes this cube.
    """
    make_folder(cube.parent)
    path = cube.with_name(f".{cube.name}.lock")
    with writing(path), path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(
                f"the cube {cube} is being written by another ingest: wait for it to end, then run again"
            ) from error
        yield


def make_repository(cube: Path) -> None:
    """Makes an empty repository in one move, so that no reader meets half of one; needs `only_writer`."""
    if cube.is_dir():
        return
    beside = cube.with_name(f".{cube.name}.new")
    with writing(cube):
        shutil.rmtree(beside, ignore_errors=True)
        session = open_repository(beside, create=True).writable_session("main")
        zarr.create_group(session.store)
        session.commit("new cube")
        beside.rename(cube)


class CubeWriter:
    """Everything that one run writes into one cube: nothing of it is seen before `commit`."""

    def __init__(self, cube: Path) -> None:
        """Args: the cube's folder, which must hold a repository; the caller is its only writer."""
        self._path = cube
        self._session = open_repository(cube).writable_session("main")
        self._root = zarr.open_group(self._session.store, mode="a")

    def source(self, source: Source) -> SourceWriter:
        """Gives the writer of one source's group, made if it is not there.

        Raises:
            Conflict: the cube was made with other bands.
        """
        with writing(self._path):
            return SourceWriter(self._path, self._root, source)

    def commit(self, message: str) -> bool:
        """Makes everything written so far visible at once; gives whether there was something."""
        if not self._session.has_uncommitted_changes:
            return False
        with writing(self._path):
            self._session.commit(message)
        return True


class SourceWriter:
    """One source's group of a cube in the making."""

    def __init__(self, path: Path, root: zarr.Group, source: Source) -> None:
        """Args: the cube's folder, for messages; its root group; the source. Errors as in `CubeWriter.source`."""
        self._path = path
        self._source = source
        group = root[source.name] if source.name in root else _new_group(root, source)
        assert isinstance(group, zarr.Group)
        self._group, held = group, group.attrs
        if held["bands"] != list(source.band_names) or held["dtype"] != source.dtype:
            raise Conflict(
                f"the cube {path} holds {source.name} as {held['dtype']} with bands {held['bands']}, but the "
                f"source is {source.dtype} with {list(source.band_names)} now: remove the cube and ingest again"
            )
        steps, acquired, items = (np.asarray(self._array(name)[:]) for name in ("step", "acquired", "items"))
        self._steps = [int(step) for step in steps]
        self._acquired = [int(when) for when in acquired]
        self._items = [str(ids) for ids in items]
        self._slots = {step: slot for slot, step in enumerate(self._steps)}
        self._waiting: list[tuple[int, Window, Frame]] = []

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
        when = EPOCH + np.timedelta64(self._acquired[slot], "us").astype(object)
        return Frame(
            step, when, tuple(json.loads(self._items[slot])), np.asarray(values), np.asarray(valid, bool)
        )

    def put(self, frame: Frame, window: Window) -> None:
        """Takes one frame over a window of the tile's array; frames are written a chunk's run at a time."""
        slot = self._slots.setdefault(frame.step, len(self._steps))
        row = (
            frame.step,
            round((as_utc(frame.acquired) - EPOCH).total_seconds() * 1e6),
            json.dumps(list(frame.items)),
        )
        for column, value in zip((self._steps, self._acquired, self._items), row, strict=True):
            column[slot : slot + 1] = [value]  # type: ignore[index]
        if self._waiting and self._waiting[0][0] // STEPS_PER_CHUNK != slot // STEPS_PER_CHUNK:
            self._flush()
        self._waiting.append((slot, window, frame))

    def finish(self, ledger: Ledger) -> None:
        """Writes what still waits, the columns that have a value a step, and the ledger."""
        self._flush()
        with writing(self._path):
            columns: dict[str, Any] = {
                "step": np.array(self._steps, np.int32),
                "acquired": np.array(self._acquired, np.int64),
                "items": np.array(self._items, dtype=object),
            }
            for name, column in columns.items():
                array = self._array(name)
                array.resize((len(self._steps),))
                if len(self._steps):
                    array[:] = column
            self._group.attrs["ledger"] = {name: entry.as_json() for name, entry in sorted(ledger.items())}

    def _flush(self) -> None:
        if not self._waiting:
            return
        values, valid = self._array("values"), self._array("valid")
        with writing(self._path):
            if values.shape[0] < len(self._steps):
                values.resize((len(self._steps), *values.shape[1:]))
                valid.resize((len(self._steps), *valid.shape[1:]))
            for slots, window, frames in _runs(self._waiting):
                ys, xs = window.slices
                values[slots, :, ys, xs] = np.stack([frame.values for frame in frames])
                valid[slots, ys, xs] = np.stack([frame.valid for frame in frames])
        self._waiting = []

    def _array(self, name: str) -> Any:
        return self._group[name]


def ledger_of(attributes: Mapping[str, Any]) -> Ledger:
    """Reads the ledger from a group's attributes."""
    return {name: Entry.from_json(entry) for name, entry in attributes.get("ledger", {}).items()}


def _runs(waiting: list[tuple[int, Window, Frame]]) -> Iterator[tuple[slice, Window, list[Frame]]]:
    """Joins neighbouring slots that share a window, so that each shard is encoded as few times as possible."""
    waiting = sorted(waiting, key=lambda one: one[0])
    start = 0
    for end in range(1, len(waiting) + 1):
        joined = end < len(waiting) and waiting[end][:2] == (waiting[end - 1][0] + 1, waiting[start][1])
        if not joined:
            run = waiting[start:end]
            yield slice(run[0][0], run[-1][0] + 1), run[0][1], [frame for _, _, frame in run]
            start = end


def _new_group(root: zarr.Group, source: Source) -> zarr.Group:
    group = root.create_group(source.name)
    shapes = {
        "values": (0, len(source.bands), TILE_PX, TILE_PX), "valid": (0, TILE_PX, TILE_PX),
        "step": (0,), "acquired": (0,), "items": (0,),
    }  # fmt: skip
    kinds: dict[str, tuple[Any, Any]] = {
        "values": (source.dtype, source.nodata), "valid": ("bool", False),
        "step": ("int32", 0), "acquired": ("int64", 0), "items": (str, "[]"),
    }  # fmt: skip
    cut = chunking(len(source.bands))
    for name, dims in CUBE_DIMS.items():
        chunks, shards = cut.get(name, ((_ROWS,), None))
        kind, fill = kinds[name]
        group.create_array(
            name, shape=shapes[name], chunks=chunks, shards=shards, dtype=kind, fill_value=fill,
            dimension_names=dims, compressors=_CODEC if name in cut else "auto",
        )  # fmt: skip
    group.attrs.update(
        {
            "schema": SCHEMA,
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
