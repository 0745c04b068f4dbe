"""Health of embeddings: do they span the sphere, are they centred and apart, and do they move with the period?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from earthfield_model.alphaearth import AlphaEarth
from earthfield_train.dataset import TrainBatch

_MOST_VECTORS = 2048
"""Vectors that are compared with one another; more are thinned out evenly."""


class Look(NamedTuple):
    """Fields of a batch: unit vectors, float32."""

    year: Float[Tensor, "B H W D"]
    """Of a year around the valid period's middle."""
    early: Float[Tensor, "B H W D"]
    """Of its first half."""
    late: Float[Tensor, "B H W D"]
    """Of its second half."""


@dataclass(frozen=True)
class Health:
    """Figures of a set of embeddings."""

    effective_rank: float
    """Exponential of the entropy of the covariance's spectrum, 1..64: how many directions are used."""
    mean_norm: float
    """Length of the mean vector, 0..1: 1 is a collapse to one point."""
    sample_mean_norm: float
    """Mean length of the samples' own mean vectors, 0..1: 1 has no detail inside a chip."""
    nearest: float
    """Median distance 1 - cos of a vector to the nearest other one: 0 is a heap of equal vectors."""
    nearest_across: float
    """Median distance to the nearest vector of another sample: how far apart alike places are."""
    period_response: float
    """Mean 1 - cos between the fields of the two halves of a year: 0 is blind to time."""
    sample_spread: float
    """Mean 1 - cos between pixels of different samples."""


def effective_rank(u: Float[Tensor, "M D"]) -> float:
    """Gives exp(entropy) of the normalised eigenvalues of the covariance.

    Source: Roy and Vetterli 2007.
    """
    centred = (u - u.mean(0)).double()
    spectrum = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0)
    shares = spectrum / spectrum.sum().clamp(min=1e-30)
    return float(torch.exp(-torch.special.xlogy(shares, shares).sum()))


def nearest_distances(u: Float[Tensor, "M D"], group: Tensor) -> tuple[float, float]:
    """Gives the median distance 1 - cos to the nearest other vector, and to the nearest of another group.

    Args:
        u: unit vectors.
        group: a number per vector, such as its sample.

    Returns:
        Both medians; 0 where there is no other vector or no other group.
    """
    alike = u.double() @ u.double().T
    alike.fill_diagonal_(-torch.inf)
    others = alike.masked_fill(group[:, None] == group[None], -torch.inf)
    found = ((1 - one.amax(1)).clamp(min=0) for one in (alike, others))
    near, across = (float(one.median()) if one.isfinite().all() else 0.0 for one in found)
    return near, across


def health_from(look: Look) -> Health:
    """Measures fields.

    Args:
        look: fields of a batch, as `looked_at` gives them.
    """
    year = look.year
    flat = year.flatten(0, 2)
    sample = torch.arange(len(year), device=year.device).repeat_interleave(flat.shape[0] // len(year))
    every = -(-len(flat) // _MOST_VECTORS)
    near, across = nearest_distances(flat[::every], sample[::every])
    turned = (year * year.roll(1, 0)).sum(-1) if len(year) > 1 else torch.ones(1)
    return Health(
        effective_rank(flat),
        float(flat.mean(0).norm()),
        float(year.mean((1, 2)).norm(dim=-1).mean()),
        near,
        across,
        float((1 - (look.early * look.late).sum(-1)).mean()),
        float((1 - turned).mean()),
    )


def health_of(model: AlphaEarth, batch: TrainBatch) -> Health:
    """Measures the fields that a model gives of a batch."""
    return health_from(looked_at(model, batch))


@torch.no_grad()
def looked_at(model: AlphaEarth, batch: TrainBatch) -> Look:
    """Gives the fields of a batch: of a year around the valid period's middle, and of its two halves."""
    half = 365.2425 / 2
    middle = batch.periods.mean(1, keepdim=True)
    observed = model.observe(batch.inputs)

    def field(first: float, after: float) -> Float[Tensor, "B H W D"]:
        return model.summary(observed, torch.cat([middle + first * half, middle + after * half], 1)).float()

    return Look(field(-1, 1), field(-1, 0), field(0, 1))
