"""Quick-looks: the frames of a cube as small pictures, stretched alike so that seasons can be compared."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.cube import Cube
from earthfield.sources import known_sources
from earthfield.timeline import Period
from earthfield_ingest.timeline import Track, extent, runs

_COMPOSITES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("true colour", ("B04", "B03", "B02")),
    ("true colour", ("red", "green", "blue")),
    ("true colour", ("M5", "M4", "M3")),
    ("short-wave infrared", ("B12", "B8A", "B05")),
    ("vv, vh, difference", ("vv", "vh")),
    ("hh, hv, difference", ("hh", "hv")),
)
"""What is shown of a source: the first of these whose bands it has measured, else its first band in one hue."""
_PERCENTILES = (1.0, 99.0)
_GAMMA = 1.45
_HEADROOM = 1.15
_RADAR_COLOUR = 0.5
"""Share of colour in radar pictures: its speckle is all colour."""
_RAMP = np.array(
    [[38, 52, 84], [46, 108, 127], [111, 166, 122], [222, 207, 130], [249, 243, 219]], np.float32
)
"""Colours of one band from low to high: dark blue over green to sand."""


@dataclass(frozen=True)
class Shot:
    """One frame, made small."""

    step: int
    """Index of its 5-day step."""
    pixels: NDArray[np.float32]
    """(C, h, w) physical values of what is shown, NaN where nothing was seen."""
    count: int
    """Pixels of the frame that show something."""


@dataclass(frozen=True)
class Look:
    """One source of a tile in small pictures."""

    source: str
    """Name of the source."""
    title: str
    """What a person calls it."""
    shows: str
    """What its colours are."""
    shots: Mapping[int, Shot]
    """By step."""
    ever_px: int
    """Pixels that any of its frames shows."""
    is_class: bool = False
    """Whether its values are classes."""
    stands: bool = False
    """Whether it holds for all time or for years, rather than for an instant."""

    @property
    def track(self) -> Track:
        """How much each step shows."""
        whole = max(self.ever_px, 1)
        return Track(self.source, {step: shot.count / whole for step, shot in self.shots.items()})

    def picture(self, step: int) -> NDArray[np.uint8]:
        """Gives a frame as (h, w, 4) red, green, blue and alpha, which is 0 where nothing was seen."""
        pixels = self.shots[step].pixels
        seen = np.isfinite(pixels).all(axis=0)
        if self.is_class:
            colours = _class_colours(np.where(seen, pixels[0], 0).astype(int))
        else:
            low, high = self._limits
            share = np.clip((np.nan_to_num(pixels) - low) / np.maximum(high - low, 1e-6), 0, 1)
            if self.shows.endswith("difference"):
                share = share * _RADAR_COLOUR + share.mean(axis=0) * (1 - _RADAR_COLOUR)
            colours = _ramp(share[0]) if len(pixels) == 1 else _colours(share)
        return np.concatenate([colours, np.where(seen, 255, 0)[..., None]], axis=-1).astype(np.uint8)

    @cached_property
    def _limits(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """What is black and what is white, (C, 1, 1) each: the same for all frames.

        Each frame has its own ends; common is what most frames agree on, so that a winter's snow or a cloud that
        was not seen as one does not turn everything else black.
        """
        ends = [
            _ends(shot.pixels) for shot in self.shots.values() if np.isfinite(shot.pixels[0]).mean() > 0.1
        ]
        ends = ends or [_ends(shot.pixels) for shot in self.shots.values()]
        every = np.array([one for one in ends if np.isfinite(one).all()])
        if not every.size:
            return np.zeros((1, 1, 1)), np.ones((1, 1, 1))
        low, high = np.quantile(every[:, 0], 0.15, axis=0), np.quantile(every[:, 1], 0.7, axis=0)
        high = low + (high - low) * _HEADROOM
        if len(high) == 3 and not self.shows.endswith("difference"):
            # Between each band's own end, which turns everything grey, and one for all, which leaves haze yellow.
            high = (high + high.max()) / 2
        return low[:, None, None], high[:, None, None]


def _ends(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Gives (2, C): where a frame's values begin and end."""
    values = pixels.reshape(len(pixels), -1)
    values = values[:, np.isfinite(values).all(axis=0)]
    if not values.size:
        return np.full((2, len(pixels)), np.nan)
    return np.percentile(values, _PERCENTILES, axis=1)


def look(cube: Cube, source: str, *, period: Period | None = None, side_px: int = 56) -> Look:
    """Makes the frames of a source small, a run of a chunk at a time.

    Args:
        cube: the tile's.
        source: one of its sources.
        period: frames acquired in it; all without. What stands for all time is always shown.
        side_px: longest side of a picture; frames that are smaller stay as they are.
    """
    known, told = known_sources().get(source), cube.attributes(source)
    stands = known is not None and (known.cadence == "static" or known.classes is not None)
    is_class = known is not None and known.classes is not None
    seen = cube.observations(source, None if stands else period)
    window = extent(cube, source)
    shows, ever = "", np.zeros(window.shape, bool)
    bands: tuple[int, ...] = ()
    shots: dict[int, Shot] = {}
    for run in runs(seen):
        values, valid = cube.read(source, [one.slot for one in run], window)
        if not bands:
            shows, bands = _composite(told["bands"], values, told["nodata"])
        ever |= valid.any(axis=0)
        for one, frame, mask in zip(run, values, valid, strict=True):
            small = _shrunk(_physical(frame[list(bands)], mask, told, bands), side_px, mean=not is_class)
            small = np.stack([*small, small[0] - small[1]]) if len(bands) == 2 else small
            shots[one.step] = Shot(one.step, small, int(np.count_nonzero(mask)))
    title = known.title if known else source
    ordered = dict(sorted(shots.items()))
    return Look(source, title, shows, ordered, int(np.count_nonzero(ever)), is_class, stands)


def _composite(bands: list[str], values: NDArray[Any], nodata: float) -> tuple[str, tuple[int, ...]]:
    measured = {name for place, name in enumerate(bands) if (values[:, place] != nodata).any()}
    for shows, names in _COMPOSITES:
        if measured.issuperset(names):
            return shows, tuple(bands.index(name) for name in names)
    first = next((name for name in bands if name in measured), bands[0])
    return first.replace("_", " "), (bands.index(first),)


def _physical(
    values: NDArray[Any], valid: NDArray[np.bool_], told: Mapping[str, Any], bands: tuple[int, ...]
) -> NDArray[np.float32]:
    scale, offset = (
        np.array(told[name], np.float32)[list(bands), None, None] for name in ("scale", "offset")
    )
    return np.where(valid & (values != told["nodata"]), values * scale + offset, np.float32("nan"))


def _shrunk(values: NDArray[np.float32], side_px: int, *, mean: bool) -> NDArray[np.float32]:
    """Makes (C, H, W) smaller by a whole factor: the mean of what was seen, or one pixel of each block."""
    _, rows, cols = values.shape
    factor = -(-max(rows, cols) // side_px)
    if factor == 1:
        return values
    if not mean:
        return values[:, factor // 2 :: factor, factor // 2 :: factor]
    tall, wide = -(-rows // factor) * factor, -(-cols // factor) * factor
    whole = np.pad(values, ((0, 0), (0, tall - rows), (0, wide - cols)), constant_values=np.nan)
    blocks = whole.reshape(len(values), tall // factor, factor, wide // factor, factor)
    seen = np.isfinite(blocks)
    count = seen.sum(axis=(2, 4))
    total = np.where(seen, blocks, 0).sum(axis=(2, 4))
    # A block counts as seen where half of it is.
    enough = count * 2 >= max(factor * factor * 0.5, 1)
    return np.where(enough, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _colours(share: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(share ** (1 / _GAMMA) * 255, 0, -1)


def _ramp(share: NDArray[Any]) -> NDArray[Any]:
    at = share * (len(_RAMP) - 1)
    low = np.minimum(at.astype(int), len(_RAMP) - 2)
    part = (at - low)[..., None]
    return _RAMP[low] * (1 - part) + _RAMP[low + 1] * part


def _class_colours(classes: NDArray[Any]) -> NDArray[Any]:
    """Gives each class a hue of its own, far from those of its neighbours in number."""
    table = np.zeros((256, 3))
    for value in range(256):
        hue = (value * 0.381966) % 1.0
        table[value] = np.array(colorsys.hls_to_rgb(hue, 0.45 + 0.2 * (value % 3) / 2, 0.45)) * 255
    return table[np.clip(classes, 0, 255)]
