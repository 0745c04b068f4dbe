"""Logging: set up once, at the edge."""

from __future__ import annotations

import logging
import sys


def set_up(*, verbose: bool = False) -> None:
    """Sends our log to stderr: warnings, or everything with `verbose`; other libraries only from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in ("core", "ingest", "train", "infer", "search", "flows", "model", "analysis"):
        name = "earthfield" if package == "core" else f"earthfield_{package}"
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
