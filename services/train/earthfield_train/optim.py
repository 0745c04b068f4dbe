"""Optimiser and schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from earthfield.errors import InvalidInput
from earthfield_train.config import OptimConfig


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """Gives AdamW with decay on matrices and kernels only."""
    named = [one for one in model.parameters() if one.requires_grad]
    groups = [
        {"params": [one for one in named if one.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [one for one in named if one.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2), eps=1e-8)


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """Gives the rate of a step: up from zero during the warm-up, then down to zero at the end.

    Raises:
        InvalidInput: the decay is not known.
    """
    warmup = max(round(config.warmup * steps), 1)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    if config.decay == "linear":
        return config.learning_rate * (1 - done)
    if config.decay == "cosine":
        return config.learning_rate * (1 + math.cos(math.pi * done)) / 2
    raise InvalidInput(f"optim.decay must be cosine or linear, not {config.decay!r}")
