"""What the field is compared with: per-pixel composites of the same observations, straight from the cube."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.cube import CubeReader
from earthfield.frames import SourceFrames
from earthfield.grid import CHIP_PX, Window
from earthfield.progress import Progress, silent
from earthfield.sources import source_named
from earthfield.timeline import Period

OPTICAL, RADAR = "sentinel-2-l2a", "sentinel-1-rtc"


def months_of(period: Period) -> list[Period]:
    """Lists the calendar months of a period, the first and last cut to it."""
    found, start = [], period.start
    while start < period.end:
        first = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = (first + timedelta(days=32)).replace(day=1)
        found.append(Period(start, min(following, period.end)))
        start = following
    return found


def composites_at(
    catalog: Catalog,
    epsg: int,
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
    period: Period,
    *,
    progress: Progress = silent,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gives monthly and whole-period composites of pixels.

    Sentinel-2: medians of clear observations, reflectance; Sentinel-1: means, dB. A month without any takes the
    nearest month of the same pixel and band that has one, the earlier of two equally near.

    Args:
        catalog: where cubes lie.
        epsg: the zone.
        rows: (N,) pixel rows in the zone's grid.
        cols: (N,) pixel columns in the zone's grid.
        period: when.
        progress: told after each chip.

    Returns:
        (N, months x bands) and (N, bands) float32; NaN where a pixel was never seen.
    """
    reader, months = CubeReader(catalog, (OPTICAL, RADAR)), months_of(period)
    chips = np.unique(np.stack([rows // CHIP_PX, cols // CHIP_PX], axis=1), axis=0)
    bands = len(source_named(OPTICAL).bands) + len(source_named(RADAR).bands)
    monthly = np.full((len(rows), len(months), bands), np.nan, np.float32)
    whole = np.full((len(rows), bands), np.nan, np.float32)
    for done, (y, x) in enumerate(chips, 1):
        inside = np.flatnonzero((rows // CHIP_PX == y) & (cols // CHIP_PX == x))
        ys, xs = rows[inside], cols[inside]
        window = Window(int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1)
        frames = reader.read(epsg, window, period)
        column = 0
        for name in (OPTICAL, RADAR):
            width = len(source_named(name).bands)
            if name in frames:
                at = slice(column, column + width)
                seen = _seen(frames[name], ys - window.y0, xs - window.x0)
                whole[inside, at] = _middle(seen, name)
                for number, month in enumerate(months):
                    monthly[inside, number, at] = _middle(seen[_within(frames[name], month)], name)
            column += width
        progress("composites", done, len(chips))
    measured = ~np.isnan(whole).all(axis=0)
    filled = fill_nearest(monthly[:, :, measured])
    return filled.reshape(len(rows), -1), whole[:, measured]


def fill_nearest(monthly: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fills gaps (NaN) along the middle axis of (N, M, B) with the nearest month that has a value."""
    count = monthly.shape[1]
    filled = monthly.copy()
    for gap in range(1, count):
        for here in range(count):
            for other in (here - gap, here + gap):
                if 0 <= other < count:
                    missing = np.isnan(filled[:, here])
                    filled[:, here][missing] = monthly[:, other][missing]
    return filled


def _seen(frames: SourceFrames, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> NDArray[np.float32]:
    """Physical values of some pixels, (T, N, B), NaN where the surface was not seen."""
    values = np.moveaxis(frames.values[:, :, rows, cols], 1, 2)
    physical = source_named(frames.source).physical(values, band_axis=2)
    return np.where(frames.valid[:, rows, cols][..., None], physical, np.float32("nan"))


def _within(frames: SourceFrames, month: Period) -> NDArray[np.bool_]:
    first, after = (np.datetime64(one.replace(tzinfo=None), "us") for one in (month.start, month.end))
    return (frames.acquired >= first) & (frames.acquired < after)


def _middle(seen: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Median or mean over time of (T, N, B), NaN where nothing was seen."""
    found = np.full(seen.shape[1:], np.nan, np.float32)
    some = ~np.isnan(seen).all(axis=0)
    if some.any():
        middle = np.nanmedian if name == OPTICAL else np.nanmean
        found[some] = middle(seen[:, some], axis=0)
    return found


def sampled(mask: NDArray[np.bool_], codes: NDArray[np.integer], *, most: int, seed: int) -> NDArray[np.intp]:
    """Picks at most `most` labelled pixels, evenly by class, as flat indices in rising order."""
    rng = np.random.default_rng(seed)
    classes: Sequence[int] = np.unique(codes[mask]).tolist()
    share = max(1, most // max(len(classes), 1))
    picks = []
    for code in classes:
        found = np.flatnonzero(mask & (codes == code))
        picks.append(rng.choice(found, share, replace=False) if len(found) > share else found)
    return np.sort(np.concatenate(picks))
