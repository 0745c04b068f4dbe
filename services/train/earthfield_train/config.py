"""Which experiment: the frozen configuration of a training run, its presets and its overrides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any

from earthfield.errors import InvalidInput, NotFound


@dataclass(frozen=True)
class DataConfig:
    """What a sample is."""

    chip_px: int = 48
    """Side of a sample, pixels; a multiple of 16."""
    plot_px: int = 128
    """Side of what is decoded and kept in memory at once."""
    max_frames: Mapping[str, int] = field(
        default_factory=lambda: {"sentinel-2-l2a": 14, "sentinel-1-rtc": 8, "landsat-c2-l2": 6}
    )
    """Most input frames per source; a source that is not named gets 8."""
    num_targets: int = 3
    """Most frames per source that a sample must reconstruct, at most a third of those in its valid period. The
    paper takes one; but a step costs the trunk's pass, and a few more targets teach more of the season in it."""
    min_clear: float = 0.05
    """Frames that show less of the chip are left out, share."""
    support_days: float = 365.2425
    """Length of the support period."""
    valid_days: Mapping[str, float] = field(
        default_factory=lambda: {"year": 365.2425, "half": 182.0, "quarter": 91.0, "month": 35.0}
    )
    """Lengths of valid periods; one is drawn for each sample."""
    valid_odds: Mapping[str, float] = field(
        default_factory=lambda: {"year": 0.45, "half": 0.2, "quarter": 0.2, "month": 0.15}
    )
    """Odds of each length."""
    alone: float = 0.3
    """How often a sample sees nothing outside its valid period."""
    cache_gb: float = 3.0
    """Memory for decoded plots."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses and the student's perturbations."""

    reconstruction: float = 1.0
    """Weight a."""
    uniformity: float = 0.05
    """Weight b."""
    consistency: float = 0.02
    """Weight c."""
    student_share: float = 0.5
    """Share of the samples that the student sees: its pass costs as much as the teacher's and weighs little."""
    drop_source: Mapping[str, float] = field(
        default_factory=lambda: {"landsat-c2-l2": 0.3, "sentinel-1-rtc": 0.3}
    )
    """How often the student sees nothing of a source; those not named are never dropped whole."""
    drop_frame: Mapping[str, float] = field(
        default_factory=lambda: {"landsat-c2-l2": 0.3, "sentinel-1-rtc": 0.3, "sentinel-2-l2a": 0.5}
    )
    """How often it misses a single frame, where that is its third perturbation."""


@dataclass(frozen=True)
class OptimConfig:
    """AdamW and its schedule."""

    learning_rate: float = 2e-3
    """Highest rate, after the warm-up."""
    warmup: float = 0.05
    """Share of the steps in which the rate rises from zero."""
    decay: str = "cosine"
    """`cosine` or `linear`, to zero at the last step."""
    weight_decay: float = 0.02
    """On matrices only, never on norms and biases."""
    beta2: float = 0.98
    """Memory of the second moment; short, because runs are."""
    clip_norm: float = 1.0
    """Longest gradient."""


@dataclass(frozen=True)
class TrainConfig:
    """A training run."""

    preset: str = "tiny"
    """Widths of the network, by name."""
    steps: int = 2000
    """Optimiser steps."""
    batch: int = 6
    """Samples in a step, each from another plot where there are enough."""
    seed: int = 0
    """Decides weights, data order and noise."""
    checkpoint_every: int = 100
    """Steps between checkpoints."""
    health_every: int = 200
    """Steps between looks at the embeddings' health."""
    data: DataConfig = DataConfig()
    """What a sample is."""
    loss: LossConfig = LossConfig()
    """Weights of the losses."""
    optim: OptimConfig = OptimConfig()
    """Optimiser and schedule."""

    def __post_init__(self) -> None:
        if self.data.chip_px % 16 or not 16 <= self.data.chip_px <= self.data.plot_px:
            raise InvalidInput(
                f"data.chip_px must be a multiple of 16 up to data.plot_px, not {self.data.chip_px}"
            )
        if self.steps < 1 or self.batch < 1:
            raise InvalidInput("steps and batch must be at least 1")


PRESETS: Mapping[str, TrainConfig] = MappingProxyType(
    {
        "tiny": TrainConfig(),
        "nano": TrainConfig(
            preset="nano",
            steps=200,
            batch=4,
            data=DataConfig(
                chip_px=32, max_frames={"sentinel-2-l2a": 8, "sentinel-1-rtc": 4, "landsat-c2-l2": 3}
            ),
        ),
    }
)


def train_config(preset: str, *, steps: int | None = None, settings: Sequence[str] = ()) -> TrainConfig:
    """Gives a preset with what the user sets instead.

    Args:
        preset: name of a preset.
        steps: optimiser steps, or None for the preset's.
        settings: texts such as `optim.learning_rate=1e-3` or `data.max_frames.sentinel-2-l2a=20`.

    Raises:
        NotFound: there is no such preset.
        InvalidInput: a setting names nothing, or has a value of another type.
    """
    if preset not in PRESETS:
        raise NotFound(f"preset {preset!r} is not known; choose one of {', '.join(PRESETS)}")
    config = PRESETS[preset]
    for text in settings:
        path, sign, value = text.partition("=")
        if not sign:
            raise InvalidInput(f"--set {text!r} must read name=value, such as optim.learning_rate=1e-3")
        config = _with(config, path.strip().split(".", 2), value.strip(), text)
    return config if steps is None else replace(config, steps=steps)


def _with(node: Any, path: Sequence[str], value: str, text: str) -> Any:
    name, rest = path[0], path[1:]
    if isinstance(node, Mapping):
        whole = ".".join(path)
        return {**node, whole: _read(value, next(iter(node.values()), 0.0), text)}
    known = [one.name for one in fields(node)] if is_dataclass(node) else []
    if name not in known:
        raise InvalidInput(
            f"--set {text!r}: there is no {name!r}; known here: {', '.join(known) or 'nothing'}"
        )
    held = getattr(node, name)
    has_parts = is_dataclass(held) or isinstance(held, Mapping)
    if (rest and not has_parts) or (not rest and is_dataclass(held)):
        raise InvalidInput(
            f"--set {text!r}: {name!r} {'needs a part, as in a.b' if has_parts else 'has no parts'}"
        )
    return replace(node, **{name: _with(held, rest, value, text) if rest else _read(value, held, text)})


def _read(value: str, held: Any, text: str) -> Any:
    if isinstance(held, str):
        return value
    try:
        read = json.loads(value)
    except ValueError as error:
        raise InvalidInput(f"--set {text!r}: {value!r} is not a number or JSON") from error
    if isinstance(held, float) and isinstance(read, int) and not isinstance(read, bool):
        read = float(read)
    if type(read) is not type(held):
        raise InvalidInput(f"--set {text!r}: {value!r} must be of type {type(held).__name__}")
    return read
