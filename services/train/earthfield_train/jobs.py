"""The training job: cubes in, a model's folder out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, field_validator

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import Conflict, InvalidInput
from earthfield.schemas import Request
from earthfield.sources import Source, known_sources
from earthfield.storage import whole_file, write_json
from earthfield_model.alphaearth import CONFIG_FILE, WEIGHTS_FILE, AlphaEarth
from earthfield_model.config import model_config
from earthfield_model.encoder import model_folder
from earthfield_model.widths import widths_named
from earthfield_train.card import card_of, metrics_of
from earthfield_train.checkpoint import CHECKPOINT_FILE, model_of
from earthfield_train.config import TrainConfig, train_config
from earthfield_train.dataset import Plot, PlotStore, Sampler, find_plots
from earthfield_train.statistics import measured_sources
from earthfield_train.trainer import Trainer, Watch, read_log

logger = logging.getLogger(__name__)


class TrainRequest(Request):
    """Cubes into a model."""

    name: Annotated[str, Field(description="Name of the model to make.")]
    preset: str = Field("tiny", description="Configuration to start from.")
    data: tuple[Path, ...] = Field(
        (), description="Roots whose cubes to train on; the root itself when empty."
    )
    start: str | None = Field(None, description="Model whose weights to start from, instead of random ones.")
    steps: int | None = Field(None, ge=1, description="Optimiser steps; the preset's when absent.")
    settings: tuple[str, ...] = Field((), description="Overrides such as optim.learning_rate=1e-3.")
    resume: bool = Field(False, description="Go on from the last checkpoint.")
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


@dataclass
class TrainReport:
    """What a training run did."""

    model: str
    """Name of the model."""
    path: str
    """Its folder."""
    steps: int
    """Steps that it has behind it."""
    steps_done: int
    """Steps done in this run."""
    parameters: int
    """Learned figures."""
    fingerprint: str
    """Hash of config and weights."""
    plots: int
    """Pieces of land that samples were drawn from."""
    first: dict[str, float] = field(default_factory=dict)
    """Mean figures of the first steps."""
    last: dict[str, float] = field(default_factory=dict)
    """Mean figures of the last steps."""
    health: dict[str, float] = field(default_factory=dict)
    """Health of the embeddings at the end."""
    seconds: float = 0.0
    """Wall time of this run."""


def unwatched(step: int, row: Mapping[str, float]) -> None:
    """Tells nobody."""


def train_model(
    request: TrainRequest, *, watch: Watch = unwatched, sources: Mapping[str, Source] | None = None
) -> TrainReport:
    """Trains a model and writes its folder: config.json, model.safetensors, metrics.json, card.md.

    Args:
        request: what to train, on what.
        watch: told after every step.
        sources: declared sources by name; all known ones when absent.

    Raises:
        NotFound: no cube holds any of the sources; or nothing to resume from.
        Conflict: the model is there already, or the checkpoint is of another configuration.
    """
    started = time.perf_counter()
    config, folder = request.config, Catalog(request.root).model(request.name)
    _check_place(folder, request)
    usable = {
        k: v for k, v in (known_sources() if sources is None else sources).items() if "input" in v.roles
    }
    plots = find_plots(request.roots, tuple(usable), config.data)
    store = PlotStore(tuple(usable), limit_gb=config.data.cache_gb)
    checkpoint = folder / CHECKPOINT_FILE
    if request.resume:
        model = model_of(checkpoint)
    elif request.start:
        model = _started_from(request)
    else:
        model = _new_model(request.name, config, usable, plots, store)
    _check_size(model, plots, config)
    trainer = Trainer(model, Sampler(plots, store, config.data, seed=config.seed), config)
    if request.resume:
        trainer.resume(checkpoint)
    resumed_at = trainer.step
    log = Catalog(request.root).report("train", request.name).with_suffix(".jsonl")
    trainer.run(checkpoint, log, watch)
    metrics = metrics_of(model, config, plots, read_log(log))
    _write(model, metrics, folder)
    report = _report(request, metrics, folder, plots, config.steps - resumed_at)
    report.seconds = round(time.perf_counter() - started, 2)
    write_json(Catalog(request.root).report("train", request.name), asdict(report))
    logger.info("trained %s: %d steps in %.0f s", request.name, report.steps_done, report.seconds)
    return report


def _new_model(
    name: str, config: TrainConfig, sources: Mapping[str, Source], plots: list[Plot], store: PlotStore
) -> AlphaEarth:
    measured = measured_sources(sources, plots, store)
    # Weights from the seed, without touching the process's own generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return AlphaEarth(model_config(name, measured, widths_named(config.preset)))


def _started_from(request: TrainRequest) -> AlphaEarth:
    """Gives another model under the new name; its stems keep the statistics that its weights know.

    Raises:
        NotFound: there is no such model.
        Conflict: it is of another preset.
    """
    assert request.start is not None
    before = AlphaEarth.from_pretrained(model_folder(request.start, Catalog(request.root)))
    if before.config.widths != widths_named(request.config.preset):
        raise Conflict(f"{request.start} is not of the preset {request.config.preset}: name its own --preset")
    model = AlphaEarth(replace(before.config, name=request.name))
    model.load_state_dict(before.state_dict())
    return model


def _check_place(folder: Path, request: TrainRequest) -> None:
    there = [name for name in (WEIGHTS_FILE, CHECKPOINT_FILE) if (folder / name).is_file()]
    if request.resume and request.overwrite:
        raise InvalidInput("give --resume or --overwrite, not both")
    if there and not request.resume and not request.overwrite:
        raise Conflict(
            f"{folder} holds {' and '.join(there)} already: add --resume, --overwrite or another --name"
        )


def _check_size(model: AlphaEarth, plots: list[Plot], config: TrainConfig) -> None:
    logger.info(
        "%s: %d parameters, %s, %d plots, %d steps",
        model.config.name,
        model.num_parameters,
        ", ".join(model.config.source_names),
        len(plots),
        config.steps,
    )


def _write(model: AlphaEarth, metrics: Mapping[str, Any], folder: Path) -> None:
    model.save_pretrained(folder)
    with whole_file(folder / "card.md") as temporary:
        temporary.write_text(card_of(metrics, model))
    # Last, because it says that the model is whole.
    write_json(folder / "metrics.json", metrics)
    logger.info("wrote %s and %s", folder / CONFIG_FILE, folder / WEIGHTS_FILE)


def _report(
    request: TrainRequest, metrics: Mapping[str, Any], folder: Path, plots: list[Plot], steps_done: int
) -> TrainReport:
    same = {name: metrics[name] for name in ("parameters", "fingerprint", "first", "last", "health", "steps")}
    return TrainReport(model=request.name, path=str(folder), steps_done=steps_done, plots=len(plots), **same)
