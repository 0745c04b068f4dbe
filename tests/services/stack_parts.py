"""What tests of the whole stack need: free ports, a landscape, a model."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from earthfield.catalog import Catalog
from earthfield.simulate import Landscape, simulate
from earthfield.sources import known_sources
from earthfield_flows.stack import Ports
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import SourceConfig, model_config
from earthfield_model.encoder import model_names
from earthfield_model.widths import widths_named


def free_ports() -> Ports:
    """Finds six ports in a row that nobody listens on; processes that test side by side look at their own."""
    lowest = 21000 + 1000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for base in range(lowest, lowest + 994, 7):
        try:
            for port in range(base, base + 6):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return Ports.from_base(base)
        except OSError:
            continue
    raise AssertionError("no six free ports in a row")


def write_landscape(folder: Path) -> Path:
    """Writes a simulated landscape of 960 m x 960 m and two years, seen half as often as it would be."""
    seldom = {"s2_revisit_days": 10, "s1_revisit_days": 12, "landsat_revisit_days": 16}
    simulate(folder, Landscape(size_px=(96, 96), **seldom))
    return folder


def model_for(root: Path) -> str:
    """Gives the name of a model: the bundled starter, or an untrained one where it is not there yet."""
    if "starter" in model_names(Catalog(root)):
        return "starter"
    sources = [SourceConfig.of(source) for source in known_sources().values()]
    AlphaEarth(model_config("untrained", sources, widths_named("nano"))).save_pretrained(
        root / "models" / "untrained"
    )
    return "untrained"
