"""Decoders: per source an implicit function of an embedding, an instant and a geometry to what would be seen.

Source: AlphaEarth Foundations (arXiv 2507.22291), implicit decoders: per pixel, two hidden layers.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor, nn

from earthfield.geometry import NUM_FEATURES
from earthfield_model.config import EMBEDDING_DIM, SourceConfig
from earthfield_model.stem import Declared
from earthfield_model.widths import Widths

_NUM_HARMONICS = 3


class Decoder(nn.Module):
    """A multilayer perceptron per pixel; it sees no neighbours, so whatever it needs must be in the embedding."""

    def __init__(self, config: SourceConfig, widths: Widths) -> None:
        """Sizes only."""
        super().__init__()
        width = widths.decoder
        self.declared = Declared(config)
        self.codes = Codes(config.classes)
        self.embedding = nn.Linear(EMBEDDING_DIM, width)
        # The first layer's part for what all pixels of a frame share: when, and how it was looked at.
        self.taken = nn.Linear(1 + 2 * _NUM_HARMONICS + NUM_FEATURES, width)
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, config.num_outputs)
        self.act = nn.GELU()

    def forward(
        self,
        embedding: Float[Tensor, "B H W D"],
        relative_time: Float[Tensor, "B T"],
        geometry: Float[Tensor, "B T G"],
    ) -> Float[Tensor, "B T H W C"]:
        """Gives the standardised bands, or the classes' logits, of frames taken over each sample.

        Args:
            embedding: vectors on the unit sphere, times nothing: they are scaled here.
            relative_time: 0 at the start of the valid period, 1 at its end.
            geometry: sun and sensor, as in `earthfield.geometry`.
        """
        turns = torch.arange(1, _NUM_HARMONICS + 1, device=embedding.device, dtype=torch.float32)
        angles = 2 * math.pi * relative_time.float()[..., None] * turns
        features = [relative_time.float()[..., None] * 2 - 1, angles.sin(), angles.cos(), geometry.float()]
        # A unit vector in 64 dimensions has components of 1/8: brought back to unit variance.
        pixels_BHWF = self.embedding(embedding * EMBEDDING_DIM**0.5)
        frames_BTF = self.taken(torch.cat(features, -1))
        x = pixels_BHWF[:, None] + frames_BTF[:, :, None, None]
        return self.out(self.act(self.hidden(self.act(x))))


class Codes(nn.Module):
    """Stored class codes to numbers from 0 on. Nothing in it is learned."""

    codes: Tensor

    def __init__(self, codes: tuple[int, ...]) -> None:
        """Takes the codes, ascending."""
        super().__init__()
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.int64), persistent=False)

    def forward(
        self, stored: Int[Tensor, "... 1 H W"], valid: Bool[Tensor, "... H W"]
    ) -> tuple[Int64[Tensor, "... H W"], Bool[Tensor, "... H W"]]:
        """Gives the place of each code among the codes, 0 where masked or unknown, and where it is known."""
        code = stored[..., 0, :, :].long()
        place = torch.searchsorted(self.codes, code).clamp(max=len(self.codes) - 1)
        seen = valid & (self.codes[place] == code)
        return torch.where(seen, place, torch.zeros_like(place)), seen
