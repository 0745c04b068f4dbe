"""Sentinel-1 RTC: VV and VH power at 20 m from ascending and descending passes in turn, with speckle."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.ndimage import correlate1d

from earthfield.simulate.arrays import Floats
from earthfield.simulate.atmosphere import outside_swath
from earthfield.simulate.canvas import block_mean
from earthfield.simulate.covers import cover_table
from earthfield.simulate.growth import state_on
from earthfield.simulate.noise import stream
from earthfield.simulate.radar import backscatter
from earthfield.simulate.scene import Asset, Scene, days_of
from earthfield.simulate.sun import local_instant
from earthfield.simulate.world import World

COLLECTION = "sentinel-1-rtc"
GSD_M = 20
_BLUR = np.array([0.3, 1.0, 0.3]) / 1.6
"""Correlation between neighbouring pixels of about 0.55, as in the same scenes."""


def scenes(world: World) -> Iterator[Scene]:
    """All Sentinel-1 scenes, in the order of time."""
    spec = world.spec
    rng = stream(spec.seed, "s1 orbits")
    phase = int(rng.integers(min(spec.s1_revisit_days, 300)))
    angles = (float(rng.uniform(32.0, 44.5)), float(rng.uniform(32.0, 44.5)))
    for number, day in enumerate(days_of(spec.start_year, spec.years, spec.s1_revisit_days, phase)):
        yield _scene(world, number, day, angles)


def _scene(world: World, number: int, day: datetime.date, angles: tuple[float, float]) -> Scene:
    """What one item says."""
    spec = world.spec
    ascending = number % 2 == 0
    seconds = int(stream(spec.seed, "s1 instant", day.toordinal()).integers(0, 60))
    instant = local_instant(day, spec.lon, 17.8 if ascending else 5.9, seconds)
    incidence = angles[0 if ascending else 1]
    properties = {
        "platform": "sentinel-1a",
        "constellation": "sentinel-1",
        "instruments": ["c-sar"],
        "gsd": GSD_M,
        "sar:instrument_mode": "IW",
        "sar:polarizations": ["VV", "VH"],
        "sar:frequency_band": "C",
        "sar:product_type": "RTC",
        "sat:orbit_state": "ascending" if ascending else "descending",
        "view:incidence_angle": round(incidence, 3),
        "view:off_nadir": round(0.87 * incidence, 3),
        "sat:relative_orbit": 15 + int(stream(spec.seed, "s1 orbit").integers(80)) + (0 if ascending else 73),
        "view:azimuth": 258.0 if ascending else 102.0,
    }
    return Scene(
        id=f"S1A_IW_RTC_{instant:%Y%m%dT%H%M%S}_SIM{spec.seed}",
        collection=COLLECTION,
        instant=instant,
        make=partial(_rasters, world, day, ascending, incidence),
        properties=properties,
    )


def _rasters(
    world: World, day: datetime.date, ascending: bool, incidence: float, properties: dict[str, Any]
) -> Iterator[Asset]:
    """VV and VH of one scene."""
    rng = stream(world.spec.seed, "s1 scene", day.toordinal())
    state = state_on(world.spec, world.style, world.units, world.weather, day)
    air_c = float(world.weather.air_c[world.weather.index(day)])
    bands = backscatter(
        world.units,
        state,
        incidence_deg=incidence,
        ascending=ascending,
        air_c=air_c,
        wind_db=float(rng.normal(0.5, 2.4)),
        rows_db=world.style.quirks.rows_db,
    )
    outside = block_mean(outside_swath(rng, world.canvas.shape, 0.04).astype(np.float32), 2) > 0
    slope = _slope_light(world, ascending)
    texture = _scatter(world, state.cover[world.units.number], ascending)
    quirks = world.style.quirks
    offset_db = {"vv": quirks.vv_db, "vh": quirks.vh_db}
    calibration_db = float(rng.normal(0.0, 0.2))
    rows, cols = world.canvas.shape_at(GSD_M)
    for key, table in zip(("vv", "vh"), bands, strict=True):
        surface = block_mean(table[world.units.number] * texture, 2) * slope
        surface *= np.float32(10 ** (0.1 * (calibration_db + offset_db[key])))
        seen = surface * speckle(rng, surface.shape, quirks.looks)
        seen[outside] = np.nan
        yield Asset(key, seen[:rows, :cols].astype(np.float32), GSD_M, math.nan, unit="1")


def speckle(rng: np.random.Generator, shape: tuple[int, int], num_looks: float = 2.4) -> Floats:
    """Multiplicative noise of mean 1: gamma looks, blurred as the resampling of the product blurs them.

    2.4 looks before the blur are about 11 after it, as the scenes of flanders_a show.
    """
    looks = rng.standard_gamma(num_looks, shape, dtype=np.float32) / np.float32(num_looks)
    for axis in (0, 1):
        looks = correlate1d(looks, _BLUR, axis=axis, mode="reflect", output=np.float32)
    return np.maximum(looks, np.float32(0.02))


def _scatter(world: World, cover: np.ndarray, ascending: bool) -> Floats:
    """Fixed strong and weak scatterers: few decibel in woods and towns, little in fields; differs by pass."""
    spread_db = 11.0 * cover_table("grain")[cover]
    shared, own = world.grain.bright, np.roll(world.grain.bright, (7, 13) if ascending else (17, 5), (0, 1))
    nepers = np.float32(math.log(10) / 10) * spread_db * (0.8 * shared + 0.6 * own)
    return np.exp(nepers - 0.25 * nepers.std() ** 2).astype(np.float32)


def _slope_light(world: World, ascending: bool) -> Floats:
    """What terrain flattening leaves: slopes towards the sensor a little brighter."""
    towards = world.terrain.east_slope * np.float32(1.0 if ascending else -1.0)
    return block_mean(np.clip(1.0 - 0.35 * towards, 0.7, 1.4).astype(np.float32), 2)
