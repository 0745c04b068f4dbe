"""Colours that stay the same from tile to tile: of vectors along a few directions, of numbers between limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from earthfield.codec import values_of
from earthfield.errors import InvalidInput
from earthfield.field import BLOCK_PX, QUALITY_NODATA, Field
from earthfield.field.raster import OVERVIEWS
from earthfield.grid import Window
from earthfield_analysis.exact import lengths_of, scores
from earthfield_analysis.project import fit_axes

AXES = (1, 16, 9)
"""Bands shown as red, green and blue by `axes`, as in Earth Engine's tutorial."""
RampName = Literal["viridis", "cividis", "magma", "gray"]
"""Rows of colours that run evenly from dark to light."""


class Paint(Protocol):
    """How fields become pictures, block by block."""

    @property
    def num_overviews(self) -> int:
        """How many overviews the files have of what is read."""

    def read(self, field: Field, level: int, row: int, col: int) -> NDArray[Any]:
        """Gives a block of 256 px of a field's tile, (..., 256, 256), at a level up to the last overview."""

    def colours(self, read: NDArray[Any]) -> NDArray[np.uint8]:
        """Gives (h, w, 4) RGBA of what was read, or of a part of its pixels, transparent where nothing is known."""


@dataclass(frozen=True, eq=False)
class Palette:
    """How vectors become colours: their coordinates along some directions, stretched from `low` to `high`."""

    directions: NDArray[np.float32]
    """(K, D): three become red, green and blue, one goes through the ramp."""
    low: NDArray[np.float32]
    """(K,) coordinate that is darkest."""
    high: NDArray[np.float32]
    """(K,) coordinate that is brightest."""
    bands: tuple[int, ...] = ()
    """The bands to read where those suffice, from 0; all when empty."""
    ramp: RampName = "viridis"
    """Colours of one direction."""
    num_overviews: int = OVERVIEWS
    """Vectors have overviews in their files."""

    def read(self, field: Field, level: int, row: int, col: int) -> NDArray[Any]:
        """Gives a block of vectors as it is stored."""
        return field.block(level, row, col, self.bands)

    def colours(self, read: NDArray[Any]) -> NDArray[np.uint8]:
        """Gives (h, w, 4) RGBA of (D, h, w) as a field's file holds them, transparent where there is no vector."""
        flat = np.ascontiguousarray(read.reshape(len(read), -1))
        along = values_of(flat) if self.bands else self._along(flat)
        missing = np.isnan(along[0])
        along = along - self.low[:, None]
        along *= (255 / np.maximum(self.high - self.low, 1e-6))[:, None].astype(np.float32)
        np.clip(along, 0, 255, out=along)
        along[:, missing] = 0
        levels = (along + np.float32(0.5)).astype(np.uint8)
        if len(levels) == 1:
            rgba = _opaque(self.ramp)[levels[0]]
        else:
            rgba = np.concatenate([levels, np.full((1, len(missing)), 255, np.uint8)]).T.copy()
        rgba[missing] = 0
        return rgba.reshape(*read.shape[1:], 4)

    def _along(self, flat: NDArray[Any]) -> NDArray[np.float32]:
        """Gives (K, N) coordinates of unit vectors, NaN without data; codes are compared as they are stored."""
        if flat.dtype == np.int8:
            lengths = lengths_of(flat, threads=1) if len(self.directions) > 1 else None
            found = [scores(flat, one, lengths=lengths, threads=1) for one in self.directions]
            return np.stack(found) * np.linalg.norm(self.directions, axis=1)[:, None].astype(np.float32)
        values = values_of(flat)
        length = np.sqrt(np.einsum("dn,dn->n", values, values))
        return np.asarray((self.directions @ values) / np.where(length > 0, length, np.float32("nan")))


@dataclass(frozen=True, eq=False)
class QualityPaint:
    """How a quality layer becomes colours."""

    name: str
    """The layer."""
    ramp: Ramp
    """Its colours."""
    num_overviews: int = 0
    """Quality layers have none: counts have no mean."""

    def read(self, field: Field, level: int, row: int, col: int) -> NDArray[Any]:
        """Gives a block of the layer in its unit, NaN where nothing is known."""
        del level
        tile = field.key.tile.window
        y, x = tile.y0 + row * BLOCK_PX, tile.x0 + col * BLOCK_PX
        found = quality_values(field, self.name, Window(y, y + BLOCK_PX, x, x + BLOCK_PX))
        return np.full((BLOCK_PX, BLOCK_PX), np.nan, np.float32) if found is None else found

    def colours(self, read: NDArray[Any]) -> NDArray[np.uint8]:
        """Gives (h, w, 4) RGBA of (h, w) values."""
        return self.ramp.colours(read)


def quality_values(field: Field, name: str, window: Window) -> NDArray[np.float32] | None:
    """Gives a quality layer as numbers (h, w), NaN where nothing is known; None where the field has none such."""
    stored = field.quality_layer(name, window)
    if stored is None or stored.dtype != np.uint16:
        return stored
    return np.where(stored == QUALITY_NODATA, np.float32("nan"), stored.astype(np.float32))


def principal(vectors: NDArray[np.float32]) -> Palette:
    """Gives the palette of the three widest axes of some vectors (n, D)."""
    axes = fit_axes(vectors)
    shift = axes.components @ axes.mean
    return Palette(axes.components, axes.low + shift, axes.high + shift)


def three_bands(vectors: NDArray[np.float32]) -> Palette:
    """Gives the palette that shows bands `AXES`, from the 2nd to the 98th percentile of some vectors (n, D).

    Raises:
        InvalidInput: the vectors are too short for them.
    """
    if vectors.shape[1] <= max(AXES):
        raise InvalidInput(
            f"vectors of {vectors.shape[1]} numbers are too short for bands {AXES}: take the style pca"
        )
    low, high = np.percentile(vectors[:, AXES], (2, 98), axis=0).astype(np.float32)
    return Palette(np.eye(vectors.shape[1], dtype=np.float32)[list(AXES)], low, high, bands=AXES)


def likeness(
    vectors: NDArray[np.float32], query: NDArray[np.float32], *, low: float | None = None,
    high: float | None = None, ramp: RampName = "viridis",
) -> Palette:  # fmt: skip
    """Gives the palette of the cosine to a vector, from the 5th percentile over some vectors (n, D) to 1."""
    ends = float(np.percentile(vectors @ query, 5)) if low is None else low, 1.0 if high is None else high
    first, last = (np.array([one], np.float32) for one in ends)
    return Palette(query[None].astype(np.float32), first, last, ramp=ramp)


@dataclass(frozen=True)
class Ramp:
    """How numbers become colours: from the first of a row of colours to the last."""

    low: float
    """The number that the first colour means; smaller ones have it too."""
    high: float
    """The number that the last colour means; larger ones have it too."""
    name: RampName = "viridis"
    """The row of colours; all of these run evenly from dark to light, for any colour vision."""

    def colours(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Gives (..., 4) RGBA of numbers, transparent where they are NaN."""
        share = (values - np.float32(self.low)) / np.float32(max(self.high - self.low, 1e-12))
        known = np.isfinite(share)
        levels = np.rint(np.clip(np.where(known, share, 0), 0, 1) * 255).astype(np.uint8)
        rgba = np.empty((*values.shape, 4), np.uint8)
        rgba[..., :3] = ramp_of(self.name)[levels]
        rgba[..., 3] = 255
        rgba[~known] = 0
        return rgba

    def stops(self, count: int = 5) -> list[dict[str, Any]]:
        """Gives numbers with their colours (#rrggbb), evenly from the first to the last, for legends."""
        rows = ramp_of(self.name)[np.rint(np.linspace(0, 255, count)).astype(int)]
        values = np.linspace(self.low, self.high, count)
        return [
            {"value": float(f"{value:.6g}"), "colour": hex_of(row)}
            for value, row in zip(values, rows, strict=True)
        ]


def limits_of(values: NDArray[Any]) -> tuple[float, float]:
    """Gives the numbers that the first and the last colour should mean: the 1st and the 99.5th percentile."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(f"{one:.6g}") for one in np.percentile(known, (1, 99.5)))
    return (low, high) if high > low else (low - 0.01, high + 0.01)


def hex_of(colour: Sequence[int] | NDArray[np.uint8]) -> str:
    """Gives red, green and blue as #RRGGBB."""
    return "#" + "".join(f"{int(part):02X}" for part in colour[:3])


@cache
def ramp_of(name: RampName = "viridis") -> NDArray[np.uint8]:
    """Gives a row of 256 colours, (256, 3) RGB."""
    from matplotlib import colormaps

    return np.asarray(colormaps[name](np.arange(256), bytes=True), np.uint8)[:, :3]


@cache
def _opaque(name: RampName) -> NDArray[np.uint8]:
    return np.concatenate([ramp_of(name), np.full((256, 1), 255, np.uint8)], axis=1)
