"""MODIS MOD09A1 and MYD09A1: surface reflectance of eight days on the sinusoidal grid of 463 m."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Lattice, Quality, Source
from earthfield_ingest.dialect import asset_key, declared_scaling
from earthfield_ingest.masks import bit_range, without_bits

NODATA = -28672
SCALE = 1e-4
VALID = (-100, 16000)
"""Range of the product's numbers; everything else, its fill of -28672 included, was not measured."""

SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
"""The sphere and projection of the MODIS and VIIRS land products."""
PIXEL_M = 463.3127165279165
"""Side of a pixel of the 500 m products: 1/2400 of a tile, 36 of which go round the equator."""


def to_stored(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[np.int16]:
    """Turns digital numbers into reflectance x 1e4.

    Args:
        item: the STAC item; its scale counts where it declares another.
        band: which band.
        raw: digital numbers, float, NaN where nothing was measured.

    Returns:
        int16 of the same shape, -28672 where nothing was measured.
    """
    assets = item.get("assets", {})
    key = asset_key(assets, band.assets)
    scale, offset = (key and declared_scaling(assets[key])) or (SCALE, 0.0)
    stored = np.rint((raw * scale + offset) / SCALE)
    measured = np.isfinite(stored) & (stored >= VALID[0]) & (stored <= VALID[1])
    return np.where(measured, np.where(measured, stored, 0), NODATA).astype(np.int16)


def is_clear(state: NDArray[Any]) -> NDArray[np.bool_]:
    """Decodes the state flags: clear or assumed clear, no cloud shadow, no high cirrus.

    Args:
        state: `sur_refl_state_500m` or `SurfReflect_State`, 16 bits.

    Returns:
        True where the surface was seen, same shape.
    """
    cloudy = np.isin(bit_range(state, 0, 2), (1, 2))
    return ~cloudy & without_bits(state, (2,)) & (bit_range(state, 8, 2) < 3)


def _band(number: int, name: str) -> Band:
    return Band(name, PIXEL_M, (f"sur_refl_b{number:02}",), scale=SCALE, nodata=NODATA)


SOURCE = Source(
    name="modis-09a1",
    title="MODIS surface reflectance of 8 days",
    bands=(
        _band(3, "blue"),
        _band(4, "green"),
        _band(1, "red"),
        _band(2, "nir"),
        _band(5, "swir12"),
        _band(6, "swir16"),
        _band(7, "swir21"),
    ),
    dtype="int16",
    nodata=NODATA,
    collections=("modis-09A1-061", "modis-09A1-006", "MOD09A1_061", "MYD09A1_061"),
    to_stored=to_stored,
    # 0 is clear shallow ocean.
    quality=(Quality(("sur_refl_state_500m",), is_clear, nodata=65535),),
    keeps=("platform",),
    lattice=Lattice(SINUSOIDAL, PIXEL_M),
    resampling="nearest",
    cadence="interval",
    roles=frozenset({"target"}),
)
