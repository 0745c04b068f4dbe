"""Samples: chips drawn from plots, with a valid period and held-out target frames, in an order fixed by a seed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from numpy.typing import NDArray
from torch import Tensor

from earthfield.errors import NotFound
from earthfield.frames import Frames, SourceFrames
from earthfield.geometry import turned
from earthfield.grid import Window
from earthfield.timeline import STEP_DAYS
from earthfield_model.batch import SourceBatch, batch_of, targets_of
from earthfield_model.config import ModelConfig
from earthfield_model.timecode import days_of
from earthfield_train.config import DataConfig
from earthfield_train.plots import Plot, PlotStore, Record

_TRIES = 50
_EPOCH_DAY = 10_957
"""Days from 1970, where steps begin, to 2000, where the model's days do."""

TextAt = Callable[[Plot, np.random.Generator], NDArray[np.float32] | None]
"""Gives the sentence embedding (E,) of a text in or near a piece of land, or None where there is none."""


@dataclass(frozen=True)
class Sample:
    """What the model sees of one chip, and what it must reconstruct."""

    inputs: Frames
    """Input frames; no target is among them, nor another product of its acquisition."""
    targets: Frames
    """Few frames per source that belong to the valid period; one cell of sources with a grid of their own."""
    period: tuple[float, float]
    """Valid period, days since 2000."""
    support: tuple[float, float]
    """When inputs were taken, days since 2000."""
    place: Plot
    """The chip itself, a part of the plot that it was drawn from."""


@dataclass(frozen=True)
class TrainBatch:
    """Samples as tensors."""

    inputs: Mapping[str, SourceBatch]
    """Input frames."""
    targets: Mapping[str, SourceBatch]
    """Target frames; not valid where a sample has fewer. (B, T, C, 1, 1) of sources with a grid of their own."""
    periods: Float64[Tensor, "B 2"]
    """Valid periods, days since 2000."""
    supports: Float64[Tensor, "B 2"] | None = None
    """Support periods, days since 2000; the valid ones where left out."""
    text: Float[Tensor, "B E"] | None = None
    """Frozen sentence embeddings, zero where a sample has none; None where no sample has one."""
    has_text: Bool[Tensor, " B"] | None = None
    """Which samples have one."""

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> TrainBatch:
        """Gives the same on a device."""
        return self._each(
            lambda one: one.to(device, non_blocking=non_blocking),
            lambda x: x.to(device, non_blocking=non_blocking),
        )

    def pinned(self) -> TrainBatch:
        """Gives the same in page-locked memory, from where a GPU fetches on its own."""
        return self._each(lambda one: one.pinned(), lambda x: x.pin_memory())

    def _each(
        self, frames: Callable[[SourceBatch], SourceBatch], tensor: Callable[[Tensor], Tensor]
    ) -> TrainBatch:
        def maybe(x: Tensor | None) -> Tensor | None:
            return None if x is None else tensor(x)

        return replace(
            self,
            inputs={name: frames(one) for name, one in self.inputs.items()},
            targets={name: frames(one) for name, one in self.targets.items()},
            periods=tensor(self.periods),
            supports=maybe(self.supports),
            text=maybe(self.text),
            has_text=maybe(self.has_text),
        )


class Sampler:
    """Draws batches; batch number i is a function of the seed and i alone, so a run can go on anywhere."""

    def __init__(
        self,
        plots: Sequence[Plot],
        store: PlotStore,
        config: DataConfig,
        *,
        seed: int,
        text_at: TextAt | None = None,
    ) -> None:
        """Args: where to draw from; how; the seed; what gives a text near a plot."""
        self._plots, self._store, self._config, self._seed = tuple(plots), store, config, seed
        self._text_at = text_at
        # A root counts by the square root of its plots: one small real place beside a large simulated one is heard.
        num_plots = {root: sum(plot.root == root for plot in plots) for root in {plot.root for plot in plots}}
        odds = np.array([num_plots[plot.root] ** -0.5 for plot in plots])
        self._odds = odds / odds.sum()

    def batch(self, number: int, size: int, model: ModelConfig) -> TrainBatch:
        """Gives batch `number`: samples of different plots as long as there are enough."""
        rng = np.random.default_rng([self._seed, number])
        plots = self._chosen(number, size, rng)
        samples = [self.sample(plot, rng) for plot in plots]
        config = self._config
        frames = {name: config.max_frames.get(name, config.other_frames) for name in model.source_names}
        text, has_text = self._texts([one.place for one in samples], number)
        return TrainBatch(
            batch_of(
                [one.inputs for one in samples], model, num_frames=frames if config.fixed_frames else None
            ),
            targets_of([one.targets for one in samples], model),
            torch.tensor([one.period for one in samples], dtype=torch.float64),
            torch.tensor([one.support for one in samples], dtype=torch.float64),
            text,
            has_text,
        )

    def plots_of(self, number: int, size: int) -> list[Plot]:
        """Gives the plots of batch `number`."""
        return self._chosen(number, size, np.random.default_rng([self._seed, number]))

    def sample(self, plot: Plot, rng: np.random.Generator) -> Sample:
        """Draws a sample of a plot.

        Raises:
            NotFound: the plot shows so little that no valid period with a target and an input was found.
        """
        record, size = self._store.record(plot), self._config.chip_px
        height, width = plot.window.shape
        for _ in range(_TRIES):
            y, x = int(rng.integers(0, height - size + 1)), int(rng.integers(0, width - size + 1))
            window = Window(y, y + size, x, x + size)
            place = replace(plot, window=window.shifted(plot.window.y0, plot.window.x0))
            drawn = self._drawn(_chip(record, plot, window), record, place, rng)
            if drawn is not None:
                return _turned(drawn, rng)
        raise NotFound(f"the plot {plot.window} under {plot.root} shows too little: leave its cube out")

    def _chosen(self, number: int, size: int, rng: np.random.Generator) -> list[Plot]:
        num_slots = self._config.pool_plots
        if not 0 < num_slots < len(self._plots):
            repeated = size > len(self._plots)
            chosen = rng.choice(len(self._plots), size, replace=repeated, p=self._odds)
            return [self._plots[index] for index in chosen]
        slots = rng.choice(num_slots, size, replace=size > num_slots)
        return [self._pooled(int(slot), number) for slot in slots]

    def _pooled(self, slot: int, number: int) -> Plot:
        """Gives the plot in a slot of the pool at a batch; slots change one after another, not all at once."""
        stay, num_slots = self._config.pool_steps, self._config.pool_plots
        turn = (number + slot * stay // num_slots) // stay
        rng = np.random.default_rng([self._seed, turn, slot, num_slots])
        return self._plots[rng.choice(len(self._plots), p=self._odds)]

    def _texts(self, places: Sequence[Plot], number: int) -> tuple[Tensor | None, Tensor | None]:
        if self._text_at is None:
            return None, None
        # A generator of its own: the same samples are drawn with and without texts.
        rng = np.random.default_rng([self._seed, number, 1])
        found = [self._text_at(place, rng) for place in places]
        known = [one for one in found if one is not None]
        if not known:
            return None, None
        text = [np.zeros_like(known[0]) if one is None else one for one in found]
        has_text = torch.tensor([one is not None for one in found])
        return torch.from_numpy(np.stack(text).astype(np.float32)), has_text

    def _drawn(self, chip: Frames, record: Record, place: Plot, rng: np.random.Generator) -> Sample | None:
        """Draws periods, targets and inputs of a chip, or gives None where it shows too little for them."""
        inputs = [name for name in chip if "input" in self._store.sources[name].roles]
        days = {name: days_of(one.acquired) for name, one in chip.items()}
        shows = {name: self._shows(name, one) for name, one in chip.items()}
        every = np.concatenate([days[name][shows[name]] for name in inputs] or [np.empty(0)])
        if not len(every):
            return None
        valid, seen = self._when(every, rng)
        targets = {}
        for name in (name for name in chip if "target" in self._store.sources[name].roles):
            spans = record.spans.get(name)
            touching = _within(days[name], valid) if spans is None else _touching(spans, valid)
            if len(chosen := self._held_out(name, np.flatnonzero(shows[name] & touching), rng)):
                targets[name] = chosen
        kept = {}
        for name in inputs:
            told = [days[other][chosen] for other, chosen in targets.items() if _kin(other) == _kin(name)]
            usable = shows[name] & _within(days[name], seen) & ~_same_step(days[name], told)
            if len(chosen := self._subset(np.flatnonzero(usable), name, rng)):
                kept[name] = chosen
        if not kept or not self._teaches(targets, inputs):
            return None
        taken = [{name: chip[name].take(chosen) for name, chosen in one.items()} for one in (kept, targets)]
        return Sample(taken[0], taken[1], valid, seen, place)

    def _when(
        self, days: Float64[np.ndarray, " T"], rng: np.random.Generator
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """Draws the valid period, and when inputs are taken: in it alone, or in a support period around it."""
        config = self._config
        latest = max(days.max() - config.support_days, days.min())
        support = _span(rng.uniform(days.min(), latest), config.support_days)
        valid = _inside(support, self._valid_days(rng), rng)
        return valid, valid if rng.random() < config.alone else support

    def _teaches(self, targets: Collection[str], inputs: Sequence[str]) -> bool:
        """Tells whether a sensor that the model sees is to be reconstructed, where any ever is."""
        asked = [name for name in inputs if "target" in self._store.sources[name].roles]
        return bool(targets) and (not asked or any(name in targets for name in asked))

    def _shows(self, name: str, frames: SourceFrames) -> NDArray[np.bool_]:
        """Tells which frames show enough: of what the model is never given, a single pixel is."""
        pixels = frames.valid.reshape(len(frames.valid), -1)
        if "input" not in self._store.sources[name].roles:
            return np.asarray(pixels.any(1))
        least = max(self._config.min_clear * pixels.shape[1], 1)
        return np.asarray(np.count_nonzero(pixels, axis=1) >= least)

    def _held_out(self, name: str, eligible: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
        most = len(eligible)
        if "input" in self._store.sources[name].roles:
            most = min(max(most // 3, 1), most)
        return np.sort(rng.choice(eligible, min(self._config.num_targets, most), replace=False))

    def _valid_days(self, rng: np.random.Generator) -> float:
        names = list(self._config.valid_odds)
        odds = np.array([self._config.valid_odds[name] for name in names])
        return self._config.valid_days[names[rng.choice(len(names), p=odds / odds.sum())]]

    def _subset(self, usable: NDArray[np.intp], name: str, rng: np.random.Generator) -> NDArray[np.intp]:
        most = self._config.max_frames.get(name, self._config.other_frames)
        count = min(len(usable), int(rng.integers((most + 1) // 2, most + 1)))
        return np.sort(rng.choice(usable, count, replace=False)) if count else usable[:0]


def _chip(record: Record, plot: Plot, window: Window) -> dict[str, SourceFrames]:
    """Gives what is known of a window of a plot, without copies: pixels, and the nearest cell of coarse grids."""
    row, col = plot.window.y0 + (window.y0 + window.y1) / 2, plot.window.x0 + (window.x0 + window.x1) / 2
    fine = {name: one.cropped(window) for name, one in record.frames.items()}
    return fine | {name: one.nearest(plot.epsg, row, col) for name, one in record.coarse.items()}


def _kin(source: str) -> str:
    """Gives what products of the same acquisitions have in common: `sentinel-2` of `sentinel-2-l2a`."""
    return source.rpartition("-")[0] or source


def _same_step(
    days: Float64[np.ndarray, " T"], others: Sequence[Float64[np.ndarray, " N"]]
) -> NDArray[np.bool_]:
    if not others:
        return np.zeros(len(days), bool)
    return np.isin(_steps(days), _steps(np.concatenate(others)))


def _steps(days: Float64[np.ndarray, " T"]) -> NDArray[np.int64]:
    return ((days + _EPOCH_DAY) // STEP_DAYS).astype(np.int64)


def _span(start: float, length: float) -> tuple[float, float]:
    return start, start + length


def _inside(support: tuple[float, float], length: float, rng: np.random.Generator) -> tuple[float, float]:
    return _span(rng.uniform(support[0], max(support[1] - length, support[0])), length)


def _within(days: Float64[np.ndarray, " T"], span: tuple[float, float]) -> NDArray[np.bool_]:
    return (days >= span[0]) & (days < span[1])


def _touching(spans: Float64[np.ndarray, "T 2"], span: tuple[float, float]) -> NDArray[np.bool_]:
    return (spans[:, 0] < span[1]) & (spans[:, 1] > span[0])


def _turned(sample: Sample, rng: np.random.Generator) -> Sample:
    """Turns and mirrors inputs and targets alike, and with them the directions of sun and sensor."""
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))

    def image(x: NDArray[Any]) -> NDArray[Any]:
        x = np.rot90(x, turns, (-2, -1))
        return x[..., ::-1] if mirrored else x

    def all_turned(frames: Frames) -> Frames:
        return {
            name: replace(
                one,
                values=image(one.values),
                valid=image(one.valid),
                geometry=turned(one.geometry, turns=turns, mirrored=mirrored),
            )
            for name, one in frames.items()
        }

    return replace(sample, inputs=all_turned(sample.inputs), targets=all_turned(sample.targets))
