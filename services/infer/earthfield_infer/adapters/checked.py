"""What every encoder of another package is held to: clear errors instead of wrong fields."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import EarthfieldError, InvalidInput, NotFound
from earthfield.frames import Frames
from earthfield.ports import Encoder
from earthfield.sources import source_named
from earthfield.timeline import Period

LENGTH_TOLERANCE = 1e-2
"""How far the length of a vector may lie from 1: half precision and its like pass, logits do not."""


class CheckedEncoder:
    """Implements `earthfield.ports.Encoder` with another encoder, checking what it says and gives."""

    def __init__(self, encoder: Encoder, model: str, who: str) -> None:
        """Takes an encoder over.

        Args:
            encoder: what the other package made.
            model: the name that was asked for.
            who: how messages call it.

        Raises:
            InvalidInput: it is no encoder, has another name, or reads sources that nobody declared.
        """
        self._encoder, self._who = encoder, who
        if not isinstance(encoder, Encoder):
            raise InvalidInput(
                f"{who} is no encoder: it needs name, fingerprint, dim, sources and encode(frames, periods)"
            )
        self.name, self.fingerprint = str(encoder.name), str(encoder.fingerprint)
        self.dim, self.sources = int(encoder.dim), tuple(encoder.sources)
        if self.name != model:
            raise InvalidInput(
                f"{who} calls itself {self.name!r} where {model!r} was asked for: its fields would lie under "
                "another name"
            )
        if not self.fingerprint or self.dim < 2 or not self.sources:
            raise InvalidInput(
                f"{who} has fingerprint {self.fingerprint!r}, {self.dim} dimensions and {len(self.sources)} "
                "sources: it needs a fingerprint, 2 dimensions or more, and a source or more"
            )
        try:
            for source in self.sources:
                source_named(source)
        except NotFound as error:
            raise InvalidInput(f"{who} reads a source that is not there: {error}") from error

    def __getattr__(self, name: str) -> Any:
        """Gives what an encoder may declare beyond the seam, such as `window_px`, from the encoder itself."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._encoder, name)

    def encode(self, frames: Frames, periods: Sequence[Period]) -> NDArray[np.float32]:
        """Gives what the encoder gives, if it is what `Encoder.encode` promises.

        Raises:
            EarthfieldError: the encoder failed, or gave another shape, kind of number or length; its own errors of
                this tree pass as they are.
        """
        try:
            vectors = np.asarray(self._encoder.encode(frames, periods))
        except EarthfieldError:
            raise
        except Exception as error:
            # Code of another package: whatever it raises is told in one sentence.
            raise EarthfieldError(f"{self._who} failed ({told_by(error)}): see that package") from error
        shapes = {one.shape for one in frames.values()}
        wanted = [(len(periods), *shape, self.dim) for shape in shapes]
        if vectors.shape not in wanted or not np.issubdtype(vectors.dtype, np.floating):
            raise EarthfieldError(
                f"{self._who} gave {vectors.dtype} of shape {vectors.shape} where float32 of "
                f"(period, row, column, dimension) = {wanted[0]} was due: see that package"
            )
        if (flaw := _flaw(vectors)) is not None:
            raise EarthfieldError(f"{self._who} gave {flaw}: see that package")
        return vectors.astype(np.float32, copy=False)


def told_by(error: BaseException) -> str:
    """Gives the first line of what an error says, or its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _flaw(vectors: NDArray[np.floating]) -> str | None:
    """Says what is wrong with vectors (..., D), if anything is."""
    squares = np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64)
    known = np.isfinite(squares)
    if known.any():
        lengths = np.sqrt(squares[known])
        worst = float(lengths[np.abs(lengths - 1).argmax()])
        if not math.isclose(worst, 1, abs_tol=LENGTH_TOLERANCE):
            return f"a vector of length {worst:.3g} where unit vectors are due"
    if not np.isnan(vectors[~known]).all():
        return "a vector of which some numbers only are missing or infinite, where all or none must be NaN"
    return None
