"""Filling: a view of frames without gaps, interpolated between what was seen, with a confidence for every value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import InvalidInput
from earthfield.frames import SourceFrames
from earthfield.sources import known_sources
from earthfield.timeline import STEP_DAYS, Period, step_start

DECAY_DAYS = 30.0
"""Days after which the confidence has fallen to 1/e. Crops and leaves change within weeks; a month bridges the
usual run of clouds without passing for an observation."""

Method = Literal["linear", "nearest"]

_BLOCK_PX = 1 << 15
"""Pixels that are filled at a time: bounds what is needed beside the result, and fits the cache of a core."""


@dataclass(frozen=True)
class Filled:
    """What a source would have shown at some instants, as far as its observations tell."""

    source: str
    """Name of the source."""
    bands: tuple[str, ...]
    """Names along the band axis."""
    values: NDArray[Any]
    """(S, B, H, W) stored values; the source's nodata where a band was never seen."""
    confidence: NDArray[np.float32]
    """(S, H, W) in [0, 1]: 1 at an observation, less the further the nearest one lies in time, 0 where none is."""
    instants: NDArray[np.datetime64]
    """(S,) what was asked for, datetime64[us], UTC."""
    nodata: float
    """Stored value of a missing measurement."""


def fill(
    frames: SourceFrames,
    instants: NDArray[np.datetime64] | None = None,
    *,
    period: Period | None = None,
    method: Method | None = None,
    decay_days: float = DECAY_DAYS,
) -> Filled:
    """Gives frames at any instants, each pixel interpolated between its own neighbouring observations.

    Before the first and after the last observation of a pixel its value is held. Cubes themselves are never filled:
    this is a view for people and for methods that cannot do with gaps; models are given the frames as they are.

    Frames come from a cube, over any window of a zone::

        catalog, year = Catalog("earthfield-data"), Period.parse("2018")
        window = Window(-562_968, -562_904, 50_136, 50_200)
        frames = CubeReader(catalog, ["sentinel-2-l2a"]).read(32631, window, year)["sentinel-2-l2a"]
        whole = fill(frames, period=year)             # one frame for every 5-day step of 2018
        sure = whole.confidence > 0.8                 # at most 6 days from an observation

    The same with one pixel and one band, seen on three days of which one is cloudy:

        >>> import numpy as np
        >>> from earthfield.fill import fill
        >>> from earthfield.frames import SourceFrames
        >>> values = np.array([1000, 9999, 3000], np.int16).reshape(3, 1, 1, 1)
        >>> valid = np.array([True, False, True]).reshape(3, 1, 1)
        >>> days = np.array(["2018-06-01", "2018-06-06", "2018-06-11"], "datetime64[us]")
        >>> frames = SourceFrames("sentinel-2-l2a", ("B04",), values, valid, days, -32768)
        >>> whole = fill(frames, np.array(["2018-06-01", "2018-06-06", "2018-06-21"], "datetime64[us]"))
        >>> whole.values.ravel().tolist()
        [1000, 2000, 3000]
        >>> [round(float(one), 2) for one in whole.confidence.ravel()]
        [1.0, 0.85, 0.72]

    Args:
        frames: what was observed.
        instants: (S,) instants wanted, datetime64, UTC.
        period: instead of them the middle of every 5-day step that overlaps a period; without either, of every
            step from the first frame to the last.
        method: `linear`, or `nearest` (the default of sources whose values are classes).
        decay_days: days in which the confidence falls to 1/e.

    Returns:
        Values in the frames' own integers, rounded, and the confidence `exp(-days to the nearest observation /
        decay_days)`. A band that an observation lacks is bridged as a cloud is; the confidence is that of the band
        that has waited longest, bands that were never seen left aside.

    Raises:
        InvalidInput: both instants and a period are given, or `decay_days` is not positive.
    """
    if instants is not None and period is not None:
        raise InvalidInput("give instants or a period to fill, not both")
    if instants is None:
        instants = middles(period or _span(frames)) if len(frames.acquired) or period else frames.acquired
    source = known_sources().get(frames.source)
    by_class = source is not None and source.classes is not None
    values, confidence = fill_arrays(
        frames.values,
        frames.valid,
        frames.acquired,
        instants,
        nodata=frames.nodata,
        method=method or ("nearest" if by_class else "linear"),
        decay_days=decay_days,
    )
    wanted = np.asarray(instants, "datetime64[us]")
    return Filled(frames.source, frames.bands, values, confidence, wanted, frames.nodata)


def middles(period: Period) -> NDArray[np.datetime64]:
    """Gives the middle instants of the 5-day steps that overlap a period, datetime64[us]."""
    half = timedelta(days=STEP_DAYS / 2)
    return np.array(
        [(step_start(step) + half).replace(tzinfo=None) for step in period.steps], "datetime64[us]"
    )


def fill_arrays(
    values: NDArray[Any],
    valid: NDArray[np.bool_],
    acquired: NDArray[np.datetime64],
    instants: NDArray[np.datetime64],
    *,
    nodata: float,
    method: Method = "linear",
    decay_days: float = DECAY_DAYS,
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Does what `fill` does with bare arrays.

    Args:
        values: (T, B, H, W) observed values, integers or floats.
        valid: (T, H, W) True where the surface was seen.
        acquired: (T,) when, in any order.
        instants: (S,) instants wanted, in any order.
        nodata: value of a band that was not measured; NaN counts as such in floats too.
        method: `linear` or `nearest`.
        decay_days: see `fill`.

    Returns:
        Values (S, B, H, W) of the same type and confidence (S, H, W) float32.

    Raises:
        InvalidInput: the arrays do not fit one another, or `decay_days` is not positive.
    """
    num, bands, *shape = values.shape
    if valid.shape != (num, *shape) or acquired.shape != (num,):
        raise InvalidInput(
            f"values {values.shape}, valid {valid.shape} and acquired {acquired.shape} do not fit one another"
        )
    if not decay_days > 0:
        raise InvalidInput(f"decay_days is {decay_days}, and must be more than 0")
    when = _Times(acquired, instants, decay_days=decay_days, nearest=method == "nearest")
    filled = np.empty((len(instants), bands, *shape), values.dtype)
    confidence = np.empty((len(instants), *shape), np.float32)
    for rows in _blocks(shape[0], shape[1]):
        pixels = math.prod(valid[0:0, rows].shape[1:])
        seen = valid[when.order, rows].reshape(num, pixels)
        block = _Block(values[when.order, :, rows].reshape(num, bands, pixels), seen, nodata)
        made = block.fill(when)
        filled[:, :, rows] = made[0].reshape(filled[:, :, rows].shape)
        confidence[:, rows] = made[1].reshape(confidence[:, rows].shape)
    return filled, confidence


class _Times:
    """Where the wanted instants lie among the observed ones."""

    def __init__(
        self, acquired: NDArray[Any], instants: NDArray[Any], *, decay_days: float, nearest: bool
    ) -> None:
        self.order = np.argsort(acquired, kind="stable")
        zero = acquired.min() if len(acquired) else np.datetime64(0, "us")
        self.observed = _days(acquired[self.order], zero)
        self.wanted = _days(np.asarray(instants), zero)
        self.after = np.searchsorted(self.observed, self.wanted, "left")
        self.before = np.searchsorted(self.observed, self.wanted, "right")
        self._decay, self._nearest = decay_days, nearest

    def confidence(self, place: int) -> NDArray[np.float32]:
        """Gives what each observation would be worth at a wanted instant, (T,)."""
        return np.exp(-np.abs(self.wanted[place] - self.observed) / self._decay).astype(np.float32)

    def weights(self, place: int, low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.float32]:
        """Gives the share of the later of two observations in a wanted instant, (N,)."""
        since = (self.wanted[place] - self.observed).astype(np.float32)
        first, last = since[low], since[high]
        span = first - last
        share = np.divide(first, span, out=np.zeros_like(span), where=span > 0)
        np.clip(share, 0, 1, out=share)
        return (share > 0.5).astype(np.float32) if self._nearest else share


class _Block:
    """Some pixels through all time, in the order of time."""

    def __init__(self, values: NDArray[Any], valid: NDArray[np.bool_], nodata: float) -> None:
        """Args: (T, B, N) values; (T, N) valid; the value of what was not measured."""
        self._values, self._valid, self._nodata = values, valid, nodata

    def fill(self, when: _Times) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Gives values (S, B, N) and confidence (S, N)."""
        (_, bands, pixels), num = self._values.shape, len(when.wanted)
        filled = np.full((num, bands, pixels), self._nodata, self._values.dtype)
        confidence = np.full((num, pixels), np.inf, np.float32)
        for seen, members in self._by_mask():
            known = seen.any(axis=0)
            if not known.any():
                continue
            before, after = _neighbours(seen)
            flat = [(band, np.ascontiguousarray(self._values[:, band]).ravel()) for band in members]
            for place in range(num):
                low, high = _bracket(before[when.before[place]], after[when.after[place]], len(seen))
                worth = when.confidence(place)
                sure = np.maximum(worth[low], worth[high])
                np.minimum(confidence[place], sure, out=confidence[place], where=known)
                weight = when.weights(place, low, high)
                at_low, at_high = (index * pixels + np.arange(pixels) for index in (low, high))
                for band, source in flat:
                    mixed = _mixed(source.take(at_low), source.take(at_high), weight)
                    np.copyto(filled[place, band], mixed, where=known)
        confidence[np.isinf(confidence)] = 0.0
        return filled, confidence

    def _by_mask(self) -> Iterator[tuple[NDArray[np.bool_], list[int]]]:
        """Groups the bands by where they were measured: most often that is the same for all."""
        groups: list[tuple[NDArray[np.bool_], list[int]]] = []
        for band in range(self._values.shape[1]):
            seen = self._valid & _is_measured(self._values[:, band], self._nodata)
            for mask, members in groups:
                if np.array_equal(mask, seen):
                    members.append(band)
                    break
            else:
                groups.append((seen, [band]))
        yield from groups


def _neighbours(seen: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """For every place k among T observations: the last seen one before k (or -1), the first from k on (or T)."""
    num, pixels = seen.shape
    kind = np.int16 if num < 32_000 else np.int32
    own = np.arange(num, dtype=kind)[:, None]
    before, after = np.empty((num + 1, pixels), kind), np.empty((num + 1, pixels), kind)
    before[0], after[num] = -1, num
    np.maximum.accumulate(np.where(seen, own, kind(-1)), axis=0, out=before[1:])
    after[:num] = np.minimum.accumulate(np.where(seen, own, kind(num))[::-1], axis=0)[::-1]
    return before, after


def _bracket(before: NDArray[Any], after: NDArray[Any], num: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Gives the two observations to mix; the same one twice at the ends, any where there is none."""
    low = np.where(before < 0, after, before).astype(np.intp)
    high = np.where(after == num, before, after).astype(np.intp)
    return np.clip(low, 0, num - 1), np.clip(high, 0, num - 1)


def _mixed(low: NDArray[Any], high: NDArray[Any], weight: NDArray[np.float32]) -> NDArray[Any]:
    kind: Any = np.float64 if low.dtype.itemsize > 2 else np.float32
    start: Any = low.astype(kind)
    mixed: Any = high.astype(kind)
    mixed -= start
    mixed *= weight
    mixed += start
    return (np.rint(mixed, out=mixed) if low.dtype.kind in "iu" else mixed).astype(low.dtype)


def _is_measured(values: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    measured = values != nodata
    return measured & np.isfinite(values) if values.dtype.kind == "f" else measured


def _blocks(rows: int, cols: int) -> Iterator[slice]:
    height = max(1, _BLOCK_PX // max(cols, 1))
    yield from (slice(top, min(top + height, rows)) for top in range(0, rows, height))


def _days(instants: NDArray[np.datetime64], zero: Any) -> NDArray[np.float64]:
    return (instants - zero) / np.timedelta64(1, "D")


def _span(frames: SourceFrames) -> Period:
    first, last = frames.acquired.min(), frames.acquired.max() + np.timedelta64(1, "us")
    return Period(first.astype("datetime64[us]").astype(object), last.astype("datetime64[us]").astype(object))
