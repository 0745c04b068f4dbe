"""Sentinel-2 L2A: ten bands, scene classification, processing baselines with and without an offset."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from earthfield.simulate.arrays import Bools, Codes, Floats, Raster
from earthfield.simulate.atmosphere import Sky, outside_swath, seen_through_optics, sky_of
from earthfield.simulate.canvas import block_mean
from earthfield.simulate.growth import state_on
from earthfield.simulate.noise import stream
from earthfield.simulate.scene import Asset, Scene, days_of
from earthfield.simulate.spectra import BANDS
from earthfield.simulate.sun import local_instant, sun_position
from earthfield.simulate.surface import optics_of
from earthfield.simulate.world import World

COLLECTION = "sentinel-2-l2a"
GSD_M = {"B02": 10, "B03": 10, "B04": 10, "B08": 10} | dict.fromkeys(
    ("B05", "B06", "B07", "B8A", "B11", "B12"), 20
)
_BASELINES = (
    (datetime.date(2024, 7, 23), "05.11"),
    (datetime.date(2023, 12, 13), "05.10"),
    (datetime.date(2022, 12, 6), "05.09"),
    (datetime.date(2022, 1, 25), "04.00"),
    (datetime.date(2021, 6, 30), "03.01"),
    (datetime.date(2020, 2, 4), "02.14"),
)
"""First day and name of the processing baselines. Source: ESA, Sentinel-2 processing baseline pages."""
OFFSET_BASELINE = "04.00"
"""From this baseline on 1000 is added to the digital numbers (offset -0.1)."""


LOWEST_SUN_DEG = 8.0
"""No scene is made under a lower sun: the archives hold none in the polar night."""


def baseline_on(day: datetime.date) -> str:
    """Processing baseline of scenes taken (and processed) on a day."""
    return next((name for since, name in _BASELINES if day >= since), "02.00")


def scenes(world: World) -> Iterator[Scene]:
    """All Sentinel-2 scenes, in the order of time; odd and even ones come from neighbouring orbits."""
    spec = world.spec
    phase = int(stream(spec.seed, "s2 phase").integers(min(spec.s2_revisit_days, 300)))
    for number, day in enumerate(days_of(spec.start_year, spec.years, spec.s2_revisit_days, phase)):
        scene = _scene(world, number, day)
        if scene.properties["view:sun_elevation"] >= LOWEST_SUN_DEG:
            yield scene


def _scene(world: World, number: int, day: datetime.date) -> Scene:
    """What one item says."""
    spec = world.spec
    rng = stream(spec.seed, "s2 geometry", day.toordinal())
    instant = local_instant(day, spec.lon, 10.75, int(rng.integers(0, 420)))
    elevation, azimuth = sun_position(instant, spec.lon, spec.lat)
    west_view = (number + spec.seed) % 2 == 0
    baseline = baseline_on(day)
    view_azimuth = (283.0 if west_view else 104.0) + float(rng.normal(0.0, 1.5))
    incidence = float(rng.uniform(3.5, 6.0) if west_view else rng.uniform(6.5, 9.5))
    properties = {
        "platform": "sentinel-2a" if number % 2 == 0 else "sentinel-2b",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "gsd": 10,
        "s2:processing_baseline": baseline,
        "s2:product_type": "S2MSI2A",
        "sat:orbit_state": "descending",
        "view:sun_azimuth": round(azimuth, 3),
        "view:sun_elevation": round(elevation, 3),
        "view:azimuth": round(view_azimuth, 3),
        "view:incidence_angle": round(incidence, 3),
        "view:off_nadir": round(0.89 * incidence, 3),
        "sat:relative_orbit": 8 + int(stream(spec.seed, "s2 orbit").integers(100)) + (0 if west_view else 43),
    }
    return Scene(
        id=f"S2_MSIL2A_{instant:%Y%m%dT%H%M%S}_SIM{spec.seed}",
        collection=COLLECTION,
        instant=instant,
        make=partial(_rasters, world, day, elevation, azimuth),
        properties=properties,
    )


def _rasters(
    world: World, day: datetime.date, sun_elevation: float, sun_azimuth: float, properties: dict[str, Any]
) -> Iterator[Asset]:
    """Bands and SCL of one scene."""
    rng = stream(world.spec.seed, "s2 scene", day.toordinal())
    state = state_on(world.spec, world.style, world.units, world.weather, day)
    optics = optics_of(world.style, world.library, world.units, state)
    quirks = world.style.quirks
    light = _light(world, sun_elevation, sun_azimuth, properties)
    light *= 1.0 + np.float32(quirks.fidget) * rng.standard_normal(light.shape, dtype=np.float32)
    overcast = float(world.weather.overcast[world.weather.index(day)])
    sky = sky_of(
        rng,
        world.canvas.shape,
        10.0,
        overcast=overcast,
        sun_elevation_deg=sun_elevation,
        sun_azimuth_deg=sun_azimuth,
        quirks=quirks,
    )
    outside = outside_swath(rng, world.canvas.shape, 0.07)
    shift = np.clip(rng.normal(0.0, quirks.shift_px, 2), -1.2, 1.2)
    gain = _gain(rng, quirks.gain)
    offset = 1000 if properties["s2:processing_baseline"] >= OFFSET_BASELINE else 0
    coarse: dict[str, Floats] = {}
    for band, name in enumerate(BANDS):
        surface = optics.band(world.units, world.grain, band)
        step = GSD_M[name] // 10
        own = shift + rng.normal(0.0, 0.06, 2)
        blur_px = quirks.blur_px if step == 1 else quirks.blur20_px
        surface = seen_through_optics(surface * light, float(own[0]), float(own[1]), blur_px)
        seen = sky.through(surface * np.float32(gain[band]), band, world.library["cloud"])
        seen = block_mean(seen, step)
        seen += np.float32(quirks.noise / step) * rng.standard_normal(seen.shape, dtype=np.float32)
        if name in ("B02", "B03", "B04", "B08", "B11"):
            coarse[name] = seen if step == 2 else block_mean(seen, 2)
        yield _asset(world, name, _stored(seen, offset, _any_block(outside, step)), offset)
    scl = classify(rng, coarse, sky, _any_block(outside, 2), quirks.blindness)
    rows, cols = world.canvas.shape_at(20)
    scl = scl[:rows, :cols]
    properties["eo:cloud_cover"] = round(100.0 * float(np.isin(scl, (8, 9, 10)).mean()), 2)
    properties["s2:nodata_pixel_percentage"] = round(100.0 * float((scl == 0).mean()), 2)
    yield Asset("SCL", scl, 20, 0, classes=True)


def _gain(rng: np.random.Generator, spread: float) -> Floats:
    """Error of calibration and correction by band: of all bands, of the slope over them, and of each."""
    across = np.linspace(-1.0, 1.0, len(BANDS))
    bend = rng.normal(0.0, spread) + rng.normal(0.0, 0.7 * spread) * across
    return np.asarray(np.exp(bend + rng.normal(0.0, 0.25 * spread, len(BANDS))), np.float32)


def _light(world: World, sun_elevation: float, sun_azimuth: float, properties: dict[str, Any]) -> Floats:
    """Brightness by slope and by the angle of sun and view: brighter with the sun behind the instrument.

    Rows and crowns show more shade to one orbit than to the other.
    """
    brdf = world.style.quirks.brdf
    behind = math.cos(math.radians(properties["view:azimuth"] - sun_azimuth))
    view = 1.0 + 0.55 * brdf * math.sin(math.radians(properties["view:incidence_angle"])) * behind
    low_sun = 1.0 - 0.0012 * max(0.0, 40.0 - sun_elevation)
    sided = math.copysign(0.012 * brdf, properties["view:azimuth"] - 180.0)
    rows = (1.0 + np.float32(sided) * world.units.traits.facing)[world.units.number]
    return np.asarray(
        world.terrain.illumination(max(sun_elevation, 8.0), sun_azimuth) * rows * np.float32(view * low_sun),
        np.float32,
    )


def _any_block(mask: Bools, step: int) -> Bools:
    """Whether any pixel of each step x step block is set."""
    return block_mean(mask.astype(np.float32), step) > 0 if step > 1 else mask


def _stored(reflectance: Floats, offset: int, outside: Bools) -> Raster:
    """Digital numbers: 1e-4 steps plus the baseline's offset; 0 where nothing was measured, else >= 1."""
    numbers = np.clip(np.rint(reflectance * 10000.0) + offset, 1, 65535).astype(np.uint16)
    numbers[outside] = 0
    return numbers


def _asset(world: World, name: str, numbers: Raster, offset: int) -> Asset:
    """One band's raster, without the padding."""
    rows, cols = world.canvas.shape_at(GSD_M[name])
    return Asset(name, numbers[:rows, :cols], GSD_M[name], 0, 1e-4, -offset / 10000.0 + 0.0, band=name)


def classify(
    rng: np.random.Generator, seen: dict[str, Floats], sky: Sky, outside: Bools, blindness: float = 1.0
) -> Codes:
    """Scene classification at 20 m, with mistakes like the real one's.

    Thin edges are missed, shadows doubtful, bright ground is taken for cloud in some scenes and dark ground
    for shadow, and in a few scenes even thick cloud is taken for ground.

    Codes: 0 no data, 2 dark, 3 shadow, 4 vegetation, 5 bare, 6 water, 7 unclassified, 8 and 9 cloud, 10
    cirrus, 11 snow.
    """
    cloud, cirrus, shadow = (block_mean(part, 2) for part in (sky.cloud, sky.cirrus, sky.shadow))
    cloud = np.maximum(cloud, block_mean(sky.veil, 2))
    ndvi = (seen["B08"] - seen["B04"]) / np.maximum(seen["B08"] + seen["B04"], 0.02)
    ndwi = (seen["B03"] - seen["B08"]) / np.maximum(seen["B03"] + seen["B08"], 0.02)
    ndsi = (seen["B03"] - seen["B11"]) / np.maximum(seen["B03"] + seen["B11"], 0.02)
    nervous = float(np.clip(np.exp(rng.normal(0.0, 0.35)) * blindness, 0.4, 1.9))
    jumpy, gloomy = float(rng.random()), float(rng.random())
    grainy = 0.06 * rng.standard_normal(cloud.shape, dtype=np.float32)
    scl = np.full(cloud.shape, 5, np.uint8)
    scl[(ndvi > 0.31) & (ndvi <= 0.38)] = 7
    scl[ndvi > 0.38] = 4
    scl[(ndvi < 0.22) & (seen["B04"] > 0.26)] = 7
    scl[(seen["B08"] < 0.13) & (seen["B11"] < 0.12) & (ndvi < 0.55)] = 2
    scl[(ndwi > 0.02) & (seen["B11"] < 0.06)] = 6
    scl[(ndsi > 0.42) & (seen["B03"] > 0.3) & (seen["B08"] > 0.25)] = 11
    if jumpy < 0.25:
        scl[seen["B02"] + grainy > 0.2] = 8
    if gloomy < 0.2:
        scl[seen["B08"] + 0.3 * grainy < 0.12] = 3
    scl[(shadow + grainy > 0.28 * nervous) & (seen["B08"] < 0.33)] = 3
    if sky.missed:
        nervous = 50.0
    scl[(cirrus + 0.3 * grainy > 0.09 * nervous) & (cloud < 0.3)] = 10
    scl[cloud + grainy > 0.2 * nervous] = 7
    scl[cloud + grainy > 0.36 * nervous] = 8
    scl[cloud + grainy > 0.65 * nervous] = 9
    scl[outside] = 0
    return scl
