"""Losses: reconstruction, uniformity and consistency, each on its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.batch import packed
from earthfield_model.bottleneck import sample_vmf
from earthfield_train.config import LossConfig
from earthfield_train.dataset import TrainBatch
from earthfield_train.perturb import student_view


@dataclass(frozen=True)
class Losses:
    """The parts of one step's loss, none of them weighted yet."""

    by_source: Mapping[str, Tensor]
    """Mean absolute error of the standardised bands, by source that had a target."""
    reconstruction: Tensor
    """Their weighted mean."""
    uniformity: Tensor
    """Mean |u . u'| between samples."""
    consistency: Tensor
    """Mean (1 - mu . mu_s) / 2 between teacher and student."""

    def total(self, config: LossConfig) -> Tensor:
        """Gives the weighted sum that is minimised."""
        return (
            config.reconstruction * self.reconstruction
            + config.uniformity * self.uniformity
            + config.consistency * self.consistency
        )

    def figures(self) -> dict[str, float]:
        """Gives them as plain numbers."""
        parts = {name: getattr(self, name) for name in ("reconstruction", "uniformity", "consistency")}
        parts |= {f"l1/{name}": value for name, value in self.by_source.items()}
        return {name: float(value.detach()) for name, value in parts.items()}


def reconstruction_loss(
    predicted: Float[Tensor, "B H W C"], target: Float[Tensor, "B C H W"], seen: Bool[Tensor, "B C H W"]
) -> Float[Tensor, ""]:
    """Gives the mean absolute error over measured bands of measured pixels."""
    error = (predicted.movedim(-1, 1).float() - target).abs()
    return (error * seen).sum() / seen.sum().clamp(min=1)


def uniformity_loss(u: Float[Tensor, "B H W D"]) -> Float[Tensor, ""]:
    """Gives mean |u . u'|, u' being the batch turned by one: other samples, never neighbouring pixels."""
    if len(u) < 2:
        return u.sum() * 0
    return (u * u.roll(1, 0)).sum(-1).abs().mean()


def consistency_loss(
    teacher: Float[Tensor, "B H W D"], student: Float[Tensor, "B H W D"]
) -> Float[Tensor, ""]:
    """Gives mean (1 - mu . mu_s) / 2. The teacher is what the student moves to and gets no gradient here."""
    return ((1 - (teacher.detach() * student).sum(-1)) / 2).mean()


def step_losses(
    model: AlphaEarth, batch: TrainBatch, config: LossConfig, generator: torch.Generator
) -> Losses:
    """Runs teacher, bottleneck, decoders and student over a batch.

    Args:
        model: the network.
        batch: samples; targets are not among the inputs.
        config: the student's perturbations.
        generator: noise of the bottleneck and of the perturbations.
    """
    inputs = packed(batch.inputs)
    mu = model(inputs, batch.periods)
    u = sample_vmf(mu, model.config.kappa, generator)
    num_students = max(round(config.student_share * len(mu)), 1)
    few = {name: one.first(num_students) for name, one in inputs.items()}
    mu_student = model(packed(student_view(few, config, generator)), batch.periods[:num_students])
    by_source = _reconstructions(model, batch, u)
    weights = {name: model.config.source(name).loss_weight for name in by_source}
    weighted = [weights[name] * value for name, value in by_source.items()]
    # A mean over the sources that had a target, so that a scarce sensor does not change the scale.
    reconstruction = torch.stack(weighted).sum() / sum(weights.values()) if weighted else F.relu(u).sum() * 0
    return Losses(
        by_source, reconstruction, uniformity_loss(u), consistency_loss(mu[:num_students], mu_student)
    )


def _reconstructions(model: AlphaEarth, batch: TrainBatch, u: Float[Tensor, "B H W D"]) -> dict[str, Tensor]:
    start, end = (edge[:, None] for edge in batch.periods.unbind(-1))
    found = {}
    for name, target in batch.targets.items():
        num_targets = target.days.shape[1]
        y, seen = model.measured(name, target.stored.flatten(0, 1), target.valid.flatten(0, 1))
        if seen.any():
            relative = ((target.days - start) / (end - start)).float().flatten()
            predicted = model.decode(name, u.repeat_interleave(num_targets, 0), relative)
            found[name] = reconstruction_loss(predicted, y, seen)
    return found
