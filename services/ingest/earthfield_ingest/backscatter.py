"""Backscatter: power, amplitude and decibels brought to hundredths of a decibel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from earthfield_ingest.dialect import declared_unit, property_ending

Measure = Literal["power", "amplitude", "decibel"]
NODATA = -32768
SCALE_DB = 0.01

_UNITS: Mapping[str, Measure] = {
    "db": "decibel", "decibel": "decibel", "decibels": "decibel",
    "1": "power", "linear": "power", "linear power": "power", "power": "power", "natural": "power",
    "linear amplitude": "amplitude", "amplitude": "amplitude",
}  # fmt: skip
_CALIBRATED = {"sigma0", "gamma0", "beta0"}


def declared_measure(item: Mapping[str, Any], asset: Mapping[str, Any]) -> Measure | None:
    """Gives what an item says its calibrated backscatter is, or None where it says nothing.

    It is read from the unit of the asset's band, from `card4l:measurement_convention`, and from the asset's roles:
    `sigma0`, `gamma0` and `beta0` stand for linear power.
    """
    convention = property_ending(item.get("properties", {}), "measurement_convention")
    for told in (declared_unit(asset) or "", str(convention or "").strip().lower()):
        if told in _UNITS:
            return _UNITS[told]
    return "power" if _CALIBRATED & {str(role).lower() for role in asset.get("roles") or ()} else None


def stored_decibels(
    raw: NDArray[Any], measure: Measure = "power", *, gain_db: float = 0.0
) -> NDArray[np.int16]:
    """Brings backscatter to hundredths of a decibel.

    Args:
        raw: backscatter, float, NaN where nothing was measured.
        measure: what it is.
        gain_db: added to the decibels, for products whose numbers are scaled.

    Returns:
        int16 of the same shape; -32768 where it is missing, infinite, or a power or amplitude that is not positive.
    """
    if measure == "decibel":
        measured = np.isfinite(raw)
        decibels = np.where(measured, raw, 0.0)
    else:
        measured = np.isfinite(raw) & (raw > 0)
        factor = 10.0 if measure == "power" else 20.0
        decibels = factor * np.log10(np.where(measured, raw, 1.0), dtype=np.float64)
    stored = np.clip(np.rint((decibels + gain_db) / SCALE_DB), NODATA + 1, 32767)
    return np.where(measured, stored, NODATA).astype(np.int16)
