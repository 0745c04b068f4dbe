"""What a trained model says of itself: metrics.json and card.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.encoder import fingerprint_of
from earthfield_train.config import TrainConfig
from earthfield_train.journal import Row
from earthfield_train.pictures import LOSSES, PICTURE_FILE
from earthfield_train.plots import Plot

_ENDS = 50
"""Steps over which the first and last figures are averaged."""


def metrics_of(
    model: AlphaEarth, config: TrainConfig, plots: Sequence[Plot], rows: Sequence[Row]
) -> dict[str, Any]:
    """Gives what is worth keeping of a run: losses at both ends, health, data, configuration."""
    names = sorted({name for row in rows for name in row if not name.startswith("health/")} - {"step"})
    # Folders' names only: a card travels with its model, and a path of one machine says nothing elsewhere.
    places = sorted({plot.root.name for plot in plots})
    return {
        "model": model.config.name,
        "fingerprint": fingerprint_of(model),
        "parameters": model.num_parameters,
        "steps": len(rows),
        "samples": len(rows) * config.batch,
        "samples_per_second": _pace(rows),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "first": _averages(rows[:_ENDS], names),
        "last": _averages(rows[-_ENDS:], names),
        "health": _health(rows),
        "data": {place: _place_facts(place, plots) for place in places},
        "config": asdict(config),
    }


def card_of(metrics: Mapping[str, Any], model: AlphaEarth) -> str:
    """Writes the card that a person reads."""
    first, last, health = metrics["first"], metrics["last"], metrics["health"]
    config = metrics["config"]
    losses = [f"| {name} | {first[name]:.4f} | {last[name]:.4f} |" for name in last if _is_loss(name)]
    places = [
        f"- `{name}`: {one['plots']} plots, {one['square_km']:.2f} km2"
        for name, one in metrics["data"].items()
    ]
    sources = [f"- `{one.name}`: {', '.join(one.band_names)}" for one in model.config.inputs]
    lines = [
        f"# {metrics['model']}",
        "",
        f"An Earthfield encoder with {metrics['parameters']:,} parameters: frames of a place to a unit vector",
        "of 64 numbers per 10 m pixel, for any period. Weights in `model.safetensors`, the rest in `config.json`.",
        f"Preset `{config['preset']}`, objective `{config['objective']}`, {metrics['steps']} steps of "
        f"{config['batch']} samples of {config['data']['chip_px']} px in {config['precision']}, "
        f"{metrics['seconds'] / 60:.0f} minutes; all settings in `train.json`.",
        "",
        "## Reads",
        *sources,
        "",
        "## Trained on",
        *places,
        "",
        f"## Losses, mean of the first and the last {_ENDS} steps",
        "| part | first | last |",
        "|---|---|---|",
        *losses,
        "",
        f"![losses]({PICTURE_FILE})",
        "",
        "## Health of the embeddings at the end",
        *(f"- {name.replace('_', ' ')}: {value:.3f}" for name, value in health.items()),
        "",
        "## Limits",
        "Trained on the places above and on nothing else: elsewhere, judge with `earthfield evaluate` before use.",
        "Distances are not calibrated across places. Frames must be co-registered and optical ones corrected.",
    ]
    return "\n".join(lines) + "\n"


def _is_loss(name: str) -> bool:
    return name in LOSSES or name.startswith(("l1/", "ce/"))


def _pace(rows: Sequence[Row]) -> float:
    return round(float(np.median([row["samples_per_second"] for row in rows])), 2) if rows else 0.0


def _averages(rows: Sequence[Row], names: Sequence[str]) -> dict[str, float]:
    held = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: round(float(np.mean(values)), 6) for name, values in held.items() if values}


def _health(rows: Sequence[Row]) -> dict[str, float]:
    measured = [row for row in rows if any(name.startswith("health/") for name in row)]
    last = measured[-1] if measured else {}
    return {name[7:]: round(value, 6) for name, value in last.items() if name.startswith("health/")}


def _place_facts(place: str, plots: Sequence[Plot]) -> dict[str, float]:
    own = [plot.window.shape for plot in plots if plot.root.name == place]
    return {"plots": len(own), "square_km": round(sum(h * w for h, w in own) * 1e-4, 3)}
