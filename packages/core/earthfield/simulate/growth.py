"""How green, ripe, bare, wet and snowed over each unit is on one day."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np

from earthfield.simulate.arrays import Codes, Floats
from earthfield.simulate.covers import CODE, COVERS, codes_of, cover_table
from earthfield.simulate.crops import CROPS, Stage, latitude_shift_days, ramp, stage
from earthfield.simulate.spec import Landscape
from earthfield.simulate.style import Style
from earthfield.simulate.units import Units
from earthfield.simulate.weather import YEAR_DAYS, Weather, northern_day

_LEAF_MEMORY_DAYS = 17
"""Within which a place's leaf area goes its own way."""
_SOIL_MEMORY_DAYS = 6
"""Within which a place's soil moisture and tone do (a shower, work on the field, dew)."""


@dataclass(frozen=True)
class State:
    """The units on one day; arrays (num_units,)."""

    cover: Codes
    """Surface code."""
    crop: Codes
    """Crop whose season this is, 0 where there is none."""
    green: Floats
    """Green leaf area index."""
    dead: Floats
    """Area index of standing dead leaves."""
    flower: Floats
    """Share of the canopy in bloom."""
    residue: Floats
    """Share of the ground under straw."""
    tilled: Floats
    """Freshness of tillage, 0 to 1."""
    flooded: Floats
    """Share of the ground under water."""
    moisture: Floats
    """Moisture of the upper soil, 0 to 1."""
    snow: Floats
    """Share of the surface under snow, 0 to 1."""
    tone: Floats
    """Natural logarithm of the passing change of brightness."""


def state_on(spec: Landscape, style: Style, units: Units, weather: Weather, day: datetime.date) -> State:
    """Bring every unit to one day."""
    at = weather.index(day)
    cover = units.cover_on(day)
    traits = units.traits
    growth = np.clip(weather.growth[at] * (1.0 + 1.2 * traits.wetness), 0.0, 1.0).astype(np.float32)
    dry = np.clip((0.34 - weather.rootzone[at] - traits.wetness) / 0.3, 0.0, 1.0) * ~traits.irrigated
    green, dead = _wild_green(spec, style, units, cover, growth, day)
    seasons = _seasons(spec, style, units, cover, day)
    farm = _fields(units, style, seasons, float(weather.growth[at]))
    is_crop = cover == CODE["cropland"]
    unrest = style.quirks.unrest
    fixed = np.isin(cover, _FIXED)
    crop_green = farm.green * (1.0 - 0.45 * dry) * np.exp(0.16 * units.luck(day.year, 3))
    green = np.where(is_crop, crop_green, green) * traits.vigour
    green = green * style.quirks.lush * np.exp(0.13 * unrest * units.mood(day, _LEAF_MEMORY_DAYS, 5))
    dead = np.where(is_crop, farm.brown * 2.6 + 0.6 * dry * farm.green, dead)
    marsh = cover_code_mask("wetland")[cover]
    flooded = np.where(
        marsh, 0.6 * np.clip(2.2 * (weather.rootzone[at] - 0.35), 0.0, 1.0), farm.flooded * is_crop
    )
    watered = traits.irrigated & is_crop & (farm.green > 0.2)
    moisture = np.clip(
        weather.topsoil[at] + traits.wetness + 0.09 * unrest * units.mood(day, _SOIL_MEMORY_DAYS, 7),
        0.02,
        1.0,
    )
    return State(
        cover=cover,
        crop=_crop_on(units, cover, day, seasons),
        green=green.astype(np.float32),
        dead=dead.astype(np.float32),
        flower=(farm.flower * is_crop).astype(np.float32),
        residue=(farm.residue * is_crop).astype(np.float32),
        tilled=(farm.tilled * is_crop).astype(np.float32),
        flooded=flooded.astype(np.float32),
        moisture=np.where(watered, np.maximum(moisture, 0.45), moisture).astype(np.float32),
        snow=_snow(weather, at, cover),
        tone=(0.034 * unrest * units.mood(day, _SOIL_MEMORY_DAYS, 11) * np.where(fixed, 0.3, 1.0)).astype(
            np.float32
        ),
    )


_FIXED = [code for code, cover in COVERS.items() if cover.growth == "none"]
"""Surfaces without plants."""


def cover_code_mask(growth: str) -> np.ndarray:
    """For each surface code whether it grows in the way named, shape (num_covers + 1,)."""
    return np.array([False, *(cover.growth == growth for cover in COVERS.values())])


def _snow(weather: Weather, at: int, cover: Codes) -> Floats:
    """Share under snow: trees hide it, open water stays dark unless it is frozen."""
    share = 1.0 - np.exp(-weather.snow_mm[at] / 5.0)
    hidden = np.where(cover_table("height_m")[cover] > 3.0, 0.3, 1.0)
    frozen = 0.8 if float(weather.air_c[max(0, at - 20) : at + 1].mean()) < -3.0 else 0.0
    is_water = np.isin(cover, codes_of("river", "lake", "pond", "sea"))
    return np.asarray(share * np.where(is_water, frozen, hidden), np.float32)


def _wild_green(
    spec: Landscape, style: Style, units: Units, cover: Codes, growth: Floats, day: datetime.date
) -> tuple[Floats, Floats]:
    """Green and dead leaf area of everything that is not a field crop."""
    best = cover_table("lai")[cover]
    season = northern_day(spec.lat, float(day.timetuple().tm_yday))
    kind = {name: cover_code_mask(name)[cover] for name in _WILD}
    withered = np.clip(1.05 * (1.0 - 2.2 * growth), 0.0, 0.85)
    grassy = best * (0.14 + 0.86 * growth)
    mowed, grazed = _cuts(units, day, season)
    leaf, turning = _tree_leaves(spec, style, units, growth, season)
    since = np.clip((day.toordinal() - units.changes_on.astype(np.int64)) / YEAR_DAYS, 0.0, 3.0)
    age = np.where(since > 0, since, 1.5)
    arid = style.climate.mean_c > 19.0
    lush = leaf if not arid else 0.12 + 0.88 * growth
    green = np.zeros_like(best)
    green = np.where(kind["grass"], grassy * grazed * (1.0 - withered), green)
    green = np.where(kind["meadow"], grassy * mowed * (1.0 - withered), green)
    green = np.where(kind["deciduous"], best * leaf, green)
    green = np.where(kind["evergreen"], best * (0.82 + 0.18 * growth), green)
    green = np.where(kind["wetland"], best * (0.25 + 0.75 * growth) * (1.0 - 0.7 * withered), green)
    green = np.where(kind["regrowth"], best * growth * np.minimum(1.6, 0.15 + 0.6 * age), green)
    green = np.where(kind["young"], best * lush * np.minimum(1.0, 0.12 + 0.4 * age), green)
    green = np.where(kind["dying"], best * np.exp(-1.6 * since) * (0.82 + 0.18 * growth), green)
    green = np.where(kind["savanna"], best * (0.15 + 0.85 * growth) * (1.0 - 0.6 * withered), green)
    green = np.where(kind["heath"], best * (0.45 + 0.55 * growth), green)
    green = np.where(kind["vine"], best * lush * (0.5 + 0.5 * leaf), green)
    dead = np.where(kind["grass"] | kind["wetland"], grassy * withered + 0.3 * best * withered, 0.0)
    dead = np.where(kind["meadow"], 0.7 * grassy * withered, dead)
    dead = np.where(kind["savanna"], 0.5 * best * withered, dead)
    dead = np.where(kind["heath"], best * 0.25 * (1.0 - growth), dead)
    dead = np.where(kind["dying"], 0.6 * best * (1.0 - np.exp(-1.6 * since)), dead)
    return green, np.where(kind["deciduous"], best * turning, dead)


_WILD = (
    "grass", "meadow", "deciduous", "evergreen", "wetland", "regrowth", "young", "dying", "savanna", "heath",
    "vine",
)  # fmt: skip
"""Ways of growing that are no field crops."""


def _cuts(units: Units, day: datetime.date, season: float) -> tuple[Floats, Floats]:
    """What mowing and what grazing leave of the leaves; every parcel and year on days of its own."""
    traits = units.traits
    moved = season + 9.0 * units.luck(day.year, 17)
    cycle = (moved / traits.cut_days + traits.rhythm) % 1.0
    left = np.clip(traits.cut_left + 0.06 * units.luck(day.year, 19), 0.05, 0.8)
    regrown = ramp((cycle * traits.cut_days).astype(np.float32), 0.0, 38.0)
    in_season = (moved > 118) & (moved < 290)
    mowed = np.where(in_season, left + (1.0 - left) * regrown, 1.0)
    grazed = 1.0 - traits.grazing * (0.35 + 0.3 * np.cos(2 * np.pi * (moved / 60.0 + traits.rhythm)))
    return mowed.astype(np.float32), np.clip(grazed, 0.1, 1.0).astype(np.float32)


def _tree_leaves(
    spec: Landscape, style: Style, units: Units, growth: Floats, season: float
) -> tuple[Floats, Floats]:
    """Share of leaves on deciduous trees, green and coloured: by the season's warmth or by the rains."""
    if style.climate.mean_c > 19.0:
        return 0.18 + 0.82 * growth, 0.22 * (1.0 - growth)
    lag = 0.5 * units.traits.haste_days
    out = 103.0 + np.clip(2.2 * (abs(spec.lat) - 50.0), -38.0, 40.0) + lag
    off = 285.0 - np.clip(1.6 * (abs(spec.lat) - 50.0), -30.0, 30.0) + lag
    now = np.full_like(lag, season)
    green = 0.1 + 0.9 * ramp(now, out, out + 32.0) * (1.0 - ramp(now, off, off + 34.0))
    green *= 1.0 - 0.12 * ramp(now, out + 60.0, off)
    turning = 0.4 * ramp(now, off, off + 22.0) * (1.0 - ramp(now, off + 26.0, off + 50.0))
    return green.astype(np.float32), turning.astype(np.float32)


def _days_into(
    spec: Landscape, style: Style, code: int, day: datetime.date, year: int, peak: int = 0
) -> float:
    """Days since 1 January of the (northern) harvest year, or since the rains that lead to that harvest.

    The landscape's own calendar is taken off: the shift of the crop and the length of its season.
    """
    crop, quirks = CROPS[code], style.quirks
    into = float(day.toordinal() - datetime.date(year, 1, 1).toordinal()) - quirks.crop_shift_days[code]
    middle = 0.5 * (crop.sow + crop.harvest)
    if crop.by_rain:
        peaks = style.climate.rain_peaks or (190.0,)
        onset = northern_day(spec.lat, peaks[min(peak, len(peaks) - 1)] - 50.0) % YEAR_DAYS
        into = into - onset + (YEAR_DAYS if onset + crop.harvest > YEAR_DAYS else 0.0)
    else:
        southern = YEAR_DAYS / 2 if spec.lat < 0 else 0.0
        into = into + southern - latitude_shift_days(crop, spec.lat)
    return middle + (into - middle) / quirks.crop_stretch[code]


@dataclass(frozen=True)
class _Season:
    """One crop on its fields in one year or one of its rains."""

    code: int
    """The crop."""
    rows: np.ndarray
    """Rows of its units."""
    now: Floats
    """Where each stands in the crop's calendar, days."""


def _seasons(spec: Landscape, style: Style, units: Units, cover: Codes, day: datetime.date) -> list[_Season]:
    """Every season that may touch a day; each field and year with a haste of its own."""
    found = []
    two = len(style.climate.rain_peaks) > 1
    for year in (day.year - 1, day.year, day.year + 1):
        column = np.where(cover == CODE["cropland"], units.column(year), 0)
        haste = units.traits.haste_days + 0.6 * style.quirks.haste_days * units.luck(year, 23)
        for code in np.unique(column[column > 0]):
            crop = CROPS[int(code)]
            rows = np.flatnonzero(column == code)
            for peak in (0, 1) if two and crop.by_rain and crop.harvest < 160 and not crop.second else (0,):
                into = _days_into(spec, style, int(code), day, year, peak)
                if not crop.sow - 60 < into < crop.harvest + 420:
                    continue
                some = rows if peak == 0 else rows[units.traits.both_rains[rows]]
                found.append(_Season(int(code), some, (into - haste[some]).astype(np.float32)))
    return found


def _fields(units: Units, style: Style, seasons: list[_Season], lush: float) -> Stage:
    """The crops of all fields, the strongest of overlapping seasons, and cover crops between them."""
    total = {name: np.zeros(units.num, np.float32) for name in Stage.__dataclass_fields__}
    since_harvest, until_sowing = np.full(units.num, 999.0, np.float32), np.full(units.num, 999.0, np.float32)
    traits, lai = units.traits, style.quirks.crop_lai
    for season in seasons:
        crop, rows, now = CROPS[season.code], season.rows, season.now
        grown = stage(crop, now, np.full_like(now, crop.close - 52.0), traits.slack_days[rows])
        for name, values in total.items():
            scale = np.float32(lai[season.code] if name == "green" else 1.0)
            values[rows] = np.maximum(values[rows], scale * getattr(grown, name))
        after = now - crop.harvest - (crop.harvest - crop.sow + crop.second if crop.second else 0.0)
        since_harvest[rows] = np.where(
            after >= 0, np.minimum(since_harvest[rows], after), since_harvest[rows]
        )
        until_sowing[rows] = np.where(
            now < crop.sow, np.minimum(until_sowing[rows], crop.sow - now), until_sowing[rows]
        )
    idle = (total["green"] < 0.05) & (since_harvest < 330) & (until_sowing > 12)
    catch = 2.9 * ramp(since_harvest, 14.0, 62.0) * (0.35 + 0.65 * lush) * traits.cover_crop
    weeds = 0.5 * ramp(since_harvest, 25.0, 80.0) * lush * traits.vigour**3
    total["green"] = np.where(idle, np.maximum(catch, weeds), total["green"]).astype(np.float32)
    total["residue"] *= (total["tilled"] < 0.4) * np.exp(-total["green"])
    return Stage(**total)


def _crop_on(units: Units, cover: Codes, day: datetime.date, seasons: list[_Season]) -> Codes:
    """Crop that stands, or else the next one to be harvested in this year."""
    crop = np.where(cover == CODE["cropland"], units.column(day.year), 0).astype(np.uint8)
    for season in seasons:
        standing = (season.now >= CROPS[season.code].sow) & (season.now < CROPS[season.code].harvest)
        crop[season.rows[standing]] = season.code
    return crop
