"""What the numbers of a published raster mean, and how they are kept in a field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from earthfield.codec import NODATA, dequantise, normalised
from earthfield.codec import stored as as_stored
from earthfield.errors import BrokenArtefact, InvalidInput
from earthfield.grid import Window
from earthfield_infer.importing.raster import Raster

Dequantise = Literal["power", "linear", "none"]
Dtype = Literal["int8", "float16", "float32"]

_OFF_UNIT = 0.05
"""By how much a length may differ from 1; codes of real vectors stay within 0.01."""
_LINEAR = {"int8": 127.0, "uint8": 255.0, "int16": 32767.0, "uint16": 65535.0}
_ROWS = 64


@dataclass(frozen=True)
class Stored:
    """From numbers as published to numbers as kept."""

    dequantise: Dequantise
    """`power`: x = sign(q) (q / 127.5)^2; `linear`: x = q * scale + offset; `none`: the numbers themselves."""
    dtype: Dtype
    """How they are kept: the int8 code, or values."""
    normalise: bool = False
    """Whether vectors of any length are made of length 1; else another length is an error."""
    nodata: float | None = None
    """The number that means no data, NaN for not-a-number; None where every pixel counts."""
    is_known: bool = False
    """Whether the publisher fixed all this, so that another length of vectors is a fault of the file."""

    def blank(self, dim: int, window: Window) -> NDArray[Any]:
        """Gives (D, h, w) of no data."""
        fill = NODATA if self.dtype == "int8" else np.nan
        return np.full((dim, *window.shape), fill, self.dtype)

    def kept(self, raster: Raster, numbers: NDArray[Any]) -> NDArray[Any]:
        """Gives (D, h, w) numbers of a raster as a field keeps them; unchanged wherever they are kept as they came.

        Raises:
            InvalidInput: their vectors are not of length 1, and nobody said that they may be of another.
            BrokenArtefact: the same, where their publisher writes vectors of length 1.
        """
        if not self._as_it_came(raster):
            rows = range(0, numbers.shape[1], _ROWS)
            strips = [numbers[:, row : row + _ROWS] for row in rows]
            return np.concatenate([self.encoded(self.vectors(raster, strip)) for strip in strips], axis=1)
        found = np.where(self._missing(raster, numbers), self.blank(1, Window(0, 1, 0, 1)), numbers)
        return found.astype(self.dtype, copy=False)

    def vectors(self, raster: Raster, numbers: NDArray[Any]) -> NDArray[np.float32]:
        """Gives (h, w, D) unit vectors, NaN where there is no data; errors as in `kept`."""
        missing = self._missing(raster, numbers)
        values = np.where(missing, np.float32("nan"), self._values(raster, numbers))
        return normalised(np.moveaxis(values, 0, -1))

    def encoded(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        """Gives (h, w, D) unit vectors as a field keeps them, (D, h, w)."""
        return as_stored(vectors, self.dtype)

    def _as_it_came(self, raster: Raster) -> bool:
        if self.normalise or self.dequantise == "linear":
            return False
        if self.dequantise == "power":
            return self.dtype == "int8"
        return raster.dtype == self.dtype != "int8"

    def _values(self, raster: Raster, numbers: NDArray[Any]) -> NDArray[np.float32]:
        if self.dequantise == "power":
            return dequantise(numbers)
        values = numbers.astype(np.float32)
        if self.dequantise == "none":
            return values
        if set(raster.scales) == {1.0} and set(raster.offsets) == {0.0}:
            return values / np.float32(_LINEAR[raster.dtype])
        scales, offsets = (
            np.array(one, np.float32)[:, None, None] for one in (raster.scales, raster.offsets)
        )
        return values * scales + offsets

    def _missing(self, raster: Raster, numbers: NDArray[Any]) -> NDArray[np.bool_]:
        """Tells which pixels (h, w) have no vector, and makes sure that the others have one of length 1.

        No data in one band is no data in all; a vector of length 0 has no direction, so it is no data either.
        """
        missing = np.zeros(numbers.shape[1:], bool)
        for row in range(0, numbers.shape[1], _ROWS):
            part = numbers[:, row : row + _ROWS]
            values = self._values(raster, part)
            gone = np.asarray(~np.isfinite(values).all(axis=0))
            if self.nodata is not None and not np.isnan(self.nodata):
                gone |= (part == self.nodata).any(axis=0)
            length = np.sqrt(np.square(np.where(gone, 0, values)).sum(axis=0))
            gone |= length == 0
            if not self.normalise:
                self._check_length(raster, length[~gone])
            missing[row : row + _ROWS] = gone
        return missing

    def _check_length(self, raster: Raster, lengths: NDArray[np.float32]) -> None:
        if not (np.abs(lengths - 1) > _OFF_UNIT).any():
            return
        told = f"{raster.file.name} holds vectors of length {lengths.min():.3g} to {lengths.max():.3g}, not 1"
        if self.is_known:
            raise BrokenArtefact(f"{told}: it is not what its publisher writes; fetch it again")
        raise InvalidInput(
            f"{told}: name its nodata value with --nodata, how its numbers were made with --dequantise, or, where "
            "its vectors are of any length, --normalise"
        )
