"""Bottleneck: von Mises-Fisher noise on the unit sphere, in training only."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def sample_vmf(
    mean: Float[Tensor, "... D"], kappa: float, generator: torch.Generator | None = None
) -> Float[Tensor, "... D"]:
    """Draws one unit vector around each mean direction, with gradients back to the direction.

    With t = <x, mean> and s = 1 - t the density is exp(-kappa s) (s (2 - s))^((D - 3) / 2). Drawing a tangent
    normal v of variance 1 / kappa in D - 1 dimensions and taking s = |v|^2 / 2 proposes s from
    exp(-kappa s) s^((D - 3) / 2); keeping it with probability (1 - s / 2)^((D - 3) / 2) makes the draw exact, and
    it is kept in 94 of 100 cases at kappa = 8e3, D = 64. Nothing cancels, where 1 - t^2 would.

    Source: after Wood 1994 (rejection), with a proposal made for high concentration.

    Args:
        mean: unit vectors.
        kappa: concentration; the higher, the nearer to the mean.
        generator: source of randomness.
    """
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    fixed = mean.detach()
    pending = torch.ones(mean.shape[:-1], dtype=torch.bool, device=mean.device)
    s = torch.zeros(mean.shape[:-1], device=mean.device)
    while pending.any():
        shape = (int(pending.sum()), mean.shape[-1])
        drawn = torch.randn(shape, generator=generator, device=mean.device)
        tangent = _tangent(drawn, fixed[pending])
        proposed = tangent.square().sum(-1) / (2 * kappa)
        chance = (1 - proposed / 2).clamp(min=0) ** ((mean.shape[-1] - 3) / 2)
        # Asked this way round, a mean that is not finite is kept and seen by the loss, not drawn for ever.
        kept = ~(torch.rand(chance.shape, generator=generator, device=mean.device) >= chance)
        where = pending.nonzero(as_tuple=True)
        chosen = tuple(axis[kept] for axis in where)
        s[chosen], noise[chosen] = proposed[kept], drawn[kept]
        pending[chosen] = False
    across = torch.nn.functional.normalize(_tangent(noise, mean), dim=-1)
    return (1 - s)[..., None] * mean + (s * (2 - s)).sqrt()[..., None] * across


def _tangent(x: Float[Tensor, "... D"], mean: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
    return x - (x * mean).sum(-1, keepdim=True) * mean
