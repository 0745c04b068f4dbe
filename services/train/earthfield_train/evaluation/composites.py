"""What a field is compared with: per-pixel composites, percentiles and harmonics of the same observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from earthfield.frames import Frames, SourceFrames
from earthfield.sources import source_named
from earthfield.timeline import Period

OPTICAL, RADAR = "sentinel-2-l2a", "sentinel-1-rtc"
PERCENTILES = (10.0, 25.0, 50.0, 75.0, 90.0)
_YEAR = np.timedelta64(365, "D") + np.timedelta64(6, "h")
_HARMONIC_RIDGE = 1.0


@dataclass(frozen=True)
class Series:
    """What one source measured over a window, in physical values."""

    source: str
    """Name of the source."""
    values: NDArray[np.float32]
    """(T, B, H, W) reflectance or dB, NaN where the surface was not seen."""
    acquired: NDArray[np.datetime64]
    """(T,) instants, datetime64[us], UTC."""

    def within(self, period: Period) -> NDArray[np.bool_]:
        """Tells which observations lie in a period, (T,)."""
        first, after = (np.datetime64(one.replace(tzinfo=None), "us") for one in (period.start, period.end))
        return np.asarray((self.acquired >= first) & (self.acquired < after))

    def cut(self, rows: slice, cols: slice) -> Series:
        """Gives a part of the window."""
        return Series(self.source, self.values[:, :, rows, cols], self.acquired)


def series_of(frames: Frames, shape: tuple[int, int]) -> list[Series]:
    """Gives Sentinel-2 and Sentinel-1 of some frames, each always there, without observations if need be."""
    return [_series(frames[name]) if name in frames else _nothing(name, shape) for name in (OPTICAL, RADAR)]


def _series(frames: SourceFrames) -> Series:
    physical = source_named(frames.source).physical(frames.values, band_axis=1)
    physical[~np.broadcast_to(frames.valid[:, None], physical.shape)] = np.nan
    return Series(frames.source, physical, frames.acquired)


def _nothing(name: str, shape: tuple[int, int]) -> Series:
    bands = len(source_named(name).bands)
    return Series(name, np.zeros((0, bands, *shape), np.float32), np.zeros(0, "datetime64[us]"))


def months_of(period: Period) -> list[Period]:
    """Lists the calendar months of a period, the first and last cut to it."""
    found, start = [], period.start
    while start < period.end:
        first = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = (first + timedelta(days=32)).replace(day=1)
        found.append(Period(start, min(following, period.end)))
        start = following
    return found


def monthly(series: Sequence[Series], period: Period) -> NDArray[np.float32]:
    """Gives a composite of each month: Sentinel-2 medians of clear observations, Sentinel-1 means of dB.

    A month without any takes the nearest month of the same pixel and band that has one, the earlier of two equally
    near.

    Returns:
        (H, W, months x bands) float32, all bands of the first month first; NaN where a pixel was never seen.
    """
    months = months_of(period)
    parts = [np.stack([_middle(one, one.within(month)) for month in months]) for one in series]
    found = np.concatenate(parts, axis=1)
    m, b, h, w = found.shape
    filled = fill_nearest(found.transpose(2, 3, 0, 1).reshape(h * w, m, b))
    return np.ascontiguousarray(filled.reshape(h, w, m * b))


def percentiles(series: Sequence[Series], period: Period) -> NDArray[np.float32]:
    """Gives the 10th, 25th, 50th, 75th and 90th percentile of every band over a period, (H, W, 5 x bands)."""
    found = np.concatenate(
        [percentiles_over(one.values[one.within(period)], PERCENTILES) for one in series], axis=1
    )
    q, b, h, w = found.shape
    return np.ascontiguousarray(found.reshape(q * b, h, w).transpose(1, 2, 0))


def harmonics(series: Sequence[Series], period: Period) -> NDArray[np.float32]:
    """Fits a constant, a yearly and a half-yearly wave to every band of every pixel, and tells what they leave.

    All but the constant are drawn to zero by a penalty of one observation, so that few observations give a flat
    curve and not a wild one. Periods longer than a year and a half get a straight trend as well.

    Source: CCDC (Zhu and Woodcock 2014) uses such curves and their residual error; no break detection here.

    Returns:
        (H, W, bands x terms) float32: the coefficients and the root mean square of the residuals; NaN where a band
        was never seen.
    """
    found = [_waves(one, one.within(period), period) for one in series]
    return np.concatenate(found, axis=2)


def _waves(series: Series, inside: NDArray[np.bool_], period: Period) -> NDArray[np.float32]:
    values = series.values[inside]
    t, b, h, w = values.shape
    turn = (series.acquired[inside] - np.datetime64(period.start.replace(tzinfo=None), "us")) / _YEAR
    length = period.days / 365.25
    terms = [np.ones_like(turn)]
    for wave in (1, 2):
        terms += [np.cos(2 * np.pi * wave * turn), np.sin(2 * np.pi * wave * turn)]
    if length > 1.5:
        terms.append(turn / length - 0.5)
    base = np.stack(terms, axis=1).reshape(t, len(terms)).astype(np.float64)
    penalty = _HARMONIC_RIDGE * np.diag([1e-6] + [1.0] * (base.shape[1] - 1))
    products = (base[:, :, None] * base[:, None, :]).reshape(t, base.shape[1] ** 2)
    found = np.full((h * w, b, base.shape[1] + 1), np.nan, np.float32)
    for band in range(b):
        measured = values[:, band].reshape(t, h * w).astype(np.float64)
        seen = ~np.isnan(measured)
        some = seen.any(axis=0)
        y, v = np.where(seen, measured, 0.0)[:, some], seen[:, some]
        gram = (v.T.astype(np.float64) @ products).reshape(-1, base.shape[1], base.shape[1])
        fitted = np.linalg.solve(gram + penalty, (y.T @ base)[..., None])[..., 0]
        rest = np.where(v, y - base @ fitted.T, 0.0)
        found[some, band, :-1] = fitted
        found[some, band, -1] = np.sqrt((rest**2).sum(axis=0) / v.sum(axis=0))
    return found.reshape(h, w, -1)


def percentiles_over(values: NDArray[np.float32], wanted: Sequence[float]) -> NDArray[np.float32]:
    """Gives percentiles over the first axis without NaN, interpolated, (Q, ...); NaN where all is NaN.

    numpy's own goes through pixels one at a time where there are NaN; this sorts them to the end at once.
    """
    rest = values.shape[1:]
    if not len(values):
        return np.full((len(wanted), *rest), np.nan, np.float32)
    ranked = np.sort(values, axis=0)
    count = (~np.isnan(values)).sum(axis=0)
    found = np.empty((len(wanted), *rest), np.float32)
    for number, one in enumerate(wanted):
        place = np.maximum(count - 1, 0) * (one / 100)
        low = np.floor(place).astype(np.intp)
        high = np.minimum(low + 1, np.maximum(count - 1, 0))
        below, above = (np.take_along_axis(ranked, at[None], axis=0)[0] for at in (low, high))
        found[number] = below + (above - below) * (place - low)
    return found


def _middle(series: Series, inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Median (optical) or mean (radar) over time, (B, H, W), NaN where nothing was seen."""
    values = series.values[inside]
    if series.source == OPTICAL:
        return percentiles_over(values, (50.0,))[0]
    seen = ~np.isnan(values)
    count = seen.sum(axis=0)
    total = np.where(seen, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def fill_nearest(composites: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fills gaps (NaN) along the middle axis of (N, M, B) with the nearest month that has a value."""
    count = composites.shape[1]
    filled = composites.copy()
    for gap in range(1, count):
        for here in range(count):
            for other in (here - gap, here + gap):
                if 0 <= other < count:
                    missing = np.isnan(filled[:, here])
                    filled[:, here][missing] = composites[:, other][missing]
    return filled
