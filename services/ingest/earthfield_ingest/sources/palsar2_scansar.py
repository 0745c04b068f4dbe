"""ALOS-2 PALSAR-2 ScanSAR Level 2.2: terrain-corrected L-band backscatter of single passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Quality, Source
from earthfield_ingest.backscatter import NODATA, SCALE_DB, stored_decibels
from earthfield_ingest.masks import bit_range

CALIBRATION_DB = -83.0
"""gamma0 in dB = 20 log10(number) + this. Source: JAXA, PALSAR-2 Level 2.2 and mosaic products."""

CLEAR_CODES = (1, 4)
"""What the lowest three bits of the mask tell of the surface: valid land and ocean. Left out: 2 layover, 3 shadow,
5 invalid."""


def to_stored(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[np.int16]:
    """Turns digital numbers into hundredths of a decibel of gamma0.

    Args:
        item: the STAC item; nothing of it is needed.
        band: which band; nothing of it is needed.
        raw: digital numbers, float, NaN, 0 or 1 where nothing was measured.

    Returns:
        int16 of the same shape, -32768 where nothing was measured.
    """
    return stored_decibels(np.where(raw > 1, raw, np.nan), "amplitude", gain_db=CALIBRATION_DB)


def is_clear(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Tells where the mask says that land or ocean was seen, neither layover nor shadow."""
    return np.isin(bit_range(mask, 0, 3), CLEAR_CODES)


def _band(name: str) -> Band:
    aliases = (f"{name.upper()}_SLP", name.upper(), name)
    return Band(name, 25.0, aliases, scale=SCALE_DB, unit="dB", transform="linear")


SOURCE = Source(
    name="palsar2-scansar",
    title="ALOS-2 PALSAR-2 ScanSAR backscatter",
    bands=(_band("hh"), _band("hv")),
    dtype="int16",
    nodata=NODATA,
    collections=("palsar2-scansar", "alos-palsar2-scansar"),
    to_stored=to_stored,
    quality=(Quality(("MSK", "mask", "msk"), is_clear),),
    keeps=("platform", "orbit_state", "instrument_mode", "incidence_angle"),
    roles=frozenset({"target"}),
    regrid_m=30.0,
)
