"""Batches: frames of several samples as tensors, still in the sources' stored integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from numpy.typing import NDArray
from torch import Tensor

from earthfield.errors import InvalidInput
from earthfield.frames import Frames, SourceFrames
from earthfield.geometry import NUM_FEATURES
from earthfield_model.config import MULTIPLE_PX, ModelConfig, SourceConfig
from earthfield_model.timecode import days_of


@dataclass(frozen=True)
class SourceBatch:
    """The frames of one source for several samples; short samples are padded with frames that are not valid."""

    stored: Int[Tensor, "B T C H W"]
    """Stored integers in the config's band order, the config's nodata where a band was not measured; int16 where
    that holds them, else int32."""
    valid: Bool[Tensor, "B T H W"]
    """True where the surface was seen."""
    days: Float64[Tensor, "B T"]
    """True instants, days since 2000."""
    geometry: Float[Tensor, "B T G"] = None  # type: ignore[assignment]
    """Sun and sensor, as in `earthfield.geometry`; zeros, which stand for unknown, where left out."""

    def __post_init__(self) -> None:
        if self.geometry is None:
            unknown = torch.zeros(*self.days.shape, NUM_FEATURES, device=self.days.device)
            object.__setattr__(self, "geometry", unknown)

    def masked(self, keep: Bool[Tensor, "B T"]) -> SourceBatch:
        """Masks the frames that are not kept; their values stay and nobody looks at them."""
        return replace(self, valid=self.valid & keep[..., None, None])

    def first(self, count: int) -> SourceBatch:
        """Gives the first samples only."""
        return self._each(lambda x: x[:count])

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> SourceBatch:
        """Gives the same on a device."""
        return self._each(lambda x: x.to(device, non_blocking=non_blocking))

    def pinned(self) -> SourceBatch:
        """Gives the same in page-locked memory, from where a GPU fetches on its own."""
        return self._each(lambda x: x.pin_memory())

    def shows(self) -> Bool[Tensor, "B T"]:
        """Tells which frames show anything."""
        return self.valid.flatten(2).any(-1)

    def packed(self) -> SourceBatch:
        """Leaves out frames that show nothing, as far as the samples allow; no output changes by it."""
        shows = self.shows()
        length = max(int(shows.sum(1).max()), 1)
        if length == shows.shape[1]:
            return self
        order = torch.argsort(~shows, dim=1, stable=True)[:, :length]
        rows = torch.arange(len(order), device=order.device)[:, None]
        return self._each(lambda x: x[rows, order])

    def _each(self, do: Callable[[Tensor], Tensor]) -> SourceBatch:
        return SourceBatch(do(self.stored), do(self.valid), do(self.days), do(self.geometry))


Batch = Mapping[str, SourceBatch]
"""All sources by name; the same samples, rows and columns in each."""


def packed(batch: Batch) -> dict[str, SourceBatch]:
    """Packs every source."""
    return {name: one.packed() for name, one in batch.items()}


def batch_of(
    samples: Sequence[Frames], config: ModelConfig, *, num_frames: Mapping[str, int] | None = None
) -> dict[str, SourceBatch]:
    """Puts samples together for the encoder.

    Args:
        samples: frames of windows of one size; sources that a sample lacks are masked in it.
        config: which sources and bands, in which order.
        num_frames: frames by source, so that all batches have one shape; sources that are not named, and all of
            them by default, are as long as their longest sample.

    Returns:
        Every input source of the config that any sample holds or `num_frames` names, sorted by name, frames by
        instant.

    Raises:
        InvalidInput: sizes differ or do not fit, or nothing in the samples can be read.
    """
    shapes = {one.shape for frames in samples for one in frames.values()}
    lengths = num_frames or {}
    held = [name for name in config.source_names if any(name in frames for frames in samples)]
    if not held or len(shapes) != 1:
        have = sorted({name for frames in samples for name in frames})
        raise InvalidInput(
            f"frames of {', '.join(have) or 'no source'} with sizes {sorted(shapes)} cannot be encoded: the model "
            f"{config.name} reads {', '.join(config.source_names)} over windows of one size"
        )
    shape = next(iter(shapes))
    if shape[0] % MULTIPLE_PX or shape[1] % MULTIPLE_PX:
        raise InvalidInput(f"a window of {shape[0]} x {shape[1]} px is not a multiple of {MULTIPLE_PX} px")
    return {
        one.name: _together(
            [frames.get(one.name) for frames in samples], one, shape, lengths.get(one.name, 1)
        )
        for one in config.inputs
        if one.name in held or one.name in lengths
    }


def targets_of(samples: Sequence[Frames], config: ModelConfig) -> dict[str, SourceBatch]:
    """Puts frames together that samples must reconstruct.

    Args:
        samples: frames by source: of the sample's window, or one cell of a source that is coarse.
        config: which sources and bands, in which order.

    Returns:
        Every target source of the config that any sample holds, sorted by name; (B, T, C, 1, 1) where it is coarse.
    """
    found = {}
    for one in config.targets:
        frames = [sample.get(one.name) for sample in samples]
        shapes = {each.shape for each in frames if each is not None}
        if shapes:
            found[one.name] = _together(frames, one, shapes.pop(), 1)
    return found


def _together(
    samples: Sequence[SourceFrames | None], config: SourceConfig, shape: tuple[int, int], least: int
) -> SourceBatch:
    """Puts the frames of one source into the batch's own memory, copying every pixel once."""
    num_samples = len(samples)
    length = max([least, *(len(one.acquired) for one in samples if one is not None)])
    kind = _integers([one for one in samples if one is not None], config.nodata)
    # Touched once: what frames fill is not filled before.
    stored = np.empty((num_samples, length, len(config.bands), *shape), kind)
    valid = np.empty((num_samples, length, *shape), bool)
    days = np.zeros((num_samples, length))
    geometry = np.zeros((num_samples, length, NUM_FEATURES), np.float32)
    for place, one in enumerate(samples):
        count = 0 if one is None else len(one.acquired)
        stored[place, count:], valid[place, count:] = config.nodata, False
        if one is None:
            continue
        order = _by_instant(one)
        if one.bands == config.band_names:
            stored[place, :count] = one.values[order]
        else:
            _by_name(one, config, stored[place, :count], order)
        if one.nodata != config.nodata:
            _retold(one, config, stored[place, :count], order)
        valid[place, :count] = one.valid[order]
        days[place, :count] = days_of(one.acquired)[order]
        geometry[place, :count] = one.geometry[order]
    return SourceBatch(*(torch.from_numpy(x) for x in (stored, valid, days, geometry)))


def _by_name(
    frames: SourceFrames, config: SourceConfig, stored: NDArray[np.integer], order: slice | NDArray[np.intp]
) -> None:
    """Writes the config's bands, its nodata where the frames lack one."""
    for to, band in enumerate(config.band_names):
        if band in frames.bands:
            stored[:, to] = frames.values[:, frames.bands.index(band)][order]
        else:
            stored[:, to] = config.nodata


def _retold(
    frames: SourceFrames, config: SourceConfig, stored: NDArray[np.integer], order: slice | NDArray[np.intp]
) -> None:
    """Writes the config's nodata where the frames have their own."""
    for to, band in enumerate(config.band_names):
        if band in frames.bands:
            missing = frames.values[:, frames.bands.index(band)][order] == frames.nodata
            stored[:, to][missing] = config.nodata


def _by_instant(frames: SourceFrames) -> slice | NDArray[np.intp]:
    """Gives the order of the frames, as a slice where they stand in it already: no copy is then made."""
    if (frames.acquired[1:] >= frames.acquired[:-1]).all():
        return slice(None)
    return np.argsort(frames.acquired, kind="stable")


def _integers(samples: Sequence[SourceFrames], nodata: int) -> type[np.int16] | type[np.int32]:
    """Gives the smallest of the two integer types that holds every value of the samples."""
    narrow = np.iinfo(np.int16)
    fits = all(np.can_cast(one.values.dtype, np.int16) for one in samples)
    return np.int16 if fits and narrow.min <= nodata <= narrow.max else np.int32
