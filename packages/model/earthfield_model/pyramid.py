"""The pyramid: between resolutions without letting masked positions count, and work in runs of frames."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

FRAMES_PER_RUN = 8
"""Frames that a per-frame operator takes at once when no gradient is wanted: they fit the processor's cache."""


def coarser(mask: Bool[Tensor, "N H W"], factor: int) -> Bool[Tensor, "N h w"]:
    """Gives True where any of the factor x factor positions is valid."""
    return reduce(mask, "n (h i) (w j) -> n h w", "max", i=factor, j=factor)


def masked_mean(
    x: Float[Tensor, "N H W F"], mask: Bool[Tensor, "N H W"], factor: int
) -> Float[Tensor, "N h w F"]:
    """Averages over factor x factor valid positions; zero where none is.

    Args:
        x: features, already zero where the mask is False.
        mask: which positions count.
        factor: how much coarser the result is.
    """
    total = reduce(x, "n (h i) (w j) f -> n h w f", "sum", i=factor, j=factor)
    count = reduce(mask.to(x.dtype), "n (h i) (w j) -> n h w", "sum", i=factor, j=factor)
    return total / count.clamp(min=1)[..., None]


def finer(x: Float[Tensor, "N h w F"], factor: int) -> Float[Tensor, "N H W F"]:
    """Interpolates bilinearly to `factor` times the resolution."""
    x_NFhw = rearrange(x, "n h w f -> n f h w")
    up = F.interpolate(x_NFhw, scale_factor=factor, mode="bilinear", align_corners=False)
    return rearrange(up, "n f h w -> n h w f")


def by_runs(function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
    """Applies a per-frame function to runs of frames where no gradient is wanted, else to all at once."""
    if torch.is_grad_enabled() or len(arguments[0]) <= FRAMES_PER_RUN:
        return function(*arguments)
    runs = zip(*(one.split(FRAMES_PER_RUN) for one in arguments), strict=True)
    return torch.cat([function(*run) for run in runs])
