"""Passes: windows are read, encoded and told of one after another, as many at once as the encoder can use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.codec import stored
from earthfield.cube import CubeReader
from earthfield.field import QUALITY_NODATA
from earthfield.frames import Frames, num_clear
from earthfield.grid import Window
from earthfield.ports import Encoder
from earthfield.timeline import Period
from earthfield_infer.ahead import worked_ahead
from earthfield_infer.quality import agreement, days_to_nearest, halves
from earthfield_infer.windows import WindowPlan, cut, seen_part

_READ_AHEAD = 1
"""Windows that are read while others are encoded."""


@dataclass(frozen=True)
class Wish:
    """What every window is asked for."""

    support: Period
    """When the inputs were taken."""
    periods: tuple[Period, ...]
    """Valid periods: one pass serves them all."""
    dtype: str = "int8"
    """How vectors are stored, as in `earthfield.codec`."""
    agreement: bool = True
    """Whether two halves of the frames are encoded as well, and compared."""


@dataclass(frozen=True)
class Piece:
    """What was found for the pixels of one core."""

    window: Window
    """Its pixels in the zone's grid, inside the extent."""
    codes: Sequence[NDArray[Any]]
    """By period: (D, h, w) as `earthfield.codec.stored` gives them."""
    quality: Sequence[Mapping[str, NDArray[Any]]]
    """By period: layers by name, (h, w), as a field takes them."""


def pieces(
    encoder: Encoder, reader: CubeReader, epsg: int, cores: Sequence[Window], extent: Window, wish: Wish
) -> Iterator[Piece | None]:
    """Encodes the pixels of cores inside an extent, in order.

    The next windows are read while others are encoded, and no more are held than that takes.

    Args:
        encoder: called from several threads where its `num_parallel` is more than 1.
        reader: gives the frames; called from one thread.
        epsg: the zone.
        cores: of the encoder's plan.
        extent: pixels that are wanted.
        wish: what is asked of each.

    Yields:
        A piece for each core, None where nothing was seen in its window.
    """
    plan = WindowPlan.of(encoder)

    def read(core: Window) -> tuple[Window, Frames]:
        return core, reader.read(epsg, plan.around(core), wish.support)

    parallel = max(1, int(getattr(encoder, "num_parallel", 1)))
    encode = partial(_piece, encoder, plan, extent, wish)
    # Closed with the listener: nothing is read or encoded for nobody.
    with closing(worked_ahead(read, cores, ahead=_READ_AHEAD)) as frames:
        if parallel == 1:
            for one in frames:
                yield encode(one)
            return
        with closing(worked_ahead(encode, frames, ahead=parallel, threads=parallel)) as found:
            yield from found


def _piece(
    encoder: Encoder, plan: WindowPlan, extent: Window, wish: Wish, read: tuple[Window, Frames]
) -> Piece | None:
    core, frames = read
    part = seen_part(frames)
    window = plan.around(core)
    inside = core & extent
    if part is None or not inside & part.shifted(window.y0, window.x0):
        return None
    wanted = inside.shifted(-window.y0, -window.x0)
    here = wanted & part
    vectors = _encoded(encoder, frames, part, here, wish.periods)
    if vectors is None:
        return None
    agreed = _agreed(encoder, frames, part, here, wish.periods) if wish.agreement else None
    told = {name: one.cropped(here) for name, one in frames.items()}
    clear = {f"clear_{name}": count for name, count in num_clear(told).items()}
    quality: list[dict[str, NDArray[Any]]] = []
    for place, period in enumerate(wish.periods):
        days = {f"days_{name}": days_to_nearest(one, period) for name, one in told.items()}
        layers: dict[str, NDArray[Any]] = {**clear, **days}
        quality.append(layers if agreed is None else {**layers, "agreement": agreed[place]})
    codes = [stored(one, wish.dtype) for one in vectors]
    return Piece(here.shifted(window.y0, window.x0), codes, quality)


def _encoded(
    encoder: Encoder, frames: Frames, part: Window, here: Window, periods: Sequence[Period]
) -> NDArray[np.float32] | None:
    """Gives the vectors (P, h, w, D) of the pixels `here`, from what `part` of the window shows."""
    kept = cut(frames, part)
    if not kept:
        return None
    vectors = encoder.encode(kept, periods)
    return vectors[:, *here.shifted(-part.y0, -part.x0).slices]


def _agreed(
    encoder: Encoder, frames: Frames, part: Window, here: Window, periods: Sequence[Period]
) -> NDArray[np.float32]:
    """Gives the agreement (P, h, w) of two halves of the frames, NaN where one of them saw nothing."""
    found = [_encoded(encoder, half, part, here, periods) for half in halves(frames)]
    first, second = found
    if first is None or second is None:
        return np.full((len(periods), *here.shape), np.nan, np.float32)
    return agreement(first, second)


class Sheet:
    """The pieces of an extent put together, period by period."""

    def __init__(self, encoder: Encoder, extent: Window, wish: Wish) -> None:
        """Starts empty: no vector anywhere, nothing clear."""
        self._extent = extent
        nothing = stored(np.full((1, 1, encoder.dim), np.nan, np.float32), wish.dtype)
        self._codes = [np.tile(nothing, (1, *extent.shape)) for _ in wish.periods]
        self._quality = [_blank(encoder.sources, extent, wish) for _ in wish.periods]

    def put(self, piece: Piece) -> None:
        """Lays a piece in its place."""
        ys, xs = piece.window.shifted(-self._extent.y0, -self._extent.x0).slices
        for codes, part in zip(self._codes, piece.codes, strict=True):
            codes[:, ys, xs] = part
        for layers, found in zip(self._quality, piece.quality, strict=True):
            for name, layer in found.items():
                layers[name][ys, xs] = layer

    def take(self) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """Gives codes (D, h, w) and quality layers of the first period that was not taken yet, and forgets them."""
        return self._codes.pop(0), self._quality.pop(0)


def _blank(sources: Sequence[str], extent: Window, wish: Wish) -> dict[str, NDArray[Any]]:
    layers: dict[str, NDArray[Any]] = {}
    for name in sources:
        layers[f"clear_{name}"] = np.zeros(extent.shape, np.uint16)
    for name in sources:
        layers[f"days_{name}"] = np.full(extent.shape, QUALITY_NODATA, np.uint16)
    if wish.agreement:
        layers["agreement"] = np.full(extent.shape, np.nan, np.float32)
    return layers
