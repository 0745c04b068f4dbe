"""Stems: each source's way into the model, a declared part (units, transform, statistics, masks) and a learned one.

Departure from the paper: features are normalised with LayerNorm over the channels of one position and never with
GroupNorm. A group's statistics run over space, so masked areas, clouds and the window's edge would change what
clear pixels mean, and neighbouring windows would disagree where they overlap.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int32
from torch import Tensor, nn
from torch.nn import functional as F

from earthfield_model.config import SourceConfig
from earthfield_model.pyramid import coarser
from earthfield_model.widths import Widths

CLIP = 6.0
REFLECTANCE_TO_COUNTS = 1e4
"""The paper's log(x + 1) / 10 is taken of counts, as optical products publish them."""


class Declared(nn.Module):
    """Stored integers to standardised values and the mask of what was measured. Nothing in it is learned."""

    scale: Tensor
    offset: Tensor
    mean: Tensor
    std: Tensor
    is_log: Tensor

    def __init__(self, config: SourceConfig) -> None:
        """Takes every figure from the config; buffers only, so that they follow the model's device."""
        super().__init__()
        self.nodata = config.nodata
        for name in ("scale", "offset", "mean", "std"):
            figures = torch.tensor([getattr(band, name) for band in config.bands], dtype=torch.float32)
            self.register_buffer(name, figures[:, None, None], persistent=False)
        is_log = torch.tensor([band.transform == "log_reflectance" for band in config.bands])
        self.register_buffer("is_log", is_log[:, None, None], persistent=False)
        # Known without looking at a tensor, which would wait for a GPU and cannot be done on the meta device.
        self.has_log = any(band.transform == "log_reflectance" for band in config.bands)

    def transformed(self, stored: Int32[Tensor, "... C H W"]) -> Float[Tensor, "... C H W"]:
        """Gives log(x + 1) / 10 of optical counts, and other quantities as they are."""
        physical = stored.float() * self.scale + self.offset
        if not self.has_log:
            return physical
        counts = physical.clamp(min=0) * REFLECTANCE_TO_COUNTS
        return torch.where(self.is_log, torch.log1p(counts) / 10, physical)

    def forward(
        self, stored: Int32[Tensor, "... C H W"], valid: Bool[Tensor, "... H W"]
    ) -> tuple[Float[Tensor, "... C H W"], Bool[Tensor, "... C H W"]]:
        """Gives standardised values, clipped at +-6 and zero where masked, and the mask per band."""
        seen = (stored != self.nodata) & valid[..., None, :, :]
        x = ((self.transformed(stored) - self.mean) / self.std).clamp(-CLIP, CLIP)
        return torch.where(seen, x, torch.zeros_like(x)), seen


def near_features(config: SourceConfig, widths: Widths) -> int:
    """Counts a source's features at full resolution: its bands as they are, then learned ones."""
    return len(config.bands) + widths.stem


class Stem(nn.Module):
    """One source's frames to features at full resolution and at L/2."""

    def __init__(self, config: SourceConfig, widths: Widths) -> None:
        """Sizes come from the source's number of bands and the widths."""
        super().__init__()
        self.declared = Declared(config)
        self.num_features = near_features(config, widths)
        # The mask goes in beside the values: zero then never stands for a measurement.
        self.near = nn.Conv2d(2 * len(config.bands), widths.stem, 3, padding=1)
        self.halve = nn.Conv2d(self.num_features, widths.precision, 2, stride=2)
        self.norm = nn.LayerNorm(widths.precision)
        self.source = nn.Parameter(torch.randn(widths.precision) * 0.02)

    def forward(
        self, stored: Int32[Tensor, "N C H W"], valid: Bool[Tensor, "N H W"]
    ) -> tuple[Float[Tensor, "N H W F"], Bool[Tensor, "N H W"]]:
        """Gives full-resolution features, zero where masked, and the mask: pixels with any measured band.

        The first features are the standardised bands as they are, so that nothing a sensor measured at a pixel
        has to pass through its neighbours.
        """
        x, seen = self.declared(stored, valid)
        mask = seen.any(1)
        x_NCHW = torch.cat([x, seen.float()], 1).contiguous(memory_format=torch.channels_last)
        near = rearrange(torch.cat([x, F.gelu(self.near(x_NCHW))], 1), "n f h w -> n h w f")
        return near * mask[..., None], mask

    def without_gradient(
        self, stored: Int32[Tensor, "N C H W"], valid: Bool[Tensor, "N H W"]
    ) -> tuple[Float[Tensor, "N H W F"], Bool[Tensor, "N H W"]]:
        """Gives what `forward` gives, sooner: features are put side by side where they will lie."""
        x, seen = self.declared(stored, valid)
        mask, num_bands = seen.any(1), x.shape[1]
        x_NCHW = torch.cat([x, seen.float()], 1).contiguous(memory_format=torch.channels_last)
        near = x.new_empty(*mask.shape, self.num_features)
        # Bands are zero already where they are masked.
        near[..., :num_bands] = rearrange(x_NCHW[:, :num_bands], "n c h w -> n h w c")
        learned = rearrange(F.gelu(self.near(x_NCHW)), "n f h w -> n h w f")
        torch.mul(learned, mask[..., None], out=near[..., num_bands:])
        return near, mask

    def to_half(
        self, near: Float[Tensor, "N H W F"], mask: Bool[Tensor, "N H W"]
    ) -> Float[Tensor, "N h w F"]:
        """Projects full-resolution features to the trunk at L/2, zero where the whole 2 x 2 is masked."""
        x = rearrange(self.halve(rearrange(near, "n h w f -> n f h w")), "n f h w -> n h w f")
        return (self.norm(x) + self.source) * coarser(mask, 2)[..., None]
