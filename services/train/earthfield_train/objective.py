"""Objectives: what a batch costs a model. Whatever trains (one process, DDP, FSDP, compiled) wraps one of these."""

from __future__ import annotations

from copy import deepcopy

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.batch import Batch, SourceBatch, packed
from earthfield_model.bottleneck import sample_vmf
from earthfield_model.config import SourceConfig
from earthfield_train.config import LossConfig
from earthfield_train.dataset import TrainBatch
from earthfield_train.losses import Losses, consistency_loss, uniformity_loss
from earthfield_train.perturb import student_view
from earthfield_train.reconstruction import cross_entropy_loss, regrid_px, source_loss


class Objective(nn.Module):
    """A model and what it is asked for."""

    def __init__(self, model: AlphaEarth) -> None:
        """Takes a model over."""
        super().__init__()
        self.model = model

    def forward(self, batch: TrainBatch, seed: int) -> Losses:
        """Gives the losses of a batch.

        Args:
            batch: samples, on the model's device.
            seed: decides all noise.
        """
        raise NotImplementedError


class PretrainObjective(Objective):
    """The four losses: reconstruction, uniformity, consistency, text; and an anchor, where one is asked for.

    Source: AlphaEarth Foundations (arXiv 2507.22291), a mean(w f) + b |u . u'| + c (1 - mu . mu_s) / 2 + d CLIP.
    The anchor is ours: a frozen copy of the model as the run began, to whose vectors teacher and student are held.
    A first fit tells land apart better than a short training does, which makes it steady where frames lack.
    """

    def __init__(self, model: AlphaEarth, config: LossConfig, *, pack: bool = True) -> None:
        """Takes a model over.

        Args:
            model: the network; a copy of it as it is now becomes the anchor, where that has a weight.
            config: weights, and the student's perturbations.
            pack: leave out frames that show nothing; False keeps all shapes as they are, for compiled models.
        """
        super().__init__(model)
        self.config, self.pack = config, pack
        # A part of the objective, so that checkpoints hold it; not of the model that comes of it.
        self.anchor = deepcopy(model).requires_grad_(False) if config.anchor else None

    def forward(self, batch: TrainBatch, seed: int) -> Losses:
        """Runs teacher, bottleneck, decoders and student over a batch; arguments as in `Objective.forward`."""
        config, generator = self.config, noise(seed, batch.periods.device)
        inputs = self._packed(batch.inputs)
        mu = self.model(inputs, batch.periods)
        u = sample_vmf(mu, self.model.config.kappa, generator)
        parts = {"reconstruction": u.sum() * 0}
        if by_source := self._reconstructions(batch, u):
            weights = {one.name: one.loss_weight for one in self.model.config.targets}
            weighted = [weights[name] * value for name, value in by_source.items()]
            parts["reconstruction"] = torch.stack(weighted).mean()
        student = self._student(batch, inputs, generator)
        parts |= {
            "uniformity": uniformity_loss(u),
            "consistency": consistency_loss(mu[: len(student)], student),
            "text": self._text(batch, u),
        }
        if self.anchor is not None:
            parts["anchor"] = self._anchored(self.anchor, batch, inputs, torch.cat([mu, student]))
        odds = {name: getattr(config, name) for name in parts}
        total = torch.stack([weight * parts[name] for name, weight in odds.items()]).sum()
        kinds = {one.name: "ce" if one.classes else "l1" for one in self.model.config.targets}
        parts |= {f"{kinds[name]}/{name}": value for name, value in by_source.items()}
        return Losses(total, {name: value.detach() for name, value in parts.items()})

    def _student(
        self, batch: TrainBatch, inputs: Batch, generator: torch.Generator
    ) -> Float[Tensor, "S H W D"]:
        """Runs the student, which is the same network and sees less, over the first of the samples."""
        count = max(round(self.config.student_share * len(batch.periods)), 1)
        few = {name: one.first(count) for name, one in inputs.items()}
        supports = batch.periods if batch.supports is None else batch.supports
        seen = self._packed(student_view(few, supports[:count], self.config, generator))
        return self.model(seen, batch.periods[:count])

    def _anchored(
        self, anchor: AlphaEarth, batch: TrainBatch, inputs: Batch, learned: Float[Tensor, "N H W D"]
    ) -> Float[Tensor, ""]:
        """Compares the vectors of teacher and student, one after the other, with the anchor's from all frames."""
        with torch.no_grad():
            held = anchor(inputs, batch.periods)
        return consistency_loss(torch.cat([held, held[: len(learned) - len(held)]]), learned)

    def _text(self, batch: TrainBatch, u: Float[Tensor, "B H W D"]) -> Float[Tensor, ""]:
        if self.model.text is None or batch.text is None or batch.has_text is None:
            return u.sum() * 0
        from earthfield_train.texts.contrast import text_loss

        return text_loss(self.model.text, u, batch.text, batch.has_text)

    def _reconstructions(self, batch: TrainBatch, u: Float[Tensor, "B H W D"]) -> dict[str, Tensor]:
        """Gives the loss of every source that has a target in the batch, none of them weighted."""
        return {
            one.name: self._reconstruction(one, batch, batch.targets[one.name], u)
            for one in self.model.config.targets
            if one.name in batch.targets
        }

    def _reconstruction(
        self, source: SourceConfig, batch: TrainBatch, target: SourceBatch, u: Float[Tensor, "B H W D"]
    ) -> Float[Tensor, ""]:
        when = relative_time(source, target, batch)
        decoded = self.model.decode(source.name, u, when, target.geometry)
        predicted = rearrange(decoded, "b t h w c -> (b t) c h w")
        stored, valid = target.stored.flatten(0, 1), target.valid.flatten(0, 1)
        if source.classes:
            classes, known = self.model.classes_of(source.name, stored, valid)
            return cross_entropy_loss(predicted.float(), classes, known, cell_px=regrid_px(source))
        return source_loss(source, predicted, *self.model.measured(source.name, stored, valid))

    def _packed(self, batch: Batch) -> Batch:
        return packed(batch) if self.pack else batch


def relative_time(source: SourceConfig, target: SourceBatch, batch: TrainBatch) -> Float[Tensor, "B T"]:
    """Gives instants of targets, 0 at the start of the valid period and 1 at its end.

    What stands for an interval is told as the nearest instant of the period, what stands for all time as its
    middle.
    """
    start, end = batch.periods.split(1, 1)
    relative = ((target.days - start) / (end - start)).clamp(0, 1).float()
    return torch.full_like(relative, 0.5) if source.cadence == "static" else relative


def noise(seed: int, device: torch.device) -> torch.Generator:
    """Gives a generator on a device."""
    return torch.Generator(device).manual_seed(seed)
