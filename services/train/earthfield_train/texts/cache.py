"""Sentence vectors on disk: each text is embedded once by each sentence model."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from earthfield.catalog import Catalog
from earthfield.progress import Progress, silent
from earthfield.storage import whole_file
from earthfield_model.sentences.encoder import SentenceEncoder

logger = logging.getLogger(__name__)

SCHEMA = "earthfield-sentences/1"
_BATCH = 256
_SAVE_EVERY = 65_536
"""Texts after which what is done is kept, so that a killed run loses little."""


@dataclass(frozen=True)
class Embedded:
    """Sentence vectors of some texts."""

    vectors: Float[np.ndarray, "N E"]
    """One per text, in their order."""
    num_new: int
    """Texts that had to be embedded; the others were known."""


def embedded(
    texts: Sequence[str], encoder: SentenceEncoder, root: Path, *, progress: Progress = silent
) -> Embedded:
    """Gives the vectors of texts, embedding only those that nobody embedded before under this root.

    Args:
        texts: may hold the same one several times.
        encoder: the frozen sentence model.
        root: the folder of all artefacts, which keeps the vectors.
        progress: told how many texts are done.

    Raises:
        Unavailable: the disk is full.
        InvalidInput: the root cannot be written.
    """
    path = Catalog(root).sentences(encoder.name)
    known = _read(path, encoder)
    keys = [_key(text) for text in texts]
    new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    missing, unsaved = list(new), 0
    for start in range(0, len(missing), _BATCH):
        part = missing[start : start + _BATCH]
        vectors = np.asarray(encoder.embed([new[key] for key in part]), np.float32)
        known.update(zip(part, vectors, strict=True))
        unsaved += len(part)
        progress("texts", start + len(part), len(missing))
        if unsaved >= _SAVE_EVERY or start + _BATCH >= len(missing):
            _write(path, encoder, known)
            unsaved = 0
    vectors = np.stack([known[key] for key in keys]) if keys else np.empty((0, encoder.dim), np.float32)
    return Embedded(vectors, len(new))


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _read(path: Path, encoder: SentenceEncoder) -> dict[bytes, NDArray[np.float32]]:
    """Gives the known vectors by key. They can be made again, so a damaged file is told of and made anew."""
    if not path.is_file():
        return {}
    try:
        with safe_open(path, framework="np") as file:
            facts = file.metadata() or {}
            keys, vectors = file.get_tensor("keys"), file.get_tensor("vectors")
    except (SafetensorError, OSError) as error:
        logger.warning("%s cannot be read (%s): its texts are embedded again", path, error)
        return {}
    whole = keys.shape == (len(vectors), 32) and vectors.shape == (len(vectors), encoder.dim)
    if facts != _facts(encoder) or not whole or vectors.dtype != np.float32:
        logger.warning("%s is not of %s by %s: its texts are embedded again", path, SCHEMA, encoder.name)
        return {}
    return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


def _write(path: Path, encoder: SentenceEncoder, known: dict[bytes, NDArray[np.float32]]) -> None:
    """Writes all that is known here and what another run has added meanwhile, whole or not at all."""
    everything = _read(path, encoder) | known
    order = sorted(everything)
    content: dict[str, NDArray[Any]] = {
        "keys": np.frombuffer(b"".join(order), np.uint8).reshape(-1, 32),
        "vectors": np.stack([everything[key] for key in order]),
    }
    with whole_file(path) as temporary:
        temporary.write_bytes(save(content, metadata=_facts(encoder)))


def _facts(encoder: SentenceEncoder) -> dict[str, str]:
    return {"schema": SCHEMA, "encoder": encoder.name, "dim": str(encoder.dim)}
