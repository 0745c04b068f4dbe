"""The pyramid: between resolutions without letting masked positions count, and work in runs of frames."""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

NUMBERS_PER_RUN = {"cpu": 3 * 2**18}
"""Numbers that an operator is given at once when no gradient is wanted: with what it makes of them they fit a
processor's cache."""
_NUMBERS_ELSEWHERE = 2**27
"""The same on a GPU, where a run only has to fit the memory and few launches are better than many."""


def run_length(x: Tensor) -> int:
    """Gives how many entries of the first axis make a run."""
    return max(NUMBERS_PER_RUN.get(x.device.type, _NUMBERS_ELSEWHERE) // max(x[0].numel(), 1), 1)


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
    if torch.is_grad_enabled():
        total = reduce(x, "n (h i) (w j) f -> n h w f", "sum", i=factor, j=factor)
    else:
        # The same sums; these are several times as fast, and the others are what trainings are reproduced with.
        x_NFHW = rearrange(x, "n h w f -> n f h w")
        total = rearrange(F.avg_pool2d(x_NFHW, factor, divisor_override=1), "n f h w -> n h w f")
    count = reduce(mask.to(x.dtype), "n (h i) (w j) -> n h w", "sum", i=factor, j=factor)
    return total / count.clamp(min=1)[..., None]


def finer(x: Float[Tensor, "N h w F"], factor: int) -> Float[Tensor, "N H W F"]:
    """Interpolates bilinearly to `factor` times the resolution."""
    if x.device.type == "cpu" and not torch.is_grad_enabled():
        # On a processor far faster than the operator is where features come last.
        return _finer_along(_finer_along(x, 1, factor), 2, factor)
    x_NFhw = rearrange(x, "n h w f -> n f h w")
    up = F.interpolate(x_NFhw, scale_factor=factor, mode="bilinear", align_corners=False)
    return rearrange(up, "n f h w -> n h w f")


def _finer_along(x: Tensor, axis: int, factor: int) -> Tensor:
    """Interpolates along one axis; beyond the ends lies what lies at them."""
    length = x.shape[axis]
    before = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, length - 1)], axis)
    after = torch.cat([x.narrow(axis, 1, length - 1), x.narrow(axis, length - 1, 1)], axis)
    fine = x.new_empty(*x.shape[: axis + 1], factor, *x.shape[axis + 1 :])
    for place in range(factor):
        shift = (place + 0.5) / factor - 0.5
        torch.lerp(x, before if shift < 0 else after, abs(shift), out=fine.select(axis + 1, place))
    return fine.flatten(axis, axis + 1)


def by_runs(
    function: Callable[..., tuple[Tensor, ...]], *arguments: Tensor, held: int = 1
) -> tuple[Tensor, ...]:
    """Applies a function of independent entries to runs of them where no gradient is wanted, else to all at once.

    Args:
        function: gives tensors whose first axis is that of its arguments.
        arguments: the first decides how long a run is, see `run_length`.
        held: how many times as much as others the function makes of what it is given; runs are shorter by it.
    """
    length = max(run_length(arguments[0]) // held, 1)
    if torch.is_grad_enabled() or len(arguments[0]) <= length:
        return function(*arguments)
    whole: tuple[Tensor, ...] = ()
    for first in range(0, len(arguments[0]), length):
        run = slice(first, first + length)
        made = function(*(one[run] for one in arguments))
        # Written where they stay: runs kept apart until the end would take the memory twice.
        whole = whole or tuple(one.new_empty(len(arguments[0]), *one.shape[1:]) for one in made)
        for all_of_it, one in zip(whole, made, strict=True):
            all_of_it[run] = one
    return whole
