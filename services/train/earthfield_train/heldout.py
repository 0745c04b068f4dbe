"""How well a student matches its teacher on plots that it never learned from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from earthfield.codec import NODATA
from earthfield.grid import Window
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import EMBEDDING_DIM
from earthfield_train.config import TrainConfig
from earthfield_train.emulate import Chip, Lesson, chip_of, clear_frames, decoded, seen_pixels, stacked
from earthfield_train.plots import PlotStore
from earthfield_train.teacher import Teacher

CLOSE = 0.9
"""Cosine from which on a pixel counts as close."""


@dataclass(frozen=True)
class HeldOut:
    """Figures of the match on held-out plots."""

    plots: int
    """Plots that were held out."""
    chips: int
    """Chips of them that were looked at."""
    pixels: int
    """Pixels that the teacher knows and some frame shows."""
    cosine: float | None = None
    """Mean cosine between student and teacher; None where no pixel could be compared."""
    close: float | None = None
    """Share of pixels with a cosine of at least 0.9."""
    constant: float | None = None
    """Mean cosine of the best constant vector, the teacher's own mean: what knowing nothing of the place gives."""
    by_period: Mapping[str, float] = field(default_factory=dict)
    """Mean cosine by the teacher's period."""


@torch.no_grad()
def match_of(
    model: AlphaEarth, lessons: Sequence[Lesson], store: PlotStore, teacher: Teacher, config: TrainConfig
) -> HeldOut:
    """Compares fields of held-out plots with the teacher's, each made from as many frames as training allows.

    Args:
        model: the student.
        lessons: plots that were held out; maybe none.
        store: reads cubes.
        teacher: reads fields.
        config: size of chips, frames, and how many chips to look at.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    num_chips, num_close, mean = 0, 0, torch.zeros(EMBEDDING_DIM, dtype=torch.float64)
    sums: dict[str, tuple[float, int]] = {}
    for chip in _chips(lessons, store, teacher, config, model):
        batch = stacked([chip], model.config).to(device)
        target, known = decoded(batch.codes)
        counts = known & seen_pixels(batch.inputs, model.config)
        cosines = (model(batch.inputs, batch.periods).float() * target).sum(-1)[counts].double()
        num_chips += 1
        num_close += int((cosines >= CLOSE).sum())
        mean += target[counts].double().sum(0).cpu()
        total, count = sums.get(str(chip.period), (0.0, 0))
        sums[str(chip.period)] = (total + float(cosines.sum()), count + len(cosines))
    model.train(was_training)
    pixels = sum(count for _, count in sums.values())
    found = HeldOut(len(lessons), num_chips, pixels)
    if not pixels:
        return found
    return replace(
        found,
        cosine=round(sum(total for total, _ in sums.values()) / pixels, 6),
        close=round(num_close / pixels, 6),
        constant=round(float(mean.norm()) / pixels, 6),
        by_period={name: round(total / count, 6) for name, (total, count) in sorted(sums.items()) if count},
    )


def _chips(
    lessons: Sequence[Lesson], store: PlotStore, teacher: Teacher, config: TrainConfig, model: AlphaEarth
) -> Iterator[Chip]:
    """Yields evenly chosen chips of all plots and periods that show anything to compare."""
    every = [
        (lesson, view, period)
        for lesson in lessons
        for view in _views(lesson.plot.window, config.data.chip_px)
        for period in lesson.periods
    ]
    step = max(-(-len(every) // config.emulate.most_chips), 1)
    for lesson, view, period in every[::step]:
        chip = _thinned(chip_of(lesson.plot, view, period, store, teacher), config, model)
        if chip.inputs and (chip.codes[0] != NODATA).any():
            yield chip


def _views(window: Window, size: int) -> Iterator[Window]:
    """Yields chips side by side over a plot's rows and columns; the last of a row reaches back."""
    height, width = window.shape
    for y in sorted({min(y, height - size) for y in range(0, height, size)}):
        for x in sorted({min(x, width - size) for x in range(0, width, size)}):
            yield Window(y, y + size, x, x + size)


def _thinned(chip: Chip, config: TrainConfig, model: AlphaEarth) -> Chip:
    """Keeps as many frames as a training sample has at most, evenly through the period."""
    inputs = {}
    for name in sorted(set(chip.inputs) & set(model.config.source_names)):
        frames = chip.inputs[name]
        usable = clear_frames(frames, config.data.min_clear)
        most = min(config.data.max_frames.get(name, config.data.other_frames), len(usable))
        if most:
            inputs[name] = frames.take(usable[np.linspace(0, len(usable) - 1, most).round().astype(int)])
    return replace(chip, inputs=inputs)
