"""A text as a vector of a model's sphere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.errors import Conflict, InvalidInput
from earthfield.field import Field


class TextVectors(NamedTuple):
    """A model's text network."""

    encode: Callable[[Sequence[str]], NDArray[np.float32]]
    """Texts to unit vectors (N, D)."""
    fingerprint: str
    """Hash of the model's weights and configuration."""


def vector_of_text(catalog: Catalog, field: Field, text: str) -> NDArray[np.float32]:
    """Gives the unit vector (D,) of a text, beside the vectors of a field.

    Args:
        catalog: where models lie.
        field: a field of the model that is asked.
        text: what is looked for, in words.

    Raises:
        InvalidInput: the model was trained without texts, the text says nothing, or a package is missing.
        NotFound: there is no such model, only its fields.
        Conflict: the fields were made by other weights than the model has now.
    """
    try:
        from earthfield_model.encoder import model_folder
    except ImportError as error:
        raise InvalidInput(
            f"a text can only be asked for where models run ({error}): pip install 'earthfield[infer]', or ask "
            "with a place"
        ) from error
    folder = model_folder(field.key.model, catalog)
    network = _network(str(folder), (folder / "model.safetensors").stat().st_mtime_ns)
    if network.fingerprint != field.manifest["model"]["fingerprint"]:
        raise Conflict(
            f"the fields of {field.key.model} were made by other weights than the model has now, so a text cannot "
            "be compared with them: make the fields again, or ask with a place"
        )
    return np.asarray(network.encode([text])[0], np.float32)


@lru_cache(maxsize=2)
def _network(folder: str, stamp: int) -> TextVectors:
    """Opens a model once for many questions; the stamp tells when it was trained again."""
    from pathlib import Path

    from earthfield_model.encoder import load_encoder

    encoder: Any = load_encoder(Path(folder))
    return TextVectors(encoder.encode_text, str(encoder.fingerprint))
