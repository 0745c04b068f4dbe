"""Reflectance and temperature of the surface on one day, as tables by unit and as maps by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthfield.simulate.arrays import Floats
from earthfield.simulate.canvas import Canvas
from earthfield.simulate.covers import COVERS, cover_table
from earthfield.simulate.crops import CROPS
from earthfield.simulate.growth import State
from earthfield.simulate.noise import smooth, stream
from earthfield.simulate.spectra import BANDS, canopy, mix, wet_soil
from earthfield.simulate.style import Style
from earthfield.simulate.units import Units

_CHLOROPHYLL = np.array([0.5, 0.6, 0.7, 0.7, 0.25, 0.05, 0.0, 0.0, 0.1, 0.15], np.float32)
"""How much each band darkens with chlorophyll."""

TINTS = np.array(
    [
        [-1.0, -0.8, -0.6, -0.4, -0.1, 0.05, 0.15, 0.25, 0.6, 0.85],
        [0.0, 0.1, 0.0, 0.15, 0.8, 1.0, 1.0, 1.0, 0.3, 0.1],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.05, 0.1, 0.9, 1.1],
        [0.4, 0.9, 0.7, 0.5, 0.1, 0.0, 0.0, 0.0, 0.1, 0.2],
    ],
    np.float32,
)
"""Ways in which spectra of one kind differ, natural logarithm by band: slope, near infrared, water, pigment."""
_TINT_LEAF = np.array([0.04, 0.09, 0.1, 0.08], np.float32)
_TINT_GROUND = np.array([0.08, 0.04, 0.07, 0.04], np.float32)
"""Spread of each of the `TINTS` among places, of leaves and of the ground."""


@dataclass(frozen=True)
class Grain:
    """Texture that stays from scene to scene; arrays (rows, cols) of zero mean and unit variance."""

    leafy: Floats
    """Patches of better and poorer growth."""
    bright: Floats
    """Lighter and darker pixels."""
    damp: Floats
    """Hollows that stay wet and rises that dry first."""


@dataclass(frozen=True)
class Optics:
    """Reflectance of the units on one day; arrays (num_units, 10), 0 to 1."""

    mean: Floats
    """Reflectance of each unit."""
    by_leafy: Floats
    """Change with one unit of `Grain.leafy`."""
    by_bright: Floats
    """Change with one unit of `Grain.bright`."""
    by_damp: Floats
    """Change with one unit of `Grain.damp`."""

    def band(self, units: Units, grain: Grain, band: int) -> Floats:
        """Map of one band, shape (rows, cols)."""
        number = units.number
        field = self.mean[:, band][number]
        field += self.by_leafy[:, band][number] * grain.leafy
        field += self.by_bright[:, band][number] * grain.bright
        field += self.by_damp[:, band][number] * grain.damp
        return np.maximum(field, np.float32(0.0005), out=field)


def grain_of(seed: int, canvas: Canvas) -> Grain:
    """Draw the fixed texture."""
    rng = stream(seed, "grain")
    leafy = 0.75 * smooth(rng, canvas.shape, 7.0) + 0.5 * smooth(rng, canvas.shape, 2.5)
    leafy += 0.43 * smooth(rng, canvas.shape, 1.0)
    bright = 0.8 * smooth(rng, canvas.shape, 1.0) + 0.6 * smooth(rng, canvas.shape, 3.5)
    damp = 0.8 * smooth(rng, canvas.shape, 14.0) + 0.6 * smooth(rng, canvas.shape, 5.0)
    return Grain(leafy.astype(np.float32), bright.astype(np.float32), damp.astype(np.float32))


def optics_of(style: Style, library: dict[str, Floats], units: Units, state: State) -> Optics:
    """Mix each unit's spectrum from soil or material, leaves green and dead, flowers, water and snow."""
    traits, quirks = units.traits, style.quirks
    brightness = np.exp(traits.brightness + state.tone)[:, None]
    ground = _ground(style, library, units, state)
    total = state.green + state.dead
    dense = _leaves(library, state) * np.exp(-traits.greenness[:, None] * _CHLOROPHYLL) * brightness**0.6
    dense = dense * np.exp((traits.tint * _TINT_LEAF) @ TINTS)
    dense = mix(dense, library["straw"] * brightness, 0.92 * state.dead / np.maximum(total, 1e-3))
    dense = mix(dense, library["bloom"], 0.8 * state.flower)
    clear = canopy(dense, ground, total)
    mean = mix(clear, library["snow"], state.snow)
    bare_of_snow = (1.0 - 0.8 * state.snow)[:, None]
    more = np.float32(1.0 + 0.3 * quirks.grain)
    leafier = mix(canopy(dense, ground, total * more), library["snow"], state.snow) - mean
    grain = np.float32(quirks.grain) * cover_table("grain")[state.cover][:, None] * bare_of_snow
    damper = -0.3 * np.float32(quirks.moist) * (state.moisture * (1.0 - state.moisture) + 0.05)[:, None]
    seen_ground = np.exp(-0.6 * total)[:, None] * ground * _soily()[state.cover][:, None] * bare_of_snow
    return Optics(
        mean.astype(np.float32),
        leafier.astype(np.float32),
        (grain * mean).astype(np.float32),
        (damper * seen_ground).astype(np.float32),
    )


def _soily() -> Floats:
    """1 for the surfaces whose ground is soil, by surface code, else 0."""
    return np.array([0.0, *(float(cover.ground == "soil") for cover in COVERS.values())], np.float32)


def _leaves(library: dict[str, Floats], state: State) -> Floats:
    """Dense-canopy spectrum of each unit's surface or crop, shape (num, 10)."""
    by_cover = np.stack([np.zeros(len(BANDS), np.float32)] + [
        library[cover.leaf] if cover.leaf else np.zeros(len(BANDS), np.float32) for cover in COVERS.values()
    ])  # fmt: skip
    by_crop = np.stack([library["grass"]] + [library[crop.leaf] for crop in CROPS.values()])
    is_crop = np.array([False, *(cover.growth == "crop" for cover in COVERS.values())])[state.cover]
    return np.where(is_crop[:, None], by_crop[state.crop], by_cover[state.cover])


def _ground(style: Style, library: dict[str, Floats], units: Units, state: State) -> Floats:
    """Spectrum below the leaves, wet or dry, shape (num, 10)."""
    traits = units.traits
    brightness = np.exp(traits.brightness + state.tone)[:, None]
    soil = mix(np.tile(library[style.soils[0]], (units.num, 1)), library[style.soils[1]], traits.soil)
    tinted = np.exp((traits.tint[:, ::-1] * _TINT_GROUND) @ TINTS)
    soil = wet_soil(soil * brightness * tinted, state.moisture) * (1.0 - 0.13 * state.tilled[:, None])
    soil = mix(soil, library["straw"] * brightness, 0.75 * state.residue)
    muddy = np.clip(style.turbidity + 0.25 * (traits.soil - 0.5), 0.0, 1.0).astype(np.float32)
    water = mix(np.tile(library["clear_water"], (units.num, 1)), library["muddy_water"], muddy)
    water = mix(water, library["green_water"], 0.6 * traits.rhythm * (traits.vigour > 1.1))
    water = water * np.exp(0.5 * (traits.tint * _TINT_GROUND) @ TINTS)
    ground = soil
    for code, cover in COVERS.items():
        if cover.ground == "soil":
            continue
        rows = np.flatnonzero(state.cover == code)
        if cover.ground == "water":
            ground[rows] = water[rows]
        else:
            material = (
                library[cover.ground] * np.exp(1.6 * traits.brightness[rows] + state.tone[rows])[:, None]
            )
            material = material * np.exp((traits.tint[rows] * _TINT_GROUND) @ TINTS)
            ground[rows] = wet_soil(material, 0.35 * state.moisture[rows])
    return mix(ground, water, 0.88 * state.flooded)


def warmth_of(state: State, air_c: float, sun_elevation_deg: float) -> Floats:
    """Surface temperature of each unit in mid-morning, kelvin, shape (num,).

    Bare and built ground warms above the air with the height of the sun, leaves and moisture keep it down,
    snow and water follow their own way. Source: the order of the differences after Li et al. 2013,
    "Satellite-derived land surface temperature".
    """
    sun = max(0.0, float(np.sin(np.deg2rad(sun_elevation_deg))))
    shade = np.exp(-0.45 * (state.green + 0.4 * state.dead))
    lift = cover_table("warmth_k")[state.cover] * (0.25 + 0.75 * shade) * (1.0 - 0.45 * state.moisture)
    lift = np.where(state.flooded > 0.5, 0.3 * lift, lift) * (0.1 + 1.1 * sun)
    kelvin = 273.15 + air_c + 1.5 + lift
    return np.where(state.snow > 0.4, np.minimum(kelvin, 273.5), kelvin).astype(np.float32)
