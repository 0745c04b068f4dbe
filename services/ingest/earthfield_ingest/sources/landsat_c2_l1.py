"""Landsat 8 and 9 Collection 2 Level-1: reflectance and brightness temperature at the top of the atmosphere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Source
from earthfield_ingest.dialect import (
    asset_key,
    declared_scaling,
    declared_unit,
    platform_of,
    property_ending,
)
from earthfield_ingest.sources.landsat_c2_l2 import (
    KELVIN,
    NODATA,
    QUALITY,
    REFLECTANCE,
    in_numbers,
    of_platforms,
)

SUNLESS_SCALING = (2.0e-5, -0.1)
"""REFLECTANCE_MULT_BAND_x and REFLECTANCE_ADD_BAND_x, the same in every product; the sun's height comes after."""


@dataclass(frozen=True)
class Thermal:
    """What turns a thermal band's digital numbers into kelvin."""

    scale: float
    """RADIANCE_MULT_BAND_x, W / (m2 sr um)."""
    offset: float
    """RADIANCE_ADD_BAND_x, W / (m2 sr um)."""
    k1: float
    """K1_CONSTANT_BAND_x, W / (m2 sr um)."""
    k2: float
    """K2_CONSTANT_BAND_x, K."""

    def kelvin(self, numbers: NDArray[Any]) -> NDArray[np.float64]:
        """Gives brightness temperatures; NaN where there is no radiance."""
        radiance = numbers * self.scale + self.offset
        glows = radiance > 0
        return np.where(glows, self.k2 / np.log1p(self.k1 / np.where(glows, radiance, 1.0)), np.nan)


THERMAL: Mapping[tuple[str, str], Thermal] = {
    ("landsat-8", "lwir11"): Thermal(3.342e-4, 0.1, 774.8853, 1321.0789),
    ("landsat-8", "lwir12"): Thermal(3.342e-4, 0.1, 480.8883, 1201.1442),
    ("landsat-9", "lwir11"): Thermal(3.8e-4, 0.1, 799.0284, 1329.2405),
    ("landsat-9", "lwir12"): Thermal(3.49e-4, 0.1, 475.6581, 1198.3494),
}
"""By platform and band, as each product's metadata (MTL) repeats them."""
_NUMBERS = {"lwir11": 10, "lwir12": 11}


def to_stored(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[np.uint16]:
    """Turns digital numbers into the numbers of the Level-2 products, so that both levels compare.

    Args:
        item: the STAC item, one that `refuses` lets pass.
        band: which band.
        raw: digital numbers, float, NaN or 0 where nothing was measured.

    Returns:
        uint16 of the same shape, 0 where nothing was measured.
    """
    if band.name in _NUMBERS:
        return in_numbers(thermal(item, band).kelvin(raw), band, raw != 0)
    key = asset_key(item.get("assets", {}), band.assets)
    scale, offset = (key and declared_scaling(item["assets"][key])) or SUNLESS_SCALING
    return in_numbers((raw * scale + offset) / _sun_height(item), band, raw != 0)


def thermal(item: Mapping[str, Any], band: Band) -> Thermal:
    """Gives the thermal constants of a band: the item's own where it declares them, else its platform's."""
    known = THERMAL[platform_of(item) or "landsat-8", band.name]
    told = item.get("properties", {})
    key = asset_key(item.get("assets", {}), band.assets)
    scaling = key and declared_scaling(item["assets"][key])
    number = _NUMBERS[band.name]
    k1, k2 = (property_ending(told, f"K{one}_CONSTANT_BAND_{number}") for one in (1, 2))
    return Thermal(*(scaling or (known.scale, known.offset)), float(k1 or known.k1), float(k2 or known.k2))


def refuses(item: Mapping[str, Any]) -> str | None:
    """Refuses other platforms, items that do not tell how high the sun stood, and those in radiance."""
    other = of_platforms(item, ("landsat-8", "landsat-9"), "and only Landsat 8 and 9 carry these bands")
    if other is not None:
        return other
    if platform_of(item) is None:
        return (
            "neither its `platform` nor its `id` tells which Landsat it is, and with it the thermal constants"
        )
    if not _sun_height(item) > 0:
        return "its `view:sun_elevation` is missing or tells night, so that there is no reflectance"
    assets = item.get("assets", {})
    for band in SOURCE.bands:
        key = asset_key(assets, band.assets)
        if key is not None and band.name not in _NUMBERS and "watt" in (declared_unit(assets[key]) or ""):
            return f"the unit in `raster:bands` of {key} is radiance, not reflectance"
    return None


def _sun_height(item: Mapping[str, Any]) -> float:
    """Gives the sine of the sun's elevation, NaN where the item does not tell it."""
    told = property_ending(item.get("properties", {}), "sun_elevation")
    return math.sin(math.radians(float(told))) if isinstance(told, int | float) else math.nan


def _reflectance(name: str, number: int) -> Band:
    return Band(
        name, 30.0, (name, f"B{number}", f"B{number}.TIF"), scale=REFLECTANCE[0], offset=REFLECTANCE[1]
    )


def _thermal(name: str) -> Band:
    aliases = (name, f"B{_NUMBERS[name]}", f"B{_NUMBERS[name]}.TIF")
    return Band(name, 100.0, aliases, scale=KELVIN[0], offset=KELVIN[1], unit="K", transform="linear")


SOURCE = Source(
    name="landsat-c2-l1",
    title="Landsat 8-9 Collection 2 Level-1 top of atmosphere",
    bands=(
        _reflectance("blue", 2),
        _reflectance("green", 3),
        _reflectance("red", 4),
        _reflectance("nir08", 5),
        _reflectance("swir16", 6),
        _reflectance("swir22", 7),
        _thermal("lwir11"),
        _thermal("lwir12"),
    ),
    dtype="uint16",
    nodata=NODATA,
    collections=("landsat-c2-l1", "landsat-c2l1"),
    to_stored=to_stored,
    quality=QUALITY,
    refuses=refuses,
    keeps=("platform", "wrs_path", "wrs_row", "sun_azimuth", "sun_elevation", "off_nadir"),
    regrid_m=30.0,
)
