"""Models as files and facts: listed, shown, and carried from one machine to another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact
from earthfield.schemas import INPUT_SOURCES
from earthfield.sources import source_named
from earthfield_model.alphaearth import WEIGHTS_FILE, AlphaEarth
from earthfield_model.config import SourceConfig, model_config
from earthfield_model.encoder import bundled_models, fingerprint_of, model_folder, model_names
from earthfield_model.flops import flop_table, on_meta, paper_frames, parameters_by_part
from earthfield_model.widths import PRESETS, widths_named

CARD_FILE, METRICS_FILE = "card.md", "metrics.json"


@dataclass(frozen=True)
class ModelRow:
    """A model in a list."""

    name: str
    """Its name."""
    path: str
    """Its folder."""
    bytes: int
    """Size of the weights' file."""
    parameters: int | None
    """Learned figures, as its metrics tell."""
    steps: int | None
    """Optimiser steps behind it, as its metrics tell."""
    bundled: bool
    """Whether it came with Earthfield."""


@dataclass(frozen=True)
class Cost:
    """What a model weighs and what encoding with it costs."""

    parameters: int
    """Learned figures."""
    parameters_by_part: Mapping[str, int]
    """The same by part."""
    weights_mb: float
    """Memory of the weights in float32, MB of 10^6 bytes."""
    frames: Mapping[str, int]
    """Frames per source that the FLOPs are counted for: the paper's year."""
    gflops: float
    """10^9 floating-point operations for a window of 128 x 128 px and one period."""
    gflops_by_part: Mapping[str, float]
    """The same by part."""
    gflops_per_km2: float
    """The same per square kilometre, windows side by side."""


@dataclass(frozen=True)
class ModelFacts:
    """Everything worth showing of a model or of a preset."""

    name: str
    """Name of the model or the preset."""
    path: str | None
    """Its folder; None of a preset, which has no weights."""
    fingerprint: str | None
    """Hash of config and weights; None of a preset."""
    config: Mapping[str, Any]
    """Widths, sources, bands and statistics."""
    cost: Cost
    """Parameters, memory, FLOPs."""
    text: bool
    """Whether it has a text network."""
    metrics: Mapping[str, Any]
    """Losses and health of its training; empty where it tells none."""
    card: str
    """Its card; empty where it has none."""


def list_models(catalog: Catalog) -> list[ModelRow]:
    """Lists the models of a root and the bundled ones, sorted by name.

    Raises:
        BrokenArtefact: metrics of one are there and cannot be read.
    """
    rows = []
    for name in model_names(catalog):
        folder = model_folder(name, catalog)
        metrics = read_metrics(folder)
        size = (folder / WEIGHTS_FILE).stat().st_size
        bundled = folder.parent == bundled_models()
        known = [metrics.get(key) for key in ("parameters", "steps")]
        parameters, steps = (one if isinstance(one, int) else None for one in known)
        rows.append(ModelRow(name, str(folder), size, parameters, steps, bundled))
    return rows


def facts_named(name: str, catalog: Catalog, *, preset: bool = False) -> ModelFacts:
    """Gives the facts of a model, or of a preset where no model has the name or `preset` asks for it.

    Raises:
        NotFound: neither a model nor a preset has the name.
        BrokenArtefact: the model's files cannot be read.
    """
    if preset or (name in PRESETS and name not in model_names(catalog)):
        return preset_facts(name)
    return facts_of(model_folder(name, catalog))


def facts_of(folder: Path) -> ModelFacts:
    """Gives the facts of a trained model; errors as in `AlphaEarth.from_pretrained`."""
    model = AlphaEarth.from_pretrained(folder)
    return ModelFacts(
        name=model.config.name,
        path=str(folder),
        fingerprint=fingerprint_of(model),
        config=json.loads(model.config.to_json()),
        cost=cost_of(model),
        text=_has_text(model),
        metrics=read_metrics(folder),
        card=read_card(folder),
    )


def preset_facts(preset: str) -> ModelFacts:
    """Gives the facts of a preset with the three sources that maps are made from, before anything is trained.

    The network is built without weights, so that every preset is shown on any machine.

    Raises:
        NotFound: there is no such preset.
    """
    sources = [SourceConfig.of(source_named(name)) for name in INPUT_SOURCES]
    model = on_meta(model_config(preset, sources, widths_named(preset)))
    config = json.loads(model.config.to_json())
    return ModelFacts(preset, None, None, config, cost_of(model), _has_text(model), {}, "")


def cost_of(model: AlphaEarth) -> Cost:
    """Counts parameters, and FLOPs of the paper's year of 103 frames as far as the model reads them."""
    # Where none of the paper's sensors is read: a frame of each source every ten days.
    frames = paper_frames(model.config) or dict.fromkeys(model.config.source_names, 36)
    table = flop_table(model.config, num_frames=frames)
    return Cost(
        parameters=model.num_parameters,
        parameters_by_part=parameters_by_part(model),
        weights_mb=round(sum(one.numel() for one in model.state_dict().values()) * 4 / 1e6, 3),
        frames=frames,
        gflops=round(table.total / 1e9, 3),
        gflops_by_part={part: round(count / 1e9, 3) for part, count in table.by_part.items()},
        gflops_per_km2=round(table.per_km2 / 1e9, 3),
    )


def read_metrics(folder: Path) -> dict[str, Any]:
    """Reads a model's metrics; empty where it has none.

    Raises:
        BrokenArtefact: the file is there and is no JSON object.
    """
    path = folder / METRICS_FILE
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BrokenArtefact(f"{path} cannot be read ({error}): replace or remove the file") from error
    if not isinstance(found, dict):
        raise BrokenArtefact(f"{path} holds no JSON object: replace or remove the file")
    return found


def read_card(folder: Path) -> str:
    """Reads a model's card; empty where it has none.

    Raises:
        BrokenArtefact: the file is there and is no text.
    """
    path = folder / CARD_FILE
    try:
        return path.read_text() if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenArtefact(f"{path} cannot be read ({error}): replace or remove the file") from error


def _has_text(model: AlphaEarth) -> bool:
    return getattr(model, "text", None) is not None
