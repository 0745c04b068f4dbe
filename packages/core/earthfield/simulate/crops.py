"""Crops and their calendars: when each is sown, closes, ripens and is harvested."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from earthfield.simulate.arrays import Floats


@dataclass(frozen=True)
class Crop:
    """One crop, with its calendar at 50 degrees north.

    Days count from 1 January of the year of harvest and may be negative (sown the autumn before). Crops of
    the tropics count from the onset of their rainy season instead (`by_rain`).

    Source: order of magnitude of sowing and harvest dates after Sacks et al. 2010, "Crop planting dates";
    the curves are ours.
    """

    name: str
    """Snake-case name, as in truth/legend.json."""
    leaf: str
    """Name of its dense-canopy spectrum."""
    sow: float
    """Day of sowing or planting."""
    close: float
    """Day when the canopy is complete."""
    ripen: float
    """Day when the green begins to go."""
    harvest: float
    """Day of harvest."""
    lai: float
    """Leaf area index at its best."""
    winter_lai: float = 0.0
    """Leaf area it keeps from emergence until it shoots up in spring."""
    flower: float = 0.0
    """Strength of a yellow or white bloom that the satellite sees, 0 to 1."""
    brown: float = 0.7
    """How brown it stands before harvest: 0 lifted green, 1 dead ripe."""
    height_m: float = 1.0
    """Height at its best, metres."""
    canopy_vv_db: float = -12.0
    """Backscatter of its closed canopy, VV decibel."""
    canopy_vh_db: float = -18.0
    """Backscatter of its closed canopy, VH decibel."""
    extinction: float = 0.3
    """Radar extinction per unit of leaf area."""
    flooded: bool = False
    """Whether it stands in water from sowing until a month before harvest."""
    by_rain: bool = False
    """Whether its calendar counts from the onset of the rains."""
    second: float = 0.0
    """Days from its harvest to the sowing of a second, equal crop in the same season; 0 for none."""


_ROWS = (
    Crop("winter_wheat", "cereal", -78, 125, 172, 207, 5.6, 1.3, 0, 1.0, 0.9, -13.2, -19.2, 0.42),
    Crop("winter_barley", "cereal", -95, 112, 152, 183, 5.0, 1.6, 0, 1.0, 0.9, -12.6, -17.6, 0.36),
    Crop("spring_barley", "cereal", 76, 145, 180, 212, 4.4, 0.0, 0, 1.0, 0.8, -13.2, -18.6, 0.36),
    Crop("rapeseed", "rapeseed", -125, 108, 160, 198, 4.8, 1.9, 1.0, 0.7, 1.4, -10.4, -14.2, 0.34),
    Crop("maize", "maize", 118, 196, 246, 278, 5.2, 0, 0, 0.55, 2.6, -10.2, -15.6, 0.36),
    Crop("potato", "potato", 106, 172, 222, 262, 4.6, 0, 0.15, 0.5, 0.6, -8.6, -14.6, 0.30),
    Crop("sugar_beet", "beet", 92, 176, 285, 304, 4.8, 0, 0, 0.15, 0.5, -8.4, -14.4, 0.28),
    Crop("sunflower", "maize", 112, 182, 226, 262, 3.8, 0, 0.5, 0.9, 1.8, -9.8, -15.4, 0.34),
    Crop("soybean", "potato", 132, 206, 246, 272, 5.0, 0, 0, 0.9, 0.9, -10.8, -16.0, 0.32),
    Crop("flax", "cereal", 85, 148, 182, 208, 3.2, 0, 0.3, 0.9, 0.8, -12.2, -17.6, 0.34),
    Crop("vegetables", "beet", 95, 140, 175, 186, 3.2, 0, 0, 0.1, 0.4, -9.6, -16.0, 0.28, second=18),
    Crop("alfalfa", "beet", 20, 95, 330, 345, 4.0, 0.9, 0, 0.2, 0.6, -11.2, -17.6, 0.30),
    Crop("cotton", "potato", 108, 205, 268, 300, 3.6, 0, 0.2, 0.8, 1.1, -10.0, -16.0, 0.32),
    Crop("temperate_rice", "rice", 122, 195, 245, 275, 5.0, 0, 0, 0.8, 0.9, -10.6, -17.6, 0.30, flooded=True),
    Crop("rainfed_maize", "maize", 12, 75, 105, 132, 2.9, 0, 0, 0.8, 2.2, -10.2, -15.8, 0.36, by_rain=True),
    Crop("sorghum", "cereal", 20, 85, 125, 155, 2.4, 0, 0, 0.9, 2.0, -10.6, -16.2, 0.36, by_rain=True),
    Crop("groundnut", "potato", 15, 70, 105, 122, 2.4, 0, 0.1, 0.5, 0.4, -11.0, -17.0, 0.30, by_rain=True),
    Crop(
        "paddy_rice",
        "rice",
        10,
        75,
        105,
        128,
        5.2,
        0,
        0,
        0.8,
        0.9,
        -10.4,
        -17.4,
        0.30,
        flooded=True,
        by_rain=True,
    ),
    Crop("double_rice", "rice", 5, 62, 88, 106, 5.0, 0, 0, 0.8, 0.9, -10.4, -17.4, 0.3, True, True, 26),
    Crop("cassava", "shrub", 10, 120, 290, 335, 2.6, 0, 0, 0.2, 1.8, -9.4, -15.2, 0.36, by_rain=True),
    Crop("sugarcane", "cane", -20, 130, 300, 338, 5.2, 0.5, 0, 0.5, 3.0, -9.2, -14.6, 0.34, by_rain=True),
    Crop("beans", "potato", 14, 58, 80, 98, 2.6, 0, 0.1, 0.7, 0.5, -11.2, -17.2, 0.3, False, True, 70),
    Crop("winter_rye", "cereal", -90, 115, 165, 205, 5.0, 1.5, 0, 1.0, 1.4, -12.4, -18.0, 0.38),
    Crop("oats", "cereal", 80, 148, 186, 218, 4.2, 0, 0, 0.9, 0.9, -12.8, -18.2, 0.36),
    Crop("peas", "potato", 75, 140, 172, 195, 3.8, 0, 0.15, 0.8, 0.6, -10.8, -16.8, 0.30),
    Crop("onions", "beet", 80, 165, 205, 235, 2.2, 0, 0, 0.6, 0.4, -10.4, -16.6, 0.26),
    Crop("leeks", "beet", 150, 240, 400, 415, 3.0, 0, 0, 0.2, 0.5, -9.8, -16.0, 0.28),
    Crop("ley", "grass", -150, 95, 330, 380, 4.6, 2.4, 0, 0.1, 0.3, -11.4, -17.8, 0.26),
    Crop("ley_then_maize", "grass", -100, 95, 118, 124, 3.8, 1.6, 0, 0.1, 0.4, -11.2, -17.2, 0.30, second=4),
    Crop("wheat_then_soy", "cereal", -80, 105, 145, 170, 5.0, 1.2, 0, 1.0, 0.9, -12.6, -18.0, 0.38),
    Crop("millet", "cereal", 130, 195, 235, 262, 3.4, 0, 0, 0.9, 1.1, -11.8, -17.2, 0.34),
    Crop("chickpea", "potato", -50, 60, 110, 140, 2.2, 0.3, 0.05, 0.9, 0.5, -11.8, -17.8, 0.28),
    Crop("fallow", "savanna", 40, 150, 200, 320, 1.2, 0, 0.1, 0.8, 0.4, -11.8, -18.4, 0.28),
    Crop("pearl_millet", "cereal", 10, 70, 95, 118, 2.2, 0, 0, 0.9, 1.8, -10.8, -16.4, 0.34, by_rain=True),
    Crop(
        "wet_season_cotton",
        "potato",
        15,
        95,
        150,
        195,
        3.0,
        0,
        0.2,
        0.8,
        1.1,
        -10.2,
        -16.2,
        0.32,
        by_rain=True,
    ),
    Crop("sesame", "savanna", 18, 70, 95, 115, 2.2, 0, 0.2, 0.9, 1.0, -11.0, -17.0, 0.30, by_rain=True),
    Crop("pigeon_pea", "shrub", 15, 120, 200, 250, 2.6, 0, 0.15, 0.7, 1.8, -10.0, -15.8, 0.34, by_rain=True),
    Crop("sweet_potato", "potato", 15, 75, 130, 155, 3.4, 0, 0, 0.3, 0.4, -10.8, -16.8, 0.28, by_rain=True),
)

CROPS: dict[int, Crop] = dict(enumerate(_ROWS, start=1))
"""Crop code (uint8, from 1; 0 is no crop) to what it is."""

CROP_CODE: dict[str, int] = {crop.name: code for code, crop in CROPS.items()}
"""Crop name to its code."""


@dataclass(frozen=True)
class Stage:
    """How far the crop of each field is on one day; arrays of shape (num_fields,)."""

    green: Floats
    """Green leaf area index."""
    brown: Floats
    """Share of the canopy that is dead, 0 to 1."""
    flower: Floats
    """Share of the canopy's top in bloom, 0 to 1."""
    residue: Floats
    """Share of the ground under stubble or straw, 0 to 1."""
    tilled: Floats
    """Freshness of the seed bed or ploughing, 1 on the day, fading in a month."""
    flooded: Floats
    """1 where the field stands in water."""


def ramp(day: Floats, start: Floats | float, end: Floats | float) -> Floats:
    """Smooth step from 0 at `start` to 1 at `end` (days)."""
    f = np.clip((day - start) / np.maximum(np.asarray(end) - start, 1.0), 0.0, 1.0).astype(np.float32)
    return f * f * (3.0 - 2.0 * f)


def stage(crop: Crop, day: Floats, shoot: Floats, slack: Floats) -> Stage:
    """Where a crop stands.

    Args:
        crop: The crop.
        day: Days since 1 January of the harvest year (or the rains), moved by each field's own haste.
        shoot: Day when overwintering crops shoot up.
        slack: Days between harvest and the next tillage of each field.
    """
    first = _one_stage(crop, day, shoot, slack)
    if not crop.second:
        return first
    later = _one_stage(crop, day - (crop.harvest - crop.sow + crop.second), shoot, slack)
    turned = day > crop.harvest + 0.6 * crop.second
    return Stage(*(np.where(turned, b, a) for a, b in zip(_parts(first), _parts(later), strict=True)))


def _parts(of: Stage) -> tuple[Floats, ...]:
    return (of.green, of.brown, of.flower, of.residue, of.tilled, of.flooded)


def _one_stage(crop: Crop, day: Floats, shoot: Floats, slack: Floats) -> Stage:
    """One growth from tillage to the breaking of its stubble."""
    stands = (day >= crop.sow) & (day < crop.harvest)
    emerged = ramp(day, crop.sow + 8, crop.sow + 45)
    start = shoot if crop.winter_lai else np.full_like(day, crop.sow + 14)
    rise = ramp(day, np.minimum(start, crop.close - 25), crop.close)
    ripe = ramp(day, crop.ripen, crop.harvest - 4)
    green = (crop.winter_lai * emerged + (crop.lai - crop.winter_lai) * rise) * (
        1.0 - 0.93 * ripe * min(1.0, crop.brown + 0.2)
    )
    after = day - crop.harvest
    residue = np.where((after >= 0) & (after < slack), 0.85 * np.exp(-np.maximum(after, 0) / 60.0), 0.0)
    ploughed = np.where(after >= slack, np.exp(-np.maximum(after - slack, 0.0) / 25.0), 0.0)
    bed = np.where(day >= crop.sow - 6, np.exp(-np.maximum(day - crop.sow + 6, 0.0) / 22.0), 0.0)
    bloom_at = crop.close + 0.25 * (crop.ripen - crop.close)
    flower = crop.flower * np.exp(-(((day - bloom_at) / 9.0) ** 2))
    wet = crop.flooded * ((day > crop.sow - 12) & (day < crop.harvest - 28))
    return Stage(
        green=np.where(stands, green, 0.0).astype(np.float32),
        brown=np.where(stands, crop.brown * ripe, 0.0).astype(np.float32),
        flower=np.where(stands, flower, 0.0).astype(np.float32),
        residue=residue.astype(np.float32),
        tilled=np.maximum(ploughed, bed).astype(np.float32),
        flooded=np.asarray(wet, np.float32),
    )


def latitude_shift_days(crop: Crop, lat: float) -> float:
    """How much later a crop's calendar runs than at 50 degrees: 2 days a degree, at most 35."""
    if crop.by_rain:
        return 0.0
    pull = 2.0 if crop.sow > 0 else 2.4
    return math.copysign(min(35.0, abs(pull * (abs(lat) - 50.0))), abs(lat) - 50.0)
