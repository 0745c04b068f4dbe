"""Sentence models of the package sentence-transformers, where that is installed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from earthfield.errors import InvalidInput, Unavailable
from earthfield_model.sentences.words import LandscapeWords


class TransformerSentences:
    """Implements `SentenceEncoder`; weights must be safetensors, and code that comes with a model is never run."""

    def __init__(self, name: str, *, revision: str | None = None) -> None:
        """Loads a model.

        Args:
            name: as sentence-transformers knows it, or a folder.
            revision: commit of its repository; the newest when absent.

        Raises:
            InvalidInput: sentence-transformers is not installed, or cannot read such a model.
            Unavailable: the weights are not here and cannot be fetched.
        """
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise InvalidInput(
                f"the sentence model {name!r} needs a package that is not installed: run "
                f"`pip install sentence-transformers`, or name {LandscapeWords.name!r}, which needs none"
            ) from error
        try:
            self._model = SentenceTransformer(
                name,
                revision=revision,
                device="cpu",
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except OSError as error:
            raise Unavailable(
                f"the sentence model {name!r} is neither on this machine nor to be fetched ({_first_line(error)}): "
                "check the name and the network, or name a folder that holds it"
            ) from error
        except (ValueError, RuntimeError) as error:
            raise InvalidInput(
                f"sentence-transformers cannot read {name!r} ({_first_line(error)}): name another model"
            ) from error
        self.name = name if revision is None else f"{name}@{revision}"
        dim = self._model.get_sentence_embedding_dimension()
        self.dim = int(dim) if dim else self.embed(["field"]).shape[1]

    def embed(self, texts: Sequence[str]) -> Float[np.ndarray, "N E"]:
        """Gives one vector of length 1 per text."""
        if not texts:
            return np.empty((0, self.dim), np.float32)
        found = self._model.encode(
            list(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(found, np.float32)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
