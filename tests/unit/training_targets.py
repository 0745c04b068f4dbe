"""Target-only sources of made-up land: heights, land cover, weather on a grid of its own, lidar footprints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from training_land import SOURCES, TILE, Land, made_frames, write_cube

from earthfield.frames import SourceFrames
from earthfield.sources import Band, Lattice, Source

TARGET = frozenset({"target"})


def _kept(item, band, raw):
    return raw


def _source(name: str, *bands: Band, dtype: str = "int16", nodata: int = -32768, **more) -> Source:
    return Source(name, "made up", bands, dtype, nodata, (name,), _kept, roles=TARGET, **more)


HEIGHT = _source(
    "made-dem", Band("elevation", 30, ("data",), 0.01, unit="m", transform="linear"),
    cadence="static", regrid_m=30.0,
)  # fmt: skip
COVER = _source(
    "made-cover", Band("class", 10, ("map",), transform="linear"), dtype="uint8", nodata=0,
    cadence="interval", classes={10: "crop", 20: "wood", 95: "water"}, loss="cross_entropy", loss_weight=0.5,
)  # fmt: skip
WEATHER = _source(
    "made-weather", Band("temperature", 11_132, ("t",), 0.01, 273.15, "K", "linear"),
    cadence="interval", layout="series", lattice=Lattice("EPSG:4326", 0.05), regrid_m=1280.0,
)  # fmt: skip
LIDAR = _source("made-lidar", Band("rh98", 25, ("rh",), 0.01, unit="m", transform="linear"))
ALL = SOURCES | {one.name: one for one in (HEIGHT, COVER, WEATHER, LIDAR)}

COVER_YEARS = ("2018", "2019")
"""Years of whose first halves the maps of land cover tell."""


def write_land(root: Path, land: Land) -> dict[str, SourceFrames]:
    """Writes a cube of three sensors and four target-only sources; gives the latter."""
    write_cube(root, made_frames(land))
    targets = made_targets(land)
    write_cube(
        root, targets,
        made_cover=[{"stands_for": [f"{y}-01-01T00:00:00+00:00", f"{y}-07-01T00:00:00+00:00"]}
                    for y in COVER_YEARS],
        made_weather={"grid": True, "days": 5},
    )  # fmt: skip
    return targets


def made_targets(land: Land) -> dict[str, SourceFrames]:
    """Gives them; the weather's value in stored units tells its cell: 100 x row + column."""
    rng = np.random.default_rng(land.seed + 1)
    shape = (land.size, land.size)
    every = np.ones(shape, bool)
    heights = rng.integers(0, 20_000, shape)
    codes = rng.choice([10, 20, 95], shape)
    dots = rng.random(shape) < 0.02
    grid = WEATHER.grid(TILE)
    cells = np.arange(grid.shape[0])[:, None] * 100 + np.arange(grid.shape[1])[None]
    days = np.arange(2, land.days, 5)
    lidar = np.arange(15, land.days, 40)
    return {
        HEIGHT.name: _frames(HEIGHT, ["2021-04-22"], [heights], [every]),
        COVER.name: _frames(COVER, [f"{year}-01-01" for year in COVER_YEARS], [codes, codes], [every, every]),
        WEATHER.name: _frames(
            WEATHER, _after(land, days), [cells] * len(days), [np.ones(grid.shape, bool)] * len(days)
        ),
        LIDAR.name: _frames(LIDAR, _after(land, lidar), [heights // 10] * len(lidar), [dots] * len(lidar)),
    }


def _after(land: Land, days: np.ndarray) -> np.ndarray:
    return np.datetime64(land.first, "us") + days.astype("m8[D]")


def _frames(source: Source, instants, values, valid) -> SourceFrames:
    shown = np.stack(valid)
    stored = np.where(shown, np.stack(values), source.nodata).astype(source.dtype)[:, None]
    acquired = np.array(instants, "datetime64[us]")
    return SourceFrames(source.name, source.band_names, stored, shown, acquired, source.nodata)
