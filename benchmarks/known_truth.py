"""Measures a model on simulated land whose truth is known: few labels, change, few frames, and seasons."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from earthfield.catalog import Catalog
from earthfield.cube import CubeReader
from earthfield.errors import InvalidInput
from earthfield.frames import Frames, SourceFrames
from earthfield.grid import CHIP_PX, PIXEL_M, Window
from earthfield.ports import Encoder
from earthfield.simulate.change import GRADUAL
from earthfield.sources import known_sources
from earthfield.timeline import Period
from earthfield_analysis.fewshot import score_vectors
from earthfield_analysis.probes import balanced_accuracy, ridge
from earthfield_analysis.protocol import Rules, block_of, near_blocks, sites_of
from earthfield_train.config import DataConfig
from earthfield_train.evaluation.composites import OPTICAL, RADAR, monthly, series_of
from earthfield_train.plots import find_plots

NUM_SHOTS = 10
SEASON_MONTHS = ("{0}-03..{0}-05", "{0}-09..{0}-11")
SEASON_NAMES = ("same place", "calendar", "local")
"""Told on other pixels of the same place, on places never seen, and on those with spring after the hemisphere."""
SEASON_PX = 32
"""Side of what seasons are told on, in the middle of a place."""
PROBE_PX = 300
"""Pixels of a place and season that the probe learns from."""
KEPT_SHARE = 1 / 3
SEED = 0
Change = Callable[[SourceFrames], SourceFrames]


@dataclass(frozen=True)
class Place:
    """A landscape to measure on."""

    name: str
    """Name of its root."""
    root: Path
    """Where its cubes lie."""
    epsg: int
    """The zone."""
    window: Window
    """Its pixels in the zone's grid; sides are multiples of 16."""
    year: int
    """The first of its two years."""
    truth: Path | None = None
    """Folder of the truth rasters; None where only its seasons are looked at."""

    @property
    def is_south(self) -> bool:
        """Tells whether it lies south of the equator."""
        return self.epsg // 100 == 327

    def frames(self, sources: Sequence[str], year: int) -> Frames:
        """Reads what was seen in a year; the sources are those of the model and of the composites."""
        wanted = dict.fromkeys((*sources, OPTICAL, RADAR))
        return CubeReader(Catalog(self.root), wanted).read(self.epsg, self.window, Period.parse(str(year)))

    def truth_of(self, name: str) -> NDArray[np.uint8]:
        """Reads a truth raster over the window, (H, W)."""
        assert self.truth is not None
        with rasterio.open(self.truth / f"{name}.tif") as data:
            ys, xs = self.window.shifted(*_negative_corner(data)).slices
            return np.asarray(data.read(1)[ys, xs])

    def middle(self, side: int) -> Place:
        """Gives its middle, at most `side` px wide and high."""
        height, width = (min(one, side) // 16 * 16 for one in self.window.shape)
        y0 = self.window.y0 + (self.window.shape[0] - height) // 2
        x0 = self.window.x0 + (self.window.shape[1] - width) // 2
        return replace(self, window=Window(y0, y0 + height, x0, x0 + width))


@dataclass
class Measured:
    """What was measured of one model."""

    model: str
    """Name, and steps done where it is a checkpoint."""
    figures: dict[str, float] = field(default_factory=dict)
    """Means over places: few labels (balanced accuracy), change (area under the ROC curve), sparse (cosine), time
    (balanced accuracy)."""
    places: dict[str, dict[str, float]] = field(default_factory=dict)
    """The same by place."""
    skipped: list[str] = field(default_factory=list)
    """What could not be measured, and why."""
    seconds: float = 0.0
    """CPU time that measuring took."""

    def average(self) -> None:
        """Averages every figure over the places that have it."""
        for name in sorted({name for own in self.places.values() for name in own}):
            self.figures[name] = float(np.mean([own[name] for own in self.places.values() if name in own]))


def _negative_corner(data: Any) -> tuple[int, int]:
    """Gives minus the row and column of a raster's first pixel in the zone's grid."""
    return round(data.transform.f / PIXEL_M), -round(data.transform.c / PIXEL_M)


# ---- places ----


def held_out_places(roots: Sequence[Path], truths: Sequence[Path]) -> list[Place]:
    """Pairs roots with truths, in order; a truth is a folder of rasters or a catalogue with one."""
    if len(roots) != len(truths) or not roots:
        raise InvalidInput(
            f"{len(roots)} --held-out roots but {len(truths)} --truth folders: give them in pairs"
        )
    found = []
    for root, folder in zip(roots, truths, strict=True):
        truth = folder / "truth" if (folder / "truth").is_dir() else folder
        years = sorted(int(path.stem.rpartition("_")[2]) for path in truth.glob("landcover_*.tif"))
        if len(years) < 2:
            raise InvalidInput(f"{truth} holds land cover of {len(years)} years, and change takes two")
        with rasterio.open(truth / f"landcover_{years[0]}.tif") as data:
            y0, x0 = (-one for one in _negative_corner(data))
            window = Window(y0, y0 + data.height, x0, x0 + data.width)
            found.append(Place(root.name, root, data.crs.to_epsg(), window, years[0], truth))
    return [one.middle(max(one.window.shape)) for one in found]


def other_places(roots: Sequence[Path]) -> Iterator[Place]:
    """Yields the first plot of each root, for probes to learn seasons from."""
    for root in roots:
        plot = find_plots((root,), known_sources(), DataConfig())[0]
        catalog = Catalog(root)
        reader = CubeReader(catalog, (OPTICAL, RADAR))
        cubes = [cube for tile in catalog.cube_tiles() if (cube := reader.cube(tile)) is not None]
        seen = [
            one.acquired.year for cube in cubes for name in cube.sources for one in cube.observations(name)
        ]
        # Rasters that stand for all time are dated to years of their own.
        years, counts = np.unique(seen, return_counts=True)
        yield Place(root.name, root, plot.epsg, plot.window, int(years[counts > counts.max() / 4][0]))


# ---- fields ----


def encoded(encoder: Encoder, frames: Frames, periods: Sequence[Period]) -> NDArray[np.float32]:
    """Gives (P, H, W, 64) vectors of a place, by windows of at most a chip; NaN where nothing was seen."""
    height, width = next(iter(frames.values())).shape
    found = np.empty((len(periods), height, width, encoder.dim), np.float32)
    for y in range(0, height, CHIP_PX):
        for x in range(0, width, CHIP_PX):
            part = Window(y, min(y + CHIP_PX, height), x, min(x + CHIP_PX, width))
            ys, xs = part.slices
            found[:, ys, xs] = encoder.encode({n: one.cropped(part) for n, one in frames.items()}, periods)
    return found


def thinned(one: SourceFrames) -> SourceFrames:
    """Keeps a third of the frames that show anything, drawn at random."""
    shows = np.flatnonzero(one.valid.any(axis=(1, 2)))
    count = max(round(len(shows) * KEPT_SHARE), min(len(shows), 1))
    return one.take(np.sort(np.random.default_rng(SEED).choice(shows, count, replace=False)))


def shuffled(one: SourceFrames) -> SourceFrames:
    """Deals the instants out anew."""
    order = np.random.default_rng(SEED).permutation(len(one.acquired))
    return replace(one.take(order), acquired=one.acquired)


def at_once(one: SourceFrames) -> SourceFrames:
    """Dates all frames to one instant, the middle of their year."""
    if not len(one.acquired):
        return one
    year = one.acquired[0].astype("datetime64[Y]").astype("datetime64[us]")
    return replace(one, acquired=np.full(len(one.acquired), year + np.timedelta64(182, "D")))


INSTANTS: Mapping[str, Change] = {
    "true instants": lambda one: one,
    "shuffled": shuffled,
    "all the same": at_once,
}


def changed(frames: Frames, how: Change) -> Frames:
    """Changes the frames of every source."""
    return {name: how(one) for name, one in frames.items()}


# ---- the four figures ----


def measure(encoder: Encoder, name: str, held_out: Sequence[Place], others: Sequence[Place]) -> Measured:
    """Measures one model on places that it was not trained on; `others` only teach the probe of seasons."""
    started = time.process_time()
    found = Measured(name)
    for place in held_out:
        found.places[place.name] = measure_place(encoder, place, found.skipped)
    for name_of_place, own in seasons(encoder, held_out, others).items():
        found.places[name_of_place] |= own
    found.average()
    found.seconds = time.process_time() - started
    return found


def measure_place(encoder: Encoder, place: Place, skipped: list[str]) -> dict[str, float]:
    """Measures labels, change and few frames at one place."""
    years = [Period.parse(str(place.year + n)) for n in range(2)]
    frames = [place.frames(encoder.sources, place.year + n) for n in range(2)]
    pairs = list(zip(frames, years, strict=True))
    fields = [encoded(encoder, some, [year])[0] for some, year in pairs]
    composites = [monthly(series_of(some, place.window.shape), year) for some, year in pairs]
    seen = np.isfinite(composites[0]).any(axis=(0, 1))
    composites = [one[..., seen] for one in composites]
    sparse = encoded(encoder, changed(frames[0], thinned), years[:1])[0]
    cosine = (sparse * fields[0]).sum(-1)
    cosine = cosine[np.isfinite(cosine)]
    return {
        **few_labels(place, {"fields": fields[0], "composites": composites[0]}, skipped),
        **change_told(place, fields, composites),
        "sparse, mean": float(cosine.mean()),
        "sparse, 10th percentile": float(np.percentile(cosine, 10)),
    }


def few_labels(
    place: Place, described: Mapping[str, NDArray[np.float32]], skipped: list[str]
) -> dict[str, float]:
    """Scores descriptions (H, W, F) with few labels, all on the same pixels and draws."""
    whole = np.all([np.isfinite(one).all(-1) for one in described.values()], axis=0)
    found = {}
    for labels in ("landcover", "crop"):
        codes = place.truth_of(f"{labels}_{place.year}").astype(np.int32)
        codes = np.where(whole & (codes != 255), codes, 0)
        try:
            for name, one in described.items():
                for score in score_vectors(one, codes, shots=(NUM_SHOTS,), rules=Rules(seed=SEED)):
                    found[f"few labels, {labels}, {score.probe}, {name}"] = score.mean
        except InvalidInput as error:
            skipped.append(f"{labels} of {place.name}: {error}")
    return found


def change_told(
    place: Place, fields: Sequence[NDArray[np.float32]], composites: Sequence[NDArray[np.float32]]
) -> dict[str, float]:
    """Gives areas under the curve, of fields and for comparison of composites."""
    kinds = place.truth_of(f"change_{place.year}_{place.year + 1}")
    rotated = place.truth_of(f"rotation_{place.year}_{place.year + 1}") == 1
    spread = np.nanstd(composites[0], axis=(0, 1))
    apart = (composites[1] - composites[0])[..., spread > 0] / spread[spread > 0]
    scores = {"fields": 1 - (fields[0] * fields[1]).sum(-1), "composites": np.square(apart).mean(-1)}
    gradual = np.isin(kinds, GRADUAL)
    found = {}
    for name, score in scores.items():
        for kind, positive, negative in (
            ("abrupt", (kinds > 0) & ~gradual, kinds == 0),
            ("abrupt, same crop", (kinds > 0) & ~gradual, (kinds == 0) & ~rotated),
            ("gradual", gradual, kinds == 0),
            ("both", kinds > 0, kinds == 0),
        ):
            kept = (positive | negative) & np.isfinite(score) & (kinds != 255)
            if positive[kept].any() and negative[kept].any():
                found[f"change, {kind}, {name}"] = float(roc_auc_score(positive[kept], score[kept]))
    return found


def seasons(
    encoder: Encoder, held_out: Sequence[Place], others: Sequence[Place]
) -> dict[str, dict[str, float]]:
    """Gives by place how well its seasons are told, by a probe of its own other pixels and of all other places."""
    places = [one.middle(SEASON_PX) for one in (*held_out, *others)]
    found: dict[str, dict[str, float]] = {one.name: {} for one in held_out}
    for instants, how in INSTANTS.items():
        fields = [season_fields(encoder, one, how) for one in places]
        for place, both in zip(held_out, fields, strict=False):
            if scores := _other_pixels(both):
                found[place.name][f"time, same place, {instants}"] = float(np.mean(scores))
        told = [_some_pixels(both) for both in fields]
        for names in SEASON_NAMES[1:]:
            # Rows are March to May, then September to November.
            flips = [names == "local" and one.is_south for one in places]
            truth = [np.repeat([1 - flip, flip], len(x) // 2) for x, flip in zip(told, flips, strict=True)]
            for number, place in enumerate(held_out):
                found[place.name][f"time, {names}, {instants}"] = _unseen(told, truth, number)
    return found


def season_fields(encoder: Encoder, place: Place, how: Change) -> NDArray[np.float32]:
    """Gives (2, H, W, 64): fields of March to May and of September to November; NaN where either is."""
    periods = [Period.parse(months.format(place.year)) for months in SEASON_MONTHS]
    both = encoded(encoder, changed(place.frames(encoder.sources, place.year), how), periods)
    return np.where(np.isfinite(both).all(axis=(0, 3), keepdims=True), both, np.nan)


def _some_pixels(both: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gives (2 N, 64): vectors of N pixels in the one season, then of the same in the other."""
    flat = both.reshape(2, -1, both.shape[-1])
    pixels = np.flatnonzero(np.isfinite(flat).all(axis=(0, 2)))
    pixels = np.random.default_rng(SEED).permutation(pixels)[:PROBE_PX]
    return flat[:, pixels].reshape(-1, both.shape[-1])


def _other_pixels(both: NDArray[np.float32]) -> list[float]:
    """Scores each quarter of a place by a probe of the others, a rim around it left out; none where nothing is."""
    sites = sites_of(np.ones(both.shape[1:3], np.uint8))
    own, near = block_of(sites, 2), near_blocks(sites, 2, Rules().buffer_px)
    flat, scores = both.reshape(2, -1, both.shape[-1]), []
    for quarter in range(4):
        parts = [
            one[:, np.isfinite(one).all(axis=(0, 2))]
            for one in (flat[:, ~near[quarter]], flat[:, own == quarter])
        ]
        if min(one.shape[1] for one in parts) == 0:
            continue
        truth = [np.repeat([1, 0], one.shape[1]) for one in parts]
        train, test = (one.reshape(-1, both.shape[-1]) for one in parts)
        scores.append(_told(train, truth[0], test, truth[1]))
    return scores


def _unseen(told: Sequence[NDArray[np.float32]], truth: Sequence[NDArray[np.integer]], number: int) -> float:
    seen = [n for n in range(len(told)) if n != number]
    train = np.concatenate([told[n] for n in seen])
    return _told(train, np.concatenate([truth[n] for n in seen]), told[number], truth[number])


def _told(
    train: NDArray[np.float32],
    labels: NDArray[np.integer],
    test: NDArray[np.float32],
    truth: NDArray[np.integer],
) -> float:
    """Gives the balanced accuracy of a ridge probe."""
    middle, spread = train.mean(0), train.std(0) + 1e-9
    probe = ridge((train - middle) / spread, labels)
    return balanced_accuracy(truth, probe.guess((test - middle) / spread))
