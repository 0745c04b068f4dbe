"""The weather of every day: temperature, rain, soil moisture, snow, growth and how cloudy the sky is."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass

import numpy as np

from earthfield.simulate.arrays import Floats
from earthfield.simulate.noise import stream
from earthfield.simulate.spec import Landscape
from earthfield.simulate.style import Climate, Style

YEAR_DAYS = 365.2425
SPIN_UP_DAYS = 400
"""Days of weather before the first scene, so that soil and snow have a past."""


@dataclass(frozen=True)
class Weather:
    """Daily series over the whole simulation; every array has shape (num_days,) and starts on `first`."""

    first: datetime.date
    """Day of index 0."""
    air_c: Floats
    """Daily mean air temperature, degrees Celsius."""
    rain_mm: Floats
    """Rain or melted snow that fell, millimetres."""
    topsoil: Floats
    """Moisture of the upper centimetres, 0 dry to 1 saturated."""
    rootzone: Floats
    """Moisture that plants reach, 0 to 1."""
    snow_mm: Floats
    """Water held in the snow on the ground, millimetres."""
    growth: Floats
    """How green unmanaged grass stands, 0 dead to 1 lush."""
    overcast: Floats
    """Share of the sky under cloud at the satellites' hour, 0 to 1."""

    def index(self, day: datetime.date) -> int:
        """Position of a day in the series."""
        return (day - self.first).days


def warmest_day(lat: float) -> float:
    """Day of the year with the highest mean temperature."""
    return 201.0 if lat >= 0 else 18.5


def northern_day(lat: float, day: float) -> float:
    """Turn a day of the northern year into the day of this hemisphere with the same season."""
    return day if lat >= 0 else (day + YEAR_DAYS / 2) % YEAR_DAYS


def weather_of(spec: Landscape, style: Style) -> Weather:
    """Simulate the daily weather from 400 days before the first year to two weeks after the last."""
    first = datetime.date(spec.start_year, 1, 1) - datetime.timedelta(days=SPIN_UP_DAYS)
    last = datetime.date(spec.start_year + spec.years, 1, 14)
    days = np.arange((last - first).days, dtype=np.float64)
    day_of_year = (days + first.timetuple().tm_yday - 1) % YEAR_DAYS
    air_c = _temperature(spec, style, day_of_year)
    rain_mm = _rain(spec, style.climate, day_of_year)
    topsoil, rootzone, snow_mm = _water_balance(air_c, rain_mm)
    return Weather(
        first=first,
        air_c=air_c,
        rain_mm=rain_mm,
        topsoil=topsoil,
        rootzone=rootzone,
        snow_mm=snow_mm,
        growth=_growth(air_c, rootzone, snow_mm),
        overcast=_sky(spec, style.climate, rain_mm),
    )


def _persistent(rng: np.random.Generator, num: int, memory: float) -> Floats:
    """First-order autoregressive noise of unit variance; `memory` is the correlation from day to day."""
    shocks = rng.standard_normal(num)
    series = np.empty(num, np.float32)
    state = 0.0
    for day in range(num):
        state = memory * state + math.sqrt(1 - memory**2) * float(shocks[day])
        series[day] = state
    return series


def _temperature(spec: Landscape, style: Style, day_of_year: np.ndarray) -> Floats:
    """Seasonal cosine, a lapse of 6.5 K a kilometre, spells of warm and cold, and a warm or cold year."""
    rng = stream(spec.seed, "temperature")
    season = np.cos(2 * np.pi * (day_of_year - warmest_day(spec.lat)) / YEAR_DAYS)
    spells = 0.25 * (3.0 + style.climate.swing_c) * _persistent(rng, len(day_of_year), 0.86)
    level = style.climate.mean_c - 0.0065 * style.base_m + rng.normal(0.0, 0.8)
    return np.asarray(level + style.climate.swing_c * season + spells, np.float32)


def _rain_season(climate: Climate, lat: float, day_of_year: np.ndarray) -> Floats:
    """Relative rain of each day, mean about 1."""
    if not climate.rain_peaks:
        return np.ones(len(day_of_year), np.float32)
    width = 22.0 if len(climate.rain_peaks) > 1 else 48.0
    pulse = np.zeros(len(day_of_year))
    for peak in climate.rain_peaks:
        away = (day_of_year - northern_day(lat, peak) + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2
        pulse += np.exp(-0.5 * (away / width) ** 2)
    pulse /= pulse.mean()
    return np.asarray(1.0 - climate.rain_season + climate.rain_season * pulse, np.float32)


def _rain(spec: Landscape, climate: Climate, day_of_year: np.ndarray) -> Floats:
    """Wet and dry spells with exponential amounts, good and bad years of +-25 %."""
    rng = stream(spec.seed, "rain")
    season = _rain_season(climate, spec.lat, day_of_year)
    odd_year = np.repeat(np.exp(rng.normal(0.0, 0.25, len(season) // 182 + 1)), 182)[: len(season)]
    mean_mm = climate.rain_mm / YEAR_DAYS * season * odd_year
    chance = np.clip(0.16 * mean_mm, 0.005, 0.72)
    spells = _persistent(rng, len(season), 0.62)
    wet = spells > np.sqrt(2) * _inverse_erf(1.0 - 2.0 * chance)
    amount = rng.exponential(1.0, len(season)) * mean_mm / np.maximum(chance, 1e-6)
    return np.asarray(np.where(wet, amount, 0.0), np.float32)


def _inverse_erf(x: np.ndarray) -> np.ndarray:
    """Inverse error function. Source: Winitzki 2008, good to 0.004, which is plenty for rain."""
    log = np.log(np.maximum(1.0 - x * x, 1e-12))
    a = 2.0 / (math.pi * 0.147) + log / 2.0
    return np.sign(x) * np.sqrt(np.sqrt(a * a - log / 0.147) - a)


def _water_balance(air_c: Floats, rain_mm: Floats) -> tuple[Floats, Floats, Floats]:
    """Two leaky buckets and a snow pack, one step a day.

    Evaporation follows temperature; snow falls below 0.5 degrees and melts 3.5 mm a day and degree.
    """
    num = len(air_c)
    topsoil, rootzone, snow = (np.empty(num, np.float32) for _ in range(3))
    top, root, pack = 0.5, 0.6, 0.0
    for day in range(num):
        warm = max(0.0, float(air_c[day]) + 2.0)
        falls = float(rain_mm[day])
        frozen = falls if air_c[day] < 0.5 else 0.0
        melt = min(pack, 3.5 * max(0.0, float(air_c[day]) - 0.2))
        pack += frozen - melt
        water = falls - frozen + melt
        top = min(1.0, top * math.exp(-(0.03 + 0.011 * warm)) + water / 18.0)
        root = min(1.0, max(0.0, root + water / 110.0 - 0.0016 * warm * root**0.7))
        topsoil[day], rootzone[day], snow[day] = top, root, pack
    return topsoil, rootzone, snow


def _growth(air_c: Floats, rootzone: Floats, snow_mm: Floats) -> Floats:
    """Greenness that follows warmth and water, up within three weeks, down within four."""
    grown = np.empty(len(air_c), np.float32)
    state = 0.5
    for day in range(len(air_c)):
        warm = min(1.0, max(0.0, (float(air_c[day]) + 3.0) / 11.0))
        wet = min(1.0, max(0.0, (float(rootzone[day]) - 0.1) / 0.4))
        goal = warm * wet * (0.6 if snow_mm[day] > 5 else 1.0)
        state += (goal - state) / (20.0 if goal > state else 30.0)
        grown[day] = state
    return grown


def _sky(spec: Landscape, climate: Climate, rain_mm: Floats) -> Floats:
    """Share of the sky under cloud: U-shaped, wetter days darker, `cloudiness` moves the odds."""
    rng = stream(spec.seed, "sky")
    level = _persistent(rng, len(rain_mm), 0.45) + 1.1 * (rain_mm > 0.3)
    clear_below = float(np.quantile(level, 1.0 - climate.cloud))
    return np.asarray(
        1.0 / (1.0 + np.exp(-8.0 * (level - clear_below) - 9.0 * (spec.cloudiness - 0.5))), np.float32
    )
