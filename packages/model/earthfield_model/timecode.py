"""Time codes: sines and cosines of true instants, exact over decades."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from torch import Tensor

from earthfield.timeline import Period

EPOCH = np.datetime64("2000-01-01T00:00:00", "us")
YEAR_DAYS = 365.2425
NUM_HARMONICS = 3
"""Annual, half-annual and four-monthly: what a crop calendar needs."""
SHORTEST_DAYS, LONGEST_DAYS = 2.0, 40 * YEAR_DAYS

_US_PER_DAY = 86_400_000_000


def days_of(instants: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Turns instants into days since 2000 in float64, where a microsecond stays visible for centuries."""
    since = (instants.astype("datetime64[us]") - EPOCH).astype(np.int64)
    # Whole days apart from the rest: no product of large integers is ever rounded.
    return (since // _US_PER_DAY).astype(np.float64) + (since % _US_PER_DAY) / _US_PER_DAY


def period_days(periods: Sequence[Period]) -> Float64[Tensor, "P 2"]:
    """Gives [start, end) of periods in days since 2000."""
    edges = [[np.datetime64(edge.replace(tzinfo=None), "us") for edge in (p.start, p.end)] for p in periods]
    return torch.from_numpy(days_of(np.array(edges, "datetime64[us]")))


def phases(days: Float64[Tensor, "..."], wavelengths: Float64[Tensor, " F"]) -> Float64[Tensor, "... F"]:
    """Gives angles in [0, 2 pi), in float64: instants are cast down only after the turns are taken off."""
    return 2 * math.pi * torch.frac(days.double()[..., None] / wavelengths)


def wavelengths(count: int) -> Float64[Tensor, " F"]:
    """Gives a geometric series of wavelengths in days, from two days to forty years."""
    return torch.logspace(math.log10(SHORTEST_DAYS), math.log10(LONGEST_DAYS), count, dtype=torch.float64)


def time_code(days: Float64[Tensor, "..."], count: int = 12) -> Float[Tensor, "... F"]:
    """Gives sines and cosines at `count` geometric wavelengths, then the annual harmonics.

    Args:
        days: instants, days since 2000.
        count: number of wavelengths.

    Returns:
        2 x count + 2 x NUM_HARMONICS features, float32.
    """
    angles = phases(days, wavelengths(count).to(days.device))
    return torch.cat([angles.sin().float(), angles.cos().float(), annual_code(days)], -1)


def annual_code(days: Float64[Tensor, "..."]) -> Float[Tensor, "... F"]:
    """Gives the harmonics of the tropical year, 2 x NUM_HARMONICS features: the season and never the year."""
    year = YEAR_DAYS / torch.arange(1, NUM_HARMONICS + 1, dtype=torch.float64, device=days.device)
    angles = phases(days, year)
    return torch.cat([angles.sin(), angles.cos()], -1).float()


def rotated(
    x: Float[Tensor, "... N F"], sin: Float[Tensor, "... N F2"], cos: Float[Tensor, "... N F2"]
) -> Float[Tensor, "... N F"]:
    """Turns pairs of features by the time code's angles, so that products of queries and keys see time differences.

    Source: Su et al. 2021 (rotary embedding), with true instants in place of positions.
    """
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
