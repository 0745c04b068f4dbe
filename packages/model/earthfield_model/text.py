"""The text network: frozen sentence vectors onto the sphere of the field."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from earthfield.errors import BrokenArtefact
from earthfield_model.config import EMBEDDING_DIM, TextConfig
from earthfield_model.sentences.encoder import SentenceEncoder, sentence_encoder

MAX_SCALE = 100.0
"""The learned scale stays below, so that one pair cannot rule a batch."""


class TextNetwork(nn.Module):
    """A small MLP from a sentence vector to a unit vector beside the field's, and the scale of their cosines.

    Source: AlphaEarth Foundations (arXiv 2507.22291), text alignment; the clamped, learned scale is CLIP's
    (arXiv 2103.00020, section 2.5).
    """

    def __init__(self, config: TextConfig) -> None:
        """Builds it with random weights."""
        super().__init__()
        self.config = config
        self.layers = nn.Sequential(
            nn.Linear(config.dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, EMBEDDING_DIM)
        )
        # One figure in a vector, because what is dealt out over GPUs must have an axis.
        self.log_scale = nn.Parameter(torch.full((1,), math.log(config.scale)))

    def forward(self, embedded: Float[Tensor, "B E"]) -> Float[Tensor, "B D"]:
        """Gives a unit vector per sentence vector; no gradient goes back into the sentence vectors."""
        return F.normalize(self.layers(embedded.detach()).float(), dim=-1)

    @property
    def scale(self) -> Float[Tensor, ""]:
        """Factor on cosines, 1 to `MAX_SCALE`."""
        return self.log_scale.float().clamp(0.0, math.log(MAX_SCALE)).exp()[0]

    def sentence_encoder(self) -> SentenceEncoder:
        """Opens the frozen sentence model that this network was trained behind.

        Raises:
            BrokenArtefact: its vectors are of another length than the configuration says.
            InvalidInput: it needs a package that is not installed.
            Unavailable: it cannot be fetched now.
        """
        encoder = sentence_encoder(self.config.encoder)
        if encoder.dim != self.config.dim:
            raise BrokenArtefact(
                f"the sentence model {encoder.name} gives vectors of {encoder.dim} figures where the model was "
                f"trained with {self.config.dim}: install the version that it was trained with"
            )
        return encoder


def text_config(encoder: SentenceEncoder, *, hidden: int = TextConfig.hidden) -> TextConfig:
    """Gives the configuration that fits a sentence model."""
    return TextConfig(encoder.name, encoder.dim, hidden)
