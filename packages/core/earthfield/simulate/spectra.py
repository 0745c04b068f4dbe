"""Spectra of leaves, soils, materials, water and clouds in ten bands, and how a canopy mixes them.

Source: values are rounded from the shapes of the USGS spectral library v7 and ECOSTRESS library, adjusted
to the level-2A reflectance that Sentinel-2 shows over such surfaces; they are plausible, not measured.
"""

from __future__ import annotations

import numpy as np

from earthfield.simulate.arrays import Floats
from earthfield.simulate.noise import stream

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""Bands in the order of every spectrum."""

_PERCENT: dict[str, tuple[float, ...]] = {
    # dense green canopies
    "grass": (2.6, 6.4, 3.2, 10.6, 33.0, 44.0, 46.0, 48.0, 23.0, 12.4),
    "cereal": (2.2, 5.2, 2.6, 9.0, 31.0, 44.0, 47.0, 48.5, 18.5, 9.0),
    "maize": (2.4, 6.0, 3.1, 10.2, 30.0, 41.0, 44.0, 45.5, 19.5, 9.7),
    "potato": (2.8, 7.2, 3.7, 12.0, 38.0, 50.0, 53.0, 54.5, 23.5, 12.4),
    "beet": (2.8, 7.0, 3.2, 12.0, 40.0, 54.0, 58.0, 59.0, 24.0, 11.8),
    "rapeseed": (2.6, 6.2, 3.5, 10.5, 33.0, 44.0, 47.0, 49.0, 20.5, 10.4),
    "rice": (2.2, 5.4, 2.8, 9.2, 28.0, 38.0, 41.0, 42.0, 16.0, 8.0),
    "cane": (2.8, 6.8, 3.9, 11.5, 28.0, 37.0, 40.0, 42.0, 21.5, 11.6),
    "broadleaf": (1.9, 4.4, 2.3, 8.2, 27.5, 37.0, 39.0, 41.0, 18.0, 9.0),
    "needleleaf": (1.5, 2.8, 1.9, 5.0, 13.6, 17.6, 18.8, 20.0, 9.4, 5.1),
    "mixedleaf": (1.7, 3.6, 2.2, 6.6, 20.0, 26.5, 28.0, 29.5, 13.4, 7.0),
    "rainforest": (1.7, 3.8, 2.1, 7.2, 24.5, 32.0, 34.0, 35.5, 15.5, 7.3),
    "shrub": (3.0, 5.8, 4.5, 9.6, 21.0, 26.5, 28.5, 30.0, 20.5, 13.6),
    "savanna": (4.0, 7.4, 6.9, 12.5, 23.0, 27.5, 29.5, 31.0, 26.5, 18.9),
    "olive": (4.0, 6.8, 5.6, 10.0, 19.5, 23.0, 25.0, 26.5, 19.5, 14.8),
    "orchard": (2.6, 5.8, 3.5, 9.8, 28.0, 36.5, 38.5, 40.0, 20.0, 11.1),
    "reed": (2.6, 5.2, 3.7, 9.0, 22.0, 29.0, 31.0, 32.0, 15.0, 8.7),
    # dead vegetation and litter
    "straw": (7.0, 11.0, 15.5, 19.0, 22.0, 24.5, 27.0, 29.0, 34.0, 27.0),
    "litter": (3.0, 4.6, 6.2, 8.8, 12.0, 14.0, 16.0, 17.5, 21.5, 14.5),
    "slash": (5.2, 7.6, 10.2, 13.0, 15.5, 17.5, 19.5, 21.0, 27.0, 20.5),
    "bloom": (6.0, 17.0, 16.0, 20.0, 38.0, 48.0, 51.0, 52.0, 22.0, 10.5),
    # soils, dry
    "loam": (6.6, 9.6, 13.2, 15.8, 18.0, 20.0, 22.0, 23.4, 30.0, 26.5),
    "clay": (6.0, 8.6, 11.6, 13.8, 15.6, 17.2, 19.0, 20.2, 25.5, 21.0),
    "sandy": (10.0, 14.2, 19.0, 22.0, 24.2, 26.0, 28.0, 29.2, 37.0, 34.0),
    "peat": (3.4, 4.6, 6.2, 7.8, 9.4, 11.0, 12.8, 13.8, 19.5, 15.5),
    "chernozem": (4.2, 5.6, 7.4, 9.2, 11.0, 12.6, 14.4, 15.4, 22.0, 19.0),
    "terra_rossa": (5.2, 8.4, 16.4, 20.0, 22.6, 24.4, 26.6, 28.0, 35.5, 30.5),
    "calcareous": (13.0, 18.0, 23.5, 26.4, 28.6, 30.2, 32.0, 33.2, 40.0, 35.0),
    "chestnut": (7.6, 10.8, 15.0, 18.2, 20.8, 22.8, 25.0, 26.4, 34.0, 30.0),
    "desert": (13.5, 20.0, 28.0, 31.5, 33.6, 35.2, 37.2, 38.4, 47.0, 43.5),
    "laterite": (4.6, 7.4, 13.8, 17.6, 20.4, 22.2, 24.2, 25.6, 32.0, 27.0),
    "vertisol": (4.8, 6.4, 8.4, 10.2, 11.8, 13.2, 14.8, 15.8, 21.5, 18.0),
    # materials
    "orchard_floor": (4.6, 7.4, 8.0, 13.0, 20.5, 24.5, 26.5, 28.0, 26.0, 17.5),
    "wet_soil": (3.4, 4.8, 5.8, 7.2, 8.8, 10.2, 11.4, 12.0, 12.0, 8.0),
    "tile": (7.0, 9.2, 15.0, 17.0, 18.2, 19.2, 20.6, 21.4, 24.0, 22.0),
    "slate": (6.4, 7.2, 8.0, 8.6, 9.2, 9.8, 10.6, 10.8, 13.0, 12.4),
    "metal": (28.0, 29.5, 30.5, 31.0, 31.5, 32.0, 32.5, 32.5, 31.0, 27.0),
    "gravel_roof": (13.0, 15.0, 17.0, 18.0, 18.8, 19.6, 20.6, 21.0, 23.5, 22.0),
    "concrete": (14.5, 17.0, 19.0, 20.0, 20.8, 21.6, 22.6, 23.0, 26.5, 24.5),
    "asphalt": (7.4, 8.6, 9.6, 10.4, 11.0, 11.6, 12.4, 12.8, 15.4, 14.6),
    "sand": (17.0, 22.0, 27.0, 29.5, 31.0, 32.5, 34.0, 35.0, 41.0, 37.0),
    "gravel": (15.5, 18.5, 21.5, 23.0, 24.4, 25.6, 27.0, 27.8, 31.0, 28.5),
    "rock": (10.0, 12.4, 14.6, 16.2, 17.6, 18.8, 20.2, 21.0, 25.5, 23.5),
    "clear_water": (3.0, 2.8, 1.7, 1.5, 1.3, 1.3, 1.2, 1.1, 0.6, 0.5),
    "muddy_water": (6.2, 8.8, 8.4, 8.0, 5.0, 4.8, 4.2, 3.6, 1.1, 0.8),
    "green_water": (2.6, 5.4, 2.6, 4.4, 3.0, 3.0, 2.6, 2.2, 0.8, 0.6),
    "snow": (86.0, 86.0, 85.0, 83.0, 81.0, 79.0, 76.0, 73.0, 11.0, 8.0),
    "sea_water": (3.8, 3.2, 1.8, 1.5, 1.2, 1.2, 1.0, 0.9, 0.5, 0.4),
    "plastic": (24.0, 27.0, 29.0, 30.5, 31.5, 32.5, 33.0, 33.5, 29.0, 22.0),
    "moss": (3.0, 5.0, 4.4, 9.0, 17.5, 21.5, 23.5, 25.0, 19.0, 11.5),
    "lichen": (6.0, 8.2, 9.6, 12.2, 15.4, 18.0, 20.4, 22.0, 25.5, 17.5),
    "ash": (3.2, 3.8, 4.4, 4.9, 5.4, 5.9, 6.6, 7.0, 11.5, 12.5),
    "cloud": (62.0, 61.0, 60.0, 61.0, 62.0, 63.0, 64.0, 65.0, 44.0, 34.0),
}  # fmt: skip

_EXTINCTION = np.array([0.80, 0.72, 0.78, 0.68, 0.52, 0.45, 0.43, 0.42, 0.57, 0.63], np.float32)
"""How fast each band closes with leaf area: the canopy's reflectance nears its dense value as exp(-k LAI).

Source: Baret and Guyot 1991, "Potentials and limits of vegetation indices for LAI and APAR assessment"; the
values of k are ours, one a band.
"""

_WATER_DARKENS = np.array([0.42, 0.43, 0.44, 0.44, 0.44, 0.44, 0.44, 0.45, 0.52, 0.58], np.float32)
"""Share of a dry soil's reflectance that is gone at saturation. Source: after Lobell and Asner 2002."""


def spectrum(name: str) -> Floats:
    """Reflectance of a named endmember, shape (10,), 0 to 1."""
    return np.array(_PERCENT[name], np.float32) / np.float32(100.0)


_LEAVES = tuple(_PERCENT)[: tuple(_PERCENT).index("straw")]
_SOILS = tuple(_PERCENT)[tuple(_PERCENT).index("loam") : tuple(_PERCENT).index("orchard_floor")]
_STEADY = ("snow", "cloud")


def library(seed: int) -> dict[str, Floats]:
    """All endmembers, shape (10,) each, distorted: no two seeds share the same leaves and soils.

    Leaves take up to a third of another leaf, soils up to half of another soil. Then brightness changes by
    about 13 %, the slope and the curvature from blue to shortwave infrared by about 8 and 5 %, the shortwave
    infrared (water in leaves and soils) by 8 %, single bands by 2 %; snow and cloud by a third of that.
    """
    across = np.linspace(-1.0, 1.0, len(BANDS), dtype=np.float32)
    bow = across**2 - np.float32(np.mean(across**2))
    swir = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0.8, 1.0], np.float32)
    distorted: dict[str, Floats] = {}
    for name in _PERCENT:
        rng = stream(seed, f"spectrum {name}")
        pure = _blended(rng, name)
        bend = rng.normal(0.0, 0.13) + rng.normal(0.0, 0.08) * across + rng.normal(0.0, 0.05) * bow
        bend = bend + rng.normal(0.0, 0.08) * swir + rng.normal(0.0, 0.02, len(BANDS))
        bend *= 0.33 if name in _STEADY else 1.0
        distorted[name] = (pure * np.exp(np.clip(bend, -0.45, 0.45))).astype(np.float32)
    return distorted


def _blended(rng: np.random.Generator, name: str) -> Floats:
    """A leaf with some of another leaf, a soil with some of another soil; the rest as it is."""
    kin, most = (_LEAVES, 0.33) if name in _LEAVES else (_SOILS, 0.5) if name in _SOILS else ((name,), 0.0)
    other, share = kin[int(rng.integers(len(kin)))], float(rng.uniform(0.0, most))
    return (spectrum(name) * (1.0 - share) + spectrum(other) * share).astype(np.float32)


def wet_soil(dry: Floats, moisture: Floats) -> Floats:
    """Darken soils (num, 10) by their surface moisture (num,), 0 dry to 1 saturated."""
    return dry * (1.0 - moisture[:, None] * _WATER_DARKENS)


def canopy(dense: Floats, below: Floats, leaf_area: Floats) -> Floats:
    """Reflectance (num, 10) of leaves `dense` (num, 10) with an area (num,) over ground `below` (num, 10)."""
    through = np.exp(-leaf_area[:, None] * _EXTINCTION)
    return dense + (below - dense) * through


def mix(base: Floats, other: Floats, share: Floats) -> Floats:
    """Replace a share (num,) of spectra `base` (num, 10) by `other` (num, 10) or (10,)."""
    return base + (other - base) * share[:, None]
