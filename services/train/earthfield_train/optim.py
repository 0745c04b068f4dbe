"""Optimiser and schedule."""

from __future__ import annotations

import math

import torch

from earthfield.errors import InvalidInput
from earthfield_train.config import OptimConfig
from earthfield_train.objective import Objective


def make_optimizer(objective: Objective, config: OptimConfig) -> torch.optim.AdamW:
    """Gives AdamW with decay on matrices and kernels only; without decay it is Adam.

    Args:
        objective: already on its device and, with FSDP, in its parts.
        config: rates and decay.

    Returns:
        The optimiser; every group's `share` says what part of the rate is its own.
    """
    named = [one for one in objective.parameters() if one.requires_grad]
    fitted = {id(one) for one in objective.model.summary.direct.parameters()}
    groups = [
        {
            "params": [
                one for one in named if (one.ndim >= 2) == is_matrix and (id(one) in fitted) == is_fitted
            ],
            "weight_decay": config.weight_decay if is_matrix else 0.0,
            "share": config.fitted_rate if is_fitted else 1.0,
        }
        for is_matrix in (True, False)
        for is_fitted in (False, True)
    ]
    # One launch for all weights on a GPU; on the CPU the plain form stays the same, bit for bit.
    fused = all(one.is_cuda for one in named) or None
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=(0.9, config.beta2), eps=1e-8, fused=fused
    )


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """Gives the rate of a step: up from zero during the warm-up, then down to zero at the end.

    Raises:
        InvalidInput: the decay is not known.
    """
    warmup = max(round(config.warmup * steps), 1)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = min((step - warmup) / max(steps - warmup, 1), 1.0)
    if config.decay == "linear":
        return config.learning_rate * (1 - done)
    if config.decay == "cosine":
        return config.learning_rate * (1 + math.cos(math.pi * done)) / 2
    raise InvalidInput(f"optim.decay must be cosine or linear, not {config.decay!r}")
