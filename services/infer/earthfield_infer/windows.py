"""Encoding an area by overlapping windows, blended so that no border shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earthfield.codec import normalised
from earthfield.cube import CubeReader
from earthfield.frames import Frames, SourceFrames
from earthfield.grid import CHIP_PX, Window, windows_over
from earthfield.ports import Encoder
from earthfield.progress import Progress
from earthfield.timeline import Period

STRIDE_PX = 96
"""Windows stand this far apart on a lattice fixed to the zone, so a pixel's windows never depend on the area."""
ALIGN_PX = 16
"""Sides of what an encoder is given are multiples of this."""


@dataclass(frozen=True)
class Encoded:
    """What encoding a window of a zone gave."""

    vectors: NDArray[np.float32]
    """(P, h, w, D) unit vectors, NaN where nothing was seen."""
    num_clear: dict[str, NDArray[np.uint16]]
    """Clear observations by source, (h, w)."""
    num_windows: int
    """Windows that were encoded."""


def encode_extent(
    encoder: Encoder,
    reader: CubeReader,
    epsg: int,
    extent: Window,
    *,
    support: Period,
    periods: Sequence[Period],
    progress: Progress,
) -> Encoded:
    """Encodes every pixel of `extent`; one trunk pass per window serves all periods."""
    total = np.zeros((len(periods), *extent.shape, encoder.dim), np.float32)
    clear = {name: np.zeros(extent.shape, np.uint16) for name in encoder.sources}
    windows = list(windows_over(extent, size=CHIP_PX, stride=STRIDE_PX))
    num_encoded = 0
    for done, window in enumerate(windows):
        progress("encode", done, len(windows))
        seen, frames = _cropped(reader.read(epsg, window, support), window)
        if not frames:
            continue
        num_encoded += 1
        inside = seen & extent
        if not inside:
            continue
        vectors = encoder.encode(frames, periods)
        here, there = inside.shifted(-seen.y0, -seen.x0).slices, inside.shifted(-extent.y0, -extent.x0).slices
        weight = _weight(window)[inside.shifted(-window.y0, -window.x0).slices]
        total[:, *there] += np.nan_to_num(vectors[:, *here]) * weight[None, :, :, None]
        for name, one in frames.items():
            clear[name][there] = one.valid[:, *here].sum(axis=0)
    progress("encode", len(windows), len(windows))
    return Encoded(normalised(total), clear, num_encoded)


def _weight(window: Window) -> NDArray[np.float32]:
    """Falls linearly to zero over the overlap: neighbours' weights add up to one everywhere."""
    overlap = CHIP_PX - STRIDE_PX
    ramp = np.minimum((np.arange(CHIP_PX, dtype=np.float32) + 0.5) / overlap, 1)
    side = np.minimum(ramp, ramp[::-1])
    return side[:, None] * side[None, :]


def _cropped(frames: Frames, window: Window) -> tuple[Window, Frames]:
    """Leaves out margins and frames in which no source saw anything; what stays is a multiple of 16 px."""
    seen = np.zeros(window.shape, bool)
    for one in frames.values():
        seen |= one.valid.any(axis=0)
    if not seen.any():
        return window, {}
    y0, y1 = _span(np.flatnonzero(seen.any(axis=1)))
    x0, x1 = _span(np.flatnonzero(seen.any(axis=0)))
    cropped = Window(y0, y1, x0, x1)
    kept = {name: _part(one, cropped) for name, one in frames.items() if one.valid.any()}
    return cropped.shifted(window.y0, window.x0), kept


def _span(places: NDArray[np.intp]) -> tuple[int, int]:
    return int(places[0]) // ALIGN_PX * ALIGN_PX, -(-(int(places[-1]) + 1) // ALIGN_PX) * ALIGN_PX


def _part(frames: SourceFrames, window: Window) -> SourceFrames:
    ys, xs = window.slices
    keep = frames.valid.any(axis=(1, 2))
    return SourceFrames(
        frames.source, frames.bands, frames.values[keep][:, :, ys, xs], frames.valid[keep][:, ys, xs],
        frames.acquired[keep], frames.nodata,
    )  # fmt: skip
