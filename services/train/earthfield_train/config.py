"""Which experiment: the frozen configuration of a training run, its presets and its overrides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any

from earthfield.errors import InvalidInput, NotFound


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InvalidInput(f"{name} must be {' or '.join(known)}, not {value!r}")


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
    """Most input frames per source."""
    other_frames: int = 8
    """Most input frames of a source that is not named there."""
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
    pool_plots: int = 16
    """Plots that batches draw from at a time, so that a plot is decoded once for many samples; all where there are
    fewer, or at 0. Must fit `cache_gb`: a plot of 128 px takes about 40 MB for a year of three sensors."""
    pool_steps: int = 32
    """Batches for which a plot stays in the pool."""
    fixed_frames: bool = False
    """Pads every sample to `max_frames`, so that all batches have one shape (for compiled models)."""
    partial_bands: bool = False
    """Trains also where no cube holds a band that the model reads."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses and the student's perturbations."""

    reconstruction: float = 1.0
    """Weight a."""
    uniformity: float = 0.05
    """Weight b."""
    consistency: float = 0.02
    """Weight c."""
    text: float = 0.001
    """Weight d."""
    anchor: float = 0.0
    """Weight of what holds teacher and student to the vectors of the model as the run began; 0 is the paper's."""
    student_share: float = 0.5
    """Share of the samples that the student sees: its pass costs as much as the teacher's and weighs little."""
    drop_source: Mapping[str, float] = field(default_factory=lambda: {"landsat": 0.3, "sentinel-1": 0.3})
    """How often the student sees nothing of the sources whose names begin so; others are never dropped whole."""
    drop_frame: Mapping[str, float] = field(
        default_factory=lambda: {"landsat": 0.3, "sentinel-1": 0.3, "sentinel-2": 0.5}
    )
    """How often it misses a single frame of them, where that is its third perturbation."""


@dataclass(frozen=True)
class EmulateConfig:
    """Learning from published embeddings: what counts, and what is held out."""

    mse: float = 0.1
    """Weight of the mean squared error beside 1 - cos."""
    few: float = 0.25
    """How often a sample sees at most half of the frames that it may, down to one a source: users have few."""
    min_known: float = 0.05
    """Chips of which the teacher knows less are not drawn, share."""
    held_out: float = 0.1
    """Share of the plots that are not learned from and judge the student at the end."""
    most_chips: int = 64
    """Chips of them that are looked at."""
    cache_gb: float = 1.0
    """Memory for the teacher's codes."""

    def __post_init__(self) -> None:
        if not (0 <= self.held_out < 1 and 0 <= self.few <= 1 and 0 <= self.min_known <= 1):
            raise InvalidInput(
                "emulate.held_out must be 0 to below 1, emulate.few and emulate.min_known 0 to 1"
            )
        if self.mse < 0 or self.most_chips < 1:
            raise InvalidInput("emulate.mse must be 0 or more, emulate.most_chips at least 1")


@dataclass(frozen=True)
class OptimConfig:
    """AdamW and its schedule."""

    learning_rate: float = 2e-3
    """Highest rate, after the warm-up."""
    fitted_rate: float = 0.05
    """Share of the rate with which the embedding layer learns, which the first fit has computed already."""
    warmup: float = 0.05
    """Share of the steps in which the rate rises from zero."""
    decay: str = "cosine"
    """`cosine` or `linear`, to zero at the last step."""
    weight_decay: float = 0.02
    """On matrices only, never on norms and biases; at zero AdamW is Adam."""
    beta2: float = 0.98
    """Memory of the second moment; short, because runs are."""
    clip_norm: float = 1.0
    """Longest gradient."""

    def __post_init__(self) -> None:
        _one_of("optim.decay", self.decay, ("cosine", "linear"))
        if not 0 <= self.warmup < 1:
            raise InvalidInput(f"optim.warmup is a share of the steps, 0 to below 1, not {self.warmup}")
        if not 0 <= self.beta2 < 1 or self.clip_norm <= 0 or self.learning_rate < 0:
            raise InvalidInput(
                "optim.learning_rate must be 0 or more, optim.beta2 0 to below 1, optim.clip_norm above 0"
            )


@dataclass(frozen=True)
class RunConfig:
    """How a run is carried out: nothing here decides what is learned, but for the last digits of floats."""

    device: str = "auto"
    """`auto` (a GPU where there is one), `cpu` or `cuda`."""
    distributed: str = "none"
    """`none`, `ddp` (every process holds the model) or `fsdp` (each holds a part), both under torchrun."""
    checkpointing: bool = False
    """Computes the trunk's activations again in the backward pass instead of keeping them: less memory, a third
    more work."""
    compile: bool = False
    """Compiles the trunk's blocks."""
    workers: int = 0
    """Threads that prepare batches ahead of the step; 0 prepares them in between."""
    checkpoint_every: int = 100
    """Steps between checkpoints."""
    health_every: int = 200
    """Steps between looks at the embeddings' health."""
    keep: int = 2
    """Checkpoints that stay: the last ones."""

    def __post_init__(self) -> None:
        _one_of("run.device", self.device, ("auto", "cpu", "cuda"))
        _one_of("run.distributed", self.distributed, ("none", "ddp", "fsdp"))
        if min(self.checkpoint_every, self.health_every, self.keep) < 1 or self.workers < 0:
            raise InvalidInput(
                "run.checkpoint_every, run.health_every and run.keep must be at least 1, run.workers at least 0"
            )


@dataclass(frozen=True)
class TrainConfig:
    """A training run."""

    preset: str = "tiny"
    """Widths of the network, by name."""
    objective: str = "pretrain"
    """`pretrain` (the four losses), `emulate` (matches published embeddings) or `texts` (the text network of a
    model alone; the encoder, and with it every field, stays what it is)."""
    steps: int = 2000
    """Optimiser steps."""
    batch: int = 6
    """Samples in a step, of all processes together."""
    accumulate: int = 1
    """Micro-batches that a process goes through in a step, for batches that do not fit at once. Uniformity and the
    text contrast compare the samples of one micro-batch, so more of them are not quite one large batch."""
    precision: str = "float32"
    """`float32` or `bf16` (autocast: weights, optimiser and losses stay float32)."""
    first_fit: int = 8
    """Batches from which the embedding layer of a new model is computed before the first step (see `firstfit`); 0
    leaves it random."""
    refit: bool = False
    """Whether it is computed also where a run starts from the weights of another model, whose features have become
    better than the layer that a long training left."""
    new_texts: bool = False
    """Whether objective `texts` begins with a new text network also where the model has one."""
    seed: int = 0
    """Decides weights, data order and noise."""
    data: DataConfig = DataConfig()
    """What a sample is."""
    loss: LossConfig = LossConfig()
    """Weights of the losses."""
    emulate: EmulateConfig = EmulateConfig()
    """Learning from published embeddings, where that is the objective."""
    optim: OptimConfig = OptimConfig()
    """Optimiser and schedule."""
    run: RunConfig = RunConfig()
    """How it is carried out."""

    def __post_init__(self) -> None:
        _one_of("objective", self.objective, ("pretrain", "emulate", "texts"))
        _one_of("precision", self.precision, ("float32", "bf16"))
        if self.data.chip_px % 16 or not 16 <= self.data.chip_px <= self.data.plot_px:
            raise InvalidInput(
                f"data.chip_px must be a multiple of 16 up to data.plot_px, not {self.data.chip_px}"
            )
        if self.objective == "texts" and self.refit:
            raise InvalidInput("objective texts leaves the encoder as it is: leave refit out")
        if min(self.steps, self.batch, self.accumulate) < 1:
            raise InvalidInput("steps, batch and accumulate must be at least 1")

    def part_size(self, parts: int) -> int:
        """Gives the samples of one micro-batch where a step has `parts` of them over all processes.

        Raises:
            InvalidInput: the batch cannot be dealt out evenly.
        """
        if self.batch % parts:
            raise InvalidInput(
                f"a batch of {self.batch} cannot be dealt out to {parts} micro-batches (processes x accumulate): "
                f"set batch to a multiple of {parts}"
            )
        return self.batch // parts

    def decisive(self) -> dict[str, Any]:
        """Gives what decides the result, as plain content: all but how the run is carried out."""
        content = asdict(self)
        del content["run"]
        return content


_PAPER_FRAMES = {"sentinel-2-l2a": 65, "sentinel-1-rtc": 17, "landsat-c2-l2": 21}
_PAPER_OPTIM = OptimConfig(learning_rate=1e-4, warmup=0.01, decay="linear", weight_decay=0.0, beta2=0.999)
"""The paper's: 1,000 steps up to 1e-4, then linearly to zero at 100,000."""

PRESETS: Mapping[str, TrainConfig] = MappingProxyType(
    {
        # For tests: seconds.
        "nano": TrainConfig(
            preset="nano",
            steps=200,
            batch=4,
            data=DataConfig(
                chip_px=32, max_frames={"sentinel-2-l2a": 8, "sentinel-1-rtc": 4, "landsat-c2-l2": 3}
            ),
        ),
        # Two CPU cores, below 4 GB.
        "tiny": TrainConfig(
            batch=8,
            first_fit=48,
            data=DataConfig(
                chip_px=32, plot_px=64, cache_gb=0.5, pool_plots=48, pool_steps=128, num_targets=4,
                max_frames={"sentinel-2-l2a": 24, "sentinel-1-rtc": 12, "landsat-c2-l2": 8},
            ),
            # The paper's weights go with batches of 256 and 100,000 steps. So short a training makes vectors steady
            # and gives the decoders and texts a place; what they tell apart is the first fit's, which is held.
            loss=LossConfig(
                uniformity=0.3, consistency=1.0, anchor=4.0, student_share=1.0,
                drop_frame={"landsat": 0.6, "sentinel-1": 0.6, "sentinel-2": 0.7},
            ),
            optim=OptimConfig(learning_rate=5e-4, warmup=0.1),
        ),
        # One GPU, about a day.
        "small": TrainConfig(
            preset="small",
            steps=30_000,
            batch=64,
            accumulate=2,
            precision="bf16",
            data=DataConfig(chip_px=96, cache_gb=16.0, fixed_frames=True),
            optim=OptimConfig(learning_rate=5e-4, warmup=0.02),
            run=RunConfig(workers=8, compile=True, checkpoint_every=500, health_every=500),
        ),
        # A few GPUs, the paper's schedule.
        "base": TrainConfig(
            preset="base",
            steps=100_000,
            batch=256,
            accumulate=16,
            precision="bf16",
            data=DataConfig(chip_px=128, cache_gb=32.0, max_frames=_PAPER_FRAMES, fixed_frames=True),
            optim=_PAPER_OPTIM,
            run=RunConfig(
                workers=12, compile=True, checkpointing=True, checkpoint_every=500, health_every=1000
            ),
        ),
        # Many GPUs: `torchrun ... --set run.distributed=fsdp`, with accumulate x processes dividing the batch.
        "large": TrainConfig(
            preset="large",
            steps=100_000,
            batch=256,
            accumulate=4,
            precision="bf16",
            data=DataConfig(chip_px=128, cache_gb=32.0, max_frames=_PAPER_FRAMES, fixed_frames=True),
            optim=_PAPER_OPTIM,
            run=RunConfig(
                distributed="fsdp", workers=12, compile=True, checkpointing=True, checkpoint_every=500,
                health_every=1000,
            ),
        ),
    }
)  # fmt: skip


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
