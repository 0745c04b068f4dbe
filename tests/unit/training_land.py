"""A small piece of made-up land as frames and as a cube, for the tests of model and training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from earthfield.catalog import Catalog
from earthfield.cube import SCHEMA, chunking
from earthfield.frames import SourceFrames
from earthfield.grid import TILE_PX, Tile
from earthfield.sources import Band, Source
from earthfield.timeline import EPOCH
from earthfield_ingest.repository import make_repository


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads cost more than they give at these sizes, most of all beside other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


TILE = Tile(32631, 48, 549)


def _kept(item, band, raw):
    return raw


OPTICAL = Source(
    "sentinel-2-l2a",
    "made up",
    (Band("B04", 10, ("B04",), 1e-4), Band("B08", 10, ("B08",), 1e-4), Band("B11", 20, ("B11",), 1e-4)),
    "int16",
    -32768,
    ("sentinel-2-l2a",),
    _kept,
)
RADAR = Source(
    "sentinel-1-rtc",
    "made up",
    (
        Band("vv", 10, ("vv",), 0.01, unit="dB", transform="linear"),
        Band("vh", 10, ("vh",), 0.01, unit="dB", transform="linear"),
    ),
    "int16",
    -32768,
    ("sentinel-1-rtc",),
    _kept,
)
THERMAL = Source(
    "landsat-c2-l2",
    "made up",
    (
        Band("red", 30, ("red",), 2.75e-5, -0.2),
        Band("lwir11", 100, ("lwir11",), 0.00341802, 149.0, "K", "linear"),
    ),
    "uint16",
    0,
    ("landsat-c2-l2",),
    _kept,
)
SOURCES = {one.name: one for one in (OPTICAL, RADAR, THERMAL)}


@dataclass(frozen=True)
class Land:
    """What a piece of made-up land looks like."""

    size: int = 48
    """Side, pixels."""
    first: str = "2018-01-01"
    """First day."""
    days: int = 365
    """Length of the record."""
    every: tuple[int, int, int] = (20, 30, 60)
    """Days between frames of optical, radar, thermal."""
    seed: int = 0
    """Decides the land and the noise."""


def made_frames(land: Land) -> dict[str, SourceFrames]:
    """Gives fields of two crops with seasons of their own, seen through noise and clouds."""
    rng = np.random.default_rng(land.seed)
    parcels = rng.integers(0, 3, (-(-land.size // 8), -(-land.size // 8)))
    kind = np.kron(parcels, np.ones((8, 8), int))[: land.size, : land.size]
    found = {}
    for source, every in zip((OPTICAL, RADAR, THERMAL), land.every, strict=True):
        offsets = np.arange(rng.integers(every), land.days, every)
        instants = np.datetime64(land.first, "us") + (offsets * 86_400_000_000 + 36_000_000_000).astype(
            "m8[us]"
        )
        season = np.sin(2 * np.pi * (offsets[:, None, None] / 365.25 + kind / 3.0))
        values = np.stack([_seen(source, place, kind, season) for place in range(len(source.bands))], 1)
        values += rng.normal(0, 20, values.shape)
        valid = np.kron(rng.random((len(offsets), 4, 4)) < 0.75, np.ones((-(-land.size // 4),) * 2, bool))
        valid = valid[:, : land.size, : land.size].astype(bool)
        stored = np.where(valid[:, None], np.rint(values), source.nodata).astype(source.dtype)
        found[source.name] = SourceFrames(
            source.name, source.band_names, stored, valid, instants.astype("datetime64[us]"), source.nodata
        )
    return found


def _seen(source: Source, place: int, kind: np.ndarray, season: np.ndarray) -> np.ndarray:
    base = {"sentinel-2-l2a": 1500, "sentinel-1-rtc": -1400, "landsat-c2-l2": 12000}[source.name]
    if source is THERMAL and place == 1:
        return 41000 + 1500 * season
    return base + 300 * place + 150 * kind + (400 if source is not RADAR else 200) * season * (1 + place)


def write_cube(
    root: Path, frames: dict[str, SourceFrames], tile: Tile = TILE, at: tuple[int, int] = (100, 200), **about
) -> None:
    """Writes frames into the cube of a tile as an ingest does, by the schema of `earthfield.cube`.

    Args:
        root: the folder of all artefacts; sources are added to a cube that is there.
        frames: by source; those whose name is in `about` with the key `grid` fill an array of their own size.
        tile: which.
        at: row and column of the frames in the tile.
        about: by source with `_` for `-`: what every step tells of how it was taken, or a list of that.
    """
    import zarr

    place = Catalog(root).cube(tile)
    if not place.exists():
        make_repository(place)
    session = place.open().writable_session("main")
    store = zarr.open_group(session.store, mode="a")
    for name, one in frames.items():
        _write_source(store, name, one, at, about.get(name.replace("-", "_"), {}))
    session.commit("made up")


def _write_source(store, name: str, one: SourceFrames, at: tuple[int, int], about) -> None:
    t, b, h, w = one.values.shape
    has_grid = isinstance(about, dict) and about.pop("grid", False)
    (y, x), shape = ((0, 0), (h, w)) if has_grid else (at, (TILE_PX, TILE_PX))
    group = store.create_group(name)
    group.attrs.update(
        {"schema": SCHEMA, "bands": list(one.bands), "dtype": str(one.values.dtype), "nodata": one.nodata}
    )
    chunks = chunking(b, shape)
    for array, content, fill in (("values", one.values, one.nodata), ("valid", one.valid, False)):
        made = group.create_array(
            array,
            shape=(*content.shape[:-2], *shape),
            dtype=content.dtype,
            chunks=chunks[array][0],
            shards=chunks[array][1],
            fill_value=fill,
        )
        made[..., y : y + h, x : x + w] = content
    since = one.acquired.astype("datetime64[us]").astype(np.int64)
    epoch = np.datetime64(EPOCH.replace(tzinfo=None), "us").astype(np.int64)
    for array, content in (
        ("acquired", since - epoch),
        ("step", (since - epoch) // 86_400_000_000 // 5),
    ):
        group.create_array(array, shape=(t,), dtype="int64", chunks=(1024,))[:] = content
    told = about if isinstance(about, list) else [about] * t
    for array, texts in (
        ("items", [json.dumps([f"{name}-{k}"]) for k in range(t)]),
        ("about", [json.dumps(one) for one in told]),
    ):
        group.create_array(array, shape=(t,), dtype=str, chunks=(1024,))[:] = np.array(texts, dtype=object)
