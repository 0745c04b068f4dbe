"""Decoders: per source an implicit function of an embedding and an instant that gives what the sensor would see."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from earthfield_model.config import EMBEDDING_DIM, SourceConfig
from earthfield_model.widths import Widths

_NUM_HARMONICS = 3


class Decoder(nn.Module):
    """A multilayer perceptron per pixel; it sees no neighbours, so whatever it needs must be in the embedding."""

    def __init__(self, config: SourceConfig, widths: Widths) -> None:
        """Sizes only."""
        super().__init__()
        width = widths.decoder
        self.embedding = nn.Linear(EMBEDDING_DIM, width)
        self.when = nn.Linear(1 + 2 * _NUM_HARMONICS, width)
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, len(config.bands))
        self.act = nn.GELU()

    def forward(
        self, embedding: Float[Tensor, "B H W D"], relative_time: Float[Tensor, " B"]
    ) -> Float[Tensor, "B H W C"]:
        """Gives the standardised bands at an instant.

        Args:
            embedding: vectors on the unit sphere, times nothing: they are scaled here.
            relative_time: 0 at the start of the valid period, 1 at its end.
        """
        turns = (
            2
            * math.pi
            * relative_time[:, None]
            * torch.arange(1, _NUM_HARMONICS + 1, device=embedding.device)
        )
        when = torch.cat([relative_time[:, None] * 2 - 1, turns.sin(), turns.cos()], -1)
        # A unit vector in 64 dimensions has components of 1/8: brought back to unit variance.
        x = self.embedding(embedding * EMBEDDING_DIM**0.5) + self.when(when.float())[:, None, None]
        return self.out(self.act(self.hidden(self.act(x))))
