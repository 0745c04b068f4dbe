"""A sentence model without weights: hashed words, their spelling, and what a small word list knows of land."""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from earthfield_model.sentences.wordlist import STOPWORDS, concepts_of, singular

_WORD = re.compile(r"[^\W_]+")
_NUM_PLACES = 16
"""Entries that one feature touches; its share of collisions falls with more, its cost rises."""
_WORD_WEIGHT, _PAIR_WEIGHT, _SPELLING_WEIGHT = 1.0, 0.5, 0.6
_CONCEPT_WEIGHT, _BROADER = 1.6, 0.6
_NUMBER_WEIGHT = 0.2
_MAX_CHARS = 4000
"""What lies behind is not read; a paragraph says what a place is."""


class LandscapeWords:
    """Implements `SentenceEncoder` by arithmetic on words alone.

    A text is the sum of its features, each a sparse vector of signs that a hash decides: words, pairs of words,
    groups of three to five letters, and the concepts that a word list of this package puts a word under, with the
    broader ones. It is *no* learned language model: words that the list does not hold are near one another only as
    far as they are spelt alike, and the order of words hardly counts.
    """

    name = "landscape-words-1"
    """Changes with anything that changes a vector."""
    dim = 384
    """Length of a vector."""

    def embed(self, texts: Sequence[str]) -> Float[np.ndarray, "N E"]:
        """Gives one vector of length 1 per text; zeros where a text holds no word that says anything."""
        found = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(found, texts, strict=True):
            words = words_of(text)
            for word in words:
                row += _vector_of_word(word, self.dim)
            for pair in itertools.pairwise(words):
                row += _PAIR_WEIGHT * _hashed(f"pair {pair[0]} {pair[1]}", self.dim)
            row /= max(float(np.linalg.norm(row)), 1e-12)
        return found


def words_of(text: str) -> list[str]:
    """Gives the words that say something, in lower case, without accents and plural endings."""
    plain = unicodedata.normalize("NFKD", text[:_MAX_CHARS].casefold())
    plain = "".join(one for one in plain if not unicodedata.combining(one))
    return [singular(word) for word in _WORD.findall(plain) if word not in STOPWORDS]


@lru_cache(maxsize=50_000)
def _vector_of_word(word: str, dim: int) -> NDArray[np.float32]:
    if word.isdigit():
        return _NUMBER_WEIGHT * _hashed(f"word {word}", dim)
    found = _WORD_WEIGHT * _hashed(f"word {word}", dim)
    groups = list(_letter_groups(word))
    for group in groups:
        found = found + _SPELLING_WEIGHT / len(groups) ** 0.5 * _hashed(f"letters {group}", dim)
    for concept, distance in concepts_of(word).items():
        found = found + _CONCEPT_WEIGHT * _BROADER**distance * _hashed(f"concept {concept}", dim)
    return found


def _letter_groups(word: str) -> Iterator[str]:
    framed = f"<{word[:40]}>"
    for length in (3, 4, 5):
        yield from (framed[at : at + length] for at in range(len(framed) - length + 1))


def _hashed(feature: str, dim: int) -> NDArray[np.float32]:
    """Gives a vector of length about 1: as many entries as `_NUM_PLACES`, with signs, that a hash chooses."""
    digest = hashlib.shake_128(feature.encode()).digest(3 * _NUM_PLACES)
    drawn = np.frombuffer(digest, np.uint8).reshape(_NUM_PLACES, 3).astype(np.int64)
    places = (drawn[:, 0] * 256 + drawn[:, 1]) % dim
    found = np.zeros(dim, np.float32)
    np.add.at(found, places, np.where(drawn[:, 2] & 1, 1.0, -1.0).astype(np.float32) * _NUM_PLACES**-0.5)
    return found
