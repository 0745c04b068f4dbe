"""Dynamic World: the most probable land cover of 10 m pixels, of one Sentinel-2 scene or of a composite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Source
from earthfield_ingest.masks import known_classes

NODATA = 255
CLASSES = {
    0: "water",
    1: "trees",
    2: "grass",
    3: "flooded vegetation",
    4: "crops",
    5: "shrub and scrub",
    6: "built",
    7: "bare",
    8: "snow and ice",
}


def to_stored(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[np.uint8]:
    """Keeps class codes.

    Args:
        item: the STAC item; nothing of it is needed.
        band: the band; nothing of it is needed.
        raw: codes, float, NaN where nothing was classified.

    Returns:
        uint8 of the same shape, 255 where the code has no name.
    """
    return known_classes(raw, CLASSES, nodata=NODATA)


SOURCE = Source(
    name="dynamic-world",
    title="Dynamic World",
    # It is exported without a nodata value, and 0 is water.
    bands=(Band("class", 10.0, ("label", "LABEL"), transform="linear", nodata=NODATA),),
    dtype="uint8",
    nodata=NODATA,
    collections=("dynamic-world", "dynamic-world-v1", "dynamicworld"),
    to_stored=to_stored,
    resampling="nearest",
    cadence="interval",
    classes=CLASSES,
    roles=frozenset({"target"}),
    loss="cross_entropy",
)
