"""What is known of every pixel beside its vector: how often it was seen, how near in time, how steady it is."""

from __future__ import annotations

from datetime import UTC

import numpy as np
from numpy.typing import NDArray

from earthfield.field import QUALITY_NODATA
from earthfield.frames import Frames, SourceFrames
from earthfield.timeline import Period

_DAY = np.timedelta64(1, "D")


def days_to_nearest(frames: SourceFrames, period: Period) -> NDArray[np.uint16]:
    """Gives whole days from the middle of a period to the nearest clear observation of each pixel.

    Args:
        frames: observations of one source.
        period: the valid period.

    Returns:
        (H, W) uint16, 65535 where there is no clear observation.
    """
    middle = (period.start + (period.end - period.start) / 2).astimezone(UTC).replace(tzinfo=None)
    away = np.abs(frames.acquired - np.datetime64(middle, "us")) / _DAY
    days = np.full(frames.shape, QUALITY_NODATA, np.uint16)
    for place in np.argsort(away, kind="stable")[::-1]:
        days[frames.valid[place]] = min(round(float(away[place])), QUALITY_NODATA - 1)
    return days


def halves(frames: Frames) -> tuple[Frames, Frames]:
    """Deals the frames of every source alternately, by time, into two disjoint halves.

    What counts is a frame's place among all that were read, clear here or not, so that neighbouring windows over
    the same tile deal alike.
    """
    first, second = (
        {name: one.take(np.arange(len(one.acquired))[start::2]) for name, one in frames.items()}
        for start in (0, 1)
    )
    return first, second


def agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gives the cosine of unit vectors (..., D); NaN where either is missing, as where one frame saw a pixel."""
    cosine = np.einsum("...d,...d->...", one, other, dtype=np.float32)
    return np.clip(cosine, -1, 1).astype(np.float32)
