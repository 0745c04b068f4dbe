"""Frames: what an encoder is given, the observations of a window in the sources' own integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import InvalidInput


@dataclass(frozen=True)
class SourceFrames:
    """The observations of one source over one window, sorted by step.

    Raises:
        InvalidInput: the arrays do not fit one another.
    """

    source: str
    """Name of the source."""
    bands: tuple[str, ...]
    """Names along the band axis."""
    values: NDArray[np.integer]
    """(T, B, H, W) stored integers; the source's nodata where a band was not measured."""
    valid: NDArray[np.bool_]
    """(T, H, W) True where the surface was seen."""
    acquired: NDArray[np.datetime64]
    """(T,) true instants, datetime64[us], UTC."""
    nodata: int
    """Stored value of a missing measurement."""

    def __post_init__(self) -> None:
        t, b, h, w = self.values.shape
        if self.valid.shape != (t, h, w) or self.acquired.shape != (t,) or len(self.bands) != b:
            raise InvalidInput(
                f"frames of {self.source} do not fit: values {self.values.shape}, valid {self.valid.shape}, "
                f"acquired {self.acquired.shape}, {len(self.bands)} band names"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape[2], self.values.shape[3]

    def take(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> SourceFrames:
        """Gives some of the frames."""
        return SourceFrames(
            self.source, self.bands, self.values[keep], self.valid[keep], self.acquired[keep], self.nodata
        )


Frames = Mapping[str, SourceFrames]
"""All sources over one window, by name; every entry has the same rows and columns."""


def num_clear(frames: Frames) -> dict[str, NDArray[np.uint16]]:
    """Counts for each source the valid observations per pixel, (H, W)."""
    return {name: one.valid.sum(axis=0).astype(np.uint16) for name, one in frames.items()}
