"""Impact Observatory land use and land cover: maps of a year at 10 m, the versions of 10 and of 9 classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Source
from earthfield_ingest.masks import known_classes

NODATA = 0
CLASSES = {
    1: "water",
    2: "trees",
    3: "grass",
    4: "flooded vegetation",
    5: "crops",
    6: "scrub or shrub",
    7: "built area",
    8: "bare ground",
    9: "snow or ice",
    11: "rangeland",
}
"""Grass and scrub are classes of the first version, rangeland takes their place in the later one. Left out: 10,
clouds, which are no cover of the land."""


def to_stored(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[np.uint8]:
    """Keeps class codes.

    Args:
        item: the STAC item; nothing of it is needed.
        band: the band; nothing of it is needed.
        raw: codes, float, NaN where nothing was classified.

    Returns:
        uint8 of the same shape, 0 where the code has no name.
    """
    return known_classes(raw, CLASSES, nodata=NODATA)


SOURCE = Source(
    name="io-lulc",
    title="Impact Observatory land use and land cover",
    bands=(Band("class", 10.0, ("data", "supercell"), transform="linear"),),
    dtype="uint8",
    nodata=NODATA,
    collections=("io-lulc", "io-lulc-9-class", "io-lulc-annual-v02"),
    to_stored=to_stored,
    resampling="nearest",
    cadence="interval",
    classes=CLASSES,
    roles=frozenset({"target"}),
    loss="cross_entropy",
)
