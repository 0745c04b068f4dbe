"""Frames: what an encoder is given, the observations of a window in the sources' own integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import InvalidInput
from earthfield.geometry import NUM_FEATURES
from earthfield.grid import Window


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
    geometry: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, NUM_FEATURES), np.float32))
    """(T, G) how each was taken, as in `earthfield.geometry`; zeros, which stand for unknown, where left out."""

    def __post_init__(self) -> None:
        t, b, h, w = self.values.shape
        if not len(self.geometry):
            object.__setattr__(self, "geometry", np.zeros((t, NUM_FEATURES), np.float32))
        fits = self.valid.shape == (t, h, w) and self.geometry.shape == (t, NUM_FEATURES)
        if not fits or self.acquired.shape != (t,) or len(self.bands) != b:
            raise InvalidInput(
                f"frames of {self.source} do not fit: values {self.values.shape}, valid {self.valid.shape}, "
                f"acquired {self.acquired.shape}, geometry {self.geometry.shape}, {len(self.bands)} band names"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape[2], self.values.shape[3]

    def take(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> SourceFrames:
        """Gives some of the frames."""
        return replace(
            self,
            values=self.values[keep],
            valid=self.valid[keep],
            acquired=self.acquired[keep],
            geometry=self.geometry[keep],
        )

    def cropped(self, window: Window) -> SourceFrames:
        """Gives the pixels of a window of its own rows and columns, without copying them."""
        ys, xs = window.slices
        return replace(self, values=self.values[..., ys, xs], valid=self.valid[..., ys, xs])


Frames = Mapping[str, SourceFrames]
"""All sources over one window, by name; every entry has the same rows and columns."""


def num_clear(frames: Frames) -> dict[str, NDArray[np.uint16]]:
    """Counts for each source the valid observations per pixel, (H, W)."""
    return {name: one.valid.sum(axis=0).astype(np.uint16) for name, one in frames.items()}
