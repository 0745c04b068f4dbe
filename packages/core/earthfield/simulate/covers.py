"""Every kind of surface the simulator knows, with what optics and radar need of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from earthfield.simulate.arrays import Floats


class LandCover(IntEnum):
    """Classes of truth/landcover_YYYY.tif; 0 is never used."""

    DECIDUOUS = 1
    CONIFER = 2
    EVERGREEN = 3
    SHRUB = 4
    GRASSLAND = 5
    CROPLAND = 6
    ORCHARD = 7
    BUILT = 8
    ROAD = 9
    URBAN_GREEN = 10
    BARE = 11
    WATER = 12
    WETLAND = 13


WORLDCOVER = {1: 10, 2: 10, 3: 10, 4: 20, 5: 30, 6: 40, 7: 10, 8: 50, 9: 50, 10: 50, 11: 60, 12: 80, 13: 90}
"""The nearest ESA WorldCover code of each land cover."""


@dataclass(frozen=True)
class Cover:
    """One kind of surface."""

    name: str
    """Snake-case name, as in truth/legend.json."""
    landcover: LandCover
    """Class it counts as."""
    growth: str
    """How its green develops: crop, grass, deciduous, evergreen, wetland or none."""
    leaf: str
    """Name of its dense-canopy spectrum in `spectra`, "" without leaves."""
    ground: str
    """What lies below the leaves: soil, litter, water, or a material in `spectra`."""
    lai: float
    """Leaf area index at its best, m2 of leaf per m2 of ground."""
    height_m: float
    """Height, metres: how snow and radar see it."""
    grain: float
    """Relative standard deviation of brightness from pixel to pixel."""
    vv_db: float
    """Backscatter of its bare ground (dry, 38 degrees), VV decibel."""
    canopy_vv_db: float
    """Backscatter of its closed canopy, VV decibel."""
    canopy_vh_db: float
    """Backscatter of its closed canopy, VH decibel."""
    extinction: float
    """Radar extinction per unit of leaf area (B of the water-cloud model)."""
    warmth_k: float
    """Surface minus air temperature under full summer sun, bare or built, kelvin."""


_L = LandCover
_ROWS = (
    # name landcover growth leaf ground lai height grain | vv_db canopy_vv canopy_vh ext warmth
    Cover(
        "deciduous_forest",
        _L.DECIDUOUS,
        "deciduous",
        "broadleaf",
        "litter",
        5.0,
        18,
        0.11,
        -10.0,
        -8.8,
        -14.2,
        0.55,
        8,
    ),
    Cover(
        "conifer_forest",
        _L.CONIFER,
        "evergreen",
        "needleleaf",
        "litter",
        4.5,
        20,
        0.12,
        -10.5,
        -9.4,
        -15.0,
        0.60,
        6,
    ),
    Cover(
        "mixed_forest",
        _L.DECIDUOUS,
        "deciduous",
        "mixedleaf",
        "litter",
        4.6,
        18,
        0.14,
        -10.0,
        -9.0,
        -14.5,
        0.55,
        7,
    ),
    Cover(
        "evergreen_forest",
        _L.EVERGREEN,
        "evergreen",
        "rainforest",
        "litter",
        6.0,
        25,
        0.10,
        -9.5,
        -8.0,
        -13.4,
        0.60,
        5,
    ),
    Cover("shrubland", _L.SHRUB, "evergreen", "shrub", "soil", 1.8, 2, 0.13, -12.0, -11.3, -17.4, 0.45, 12),
    Cover("hedge", _L.SHRUB, "deciduous", "broadleaf", "litter", 3.8, 5, 0.12, -10.5, -8.6, -14.6, 0.55, 8),
    Cover("pasture", _L.GRASSLAND, "grass", "grass", "soil", 4.2, 0.2, 0.05, -10.8, -11.4, -18.0, 0.25, 12),
    Cover("meadow", _L.GRASSLAND, "meadow", "grass", "soil", 5.0, 0.5, 0.04, -11.0, -11.2, -17.6, 0.25, 12),
    Cover(
        "rough_grass", _L.GRASSLAND, "grass", "savanna", "soil", 2.6, 0.8, 0.08, -12.0, -12.2, -18.4, 0.30, 15
    ),
    Cover(
        "field_margin", _L.GRASSLAND, "grass", "grass", "soil", 3.2, 0.6, 0.08, -11.5, -11.6, -17.8, 0.30, 13
    ),
    Cover("cropland", _L.CROPLAND, "crop", "cereal", "soil", 4.5, 1, 0.04, -9.8, -11.4, -17.4, 0.3, 18),
    Cover(
        "orchard",
        _L.ORCHARD,
        "deciduous",
        "orchard",
        "orchard_floor",
        2.6,
        4,
        0.10,
        -10.4,
        -9.6,
        -15.2,
        0.50,
        11,
    ),
    Cover(
        "olive_grove", _L.ORCHARD, "evergreen", "olive", "soil", 1.2, 4, 0.12, -11.0, -10.2, -16.2, 0.50, 15
    ),
    Cover(
        "plantation",
        _L.ORCHARD,
        "evergreen",
        "rainforest",
        "litter",
        4.0,
        7,
        0.07,
        -10.0,
        -8.8,
        -14.4,
        0.55,
        7,
    ),
    Cover("tile_roof", _L.BUILT, "none", "", "tile", 0.0, 8, 0.22, -4.6, -9.0, -15.0, 0, 17),
    Cover("dark_roof", _L.BUILT, "none", "", "slate", 0.0, 9, 0.25, -4.2, -9.0, -15.0, 0, 21),
    Cover("metal_roof", _L.BUILT, "none", "", "metal", 0.0, 9, 0.28, -3.0, -9.0, -15.0, 0, 12),
    Cover("flat_roof", _L.BUILT, "none", "", "gravel_roof", 0.0, 12, 0.22, -3.2, -9.0, -15.0, 0, 16),
    Cover("paved_yard", _L.BUILT, "none", "", "concrete", 0.0, 0, 0.14, -11.0, -12.0, -19.0, 0, 17),
    Cover("asphalt_road", _L.ROAD, "none", "", "asphalt", 0.0, 0, 0.08, -14.5, -15.0, -22.5, 0, 20),
    Cover("dirt_road", _L.ROAD, "none", "", "soil", 0.0, 0, 0.08, -12.5, -13.0, -21.0, 0, 18),
    Cover(
        "garden",
        _L.URBAN_GREEN,
        "deciduous",
        "grass",
        "orchard_floor",
        2.4,
        4,
        0.14,
        -8.6,
        -9.4,
        -15.4,
        0.45,
        10,
    ),
    Cover("park", _L.URBAN_GREEN, "meadow", "grass", "soil", 3.6, 3, 0.08, -11.0, -11.2, -17.4, 0.35, 9),
    Cover("bare_soil", _L.BARE, "none", "", "soil", 0.0, 0, 0.09, -12.4, -13.0, -21.0, 0, 21),
    Cover("sand", _L.BARE, "none", "", "sand", 0.0, 0, 0.08, -15.5, -15.0, -24.0, 0, 20),
    Cover("gravel_pit", _L.BARE, "none", "", "gravel", 0.0, 0, 0.12, -11.0, -13.0, -19.5, 0, 19),
    Cover("rock", _L.BARE, "none", "", "rock", 0.0, 0, 0.16, -8.8, -10.0, -17.0, 0, 18),
    Cover("clear_cut", _L.BARE, "regrowth", "shrub", "slash", 1.0, 0.5, 0.12, -10.2, -11.0, -17.4, 0.30, 17),
    Cover("river", _L.WATER, "none", "", "water", 0.0, 0, 0.05, -20.5, -20.0, -27.5, 0, -3),
    Cover("lake", _L.WATER, "none", "", "water", 0.0, 0, 0.03, -21.0, -20.0, -28.0, 0, -4),
    Cover("pond", _L.WATER, "none", "", "water", 0.0, 0, 0.05, -21.0, -20.0, -28.0, 0, -2),
    Cover("marsh", _L.WETLAND, "wetland", "reed", "wet_soil", 3.4, 1.5, 0.10, -11.5, -9.6, -16.0, 0.25, 5),
    Cover("bog", _L.WETLAND, "wetland", "shrub", "wet_soil", 2.0, 0.6, 0.09, -11.8, -11.2, -17.4, 0.30, 7),
    Cover("sea", _L.WATER, "none", "", "sea_water", 0.0, 0, 0.03, -18.5, -18.0, -26.5, 0, -4),
    Cover("greenhouse", _L.BUILT, "none", "", "plastic", 0.0, 4, 0.16, -6.5, -9.0, -16.0, 0, 14),
    Cover("heath", _L.SHRUB, "heath", "moss", "lichen", 1.6, 0.3, 0.12, -12.6, -12.2, -18.6, 0.30, 9),
    Cover(
        "woodland", _L.DECIDUOUS, "savanna", "savanna", "soil", 2.4, 6, 0.16, -11.0, -10.0, -15.8, 0.45, 12
    ),
    Cover("vineyard", _L.ORCHARD, "vine", "orchard", "soil", 1.6, 1.6, 0.10, -10.2, -10.2, -16.4, 0.35, 14),
    Cover("young_trees", _L.ORCHARD, "young", "orchard", "soil", 3.0, 2, 0.09, -11.0, -9.8, -15.6, 0.45, 12),
    Cover("abandoned", _L.SHRUB, "young", "shrub", "soil", 2.6, 1.5, 0.12, -11.8, -11.2, -17.2, 0.40, 13),
    Cover("burnt", _L.BARE, "regrowth", "shrub", "ash", 1.4, 2, 0.16, -11.8, -11.2, -18.0, 0.35, 22),
    Cover("dieback", _L.SHRUB, "dying", "needleleaf", "litter", 4.2, 15, 0.15, -10.5, -9.6, -15.4, 0.55, 9),
)

COVERS: dict[int, Cover] = dict(enumerate(_ROWS, start=1))
"""Surface code (uint8, from 1) to what it is."""

CODE: dict[str, int] = {cover.name: code for code, cover in COVERS.items()}
"""Surface name to its code."""


def codes_of(*names: str) -> list[int]:
    """Surface codes by name."""
    return [CODE[name] for name in names]


def cover_table(attribute: str) -> Floats:
    """One numeric attribute of every surface, indexed by surface code, shape (num_covers + 1,)."""
    return np.array([0.0, *(float(getattr(cover, attribute)) for cover in COVERS.values())], np.float32)
