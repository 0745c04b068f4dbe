"""Copernicus DEM GLO-30: heights of the surface, the same for all time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Source
from earthfield_ingest.dialect import asset_key, declared_scaling

NODATA = -2_147_483_648
SCALE_M = 0.01
"""Centimetres: 16 bits would either end below Everest or make steps of 0.15 m in flat land."""
HIGHEST_M = 9_990.0
"""Nothing on land lies further from the sea's level; what does is a number that stands for no data."""


def to_stored(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[np.int32]:
    """Turns metres into centimetres.

    Args:
        item: the STAC item; its scale and offset count where it declares them.
        band: the band.
        raw: heights, float, NaN where nothing was measured.

    Returns:
        int32 of the same shape; -2147483648 where there is no height of less than `HIGHEST_M`.
    """
    assets = item.get("assets", {})
    key = asset_key(assets, band.assets)
    scale, offset = (key and declared_scaling(assets[key])) or (1.0, 0.0)
    metres = raw * scale + offset
    measured = np.isfinite(metres) & (np.abs(metres) < HIGHEST_M)
    return np.where(measured, np.rint(np.where(measured, metres, 0.0) / SCALE_M), NODATA).astype(np.int32)


SOURCE = Source(
    name="cop-dem-glo-30",
    title="Copernicus DEM GLO-30",
    bands=(
        Band(
            "elevation", 30.0, ("data", "dem", "elevation", "DEM"),
            scale=SCALE_M, unit="m", transform="linear",
        ),
    ),
    dtype="int32",
    nodata=NODATA,
    collections=("cop-dem-glo-30", "cop-dem-glo-30-dged-cog", "copernicus-dem-30m"),
    to_stored=to_stored,
    cadence="static",
    roles=frozenset({"target"}),
    regrid_m=30.0,
)  # fmt: skip
