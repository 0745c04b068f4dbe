"""What a model costs: learned figures and floating-point operations by part, without any weights in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from earthfield.errors import InvalidInput
from earthfield.frames import SourceFrames
from earthfield.grid import CHIP_PX, PIXEL_M
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.batch import SourceBatch, batch_of
from earthfield_model.config import ModelConfig, SourceConfig

PAPER_FRAMES: Mapping[str, int] = {"sentinel-2": 65, "sentinel-1": 17, "landsat": 21}
"""Frames of a training sequence in the paper, by what the source's name begins with."""
PARTS = ("stems", "space", "time", "precision", "exchange", "summary", "other")
"""Parts of the encoder; `other` is what the trunk does before and after its blocks."""


@dataclass(frozen=True)
class FlopTable:
    """Floating-point operations of one forward pass; a multiply-add counts as two."""

    by_part: Mapping[str, int]
    """Operations by part, see `PARTS`; attention is included."""
    num_frames: Mapping[str, int]
    """Frames per source."""
    size_px: int
    """Side of the window."""
    num_periods: int
    """Valid periods that were summarised."""

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.by_part.values())

    @property
    def per_km2(self) -> float:
        """Operations per square kilometre, windows side by side."""
        return self.total / (self.size_px * PIXEL_M / 1000) ** 2


def flop_table(
    config: ModelConfig, *, num_frames: Mapping[str, int], size_px: int = CHIP_PX, num_periods: int = 1
) -> FlopTable:
    """Counts what one window costs, part by part.

    The modules themselves run on the meta device, where nothing is computed and no memory is taken, so the count
    follows them. Matrix products and convolutions count; attention is made to run as matrix products, because
    fused kernels are not counted on every device. Norms, activations and sums do not count, as is usual.

    Args:
        config: the model; statistics do not matter.
        num_frames: frames by source; sources that are absent or have none are left out.
        size_px: side of the window.
        num_periods: valid periods; the trunk runs once for all of them.

    Raises:
        InvalidInput: no frame of a source that the model reads, or a size that does not fit.
    """
    held = {name: count for name, count in num_frames.items() if count}
    if not held or not set(held) <= set(config.source_names) or num_periods < 1:
        raise InvalidInput(
            f"FLOPs of {num_periods} periods of frames {dict(num_frames)} cannot be counted: the model "
            f"{config.name} reads {', '.join(config.source_names)}, and one frame and one period are the least"
        )
    model = on_meta(config)
    samples = {name: _blank(config.source(name), count, size_px) for name, count in held.items()}
    batch = {name: _on_meta(one) for name, one in batch_of([samples], config).items()}
    periods = torch.empty((1, 2), dtype=torch.float64, device="meta")
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _counting(model) as counts:
        model(batch, periods)
    by_part = {part: counts.get(part, 0) for part in PARTS}
    by_part["summary"] *= num_periods
    return FlopTable(by_part, held, size_px, num_periods)


def flops_of(
    config: ModelConfig, *, num_frames: Mapping[str, int], size_px: int, num_periods: int = 1
) -> int:
    """Gives all floating-point operations of one window; arguments and errors as in `flop_table`."""
    table = flop_table(config, num_frames=num_frames, size_px=size_px, num_periods=num_periods)
    return table.total


def flops_per_km2(config: ModelConfig) -> float:
    """Gives operations per km2 of a year as the paper has it: 103 frames over 128 px, one valid period.

    Windows lie side by side here; a map throws a tenth of each side away, and costs 25 / 16 of this.

    Raises:
        InvalidInput: the model reads none of the paper's kinds of sources.
    """
    return flop_table(config, num_frames=paper_frames(config)).per_km2


def parameters_by_part(model: nn.Module) -> dict[str, int]:
    """Counts learned figures by part: those of `PARTS`, then what only training needs (`decoders`, `text`)."""
    counts = dict.fromkeys(PARTS, 0)
    for name, one in model.named_parameters():
        counts[_part_of(name)] = counts.get(_part_of(name), 0) + one.numel()
    return counts


def on_meta(config: ModelConfig) -> AlphaEarth:
    """Builds a model of any size without weights: shapes only."""
    with torch.device("meta"):
        return AlphaEarth(config).eval()


def paper_frames(config: ModelConfig) -> dict[str, int]:
    """Gives the paper's number of frames for the first source of each kind that the model reads; maybe none.

    Source: AlphaEarth Foundations (arXiv 2507.22291): 65 Sentinel-2, 17 Sentinel-1 and 21 Landsat frames.
    """
    first = {
        kind: next((name for name in config.source_names if name.startswith(kind)), None)
        for kind in PAPER_FRAMES
    }
    return {name: PAPER_FRAMES[kind] for kind, name in first.items() if name is not None}


def _blank(config: SourceConfig, count: int, size_px: int) -> SourceFrames:
    shape = (size_px, size_px)
    return SourceFrames(
        config.name,
        config.band_names,
        np.broadcast_to(np.int16(1), (count, len(config.bands), *shape)),
        np.broadcast_to(np.True_, (count, *shape)),
        np.datetime64("2018-01-01", "us") + np.arange(count) * np.timedelta64(1, "D"),
        config.nodata,
    )


def _on_meta(one: SourceBatch) -> SourceBatch:
    held = {each.name: getattr(one, each.name) for each in fields(one)}
    return replace(one, **{name: x.to("meta") for name, x in held.items() if isinstance(x, Tensor)})


def _part_of(name: str) -> str:
    """Gives the part that a module or parameter belongs to by its name in the model."""
    first, *rest = name.split(".")
    if first != "trunk":
        return first
    return next((part for part in ("space", "time", "precision", "exchange") if part in rest), "other")


@contextmanager
def _counting(model: nn.Module) -> Iterator[dict[str, int]]:
    """Counts what runs inside the block, by the part of the innermost module."""
    counts: dict[str, int] = {}
    inside = ["other"]

    def enter(part: str) -> Any:
        return lambda module, arguments: inside.append(part)

    def leave(module: nn.Module, arguments: Any, result: Any) -> None:
        inside.pop()

    hooks = []
    for name, module in model.named_modules():
        if name:
            hooks.append(module.register_forward_pre_hook(enter(_part_of(name))))
            hooks.append(module.register_forward_hook(leave))
    try:
        with _Counter(counts, inside):
            yield counts
    finally:
        for hook in hooks:
            hook.remove()


class _Counter(TorchDispatchMode):
    """Adds up PyTorch's own formula of every operator that has one."""

    def __init__(self, counts: dict[str, int], inside: list[str]) -> None:
        """Args: where to add; names of the parts that are running, innermost last."""
        super().__init__()
        self._counts, self._inside = counts, inside

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator and counts it."""
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            count = formula(*args, **(kwargs or {}), out_val=result)
            self._counts[self._inside[-1]] = self._counts.get(self._inside[-1], 0) + int(count)
        return result
