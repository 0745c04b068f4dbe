"""Pictures of a run: its losses, its embeddings' health, its rate, as one PNG beside the card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from earthfield.storage import whole_file
from earthfield_train.journal import Row

PICTURE_FILE = "losses.png"
LOSSES = ("loss", "reconstruction", "uniformity", "consistency", "text", "anchor", "emulation")
"""Losses apart, in the order in which they are shown; a run has those that its objective has."""
_SMOOTHED_OVER = 50
"""A line is a running mean over the number of steps divided by this."""

_MARGINS = {"left": 0.06, "right": 0.98, "bottom": 0.07, "top": 0.95, "wspace": 0.15, "hspace": 0.28}
"""Shares of the figure, and of a panel between panels."""


def draw_losses(path: Path, rows: Sequence[Row]) -> None:
    """Draws every loss apart, errors by source, health, and gradient and rate, over the steps.

    Args:
        path: PNG to write, whole or not at all.
        rows: what was logged.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7))
    FigureCanvasAgg(figure)
    # A layout engine would take as long as all the drawing.
    axes = figure.subplots(2, 2, gridspec_kw=_MARGINS)
    names = dict.fromkeys(name for row in rows for name in row)
    panels: dict[str, list[str]] = {
        "losses": [name for name in LOSSES if name in names],
        "error by source": [name for name in names if name.startswith(("l1/", "ce/"))],
        "health of the embeddings": [
            name for name in names if name.startswith("health/") and name != "health/effective_rank"
        ],
        "gradient (before clipping) and rate": [name for name in ("gradient", "rate") if name in names],
    }
    for axis, (title, shown) in zip(axes.flat, panels.items(), strict=True):
        for name in shown:
            _draw(axis, name, rows)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        if shown:
            axis.legend(fontsize=7)
    for place in (0, 3):
        axes.flat[place].set_yscale("log")
    with whole_file(path) as temporary:
        # Nothing of the clock or the library goes into the file.
        figure.savefig(temporary, dpi=100, metadata={"Software": None})


def _draw(axis: Any, name: str, rows: Sequence[Row]) -> None:
    held = [(row["step"], row[name]) for row in rows if name in row]
    steps, values = (np.array(one, float) for one in zip(*held, strict=True))
    window = max(len(values) // _SMOOTHED_OVER, 1)
    # Means of windows that lie wholly inside, so that ends do not bend.
    smooth = np.convolve(values, np.full(window, 1 / window), "valid")
    style = {"marker": "."} if len(smooth) < 20 else {}
    axis.plot(steps[window - 1 :], smooth, label=name.removeprefix("health/"), linewidth=1, **style)
