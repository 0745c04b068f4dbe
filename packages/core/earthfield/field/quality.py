"""Layers of quality.tif: what each name means and how its numbers are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import InvalidInput

QUALITY_NODATA = 65535
_HIGHEST = QUALITY_NODATA - 1


@dataclass(frozen=True)
class QualityLayer:
    """How a layer is stored in uint16: value = stored x scale + offset, 65535 is no data."""

    unit: str
    """Unit of the values; empty for a pure number."""
    meaning: str
    """What the values say, for people."""
    scale: float = 1.0
    """Step between two stored numbers, in the unit."""
    offset: float = 0.0
    """Value of the stored number 0, in the unit."""

    @property
    def is_scaled(self) -> bool:
        """Whether stored numbers differ from values."""
        return (self.scale, self.offset) != (1.0, 0.0)


_BY_PREFIX: Mapping[str, QualityLayer] = {
    "clear_": QualityLayer("observations", "clear observations in the support period"),
    "days_": QualityLayer(
        "days", "days from the middle of the valid period to the nearest clear observation"
    ),
    "agreement": QualityLayer(
        "", "cosine between the vectors made from two disjoint halves of the frames", 1e-4, -1.0
    ),
}


def layer_of(name: str) -> QualityLayer:
    """Tells how a layer is stored, by the beginning of its name; unknown ones hold plain counts."""
    found = (layer for prefix, layer in _BY_PREFIX.items() if name.startswith(prefix))
    return next(found, QualityLayer("", ""))


def to_stored(name: str, values: NDArray[Any]) -> NDArray[np.uint16]:
    """Gives the stored numbers of a layer.

    Args:
        name: the layer's name.
        values: uint16 counts (65535 is no data) as they stand; or float in the layer's unit, NaN for no data.

    Raises:
        InvalidInput: another type, or a value that the layer cannot hold.
    """
    if values.dtype == np.uint16:
        if layer_of(name).is_scaled:
            raise InvalidInput(f"quality layer {name}: give float values, not stored numbers")
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise InvalidInput(f"quality layer {name} is {values.dtype}: give uint16 or float")
    layer, missing = layer_of(name), np.isnan(values)
    codes = np.rint((np.where(missing, layer.offset, values).astype(np.float64) - layer.offset) / layer.scale)
    if codes.size and not 0 <= codes.min() <= codes.max() <= _HIGHEST:
        low, high = layer.offset, layer.offset + _HIGHEST * layer.scale
        raise InvalidInput(f"quality layer {name} holds values outside {low:g}..{high:g}")
    return np.where(missing, QUALITY_NODATA, codes).astype(np.uint16)


def from_stored(layers: NDArray[np.uint16], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Gives the layers of a file by name: counts as stored, scaled ones as float32 with NaN for no data."""
    return {name: _values(name, layer) for name, layer in zip(names, layers, strict=True)}


def _values(name: str, stored: NDArray[np.uint16]) -> NDArray[Any]:
    layer = layer_of(name)
    if not layer.is_scaled:
        return stored
    values = (stored * layer.scale + layer.offset).astype(np.float32)
    return np.where(stored == QUALITY_NODATA, np.float32("nan"), values)


def plain_value(layer: NDArray[Any]) -> int | float | None:
    """Gives the one number of a layer read over a single pixel; None where it has no data."""
    value = layer.reshape(-1)[0].item()
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 4)
    return None if value == QUALITY_NODATA else int(value)
