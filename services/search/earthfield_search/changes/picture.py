"""Both periods and what changed, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield_search.changes.compare import Compared

_MOST_LOG = 4.0


def draw_change(path: Path, one: Compared, changed: NDArray[np.bool_], about: Mapping[str, Any]) -> Path:
    """Draws both periods in the colours of their common principal axes, and the change with outlined patches.

    Args:
        path: where the PNG goes.
        one: what was compared.
        changed: (H, W) True in patches.
        about: model, periods, rule and rate or threshold.
    """
    from earthfield_search.files.pictures import draw_panels

    limit = about.get("threshold")
    limits, threshold, name = None, limit, "distance"
    meaning = "1 - cosine of the two periods (not calibrated)"
    if one.null is not None:
        threshold = -math.log10(about["false_alarms"])
        limits = (0.0, max(_MOST_LOG, threshold + 1))
        name, meaning = "change", "-log10 of the false-alarm probability"
    if changed.any():
        name += ", patches outlined"
    return draw_panels(
        path, [(about["before"], one.pictures[0]), (about["after"], one.pictures[1])], one.score, one.coverage,
        title=f"What changed?  {about['model']}, {about['before']} to {about['after']}", name=name,
        meaning=meaning, limits=limits, threshold=threshold, outline=changed,
    )  # fmt: skip
