"""Sentinel-1 radiometrically terrain-corrected backscatter, linear power stored as hundredths of a decibel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Source

NODATA = -32768


def to_stored(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[np.int16]:
    """Turns linear power into hundredths of a decibel: round(1000 x log10).

    Args:
        item: the STAC item; nothing of it is needed.
        band: which band; nothing of it is needed.
        raw: linear power, NaN where nothing was measured.

    Returns:
        int16 of the same shape; -32768 where the power is missing, zero, negative or infinite.
    """
    measured = np.isfinite(raw) & (raw > 0)
    decibel = np.rint(1000.0 * np.log10(np.where(measured, raw, 1.0)))
    return np.where(measured, np.clip(decibel, NODATA + 1, 32767), NODATA).astype(np.int16)


def _band(name: str) -> Band:
    aliases = (name, name.upper(), f"gamma0_{name}")
    return Band(name, 10.0, aliases, scale=0.01, unit="dB", transform="linear")


SOURCE = Source(
    name="sentinel-1-rtc",
    title="Sentinel-1 terrain-corrected backscatter",
    bands=(_band("vv"), _band("vh")),
    dtype="int16",
    nodata=NODATA,
    # GRD is left out: its provider forms are uncalibrated or in slant geometry.
    collections=("sentinel-1-rtc", "sentinel1-rtc-aws"),
    to_stored=to_stored,
    keeps=("platform", "orbit_state", "relative_orbit"),
)
