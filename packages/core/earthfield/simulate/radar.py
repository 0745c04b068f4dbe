"""Backscatter of the surface at C band: bare ground, leaves over ground, water, buildings."""

from __future__ import annotations

import numpy as np

from earthfield.simulate.arrays import Floats
from earthfield.simulate.covers import CODE, COVERS, codes_of, cover_table
from earthfield.simulate.crops import CROPS
from earthfield.simulate.growth import State
from earthfield.simulate.units import Units

_SOIL_CROSS_DB = -8.8
"""VH minus VV of bare ground, decibel."""


def power(decibel: np.ndarray | float) -> Floats:
    """Linear power of a backscatter in decibel."""
    return np.asarray(10.0 ** (np.asarray(decibel) / 10.0), np.float32)


def backscatter(
    units: Units,
    state: State,
    *,
    incidence_deg: float,
    ascending: bool,
    air_c: float,
    wind_db: float,
    rows_db: float = 0.0,
) -> tuple[Floats, Floats]:
    """VV and VH of every unit, linear power, shape (num,) each.

    Leaves over ground follow the water-cloud model: canopy (1 - t) + ground t with t = exp(-2 B LAI / cos
    incidence). Source: Attema and Ulaby 1978, "Vegetation modeled as a water cloud"; ground rises 7.5 dB
    from dry to wet.

    Args:
        units: The units.
        state: Their state on the day.
        incidence_deg: Angle between the beam and the vertical.
        ascending: Whether the pass is an evening, ascending one; walls answer one of the two.
        air_c: Air temperature; frozen ground is dry to the radar, wet snow swallows the beam.
        wind_db: Wind on water, added to its VV.
        rows_db: What rows across the beam of one pass add, and take from the other's, decibel.
    """
    away = incidence_deg - 38.0
    ground_vv, ground_vh = _ground(units, state, air_c, wind_db)
    canopy_vv, canopy_vh, extinction = _canopy(state)
    leaves = np.maximum(state.green + 0.45 * state.dead, _wood(state))
    through = np.exp(-2.0 * extinction * leaves / np.cos(np.deg2rad(incidence_deg)))
    vv = power(canopy_vv - 0.05 * away) * (1.0 - through) + power(ground_vv - 0.13 * away) * through
    vh = power(canopy_vh - 0.05 * away) * (1.0 - through) + power(ground_vh - 0.09 * away) * through
    built = np.array([False, *(c.landcover == 8 and c.height_m > 0 for c in COVERS.values())])[state.cover]
    wall_db = np.where(built, 3.0 * units.traits.facing * (1.0 if ascending else -1.0), 0.0)
    rows = rows_db * units.traits.facing * np.where(state.cover == CODE["cropland"], 1.0, 0.15)
    wall_db = wall_db + np.where(ascending, 1.0, -1.0) * rows * (0.4 + 0.6 * through)
    soaked = -3.0 * state.snow if air_c > 0.5 else 0.0
    return vv * power(wall_db + soaked), vh * power(0.6 * wall_db + soaked)


def _ground(units: Units, state: State, air_c: float, wind_db: float) -> tuple[Floats, Floats]:
    """VV and VH of what lies below the leaves, decibel at 38 degrees."""
    vv = cover_table("vv_db")[state.cover]
    cross = (cover_table("canopy_vh_db") - cover_table("canopy_vv_db"))[state.cover]
    earthy = np.array(
        [
            False,
            *(c.ground in ("soil", "wet_soil", "slash", "litter", "ash", "lichen") for c in COVERS.values()),
        ]
    )[state.cover]
    wet = state.moisture * (0.25 if air_c < -1.0 else 1.0)
    change = 7.5 * (wet - 0.27) + 1.6 * state.tilled - 0.8 * state.residue + units.traits.rough_db
    vv = np.where(earthy, vv + change, vv + 0.4 * units.traits.rough_db)
    vh = np.where(earthy, vv + _SOIL_CROSS_DB + 0.35 * state.residue, vv + cross)
    is_water = np.isin(state.cover, codes_of("river", "lake", "pond", "sea"))
    vv = np.where(is_water, vv + wind_db, vv)
    pool = np.clip(state.flooded, 0.0, 1.0)
    stems = 7.5 * np.clip(state.green / 1.5, 0.0, 1.0)
    vv = vv * (1.0 - pool) + (-19.5 + 0.6 * wind_db + stems) * pool
    vh = vh * (1.0 - pool) + (-27.0 + 0.6 * stems) * pool
    return np.asarray(vv, np.float32), np.asarray(vh, np.float32)


def _canopy(state: State) -> tuple[Floats, Floats, Floats]:
    """VV and VH of closed leaves (decibel) and extinction per leaf area, of each unit."""
    is_crop = (state.cover == CODE["cropland"]) & (state.crop > 0)
    columns = []
    for name in ("canopy_vv_db", "canopy_vh_db", "extinction"):
        by_crop = np.array([0.0, *(float(getattr(crop, name)) for crop in CROPS.values())], np.float32)
        columns.append(
            np.where(is_crop, by_crop[state.crop], cover_table(name)[state.cover]).astype(np.float32)
        )
    return columns[0], columns[1], columns[2]


def _wood(state: State) -> Floats:
    """What branches and stems count for without leaves, in leaf area."""
    tall = cover_table("height_m")[state.cover] > 3.0
    return np.where(tall, 0.5 * cover_table("lai")[state.cover], 0.0).astype(np.float32)
