"""Batches: frames of several samples as tensors, still in the sources' stored integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int32
from torch import Tensor
from torch.nn import functional as F

from earthfield.errors import InvalidInput
from earthfield.frames import Frames, SourceFrames
from earthfield_model.config import MULTIPLE_PX, ModelConfig, SourceConfig
from earthfield_model.timecode import days_of


@dataclass(frozen=True)
class SourceBatch:
    """The frames of one source for several samples; short samples are padded with frames that are not valid."""

    stored: Int32[Tensor, "B T C H W"]
    """Stored integers in the config's band order, the config's nodata where a band was not measured."""
    valid: Bool[Tensor, "B T H W"]
    """True where the surface was seen."""
    days: Float64[Tensor, "B T"]
    """True instants, days since 2000."""

    def masked(self, keep: Bool[Tensor, "B T"]) -> SourceBatch:
        """Masks the frames that are not kept; their values stay and nobody looks at them."""
        return replace(self, valid=self.valid & keep[..., None, None])

    def first(self, count: int) -> SourceBatch:
        """Gives the first samples only."""
        return SourceBatch(self.stored[:count], self.valid[:count], self.days[:count])

    def packed(self) -> SourceBatch:
        """Leaves out frames that show nothing, as far as the samples allow; no output changes by it."""
        shows = self.valid.flatten(2).any(-1)
        length = max(int(shows.sum(1).max()), 1)
        if length == shows.shape[1]:
            return self
        order = torch.argsort(~shows, dim=1, stable=True)[:, :length]
        rows = torch.arange(len(order), device=order.device)[:, None]
        return SourceBatch(self.stored[rows, order], self.valid[rows, order], self.days[rows, order])


Batch = Mapping[str, SourceBatch]
"""All sources by name; the same samples, rows and columns in each."""


def packed(batch: Batch) -> dict[str, SourceBatch]:
    """Packs every source."""
    return {name: one.packed() for name, one in batch.items()}


def batch_of(samples: Sequence[Frames], config: ModelConfig) -> dict[str, SourceBatch]:
    """Puts samples together.

    Args:
        samples: frames of windows of one size; sources that a sample lacks are masked in it.
        config: which sources and bands, in which order.

    Returns:
        Every source of the config that any sample holds, sorted by name, frames by instant.

    Raises:
        InvalidInput: sizes differ or do not fit, or nothing in the samples can be read.
    """
    shapes = {one.shape for frames in samples for one in frames.values()}
    names = [name for name in config.source_names if any(name in frames for frames in samples)]
    if not names or len(shapes) != 1:
        have = sorted({name for frames in samples for name in frames})
        raise InvalidInput(
            f"frames of {', '.join(have) or 'no source'} with sizes {sorted(shapes)} cannot be encoded: the model "
            f"{config.name} reads {', '.join(config.source_names)} over windows of one size"
        )
    height, width = next(iter(shapes))
    if height % MULTIPLE_PX or width % MULTIPLE_PX:
        raise InvalidInput(f"a window of {height} x {width} px is not a multiple of {MULTIPLE_PX} px")
    return {
        name: _stacked(
            [_tensors(frames.get(name), config.source(name), (height, width)) for frames in samples]
        )
        for name in names
    }


def _tensors(frames: SourceFrames | None, config: SourceConfig, shape: tuple[int, int]) -> SourceBatch:
    """Gives one sample (no batch axis yet) with bands matched by name."""
    if frames is None:
        frames = SourceFrames(
            config.name,
            (),
            np.empty((0, 0, *shape), np.int16),
            np.empty((0, *shape), bool),
            np.empty(0, "datetime64[us]"),
            config.nodata,
        )
    order = np.argsort(frames.acquired, kind="stable")
    stored = np.full((len(order), len(config.bands), *shape), config.nodata, np.int32)
    for place, name in enumerate(config.band_names):
        if name in frames.bands:
            values = frames.values[:, frames.bands.index(name)][order]
            stored[:, place] = np.where(values == frames.nodata, config.nodata, values)
    return SourceBatch(
        torch.from_numpy(stored),
        torch.from_numpy(frames.valid[order]),
        torch.from_numpy(days_of(frames.acquired[order])),
    )


def _stacked(samples: Sequence[SourceBatch]) -> SourceBatch:
    length = max(max(len(one.days) for one in samples), 1)

    def padded(x: Tensor) -> Tensor:
        return F.pad(x, (0, 0) * (x.ndim - 1) + (0, length - len(x)))

    return SourceBatch(
        torch.stack([padded(one.stored) for one in samples]),
        torch.stack([padded(one.valid) for one in samples]),
        torch.stack([padded(one.days) for one in samples]),
    )
