"""Where a trainer's batches come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from earthfield_model.config import ModelConfig
from earthfield_train.dataset import TrainBatch


class Samples(Protocol):
    """Draws batches, each a function of a seed and its number alone; threads may share it."""

    def batch(self, number: int, size: int, model: ModelConfig) -> TrainBatch:
        """Gives a batch: its number, samples in it, for which network."""
        ...

    def plots_of(self, number: int, size: int) -> Sequence[object]:
        """Gives what to call the places of a batch in a message."""
        ...
