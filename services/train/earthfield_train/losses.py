"""Losses between embeddings, and what a step's losses are: uniformity, consistency, and the parts' sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Losses:
    """What one step costs."""

    total: Float[Tensor, ""]
    """What is minimised: the weighted sum."""
    parts: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)
    """Every loss apart, none of them weighted, detached."""

    def figures(self) -> dict[str, float]:
        """Gives the parts as plain numbers; all of them come from the device at once."""
        if not self.parts:
            return {}
        values = torch.stack([one.detach().float() for one in self.parts.values()]).tolist()
        return dict(zip(self.parts, values, strict=True))


def uniformity_loss(u: Float[Tensor, "B H W D"]) -> Float[Tensor, ""]:
    """Gives mean |u . u'|, u' being the batch turned by one: other samples, never neighbouring pixels.

    Source: AlphaEarth Foundations (arXiv 2507.22291), batch uniformity.
    """
    if len(u) < 2:
        return u.sum() * 0
    return (u * u.roll(1, 0)).sum(-1).abs().mean()


def consistency_loss(
    teacher: Float[Tensor, "B H W D"], student: Float[Tensor, "B H W D"]
) -> Float[Tensor, ""]:
    """Gives mean (1 - mu . mu_s) / 2. The teacher is what the student moves to and gets no gradient here.

    The student has the teacher's weights, so its gradient reaches them.
    """
    return ((1 - (teacher.detach() * student).sum(-1)) / 2).mean()
