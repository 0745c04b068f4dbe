"""Packing: physical values turned into the integers that a source stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band

NODATA = -32768
"""Stored value of what was not measured."""


def packed(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[np.int16]:
    """Turns values in the band's unit into its int16 code: round((value - offset) / scale).

    Args:
        item: the STAC item; nothing of it is needed.
        band: which band.
        raw: values in the band's unit, float, NaN where nothing was measured.

    Returns:
        int16 of the same shape; -32768 where nothing was measured, and where the value lies outside of what the
        code can hold (a clipped value would be a false one).
    """
    codes = np.rint((raw - band.offset) / band.scale)
    held = np.isfinite(codes) & (codes > NODATA) & (codes <= 32767)
    return np.where(held, codes, NODATA).astype(np.int16)
