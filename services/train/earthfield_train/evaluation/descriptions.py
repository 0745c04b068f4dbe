"""Every way to describe the pixels of a place, read chip by chip: fields, composites, harmonics, convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.cube import CubeReader
from earthfield.errors import NotFound
from earthfield.field import Field
from earthfield.grid import CHIP_PX, Window, windows_over
from earthfield.progress import Progress, silent
from earthfield.timeline import Period
from earthfield_analysis.fewshot import Features
from earthfield_train.evaluation.composites import (
    OPTICAL,
    RADAR,
    harmonics,
    monthly,
    percentiles,
    series_of,
)

MONTHLY, PERCENTILES, HARMONICS = "monthly composites", "percentiles", "harmonics"
CONVOLUTIONS, COORDINATES = "random convolutions", "coordinates"
BASELINES: Mapping[str, str] = {
    MONTHLY: "Sentinel-2 medians and Sentinel-1 means of each month, gaps from the nearest month",
    PERCENTILES: "10, 25, 50, 75 and 90 % of each band over the period",
    HARMONICS: "constant, yearly and half-yearly wave and their residual, of each band",
    CONVOLUTIONS: "random 3 x 3 patches of the monthly composites as filters, averaged over 7 x 7 px",
    COORDINATES: "row and column",
}
"""What a field is compared with."""
_KEPT_BYTES = 400_000_000


@dataclass(frozen=True)
class Place:
    """Where and when descriptions are made, and of which pixels they are kept."""

    epsg: int
    """The zone."""
    window: Window
    """All pixels of the place, in the zone's grid: they set the scale of every feature."""
    rows: NDArray[np.intp]
    """(N,) rows in the window of the pixels to keep."""
    cols: NDArray[np.intp]
    """(N,) columns."""
    period: Period
    """The valid period."""

    def pieces(self) -> list[Window]:
        """Cuts the window at the borders of chips."""
        return [one & self.window for one in windows_over(self.window, size=CHIP_PX, stride=CHIP_PX)]

    def within(self, piece: Window) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Gives which kept pixels lie in a piece, and their rows and columns in it."""
        rows, cols = self.rows + self.window.y0 - piece.y0, self.cols + self.window.x0 - piece.x0
        height, width = piece.shape
        inside = np.flatnonzero((rows >= 0) & (rows < height) & (cols >= 0) & (cols < width))
        return inside, rows[inside], cols[inside]


@dataclass
class Gathering:
    """One description on its way: values of the kept pixels, sums over all pixels of the place."""

    place: Place
    """Where."""
    values: NDArray[np.float32] | None = None
    """(N, F), NaN where nothing came yet; F is known with the first piece."""
    count: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(F,) pixels with a value."""
    mean: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(F,) their mean."""
    power: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(F,) sum of squared distances from it."""

    def add(self, piece: Window, described: NDArray[np.floating]) -> None:
        """Takes (h, w, F) of a piece."""
        width = described.shape[2]
        if self.values is None:
            self.values = np.full((len(self.place.rows), width), np.nan, np.float32)
            self.count, self.mean, self.power = np.zeros(width), np.zeros(width), np.zeros(width)
        inside, rows, cols = self.place.within(piece)
        self.values[inside] = described[rows, cols]
        flat = described.reshape(-1, width)
        seen = np.isfinite(flat)
        count = seen.sum(axis=0)
        mean = np.where(seen, flat, 0).sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
        power = np.where(seen, np.square(flat - mean), 0).sum(axis=0)
        # Means and squares of both parts as one: stable where values are large beside their spread.
        total = np.maximum(self.count + count, 1)
        apart = mean - self.mean
        self.power += power + apart**2 * self.count * count / total
        self.mean += apart * count / total
        self.count = self.count + count

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Tells which features were seen at all, (F,)."""
        return np.asarray(self.count > 0)

    def standardise(self, described: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scales (..., F) to zero mean and unit deviation over the place; features never seen are left away."""
        kept = self.measured
        std = np.sqrt(self.power[kept] / self.count[kept])
        scaled = (described[..., kept] - self.mean[kept]) / np.where(std > 0, std, 1)
        return np.asarray(scaled, np.float32)

    def features(self) -> Features:
        """Gives what was gathered, without features that were never seen."""
        kept = self.measured
        values = np.zeros((len(self.place.rows), 0), np.float32) if self.values is None else self.values
        return Features(values[:, kept], self.mean[kept], np.sqrt(self.power[kept] / self.count[kept]))


def describe_fields(place: Place, fields: Sequence[Field]) -> Features:
    """Gives a model's vectors: (N, D) of the kept pixels, NaN where there is none."""
    gathering = Gathering(place)
    for piece in place.pieces():
        found = np.full((*piece.shape, fields[0].dim), np.nan, np.float32)
        for one in fields:
            part = (one.window & piece) if one.key.tile.epsg == place.epsg else None
            if part:
                ys, xs = part.shifted(-piece.y0, -piece.x0).slices
                vectors = one.vectors(part)
                found[ys, xs] = np.where(np.isfinite(vectors), vectors, found[ys, xs])
        gathering.add(piece, found)
    return gathering.features()


def describe_coordinates(place: Place) -> Features:
    """Gives row and column of the kept pixels."""
    gathering = Gathering(place)
    for piece in place.pieces():
        rows, cols = np.mgrid[piece.y0 : piece.y1, piece.x0 : piece.x1]
        gathering.add(piece, np.stack([rows - place.window.y0, cols - place.window.x0], axis=2))
    return gathering.features()


def describe_observations(
    catalog: Catalog, place: Place, *, seed: int = 0, progress: Progress = silent
) -> dict[str, Features]:
    """Gives the classical descriptions of the kept pixels, from the observations in the cubes.

    Memory holds one chip's observations, the kept pixels, and up to 400 MB of monthly composites, which larger
    places make a second time.

    Args:
        catalog: where cubes lie.
        place: which pixels and when.
        seed: of the random patches.
        progress: told after each piece.

    Raises:
        NotFound: the cubes hold neither Sentinel-2 nor Sentinel-1 there and then.
    """
    from earthfield_train.evaluation.convolutions import HALO_PX, NUM_FEATURES, convolved, filters_from

    reader, pieces = CubeReader(catalog, (OPTICAL, RADAR)), place.pieces()
    found = {name: Gathering(place) for name in (MONTHLY, PERCENTILES, HARMONICS, CONVOLUTIONS)}
    centres = _random_pixels(place, NUM_FEATURES, seed)
    patches: dict[int, NDArray[np.float32]] = {}
    kept: dict[Window, NDArray[np.float32]] = {}
    steps = _Steps(progress, 2 * len(pieces))
    for piece in pieces:
        wide = piece.padded(HALO_PX)
        series = series_of(reader.read(place.epsg, wide, place.period), wide.shape)
        own = slice(HALO_PX, HALO_PX + piece.shape[0]), slice(HALO_PX, HALO_PX + piece.shape[1])
        composites = monthly(series, place.period)
        found[MONTHLY].add(piece, composites[own])
        inner = [one.cut(*own) for one in series]
        found[PERCENTILES].add(piece, percentiles(inner, place.period))
        found[HARMONICS].add(piece, harmonics(inner, place.period))
        patches.update(_patches(composites, wide, piece, centres))
        if sum(one.nbytes for one in kept.values()) + composites.nbytes < _KEPT_BYTES:
            kept[piece] = composites
        steps.done()
    scale = found[MONTHLY]
    if not scale.measured.any():
        raise NotFound(
            f"the cubes under {catalog.root} hold neither {OPTICAL} nor {RADAR} for {place.period} where the "
            "labels lie: ingest them, or leave the baselines out with --no-baselines"
        )
    drawn = np.stack([patches[number] for number in sorted(patches)])
    filters = filters_from(scale.standardise(drawn), count=NUM_FEATURES // 2)
    for piece in pieces:
        if piece not in kept:
            wide = piece.padded(HALO_PX)
            series = series_of(reader.read(place.epsg, wide, place.period), wide.shape)
            kept[piece] = monthly(series, place.period)
        answers = convolved(scale.standardise(kept.pop(piece)), filters)
        found[CONVOLUTIONS].add(piece, answers[HALO_PX:-HALO_PX, HALO_PX:-HALO_PX])
        steps.done()
    return {name: one.features() for name, one in found.items()}


@dataclass
class _Steps:
    """Tells progress of pieces."""

    progress: Progress
    total: int
    count: int = 0

    def done(self) -> None:
        self.count += 1
        self.progress("baselines", self.count, self.total)


def _random_pixels(place: Place, count: int, seed: int) -> NDArray[np.intp]:
    """Pixels of the place, (count, 2) rows and columns in the zone's grid."""
    rng = np.random.default_rng(seed)
    height, width = place.window.shape
    rows, cols = rng.integers(0, height, count), rng.integers(0, width, count)
    return np.stack([rows + place.window.y0, cols + place.window.x0], axis=1)


def _patches(
    composites: NDArray[np.float32], wide: Window, piece: Window, centres: NDArray[np.intp]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Patches of 3 x 3 px around the centres that lie in a piece, by the number of the centre."""
    for number, (row, col) in enumerate(centres):
        if piece.y0 <= row < piece.y1 and piece.x0 <= col < piece.x1:
            y, x = row - wide.y0, col - wide.x0
            yield number, composites[y - 1 : y + 2, x - 1 : x + 2]


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
