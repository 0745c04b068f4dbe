"""Windows: what an encoder is given, laid out so that no pixel's vector depends on the window that held it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import InvalidInput
from earthfield.frames import Frames, SourceFrames
from earthfield.grid import Window, windows_over
from earthfield.ports import Encoder

ALIGN_PX = 16
"""Sides of what an encoder is given are multiples of this."""
WINDOW_PX = 320
"""Side of a window where the encoder prefers none: cores of 256 px, 16 of which make a tile."""
HALO_PX = 32
"""Margin that is encoded and thrown away: beyond it the window's edge is forgotten (docs/experiments.md)."""
_BEFORE = (128, 96)
"""Side and distance of the windows of fields whose manifest names none; they were blended."""


@dataclass(frozen=True)
class WindowPlan:
    """Windows side by side with their cores, on a lattice fixed to the zone, never to the area that was asked for.

    Raises:
        InvalidInput: no such windows can be laid.
    """

    window_px: int = WINDOW_PX
    """Side of a window."""
    halo_px: int = HALO_PX
    """Margin on each side that gives context and is thrown away; what is left is the window's core."""

    def __post_init__(self) -> None:
        fits = self.window_px % ALIGN_PX == 0 and self.core_px % ALIGN_PX == 0
        if not fits or self.halo_px < 0 or self.core_px <= 0:
            raise InvalidInput(
                f"windows of {self.window_px} px with {self.halo_px} px around their core cannot be laid: both the "
                f"window and its core must be multiples of {ALIGN_PX} px"
            )

    @classmethod
    def of(cls, encoder: Encoder) -> WindowPlan:
        """Takes what the encoder prefers by its attributes `window_px` and `halo_px`, where it has them."""
        return cls(getattr(encoder, "window_px", WINDOW_PX), getattr(encoder, "halo_px", HALO_PX))

    @property
    def core_px(self) -> int:
        """Side of a core: the distance between windows."""
        return self.window_px - 2 * self.halo_px

    def cores(self, extent: Window) -> list[Window]:
        """Lists the cores that touch an extent of the zone's grid, row by row."""
        return list(windows_over(extent, size=self.core_px, stride=self.core_px))

    def around(self, core: Window) -> Window:
        """Gives the window of a core."""
        return core.padded(self.halo_px)

    def manifest(self) -> dict[str, int]:
        """Gives its section of a manifest."""
        return asdict(self)


def windows_over_pixel(row: int, col: int, section: Mapping[str, Any] | None = None) -> list[Window]:
    """Lists the windows whose frames entered a pixel's vector.

    Args:
        row: of the zone's grid.
        col: of the zone's grid.
        section: `windows` of the field's manifest; None for fields from before there was one.
    """
    pixel = Window(row, row + 1, col, col + 1)
    if section is None:
        return list(windows_over(pixel, size=_BEFORE[0], stride=_BEFORE[1]))
    plan = WindowPlan(int(section["window_px"]), int(section["halo_px"]))
    return [plan.around(core) for core in plan.cores(pixel)]


def seen_part(frames: Frames) -> Window | None:
    """Gives the rows and columns in which any source saw anything, None where there are none.

    They are multiples of 16 px and hold a margin of 16 px or what the window has of it, because an encoder
    that resamples sees a difference between nothing seen beyond an edge and no beyond.
    """
    shapes = {one.shape for one in frames.values()}
    if not shapes:
        return None
    shape = shapes.pop()
    seen = np.zeros(shape, bool)
    for one in frames.values():
        seen |= one.valid.any(axis=0)
    if not seen.any():
        return None
    y0, y1 = _span(np.flatnonzero(seen.any(axis=1)))
    x0, x1 = _span(np.flatnonzero(seen.any(axis=0)))
    return Window(y0, y1, x0, x1).padded(ALIGN_PX) & Window(0, shape[0], 0, shape[1])


def cut(frames: Frames, part: Window) -> dict[str, SourceFrames]:
    """Gives the frames that show anything, as far as `part` of their rows and columns reaches."""
    kept = {}
    for name, one in frames.items():
        shows = np.asarray(one.valid.any(axis=(1, 2)))
        if shows.any():
            kept[name] = one.cropped(part).take(shows)
    return kept


def _span(places: NDArray[np.intp]) -> tuple[int, int]:
    return int(places[0]) // ALIGN_PX * ALIGN_PX, -(-(int(places[-1]) + 1) // ALIGN_PX) * ALIGN_PX
