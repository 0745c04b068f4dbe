"""Perturbations: what the student does not see. Frames are masked, never zeroed.

Source: AlphaEarth Foundations (arXiv 2507.22291), teacher and student. Departure: where a support period is shorter
than a year, its halves take the place of six months.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from earthfield_model.batch import Batch, SourceBatch
from earthfield_model.timecode import YEAR_DAYS
from earthfield_train.config import LossConfig


def student_view(
    batch: Batch, supports: Float64[Tensor, "B 2"], config: LossConfig, generator: torch.Generator
) -> dict[str, SourceBatch]:
    """Masks frames sample by sample: whole sensors, then random frames, the last six months, or the first six.

    A sample that would be left with nothing keeps everything.

    Args:
        batch: the teacher's inputs.
        supports: support periods, days since 2000.
        config: odds of each loss of frames.
        generator: source of randomness, on the batch's device.
    """
    num_samples, device = len(supports), supports.device
    start, end = supports.split(1, 1)
    span = torch.clamp((end - start) / 2, max=YEAR_DAYS / 2)
    which = torch.randint(3, (num_samples, 1), generator=generator, device=device)

    def lost(odds: float, num_frames: int = 1) -> Bool[Tensor, "B T"]:
        return torch.rand((num_samples, num_frames), generator=generator, device=device) < odds

    # Drawn by sensor: all Landsats go together.
    sensors = {sensor: lost(odds) for sensor, odds in sorted(config.drop_source.items())}
    kept = {}
    for name in sorted(batch):
        days = batch[name].days
        some = lost(_odds(config.drop_frame, name), days.shape[1])
        dropped = torch.where(
            which == 0, some, torch.where(which == 1, days >= end - span, days < start + span)
        )
        sensor = _sensor(config.drop_source, name)
        kept[name] = ~dropped if sensor is None else ~(dropped | sensors[sensor])
    enough = torch.stack([(batch[name].shows() & keep).any(1) for name, keep in kept.items()]).any(0)
    return {name: batch[name].masked(keep | ~enough[:, None]) for name, keep in kept.items()}


def _sensor(odds: Mapping[str, float], source: str) -> str | None:
    """Gives the longest name in the odds that a source's name begins with."""
    return max((one for one in odds if source.startswith(one)), key=len, default=None)


def _odds(odds: Mapping[str, float], source: str) -> float:
    sensor = _sensor(odds, source)
    return 0.0 if sensor is None else odds[sensor]
