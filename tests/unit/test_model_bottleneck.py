"""The bottleneck draws from the von Mises-Fisher distribution that it names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from earthfield_model.bottleneck import sample_vmf


@pytest.mark.parametrize(("dim", "kappa"), [(64, 8e3), (64, 300.0), (8, 20.0)])
def test_concentration_is_right(dim: int, kappa: float) -> None:
    mean = torch.nn.functional.normalize(torch.arange(1.0, dim + 1), dim=0)
    drawn = sample_vmf(mean.expand(40_000, -1), kappa, torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.norm(dim=-1), torch.ones(len(drawn)), atol=1e-5)
    s = 1 - (drawn.double() @ mean.double())

    def density(x: float) -> float:
        # Scaled by its peak: the plain density underflows.
        peak = (dim - 3) / 2 / kappa
        return float(np.exp(-kappa * (x - peak)) * (x * (2 - x) / (peak * (2 - peak))) ** ((dim - 3) / 2))

    top = min(2.0, 10 * dim / kappa)
    whole = quad(density, 0, top, limit=200)[0]
    first = quad(lambda x: x * density(x), 0, top, limit=200)[0] / whole
    second = quad(lambda x: x * x * density(x), 0, top, limit=200)[0] / whole
    assert float(s.mean()) == pytest.approx(first, rel=0.01)
    assert float(s.std()) == pytest.approx((second - first**2) ** 0.5, rel=0.03)


def test_directions_across_the_mean_are_even() -> None:
    mean = torch.zeros(64)
    mean[0] = 1
    drawn = sample_vmf(mean.expand(20_000, -1), 8e3, torch.Generator().manual_seed(1))[:, 1:].double()
    assert float(drawn.mean(0).norm()) < 3e-3
    spread = torch.linalg.eigvalsh(torch.cov(drawn.T))
    assert float(spread.max() / spread.min()) < 1.4


def test_gradients_reach_the_mean_direction() -> None:
    raw = torch.randn(5, 64, requires_grad=True)
    mean = torch.nn.functional.normalize(raw, dim=-1)
    sample_vmf(mean, 8e3, torch.Generator().manual_seed(0))[:, 0].sum().backward()
    # Nearly the gradient of the mean itself: noise of 0.09 turns it a little and no more.
    again = raw.detach().requires_grad_()
    torch.nn.functional.normalize(again, dim=-1)[:, 0].sum().backward()
    assert (
        float(torch.nn.functional.cosine_similarity(raw.grad.flatten(), again.grad.flatten(), dim=0)) > 0.95
    )
