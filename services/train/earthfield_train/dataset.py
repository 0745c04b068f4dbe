"""Samples: chips drawn from cubes, with a valid period and held-out target frames, in an order fixed by a seed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

from earthfield.catalog import Catalog
from earthfield.cube import STEPS_PER_CHUNK, Cube, CubeReader
from earthfield.errors import NotFound
from earthfield.frames import Frames, SourceFrames
from earthfield.grid import CHIP_PX, Tile, Window
from earthfield.timeline import Period
from earthfield_model.batch import SourceBatch, batch_of
from earthfield_model.config import ModelConfig
from earthfield_model.timecode import days_of
from earthfield_train.config import DataConfig

ALWAYS = Period.parse("1970..2100")
_TRIES = 50


@dataclass(frozen=True, order=True)
class Plot:
    """A piece of land that is decoded at once."""

    root: Path
    """The root whose cubes hold it."""
    epsg: int
    """UTM zone."""
    window: Window
    """Its pixels in the zone's grid."""


@dataclass(frozen=True)
class Sample:
    """What the model sees of one chip, and what it must reconstruct."""

    inputs: Frames
    """Input frames; no target is among them."""
    targets: Frames
    """Few frames per source, acquired inside the valid period."""
    period: tuple[float, float]
    """Valid period, days since 2000."""


@dataclass(frozen=True)
class TrainBatch:
    """Samples as tensors."""

    inputs: Mapping[str, SourceBatch]
    """Input frames."""
    targets: Mapping[str, SourceBatch]
    """Target frames; not valid where a sample has fewer."""
    periods: Float64[Tensor, "B 2"]
    """Valid periods, days since 2000."""


def find_plots(roots: Sequence[Path], sources: Sequence[str], config: DataConfig) -> list[Plot]:
    """Cuts the parts of all cubes that hold data into plots.

    Raises:
        NotFound: no cube under any root holds anything of the sources.
    """
    plots = []
    for root in roots:
        catalog = Catalog(root)
        for tile in catalog.cube_tiles():
            extent = _extent(Cube(catalog.cube(tile)), tile, sources)
            plots += [Plot(root, tile.epsg, one) for one in _cut(extent, config)] if extent else []
    if not plots:
        where = ", ".join(str(root) for root in roots)
        raise NotFound(f"no cube with {', '.join(sources)} lies under {where}: run `earthfield ingest` first")
    return sorted(plots)


def _extent(cube: Cube, tile: Tile, sources: Sequence[str]) -> Window | None:
    """Gives the box around the pixels that some of the first observations show, in the zone's grid."""
    held = [name for name in sources if name in cube.sources]
    first = {name: sorted(one.slot for one in cube.observations(name))[:STEPS_PER_CHUNK] for name in held}
    shown = np.zeros(tile.window.shape, bool)
    for row in range(0, shown.shape[0], CHIP_PX):
        for col in range(0, shown.shape[1], CHIP_PX):
            chip = Window(row, row + CHIP_PX, col, col + CHIP_PX)
            for name, slots in first.items():
                shown[chip.slices] |= cube.read(name, slots, chip)[1].any(0)
    rows, cols = (np.flatnonzero(shown.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    box = Window(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1)
    return box.shifted(tile.window.y0, tile.window.x0)


def _cut(extent: Window, config: DataConfig) -> Iterator[Window]:
    """Yields windows of at least a chip and at most a plot; the last of a row reaches back, not out."""

    def spans(first: int, after: int) -> list[tuple[int, int]]:
        size = min(max(after - first, config.chip_px), config.plot_px)
        starts = {min(start, max(after - size, first)) for start in range(first, after, size)}
        return [(start, start + size) for start in sorted(starts)]

    for y0, y1 in spans(extent.y0, extent.y1):
        for x0, x1 in spans(extent.x0, extent.x1):
            yield Window(y0, y1, x0, x1)


class PlotStore:
    """Keeps decoded plots in memory as stored integers, the least recently used go first."""

    def __init__(self, sources: Sequence[str], *, limit_gb: float) -> None:
        """Args: sources to read; memory to use."""
        self._sources, self._limit = tuple(sources), limit_gb * 1e9
        self._held: OrderedDict[Plot, Frames] = OrderedDict()
        self._readers: dict[Path, CubeReader] = {}

    def frames(self, plot: Plot) -> Frames:
        """Gives all that was ever observed over a plot."""
        if plot in self._held:
            self._held.move_to_end(plot)
            return self._held[plot]
        reader = self._readers.setdefault(plot.root, CubeReader(Catalog(plot.root), self._sources))
        self._held[plot] = reader.read(plot.epsg, plot.window, ALWAYS)
        while len(self._held) > 1 and sum(map(_num_bytes, self._held.values())) > self._limit:
            self._held.popitem(last=False)
        return self._held[plot]


class Sampler:
    """Draws batches; batch number i is a function of the seed and i alone, so a run can go on anywhere."""

    def __init__(self, plots: Sequence[Plot], store: PlotStore, config: DataConfig, *, seed: int) -> None:
        """Args: where to draw from; how; the seed."""
        self._plots, self._store, self._config, self._seed = tuple(plots), store, config, seed
        # A root counts by the square root of its plots: one small real place beside a large simulated one is heard.
        num_plots = {root: sum(plot.root == root for plot in plots) for root in {plot.root for plot in plots}}
        odds = np.array([num_plots[plot.root] ** -0.5 for plot in plots])
        self._odds = odds / odds.sum()

    def batch(self, number: int, size: int, model: ModelConfig) -> TrainBatch:
        """Gives batch `number`: samples of different plots as long as there are enough."""
        rng = np.random.default_rng([self._seed, number])
        repeated = size > len(self._plots)
        chosen = rng.choice(len(self._plots), size, replace=repeated, p=self._odds)
        samples = [self.sample(self._plots[index], rng) for index in chosen]
        return TrainBatch(
            batch_of([one.inputs for one in samples], model),
            batch_of([one.targets for one in samples], model),
            torch.tensor([one.period for one in samples], dtype=torch.float64),
        )

    def sample(self, plot: Plot, rng: np.random.Generator) -> Sample:
        """Draws a sample of a plot.

        Raises:
            NotFound: the plot shows so little that no valid period with a target and an input was found.
        """
        frames = self._store.frames(plot)
        for _ in range(_TRIES):
            drawn = self._drawn(_cropped(frames, self._config.chip_px, rng), rng)
            if drawn is not None:
                return _turned(drawn, rng)
        raise NotFound(f"the plot {plot.window} under {plot.root} shows too little: leave its cube out")

    def _drawn(self, frames: Frames, rng: np.random.Generator) -> Sample | None:
        config = self._config
        days = {name: days_of(one.acquired) for name, one in frames.items()}
        clear = {name: one.valid.mean((1, 2)) >= config.min_clear for name, one in frames.items()}
        every = np.concatenate([days[name][clear[name]] for name in frames])
        if not len(every):
            return None
        latest = max(every.max() - config.support_days, every.min())
        support = _span(rng.uniform(every.min(), latest), config.support_days)
        valid = _inside(support, self._valid_days(rng), rng)
        seen = valid if rng.random() < config.alone else support
        inputs, targets = {}, {}
        for name, one in frames.items():
            held_out = np.flatnonzero(clear[name] & _within(days[name], valid))
            usable = clear[name] & _within(days[name], seen)
            if len(held_out):
                most = min(config.num_targets, max(len(held_out) // 3, 1))
                chosen = np.sort(rng.choice(held_out, most, replace=False))
                targets[name] = one.take(chosen)
                usable[chosen] = False
            chosen = self._subset(np.flatnonzero(usable), name, rng)
            if len(chosen):
                inputs[name] = one.take(chosen)
        return Sample(inputs, targets, valid) if inputs and targets else None

    def _valid_days(self, rng: np.random.Generator) -> float:
        names = list(self._config.valid_odds)
        odds = np.array([self._config.valid_odds[name] for name in names])
        return self._config.valid_days[names[rng.choice(len(names), p=odds / odds.sum())]]

    def _subset(self, usable: NDArray[np.intp], name: str, rng: np.random.Generator) -> NDArray[np.intp]:
        most = self._config.max_frames.get(name, 8)
        count = min(len(usable), int(rng.integers((most + 1) // 2, most + 1)))
        return np.sort(rng.choice(usable, count, replace=False)) if count else usable[:0]


def _span(start: float, length: float) -> tuple[float, float]:
    return start, start + length


def _inside(support: tuple[float, float], length: float, rng: np.random.Generator) -> tuple[float, float]:
    return _span(rng.uniform(support[0], max(support[1] - length, support[0])), length)


def _within(days: NDArray[np.float64], span: tuple[float, float]) -> NDArray[np.bool_]:
    return (days >= span[0]) & (days < span[1])


def _cropped(frames: Frames, size: int, rng: np.random.Generator) -> Frames:
    height, width = next(iter(frames.values())).shape
    y, x = rng.integers(0, height - size + 1), rng.integers(0, width - size + 1)
    ys, xs = slice(y, y + size), slice(x, x + size)
    return {
        name: SourceFrames(
            one.source, one.bands, one.values[..., ys, xs], one.valid[..., ys, xs], one.acquired, one.nodata
        )
        for name, one in frames.items()
    }


def _turned(sample: Sample, rng: np.random.Generator) -> Sample:
    """Turns and flips inputs and targets alike."""
    turns, flipped = int(rng.integers(4)), bool(rng.integers(2))

    def turned(x: NDArray[Any]) -> NDArray[Any]:
        x = np.rot90(x, turns, (-2, -1))
        return np.ascontiguousarray(x[..., ::-1] if flipped else x)

    def all_turned(frames: Frames) -> Frames:
        return {
            name: SourceFrames(
                one.source, one.bands, turned(one.values), turned(one.valid), one.acquired, one.nodata
            )
            for name, one in frames.items()
        }

    return Sample(all_turned(sample.inputs), all_turned(sample.targets), sample.period)


def _num_bytes(frames: Frames) -> int:
    return sum(one.values.nbytes + one.valid.nbytes for one in frames.values())
