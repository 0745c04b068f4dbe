"""Perturbations: what the student does not see. Frames are masked, never zeroed.

Source: AlphaEarth Foundations (arXiv 2507.22291), teacher and student. Departure: the halves are those of the
sample's own frames, which are six months for a support period of a year.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from earthfield_model.batch import Batch, SourceBatch
from earthfield_train.config import LossConfig


def student_view(batch: Batch, config: LossConfig, generator: torch.Generator) -> dict[str, SourceBatch]:
    """Masks frames sample by sample: whole sources, then random frames, the later or the earlier half.

    A sample that would be left with nothing keeps everything.

    Args:
        batch: the teacher's inputs.
        config: odds of each loss of frames.
        generator: source of randomness.
    """
    num_samples = len(next(iter(batch.values())).days)
    which = torch.randint(3, (num_samples, 1), generator=generator)
    middle = _middle(batch)
    kept = {}
    for name in sorted(batch):
        days = batch[name].days
        whole = torch.rand((num_samples, 1), generator=generator) < config.drop_source.get(name, 0.0)
        some = torch.rand(days.shape, generator=generator) < config.drop_frame.get(name, 0.0)
        dropped = torch.where(which == 0, some, torch.where(which == 1, days >= middle, days < middle))
        kept[name] = ~(dropped | whole)
    enough = torch.stack([(_shows(batch[name]) & kept[name]).any(1) for name in kept]).any(0)
    return {name: batch[name].masked(keep | ~enough[:, None]) for name, keep in kept.items()}


def _shows(one: SourceBatch) -> Bool[Tensor, "B T"]:
    return one.valid.flatten(2).any(-1)


def _middle(batch: Batch) -> Tensor:
    """Gives the instant halfway between the first and the last frame that shows anything, (B, 1)."""
    days = torch.cat([one.days for one in batch.values()], 1)
    shows = torch.cat([_shows(one) for one in batch.values()], 1)
    first = days.masked_fill(~shows, torch.inf).amin(1, keepdim=True)
    last = days.masked_fill(~shows, -torch.inf).amax(1, keepdim=True)
    return (first + last) / 2
