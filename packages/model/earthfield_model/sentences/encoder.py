"""The seam of sentence models, and how one is chosen by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from earthfield_model.sentences.words import LandscapeWords


@runtime_checkable
class SentenceEncoder(Protocol):
    """Turns texts into vectors; the same text always gives the same one."""

    @property
    def name(self) -> str:
        """Which model: two with the same name give the same vectors."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> Float[np.ndarray, "N E"]:
        """Gives one float32 vector per text: of length 1, or zeros where a text says nothing."""
        ...


def sentence_encoder(name: str = LandscapeWords.name) -> SentenceEncoder:
    """Gives a sentence model by name.

    Args:
        name: `landscape-words-1`, which needs neither weights nor a network; or any name or folder that
            sentence-transformers knows.

    Raises:
        InvalidInput: the model needs a package that is not installed, or there is no such model.
        Unavailable: its weights cannot be fetched now.
    """
    if name == LandscapeWords.name:
        return LandscapeWords()
    from earthfield_model.sentences.transformers import TransformerSentences

    return TransformerSentences(name)
