"""The request of a training run, the same for command line, Python and flows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from earthfield.catalog import checked_name
from earthfield.schemas import Request
from earthfield_train.checkpoint import chosen_checkpoint
from earthfield_train.config import TrainConfig, train_config


class TrainRequest(Request):
    """Cubes into a model."""

    name: Annotated[str, Field(description="Name of the model to make.")]
    preset: str = Field("tiny", description="Configuration to start from.")
    data: tuple[Path, ...] = Field(
        (), description="Roots whose cubes to train on; the root itself when empty."
    )
    start: str | None = Field(None, description="Model whose weights to start from, instead of random ones.")
    teachers: tuple[str, ...] = Field(
        (), description="Published fields to match with objective=emulate: PATH or PATH:PERIOD each."
    )
    steps: int | None = Field(None, ge=1, description="Optimiser steps; the preset's when absent.")
    settings: tuple[str, ...] = Field((), description="Overrides such as optim.learning_rate=1e-3.")
    resume: bool = Field(False, description="Go on from the last checkpoint.")
    previous: bool = Field(False, description="With resume: go on from the checkpoint before the last.")
    overwrite: bool = Field(False, description="Train anew where a model or checkpoint lies already.")

    @field_validator("name")
    @classmethod
    def _usable(cls, value: str) -> str:
        return checked_name(value)

    @property
    def config(self) -> TrainConfig:
        """The resolved configuration; errors as in `train_config`."""
        return train_config(self.preset, steps=self.steps, settings=self.settings)

    @property
    def roots(self) -> tuple[Path, ...]:
        """Where cubes are looked for."""
        return self.data or (self.catalog_root.folder,)

    @property
    def folder(self) -> Path:
        """The model's folder."""
        return self.catalog_root.model(self.name)

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint to go on from, None where the run begins; errors as in `chosen_checkpoint`."""
        return chosen_checkpoint(self.folder, previous=self.previous) if self.resume else None

    @property
    def log(self) -> Path:
        """The JSON lines of the run; TensorBoard files lie in the folder of the same name."""
        return self.catalog_root.report("train", self.name).with_suffix(".jsonl")
