"""Which text a sample is given: the sampler's `text_at`."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.progress import Progress, silent
from earthfield_model.config import TextConfig
from earthfield_model.sentences.encoder import SentenceEncoder, sentence_encoder
from earthfield_model.text import text_config
from earthfield_train.texts.cache import embedded
from earthfield_train.texts.near import Place, PlacedIndex, texts_under

logger = logging.getLogger(__name__)

REACH_M = 250.0
"""How far outside a chip a text may lie and still speak of it."""


@dataclass(frozen=True)
class TextsFound:
    """What there is to read for a training run."""

    texts: int
    """Texts in the tables."""
    near: int
    """Those in reach of the plots."""
    new: int
    """Different ones that were embedded now; the others were known."""
    plots: int
    """Plots with a text in reach."""
    seconds: float
    """Wall time."""


class TextAt:
    """Draws a text for a sample and gives its frozen sentence vector; a function of place and generator alone."""

    def __init__(
        self,
        index: PlacedIndex,
        vectors: Mapping[int, NDArray[np.float32]],
        *,
        dim: int,
        reach_m: float = REACH_M,
    ) -> None:
        """Args: the texts; vectors of those in reach, by their place in it; length of a vector; the reach."""
        self._index, self._vectors, self._reach_m = index, vectors, reach_m
        self.dim = dim

    def __call__(self, place: Place, rng: np.random.Generator) -> Float[np.ndarray, " E"] | None:
        """Gives the vector of any text within the place, or of the nearest in reach where none is within.

        Exactly one figure is drawn from the generator, whatever is found. The place may be a plot or one
        chip of it: the smaller it is, the better its texts fit it.
        """
        drawn = rng.random()
        number = self._chosen(place, drawn)
        return None if number is None else self._vectors[number]

    def text(self, place: Place, rng: np.random.Generator) -> str | None:
        """Gives the text itself where a call with the same generator gives its vector."""
        number = self._chosen(place, rng.random())
        return None if number is None else self._index.texts[number]

    def _chosen(self, place: Place, drawn: float) -> int | None:
        found = [one for one in self._index.near(place, self._reach_m) if one[0] in self._vectors]
        if not found:
            return None
        nearest = [number for number, metres in found if metres == found[0][1]]
        return nearest[int(drawn * len(nearest))]


def prepared_texts(
    roots: Sequence[Path],
    plots: Sequence[Place],
    encoder: SentenceEncoder,
    *,
    cache: Path,
    reach_m: float = REACH_M,
    progress: Progress = silent,
) -> tuple[TextAt, TextsFound]:
    """Reads the roots' texts and embeds, once, those that lie in reach of the plots.

    A text that says nothing to the sentence model (a vector of zeros) is never drawn.

    Args:
        roots: folders whose tables of texts are read.
        plots: where samples are drawn from.
        encoder: the frozen sentence model.
        cache: root that keeps the sentence vectors.
        reach_m: how far outside a sample a text may lie, metres.
        progress: told how many texts are embedded.

    Raises:
        BrokenArtefact: a table cannot be read.
    """
    began = time.perf_counter()
    index = texts_under(roots)
    by_plot = [{number for number, _ in index.near(one, reach_m)} for one in plots]
    near = sorted(set().union(*by_plot))
    found = embedded([index.texts[number] for number in near], encoder, cache, progress=progress)
    vectors = {number: row for number, row in zip(near, found.vectors, strict=True) if row.any()}
    figures = TextsFound(
        texts=len(index),
        near=len(near),
        new=found.num_new,
        plots=sum(any(number in vectors for number in one) for one in by_plot),
        seconds=0.0,
    )
    figures = replace(figures, seconds=round(time.perf_counter() - began, 3))
    logger.info(
        "texts: %d of %d in reach of %d of %d plots, %d embedded by %s in %.1f s",
        figures.near, figures.texts, figures.plots, len(plots), figures.new, encoder.name, figures.seconds,
    )  # fmt: skip
    return TextAt(index, vectors, dim=encoder.dim, reach_m=reach_m), figures


@dataclass(frozen=True)
class TextsOfRun:
    """All that a training run with texts needs."""

    config: TextConfig
    """For the model."""
    text_at: TextAt
    """For the sampler."""
    found: TextsFound
    """For the report."""


def texts_of_run(
    roots: Sequence[Path],
    plots: Sequence[Place],
    *,
    cache: Path,
    sentences: str = TextConfig.encoder,
    reach_m: float = REACH_M,
    progress: Progress = silent,
) -> TextsOfRun | None:
    """Gives what a training run needs to hear texts, or None where none lies in reach of any plot.

    Args:
        roots: folders whose tables of texts are read.
        plots: where samples are drawn from.
        cache: root that keeps the sentence vectors.
        sentences: name of the sentence model; that of the model's config where a run goes on.
        reach_m: how far outside a sample a text may lie, metres.
        progress: told how many texts are embedded.

    Raises:
        BrokenArtefact: a table cannot be read.
        InvalidInput: the sentence model needs a package that is not installed.
        Unavailable: the sentence model cannot be fetched.
    """
    if not any(Catalog(root).text_tables() for root in roots):
        return None
    encoder = sentence_encoder(sentences)
    text_at, found = prepared_texts(roots, plots, encoder, cache=cache, reach_m=reach_m, progress=progress)
    return TextsOfRun(text_config(encoder), text_at, found) if found.plots else None
