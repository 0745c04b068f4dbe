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


_NUMBERS = ((3, "blue"), (4, "green"), (1, "red"), (2, "nir"), (5, "swir12"), (6, "swir16"), (7, "swir21"))


def bands(asset: str, fill: int) -> tuple[Band, ...]:
    """Gives the seven bands of MODIS land products.

    Args:
        asset: asset key of a band, to be formatted with its number.
        fill: raw value of a pixel that was not measured.
    """
    return tuple(
        Band(name, PIXEL_M, (asset.format(number),), scale=SCALE, nodata=fill) for number, name in _NUMBERS
    )


SOURCE = Source(
    name="modis-09a1",
    title="MODIS surface reflectance of 8 days",
    bands=bands("sur_refl_b{:02}", NODATA),
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
    # Beyond the paper: Sentinel-2 and Landsat tell the same of single pixels.
    loss_weight=0.5,
    regrid_m=PIXEL_M,
)
