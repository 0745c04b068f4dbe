"""Landsat Collection 2 Level-2: six reflectances, surface temperature and QA_PIXEL at 30 m."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation, uniform_filter

from earthfield.simulate.arrays import Bools, Floats, Raster
from earthfield.simulate.atmosphere import Sky, outside_swath, seen_through_optics, sky_of
from earthfield.simulate.canvas import block_mean
from earthfield.simulate.covers import COVERS
from earthfield.simulate.growth import State, state_on
from earthfield.simulate.noise import stream
from earthfield.simulate.scene import Asset, Scene, days_of
from earthfield.simulate.spectra import BANDS
from earthfield.simulate.sun import local_instant, sun_position
from earthfield.simulate.surface import optics_of, warmth_of
from earthfield.simulate.world import World

COLLECTION = "landsat-c2-l2"
GSD_M = 30
_FROM_S2 = {
    "blue": ("B02", 0.96, "B02"),
    "green": ("B03", 0.99, "B03"),
    "red": ("B04", 0.97, "B04"),
    "nir08": ("B8A", 1.0, "B05"),
    "swir16": ("B11", 0.99, "B06"),
    "swir22": ("B12", 1.02, "B07"),
}
"""Asset: the Sentinel-2 band that sees the same, the ratio to it, and the Landsat band's name.

Source: ratios after Claverie et al. 2018, "The Harmonized Landsat and Sentinel-2 surface reflectance data
set", rounded.
"""
SR_SCALE, SR_OFFSET = 2.75e-5, -0.2
ST_SCALE, ST_OFFSET = 0.00341802, 149.0
"""Source: USGS, Landsat 8-9 Collection 2 Level 2 Science Product Guide."""


LOWEST_SUN_DEG = 14.0
"""No scene is made under a lower sun. Source: USGS makes none beyond 76 degrees zenith."""


def scenes(world: World) -> Iterator[Scene]:
    """All Landsat scenes, in the order of time."""
    spec = world.spec
    phase = int(stream(spec.seed, "landsat phase").integers(min(spec.landsat_revisit_days, 300)))
    for number, day in enumerate(days_of(spec.start_year, spec.years, spec.landsat_revisit_days, phase)):
        scene = _scene(world, number, day)
        if scene.properties["view:sun_elevation"] >= LOWEST_SUN_DEG:
            yield scene


def _scene(world: World, number: int, day: datetime.date) -> Scene:
    """What one item says."""
    spec = world.spec
    seconds = int(stream(spec.seed, "landsat instant", day.toordinal()).integers(0, 60))
    instant = local_instant(day, spec.lon, 10.2, seconds)
    elevation, azimuth = sun_position(instant, spec.lon, spec.lat)
    nine = day >= datetime.date(2021, 11, 1) and spec.landsat_revisit_days < 16 and number % 2 == 1
    properties = {
        "platform": "landsat-9" if nine else "landsat-8",
        "instruments": ["oli", "tirs"],
        "gsd": GSD_M,
        "landsat:collection_category": "T1",
        "landsat:collection_number": "02",
        "landsat:correction": "L2SP",
        "sat:orbit_state": "descending",
        "view:sun_azimuth": round(azimuth, 3),
        "view:sun_elevation": round(elevation, 3),
        "view:off_nadir": 0,
    }
    return Scene(
        id=f"LC0{9 if nine else 8}_L2SP_{instant:%Y%m%dT%H%M%S}_SIM{spec.seed}",
        collection=COLLECTION,
        instant=instant,
        make=partial(_rasters, world, day, elevation, azimuth),
        properties=properties,
    )


def _rasters(
    world: World, day: datetime.date, sun_elevation: float, sun_azimuth: float, properties: dict[str, Any]
) -> Iterator[Asset]:
    """Bands, temperature and quality of one scene."""
    rng = stream(world.spec.seed, "landsat scene", day.toordinal())
    state = state_on(world.spec, world.style, world.units, world.weather, day)
    optics = optics_of(world.style, world.library, world.units, state)
    at = world.weather.index(day)
    rows, cols = world.canvas.shape[0] // 3, world.canvas.shape[1] // 3
    sky = sky_of(
        rng, (rows, cols), float(GSD_M), overcast=float(world.weather.overcast[at]),
        sun_elevation_deg=sun_elevation, sun_azimuth_deg=sun_azimuth, quirks=world.style.quirks,
    )  # fmt: skip
    outside = outside_swath(rng, (rows, cols), 0.06)
    light = block_mean(world.terrain.illumination(max(sun_elevation, 8.0), sun_azimuth), 3)
    shift = rng.normal(0.0, max(0.12, 0.5 * world.style.quirks.shift_px), 2)
    gain = np.exp(
        rng.normal(0.0, world.style.quirks.gain) + rng.normal(0.0, 0.3 * world.style.quirks.gain, 10)
    )
    for key, (like, ratio, name) in _FROM_S2.items():
        band = BANDS.index(like)
        surface = (
            block_mean(optics.band(world.units, world.grain, band), 3)
            * light
            * np.float32(ratio * gain[band])
        )
        surface = seen_through_optics(surface, float(shift[0]), float(shift[1]), 0.45)
        seen = sky.through(surface, band, world.library["cloud"])
        seen += np.float32(0.0012) * rng.standard_normal(seen.shape, dtype=np.float32)
        numbers = _stored(seen, SR_SCALE, SR_OFFSET, outside)
        yield _asset(world, Asset(key, numbers, GSD_M, 0, SR_SCALE, SR_OFFSET, band=name))
    kelvin = _temperature(world, state, sky, float(world.weather.air_c[at]), sun_elevation)
    numbers = _stored(kelvin, ST_SCALE, ST_OFFSET, outside)
    yield _asset(
        world, Asset("lwir11", numbers, GSD_M, 0, ST_SCALE, ST_OFFSET, "kelvin", "B10", resolution_m=100)
    )
    quality = quality_bits(rng, sky, _water_and_snow(world, state), outside)
    quality = quality[: world.canvas.shape_at(GSD_M)[0], : world.canvas.shape_at(GSD_M)[1]]
    properties["eo:cloud_cover"] = round(100.0 * float(((quality & 0b1100) > 0).mean()), 2)
    yield Asset("qa_pixel", quality, GSD_M, 1, classes=True)


def _asset(world: World, asset: Asset) -> Asset:
    """The asset without the padding."""
    rows, cols = world.canvas.shape_at(GSD_M)
    return Asset(**{**asset.__dict__, "values": asset.values[:rows, :cols]})


def _stored(physical: Floats, scale: float, offset: float, outside: Bools) -> Raster:
    """Digital numbers, 0 where nothing was measured, 1 at least elsewhere."""
    numbers = np.clip(np.rint((physical - offset) / scale), 1, 65535).astype(np.uint16)
    numbers[outside] = 0
    return numbers


def _temperature(world: World, state: State, sky: Sky, air_c: float, sun_elevation: float) -> Floats:
    """Surface temperature as TIRS sees it (about 100 m); cloud tops are cold."""
    kelvin = block_mean(warmth_of(state, air_c, sun_elevation)[world.units.number], 3)
    kelvin = uniform_filter(kelvin, 3, mode="nearest") - np.float32(3.0) * sky.shadow
    tops = np.float32(273.15 + air_c - 22.0)
    return np.asarray(kelvin + (tops - kelvin) * np.maximum(sky.cloud, 0.5 * sky.cirrus), np.float32)


def _water_and_snow(world: World, state: State) -> tuple[Bools, Bools]:
    """Pixels of 30 m that are mostly open water, and mostly snow."""
    wet = np.array([0.0, *(float(cover.ground == "water") for cover in COVERS.values())], np.float32)[
        state.cover
    ]
    wet = np.maximum(wet, state.flooded * (state.green < 1.0))
    water = block_mean(wet.astype(np.float32)[world.units.number], 3) > 0.6
    snow = block_mean(state.snow[world.units.number], 3) > 0.4
    return water, snow


def quality_bits(
    rng: np.random.Generator, sky: Sky, water_and_snow: tuple[Bools, Bools], outside: Bools
) -> Raster:
    """QA_PIXEL with the imperfections of the real one: clouds above half opacity found, edges dilated.

    Bits: 0 fill, 1 dilated cloud, 2 cirrus, 3 cloud, 4 shadow, 5 snow, 6 clear, 7 water; pairs of
    confidence from 8 cloud, 10 shadow, 12 snow, 14 cirrus (1 low, 2 medium, 3 high). Source: USGS, Landsat
    8-9 Collection 2 Level 2 Science Product Guide, table 6-3.
    """
    water, snow = water_and_snow
    grainy = 0.05 * rng.standard_normal(sky.cloud.shape, dtype=np.float32)
    cloud = np.maximum(sky.cloud, sky.veil) + grainy > (9.0 if sky.missed else 0.4)
    dilated = binary_dilation(cloud, iterations=2) & ~cloud
    cirrus = sky.cirrus > (9.0 if sky.missed else 0.13)
    shadow = (sky.shadow + grainy > 0.4) & ~cloud
    snow = snow & ~cloud
    clear = ~(cloud | dilated | cirrus | shadow)
    bits = np.zeros(cloud.shape, np.uint16)
    flags = ((1, dilated), (2, cirrus), (3, cloud), (4, shadow), (5, snow), (6, clear), (7, water & ~cloud))
    for bit, mask in flags:
        bits |= (mask.astype(np.uint16) << bit).astype(np.uint16)
    maybe = (sky.cloud > 0.15) & ~cloud
    pairs = (
        (8, np.where(cloud, 3, np.where(maybe, 2, 1))),
        (10, np.where(shadow, 3, 1)),
        (12, np.where(snow, 3, 1)),
        (14, np.where(cirrus, 3, 1)),
    )
    for bit, level in pairs:
        bits |= (level.astype(np.uint16) << bit).astype(np.uint16)
    bits[outside] = 1
    return bits
