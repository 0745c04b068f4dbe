"""Two periods of touching tiles compared: what the season did is removed, and chance is told from change."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earthfield.field import Field
from earthfield.grid import Window
from earthfield.progress import Progress
from earthfield_analysis.change import FEWEST, Null, Shift, distance, fit_null, fit_shift, split_half_noise
from earthfield_analysis.project import Axes, fit_axes, pca_rgb
from earthfield_search.ground.coverage import Coverage, strips_of

AGREEMENT = "agreement"
_SAMPLE_PX = 200_000
"""Pixels that a calibration is fitted on, at most."""
_SAMPLE_STRIPS = 16
"""Strips of 256 rows that they are read from, at most."""
_POOL_PX = 1
"""Margin that the noise is averaged over, beyond a strip."""
_PICTURE_PX = 1200
"""Side of the pictures of both periods, at most."""


@dataclass(frozen=True)
class Compared:
    """Two periods of a coverage."""

    coverage: Coverage
    """Where, with the fields of the first period."""
    distances: NDArray[np.float32]
    """(H, W) 1 - cosine, after the season was removed where it was; NaN without data or outside the area."""
    score: NDArray[np.float32]
    """(H, W) minus log10 of the false-alarm probability, NaN where unknown; the distances where not calibrated."""
    null: Null | None
    """How distances spread without change; None where not calibrated, or where too few pixels have agreement."""
    shift: Shift | None
    """What all land has in common; None where the season was kept."""
    pictures: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    """(h, w, 4) RGBA of each period, thinned, in the same colours."""
    step: int
    """Pixels from one of the pictures' pixels to the next."""


@dataclass(frozen=True)
class Fitted:
    """What a sample of two periods' fields tells."""

    axes: Axes | None
    """Common principal axes; None where no pixel has data in both, or vectors have less than 3 numbers."""
    shift: Shift | None
    """What all land has in common; None where the season is kept."""
    null: Null | None
    """How distances spread without change; None where not calibrated, or where too few pixels have agreement."""

    def apart(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float32]:
        """Gives 1 - cosine (...) of vectors (..., D), after the season was removed where it is."""
        return distance(before if self.shift is None else self.shift.apply(before), after)


def compare(
    coverage: Coverage,
    second: Mapping[str, Field],
    *,
    calibrated: bool,
    season: bool,
    progress: Progress,
) -> Compared:
    """Compares every pixel of a coverage, in two passes: one over a sample to fit, one over everything.

    What is fitted does not depend on the area that is asked for: whole fields tell what is usual.

    Args:
        coverage: fields of the first period, and the area.
        second: fields of the second period by tile.
        calibrated: whether false-alarm probabilities are wanted; every field must have the layer `agreement` then.
        season: whether what all land has in common is removed first.
        progress: told after each strip.
    """
    fitted = fit_fields(coverage.fields, second, calibrated=calibrated, season=season)
    distances = coverage.blank(float("nan"), np.float32)
    score = coverage.blank(float("nan"), np.float32) if calibrated else distances
    step = max(1, math.ceil(max(coverage.window.shape) / _PICTURE_PX))
    thin = tuple(-(-side // step) for side in coverage.window.shape)
    pictures = (np.zeros((*thin, 4), np.uint8), np.zeros((*thin, 4), np.uint8))
    strips = list(coverage.strips())
    for done, (held, strip) in enumerate(strips, 1):
        other = second[held.key.tile.id]
        window = strip & other.window & coverage.window
        progress("comparing every pixel", done, len(strips))
        if not window:
            continue
        place, vectors = coverage.place(window), (held.vectors(window), other.vectors(window))
        inside = coverage.inside(window)
        apart = fitted.apart(*vectors)
        distances[place] = apart if inside is None else np.where(inside, apart, np.float32("nan"))
        if fitted.null is not None:
            likely = fitted.null.probability(distances[place], noise_of(held, other, window))
            score[place] = -np.log10(np.maximum(likely, 1e-30))
        if fitted.axes is not None:
            _paint(pictures, step, place, vectors, fitted.axes)
    return Compared(coverage, distances, score, fitted.null, fitted.shift, pictures, step)


def fit_fields(
    fields: Sequence[Field],
    second: Mapping[str, Field],
    *,
    calibrated: bool,
    season: bool,
    most_strips: int = _SAMPLE_STRIPS,
) -> Fitted:
    """Fits the season and the null on a sample of fields of two periods.

    Args:
        fields: of the first period.
        second: of the second by tile, at least the same tiles.
        calibrated: whether the null is wanted; every field must have the layer `agreement` then.
        season: whether the season is removed.
        most_strips: strips of 256 rows that are read, at most.
    """
    parts = list(_sampled(fields, second, calibrated=calibrated, most_strips=most_strips))
    before, after, noise = (np.concatenate(one) for one in zip(*parts, strict=True))
    if not len(before):
        return Fitted(None, None, None)
    # Fewer dimensions than colours are not painted.
    axes = fit_axes(np.concatenate([before, after])) if before.shape[1] >= 3 else None
    shift = fit_shift(before, after) if season else None
    known = int(np.isfinite(noise).sum()) if calibrated else 0
    found = Fitted(axes, shift, None)
    return found if known < FEWEST else Fitted(axes, shift, fit_null(found.apart(before, after), noise))


def _sampled(
    fields: Sequence[Field], second: Mapping[str, Field], *, calibrated: bool, most_strips: int
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    """Yields vectors (N, D) of both periods and their noise (N,), pixels on an even lattice of some strips."""
    strips = [
        (held, other, window)
        for held in fields
        if (other := second[held.key.tile.id])
        for window in strips_of(held.window & other.window)
    ]
    chosen = [strips[n] for n in np.unique(np.linspace(0, len(strips) - 1, most_strips).round().astype(int))]
    total = sum(window.shape[0] * window.shape[1] for *_, window in chosen)
    step = max(1, math.ceil(math.sqrt(total / _SAMPLE_PX)))
    for held, other, window in chosen:
        before, after = (one.vectors(window)[::step, ::step] for one in (held, other))
        there = np.isfinite(before).all(axis=-1) & np.isfinite(after).all(axis=-1)
        noise = np.zeros(there.shape, np.float32)
        if calibrated:
            noise = noise_of(held, other, window)[::step, ::step]
        yield before[there], after[there], noise[there]


def noise_of(held: Field, other: Field, window: Window) -> NDArray[np.float32]:
    """Gives the noise of a window's pixels, averaged over their neighbours beyond it too."""
    wide = window.padded(_POOL_PX) & held.window & other.window
    layers = (one.quality(wide)[AGREEMENT] for one in (held, other))
    ys, xs = window.shifted(-wide.y0, -wide.x0).slices
    return split_half_noise(*layers, pool_px=2 * _POOL_PX + 1)[ys, xs]


def _paint(
    pictures: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    step: int,
    place: tuple[slice, slice],
    vectors: tuple[NDArray[np.float32], NDArray[np.float32]],
    axes: Axes,
) -> None:
    """Paints the pixels of a strip that lie on the pictures' lattice."""
    starts = [-one.start % step for one in place]
    ys, xs = (
        slice((one.start + start) // step, -(-(one.stop) // step))
        for one, start in zip(place, starts, strict=True)
    )
    for picture, own in zip(pictures, vectors, strict=True):
        picture[ys, xs] = pca_rgb(own[starts[0] :: step, starts[1] :: step], axes)
