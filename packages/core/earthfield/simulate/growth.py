"""How green, ripe, bare, wet and snowed over each unit is on one day."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np

from earthfield.simulate.arrays import Codes, Floats
from earthfield.simulate.covers import CODE, COVERS, cover_table
from earthfield.simulate.crops import CROPS, Crop, Stage, latitude_shift_days, ramp, stage
from earthfield.simulate.spec import Landscape
from earthfield.simulate.style import Style
from earthfield.simulate.units import Units
from earthfield.simulate.weather import YEAR_DAYS, Weather, northern_day

_MOWING_DAYS = 46.0
"""Days between two cuts of a meadow in the growing season."""


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


def state_on(spec: Landscape, style: Style, units: Units, weather: Weather, day: datetime.date) -> State:
    """Bring every unit to one day."""
    at = weather.index(day)
    cover = units.cover_on(day)
    traits = units.traits
    growth = np.clip(weather.growth[at] * (1.0 + 1.2 * traits.wetness), 0.0, 1.0).astype(np.float32)
    dry = np.clip((0.34 - weather.rootzone[at] - traits.wetness) / 0.3, 0.0, 1.0) * ~traits.irrigated
    green, dead = _wild_green(spec, style, units, cover, growth, day)
    farm = _fields(spec, style, units, weather, cover, day)
    is_crop = cover == CODE["cropland"]
    crop_green = farm.green * (1.0 - 0.45 * dry)
    green = np.where(is_crop, crop_green, green) * traits.vigour
    dead = np.where(is_crop, farm.brown * 2.6 + 0.6 * dry * farm.green, dead)
    marsh = cover_code_mask("wetland")[cover]
    flooded = np.where(
        marsh, 0.6 * np.clip(2.2 * (weather.rootzone[at] - 0.35), 0.0, 1.0), farm.flooded * is_crop
    )
    watered = traits.irrigated & is_crop & (farm.green > 0.2)
    moisture = np.clip(weather.topsoil[at] + traits.wetness, 0.02, 1.0)
    return State(
        cover=cover,
        crop=_crop_on(spec, style, units, cover, day),
        green=green.astype(np.float32),
        dead=dead.astype(np.float32),
        flower=(farm.flower * is_crop).astype(np.float32),
        residue=(farm.residue * is_crop).astype(np.float32),
        tilled=(farm.tilled * is_crop).astype(np.float32),
        flooded=flooded.astype(np.float32),
        moisture=np.where(watered, np.maximum(moisture, 0.45), moisture).astype(np.float32),
        snow=_snow(weather, at, cover),
    )


def cover_code_mask(growth: str) -> np.ndarray:
    """For each surface code whether it grows in the way named, shape (num_covers + 1,)."""
    return np.array([False, *(cover.growth == growth for cover in COVERS.values())])


def _snow(weather: Weather, at: int, cover: Codes) -> Floats:
    """Share under snow: trees hide it, open water stays dark unless it is frozen."""
    share = 1.0 - np.exp(-weather.snow_mm[at] / 5.0)
    hidden = np.where(cover_table("height_m")[cover] > 3.0, 0.3, 1.0)
    frozen = 0.8 if float(weather.air_c[max(0, at - 20) : at + 1].mean()) < -3.0 else 0.0
    is_water = np.isin(cover, [CODE["river"], CODE["lake"], CODE["pond"]])
    return np.asarray(share * np.where(is_water, frozen, hidden), np.float32)


def _wild_green(
    spec: Landscape, style: Style, units: Units, cover: Codes, growth: Floats, day: datetime.date
) -> tuple[Floats, Floats]:
    """Green and dead leaf area of everything that is not a field crop."""
    best = cover_table("lai")[cover]
    season = northern_day(spec.lat, float(day.timetuple().tm_yday))
    kind = {
        name: cover_code_mask(name)[cover]
        for name in ("grass", "meadow", "deciduous", "evergreen", "wetland", "regrowth")
    }
    withered = np.clip(1.05 * (1.0 - 2.2 * growth), 0.0, 0.85)
    grassy = best * (0.14 + 0.86 * growth)
    cycle = (season / _MOWING_DAYS + units.traits.rhythm) % 1.0
    mowed = (
        0.28 + 0.72 * ramp(cycle.astype(np.float32), 0.0, 0.75) if 125 < season < 285 else np.ones_like(cycle)
    )
    grazed = 0.75 + 0.25 * np.cos(2 * np.pi * (season / 90.0 + units.traits.rhythm))
    leaf, turning = _tree_leaves(spec, style, units, growth, season)
    since = np.clip((day.toordinal() - units.changes_on.astype(np.int64)) / YEAR_DAYS, 0.0, 3.0)
    green = np.zeros_like(best)
    green = np.where(kind["grass"], grassy * grazed * (1.0 - withered), green)
    green = np.where(kind["meadow"], grassy * mowed * (1.0 - withered), green)
    green = np.where(kind["deciduous"], best * leaf, green)
    green = np.where(kind["evergreen"], best * (0.82 + 0.18 * growth), green)
    green = np.where(kind["wetland"], best * (0.25 + 0.75 * growth) * (1.0 - 0.7 * withered), green)
    green = np.where(kind["regrowth"], best * growth * np.minimum(1.6, 0.15 + 0.6 * since), green)
    dead = np.where(kind["grass"] | kind["wetland"], grassy * withered + 0.3 * best * withered, 0.0)
    dead = np.where(kind["meadow"], 0.7 * grassy * withered, dead)
    return green, np.where(kind["deciduous"], best * turning, dead)


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


def _days_into(spec: Landscape, style: Style, crop: Crop, day: datetime.date, year: int) -> float:
    """Days since 1 January of the (northern) harvest year, or since the rains that lead to that harvest."""
    into = float(day.toordinal() - datetime.date(year, 1, 1).toordinal())
    if crop.by_rain:
        peak = (style.climate.rain_peaks or (190.0,))[0]
        onset = northern_day(spec.lat, peak - 50.0) % YEAR_DAYS
        return into - onset + (YEAR_DAYS if onset + crop.harvest > YEAR_DAYS else 0.0)
    southern = YEAR_DAYS / 2 if spec.lat < 0 else 0.0
    return into + southern - latitude_shift_days(crop, spec.lat)


def _seasons(units: Units, cover: Codes, day: datetime.date) -> list[tuple[int, int, np.ndarray]]:
    """(harvest year, crop code, rows of its units) of every season that may touch a day."""
    found = []
    for year in (day.year - 1, day.year, day.year + 1):
        column = np.where(cover == CODE["cropland"], units.column(year), 0)
        found += [(year, int(code), np.flatnonzero(column == code)) for code in np.unique(column) if code]
    return found


def _fields(
    spec: Landscape, style: Style, units: Units, weather: Weather, cover: Codes, day: datetime.date
) -> Stage:
    """The crops of all fields, the strongest of overlapping seasons, and cover crops between them."""
    total = {name: np.zeros(units.num, np.float32) for name in Stage.__dataclass_fields__}
    since_harvest, until_sowing = np.full(units.num, 999.0, np.float32), np.full(units.num, 999.0, np.float32)
    traits = units.traits
    for year, code, rows in _seasons(units, cover, day):
        crop = CROPS[code]
        now = (_days_into(spec, style, crop, day, year) - traits.haste_days[rows]).astype(np.float32)
        grown = stage(crop, now, np.full_like(now, crop.close - 52.0), traits.slack_days[rows])
        for name, values in total.items():
            values[rows] = np.maximum(values[rows], getattr(grown, name))
        after = now - crop.harvest - (crop.harvest - crop.sow + crop.second if crop.second else 0.0)
        since_harvest[rows] = np.where(
            after >= 0, np.minimum(since_harvest[rows], after), since_harvest[rows]
        )
        until_sowing[rows] = np.where(
            now < crop.sow, np.minimum(until_sowing[rows], crop.sow - now), until_sowing[rows]
        )
    idle = (total["green"] < 0.05) & (since_harvest < 330) & (until_sowing > 12)
    lush = float(weather.growth[weather.index(day)])
    catch = 2.9 * ramp(since_harvest, 14.0, 62.0) * (0.35 + 0.65 * lush) * traits.cover_crop
    weeds = 0.35 * ramp(since_harvest, 25.0, 80.0) * lush
    total["green"] = np.where(idle, np.maximum(catch, weeds), total["green"]).astype(np.float32)
    total["residue"] *= (total["tilled"] < 0.4) * np.exp(-total["green"])
    return Stage(**total)


def _crop_on(spec: Landscape, style: Style, units: Units, cover: Codes, day: datetime.date) -> Codes:
    """Crop that stands, or else the next one to be harvested in this year."""
    crop = np.where(cover == CODE["cropland"], units.column(day.year), 0).astype(np.uint8)
    for year, code, rows in _seasons(units, cover, day):
        now = _days_into(spec, style, CROPS[code], day, year) - units.traits.haste_days[rows]
        standing = (now >= CROPS[code].sow) & (now < CROPS[code].harvest)
        crop[rows[standing]] = code
    return crop
