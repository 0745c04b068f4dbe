"""Emulation: the same encoder learns to match published embeddings, pixel by pixel."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from earthfield.codec import NODATA
from earthfield.errors import NotFound
from earthfield.frames import Frames, SourceFrames
from earthfield.geometry import turned
from earthfield.grid import Window
from earthfield.timeline import Period
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.batch import SourceBatch, batch_of, packed
from earthfield_model.config import ModelConfig
from earthfield_model.timecode import days_of, period_days
from earthfield_train.config import TrainConfig
from earthfield_train.dataset import Sampler, TrainBatch
from earthfield_train.losses import Losses
from earthfield_train.objective import Objective
from earthfield_train.plots import Plot, PlotStore
from earthfield_train.teacher import Teacher

logger = logging.getLogger(__name__)

_TRIES = 50
_SPLIT = 0x5EED
"""Keeps the draw of the plots that are held out apart from the draw of samples."""


@dataclass(frozen=True)
class Lesson:
    """A plot of which a teacher says something."""

    plot: Plot
    """The plot."""
    periods: tuple[Period, ...]
    """Periods of which there is any vector."""


@dataclass(frozen=True)
class Chip:
    """What the student sees of a piece of a plot, and what it should make of it."""

    inputs: Frames
    """Frames of the period."""
    codes: Int8[np.ndarray, "D H W"]
    """The teacher's codes, -128 where it says nothing."""
    period: Period
    """What the codes summarise."""


@dataclass(frozen=True)
class EmulateBatch(TrainBatch):
    """Chips as tensors; there are no frames to reconstruct."""

    codes: Int8[Tensor, "B H W D"] = None  # type: ignore[assignment]
    """The teacher's codes, -128 where it says nothing."""

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> EmulateBatch:
        """Gives the same on a device."""
        moved = super().to(device, non_blocking=non_blocking)
        assert isinstance(moved, EmulateBatch)
        return replace(moved, codes=self.codes.to(device, non_blocking=non_blocking))

    def pinned(self) -> EmulateBatch:
        """Gives the same in page-locked memory, from where a GPU fetches on its own."""
        held = super().pinned()
        assert isinstance(held, EmulateBatch)
        return replace(held, codes=self.codes.pin_memory())


def decoded(codes: Int8[Tensor, "B H W D"]) -> tuple[Float[Tensor, "B H W D"], Bool[Tensor, "B H W"]]:
    """Gives the unit vectors of codes, and where there are any; zero elsewhere.

    Source: the published AlphaEarth files: x = sign(q) (q / 127.5)^2, whose norms lie near 1 and are made 1 here.
    """
    known = (codes != NODATA).all(-1)
    q = codes.float()
    values = q.sign() * (q / 127.5).square()
    return F.normalize(values, dim=-1) * known[..., None], known


def emulation_loss(
    mu: Float[Tensor, "B H W D"],
    target: Float[Tensor, "B H W D"],
    counts: Bool[Tensor, "B H W"],
    mse_weight: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Gives (1 - cos) + weight x MSE over the pixels that count, and mean cosine and MSE apart.

    MSE is the mean over pixels and the 64 dimensions. Between unit vectors it is (1 - cos) / 32: it changes the
    scale of the loss and not what is learned, and is kept so that figures compare with those of others.

    Args:
        mu: unit vectors.
        target: unit vectors.
        counts: pixels that count.
        mse_weight: weight of the squared error.
    """
    total = counts.sum().clamp(min=1)
    mu, target = mu.float(), target.float()
    away = (((1 - (mu * target).sum(-1)) * counts).sum()) / total
    mse = ((mu - target).square().mean(-1) * counts).sum() / total
    return away + mse_weight * mse, 1 - away, mse


def seen_pixels(inputs: Mapping[str, SourceBatch], config: ModelConfig) -> Bool[Tensor, "B H W"]:
    """Gives the pixels of which any frame shows any band: elsewhere the student has nothing to go by."""
    parts = [
        (one.valid & (one.stored != config.source(name).nodata).any(2)).any(1) for name, one in inputs.items()
    ]
    return torch.stack(parts).any(0)


class EmulateObjective(Objective):
    """The encoder's mean directions against a teacher's; no bottleneck, no decoders, no noise."""

    def __init__(self, model: AlphaEarth, config: TrainConfig) -> None:
        """Args: the student; weights are in its part `emulate`."""
        super().__init__(model)
        self.mse_weight = config.emulate.mse

    def forward(self, batch: TrainBatch, seed: int) -> Losses:
        """Gives the loss of a batch.

        Args:
            batch: an `EmulateBatch`.
            seed: not used: nothing is drawn.

        Returns:
            The loss, and as figures `emulation` (1 - cos), `cosine`, `mse` and the share of `pixels` that counted.
        """
        assert isinstance(batch, EmulateBatch)
        inputs = packed(batch.inputs)
        target, known = decoded(batch.codes)
        counts = known & seen_pixels(inputs, self.model.config)
        total, cosine, mse = emulation_loss(
            self.model(inputs, batch.periods), target, counts, self.mse_weight
        )
        parts = {"emulation": 1 - cosine, "cosine": cosine, "mse": mse, "pixels": counts.float().mean()}
        return Losses(total, {name: value.detach() for name, value in parts.items()})


class EmulateSampler(Sampler):
    """Draws batches; batch number i is a function of the seed and i alone, so a run can go on anywhere."""

    def __init__(
        self, lessons: Sequence[Lesson], store: PlotStore, teacher: Teacher, config: TrainConfig
    ) -> None:
        """Args: where to draw from; the cubes; the fields to match; how."""
        super().__init__([one.plot for one in lessons], store, config.data, seed=config.seed)
        self._periods = {one.plot: one.periods for one in lessons}
        self._teacher, self._emulate = teacher, config.emulate

    def batch(self, number: int, size: int, model: ModelConfig) -> EmulateBatch:
        """Gives batch `number`, of the same plots in the same order as in pretraining.

        Raises:
            NotFound: no plot has frames in the periods of its teacher.
        """
        rng = np.random.default_rng([self._seed, number])
        return stacked([self._chip(plot, rng, model) for plot in self._chosen(number, size, rng)], model)

    def _chip(self, first: Plot, rng: np.random.Generator, model: ModelConfig) -> Chip:
        """Draws a chip of a plot, or of another one where that shows too little."""
        plot = first
        for _ in range(_TRIES):
            chip = self._tried(plot, rng, model)
            if chip is not None:
                return _turned(chip, rng)
            logger.debug("nothing to learn in a chip of %s", plot)
            plot = self._plots[int(rng.integers(len(self._plots)))]
        periods = sorted({str(one) for held in self._periods.values() for one in held})
        raise NotFound(
            f"{_TRIES} chips drawn from {len(self._plots)} plots show too little of what the teacher has "
            f"({', '.join(periods)}): ingest these periods of these places, or lower data.min_clear"
        )

    def _tried(self, plot: Plot, rng: np.random.Generator, model: ModelConfig) -> Chip | None:
        config, size, (height, width) = self._config, self._config.chip_px, plot.window.shape
        period = self._periods[plot][int(rng.integers(len(self._periods[plot])))]
        y, x = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
        few = rng.random() < self._emulate.few
        chip = chip_of(plot, Window(y, y + size, x, x + size), period, self._store, self._teacher)
        if (chip.codes[0] != NODATA).mean() < self._emulate.min_known:
            return None
        inputs = {}
        for name in sorted(set(chip.inputs) & set(model.source_names)):
            usable = clear_frames(chip.inputs[name], config.min_clear)
            most = config.max_frames.get(name, config.other_frames)
            half = (most + 1) // 2
            wanted = int(rng.integers(1, half + 1) if few else rng.integers(half, most + 1))
            if len(usable):
                chosen = np.sort(rng.choice(usable, min(wanted, len(usable)), replace=False))
                inputs[name] = chip.inputs[name].take(chosen)
        return replace(chip, inputs=inputs) if inputs else None


def clear_frames(frames: SourceFrames, min_clear: float) -> NDArray[np.intp]:
    """Gives the places of frames that show at least a share of the window, and a pixel."""
    shown = frames.valid.reshape(len(frames.valid), -1)
    return np.flatnonzero(shown.sum(1) >= max(min_clear * shown.shape[1], 1))


def chip_of(plot: Plot, view: Window, period: Period, store: PlotStore, teacher: Teacher) -> Chip:
    """Gives all frames of a period and the teacher's codes over a part of a plot.

    Args:
        plot: the plot.
        view: rows and columns of it.
        period: one of the teacher's.
        store: reads cubes.
        teacher: reads fields.
    """
    start, end = period_days([period])[0].tolist()
    inputs = {}
    for name, one in store.frames(plot).items():
        days = days_of(one.acquired)
        inside = np.flatnonzero((days >= start) & (days < end))
        if len(inside):
            inputs[name] = one.cropped(view).take(inside)
    ys, xs = view.slices
    return Chip(inputs, teacher.codes(plot.epsg, plot.window, period)[:, ys, xs], period)


def stacked(chips: Sequence[Chip], model: ModelConfig) -> EmulateBatch:
    """Puts chips together; errors as in `batch_of`."""
    codes = np.stack([np.moveaxis(one.codes, 0, -1) for one in chips])
    return EmulateBatch(
        inputs=batch_of([one.inputs for one in chips], model),
        targets={},
        periods=period_days([one.period for one in chips]),
        codes=torch.from_numpy(np.ascontiguousarray(codes)),
    )


def find_lessons(plots: Sequence[Plot], teacher: Teacher) -> list[Lesson]:
    """Gives the plots of which the teacher says anything.

    Raises:
        NotFound: it says nothing of any of them.
    """
    lessons = [Lesson(plot, teacher.periods(plot.epsg, plot.window)) for plot in plots]
    held = [one for one in lessons if one.periods]
    if not held:
        zones = sorted({f"EPSG:{one.epsg}" for one in teacher.layers})
        raise NotFound(
            f"the teacher ({len(teacher.layers)} files in {', '.join(zones)}) has no vector over any of the "
            f"{len(plots)} plots of the data: name --teacher files of these places, or other --data"
        )
    logger.info("the teacher covers %d of %d plots", len(held), len(plots))
    return held


def parted(lessons: Sequence[Lesson], *, share: float, seed: int) -> tuple[list[Lesson], list[Lesson]]:
    """Deals plots out to (learned from, held out); a single plot is learned from and nothing is held out.

    Whole plots are held out, so that no chip that is judged was ever seen; neighbours of them may have been.

    Args:
        lessons: all of them.
        share: how many are held out; at least one where the share is not zero.
        seed: decides which.
    """
    count = min(max(round(share * len(lessons)), 1), len(lessons) - 1) if share else 0
    order = np.random.default_rng([seed, _SPLIT]).permutation(len(lessons))
    out = set(order[:count].tolist())
    learned = [one for index, one in enumerate(lessons) if index not in out]
    return learned, [lessons[index] for index in sorted(out)]


def _turned(chip: Chip, rng: np.random.Generator) -> Chip:
    """Turns and mirrors frames and codes alike, and with them the directions of sun and sensor."""
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))

    def image(x: NDArray[Any]) -> NDArray[Any]:
        x = np.rot90(x, turns, (-2, -1))
        return x[..., ::-1] if mirrored else x

    inputs = {
        name: replace(
            one,
            values=image(one.values),
            valid=image(one.valid),
            geometry=turned(one.geometry, turns=turns, mirrored=mirrored),
        )
        for name, one in chip.inputs.items()
    }
    return Chip(inputs, image(chip.codes), chip.period)
