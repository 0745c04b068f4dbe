"""Dry run: what a training would take, from two timed steps; nothing is written."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from earthfield_train.plots import Plot
from earthfield_train.trainer import Trainer

FIRST_FIT_TIMED = 2
"""Batches of the first fit that are timed."""
_TIMED = 2


@dataclass
class DryRunReport:
    """What a training run would be and take."""

    model: str
    """Name of the model."""
    parameters: int
    """Learned figures."""
    sources: list[str]
    """Sources that it would read."""
    plots: int
    """Pieces of land that samples would be drawn from."""
    square_km: float
    """Their area."""
    steps: int
    """Optimiser steps."""
    samples: int
    """Samples in all steps together."""
    device: str
    """Where it would compute."""
    seconds_a_step: float
    """Mean of the timed steps; the first of all is left out, it warms up."""
    first_fit_minutes: float
    """Time before the first step, in which the embedding layer is computed."""
    hours: float
    """Time of the whole run at that pace, the first fit with it."""
    weights_gb: float
    """Weights, gradients and two moments, float32, over all processes."""
    peak_gb: float
    """Highest memory of this process during the steps; on a GPU the GPU's."""
    plots_gb: float
    """Memory that decoded plots may still come to take beside that, data.cache_gb at most."""


def dry_run(trainer: Trainer, plots: Sequence[Plot], *, first_fit_s: float) -> DryRunReport:
    """Does three steps with weights that are thrown away.

    Args:
        trainer: made ready, nothing done yet.
        plots: where samples come from.
        first_fit_s: seconds that the first fit would take.
    """
    config, model = trainer.config, trainer.objective.model
    on_gpu = trainer.engine.device.type == "cuda"
    num_parameters = model.num_parameters
    trainer.train_step()
    started = time.perf_counter()
    for _ in range(_TIMED):
        trainer.train_step()
    seconds = (time.perf_counter() - started) / _TIMED
    peak = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else _resident_gb()
    return DryRunReport(
        model=model.config.name,
        parameters=num_parameters,
        sources=list(model.config.source_names),
        plots=len(plots),
        square_km=round(sum(h * w for h, w in (one.window.shape for one in plots)) * 1e-4, 3),
        steps=config.steps,
        samples=config.steps * config.batch,
        device=str(trainer.engine.device),
        seconds_a_step=round(seconds, 3),
        first_fit_minutes=round(first_fit_s / 60, 2),
        hours=round((first_fit_s + seconds * config.steps) / 3600, 3),
        weights_gb=round(num_parameters * 16 / 1e9, 3),
        peak_gb=round(peak, 2),
        plots_gb=config.data.cache_gb,
    )


def _resident_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
