"""Sentinel-1 radiometrically terrain-corrected backscatter, linear power stored as hundredths of a decibel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Source
from earthfield_ingest.backscatter import NODATA, SCALE_DB, declared_measure, stored_decibels
from earthfield_ingest.dialect import asset_key


def to_stored(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[np.int16]:
    """Turns backscatter into hundredths of a decibel.

    Args:
        item: the STAC item; its numbers are linear power unless it says otherwise.
        band: which band.
        raw: backscatter, NaN where nothing was measured.

    Returns:
        int16 of the same shape; -32768 where the power is missing, zero, negative or infinite.
    """
    assets = item.get("assets", {})
    key = asset_key(assets, band.assets)
    return stored_decibels(raw, (key and declared_measure(item, assets[key])) or "power")


def _band(name: str) -> Band:
    aliases = (name, name.upper(), f"gamma0_{name}")
    return Band(name, 10.0, aliases, scale=SCALE_DB, unit="dB", transform="linear")


SOURCE = Source(
    name="sentinel-1-rtc",
    title="Sentinel-1 terrain-corrected backscatter",
    bands=(_band("vv"), _band("vh")),
    dtype="int16",
    nodata=NODATA,
    collections=("sentinel-1-rtc", "sentinel1-rtc-aws"),
    to_stored=to_stored,
    keeps=("platform", "orbit_state", "relative_orbit", "incidence_angle"),
    shift_m=20.0,
)
