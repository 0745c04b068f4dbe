"""Health of embeddings: do they span the sphere, are they centred, and do they move when the period moves?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from earthfield_model.alphaearth import AlphaEarth
from earthfield_train.dataset import TrainBatch


@dataclass(frozen=True)
class Health:
    """Figures of a set of embeddings."""

    effective_rank: float
    """Exponential of the entropy of the covariance's spectrum, 1..64: how many directions are used."""
    mean_norm: float
    """Length of the mean vector, 0..1: 1 is a collapse to one point."""
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


@torch.no_grad()
def health_of(model: AlphaEarth, batch: TrainBatch) -> Health:
    """Looks at the fields of a batch: of a year around the valid period's middle, and of its two halves."""
    half = 365.2425 / 2
    middle = batch.periods.mean(1, keepdim=True)
    observed = model.observe(batch.inputs)

    def field(first: float, after: float) -> Float[Tensor, "B H W D"]:
        return model.summary(observed, torch.cat([middle + first * half, middle + after * half], 1))

    year, early, late = field(-1, 1), field(-1, 0), field(0, 1)
    flat = year.flatten(0, 2)
    across = (year * year.roll(1, 0)).sum(-1) if len(year) > 1 else torch.ones(1)
    return Health(
        effective_rank(flat),
        float(flat.mean(0).norm()),
        float((1 - (early * late).sum(-1)).mean()),
        float((1 - across).mean()),
    )
