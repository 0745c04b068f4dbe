"""The seams: what an encoder and a vector index must do, whoever provides them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from earthfield.frames import Frames
from earthfield.timeline import Period


@runtime_checkable
class Encoder(Protocol):
    """Turns frames into embeddings: ours in process, Triton, or other people's models."""

    @property
    def name(self) -> str:
        """The model's name, as in addresses."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of everything that decides the output (weights and config)."""
        ...

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        ...

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources it can read."""
        ...

    def encode(self, frames: Frames, periods: Sequence[Period]) -> NDArray[np.float32]:
        """Gives a unit vector per pixel and period.

        Args:
            frames: observations of one window, all inside the support period; H and W multiples of 16.
            periods: valid periods, any number, served by one pass.

        Returns:
            (P, H, W, D) float32; NaN at pixels that no valid observation covers.

        Raises:
            InvalidInput: the frames cannot be read by this encoder.
            Unavailable: a remote encoder does not answer.
        """
        ...


class VectorIndex(Protocol):
    """Keeps cells and answers which are nearest to a vector."""

    def replace(self, rows: Any, *, tile: str, period: str) -> int:
        """Puts the cells of one tile and period in place of what was there; gives how many."""
        ...

    def nearest(
        self, vector: NDArray[np.float32], *, k: int, where: Any | None = None, exact: bool = False
    ) -> Any:
        """Gives the k nearest cells by cosine as an Arrow table with a `score` column."""
        ...
