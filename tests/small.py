"""The smallest land and the smallest model that a whole job runs over."""

from __future__ import annotations

from pathlib import Path

import torch

from earthfield.schemas import INPUT_SOURCES
from earthfield.simulate import Landscape, simulate
from earthfield.sources import known_sources
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import SourceConfig, model_config
from earthfield_model.widths import widths_named


def small_land(folder: Path, *, start_year: int = 2022) -> Path:
    """Writes 320 m x 320 m of clear tropics, a scene of each sensor every two months for two years."""
    rare = dict.fromkeys(("s2_revisit_days", "s1_revisit_days", "landsat_revisit_days"), 60)
    simulate(folder, Landscape(size_px=(32, 32), lat=5.03, start_year=start_year, cloudiness=0.0, **rare))
    return folder


def small_model(root: Path) -> str:
    """Writes an untrained model of the smallest size; gives its name."""
    sources = [source for name, source in known_sources().items() if name in INPUT_SOURCES]
    config = model_config("untrained", [SourceConfig.of(source) for source in sources], widths_named("nano"))
    torch.manual_seed(0)
    AlphaEarth(config).save_pretrained(root / "models" / "untrained")
    return "untrained"
