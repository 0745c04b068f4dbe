"""National Land Cover Database of the United States: land cover of a year at 30 m."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Source
from earthfield_ingest.masks import known_classes

NODATA = 0
CLASSES = {
    11: "open water",
    12: "perennial ice or snow",
    21: "developed, open space",
    22: "developed, low intensity",
    23: "developed, medium intensity",
    24: "developed, high intensity",
    31: "barren land",
    41: "deciduous forest",
    42: "evergreen forest",
    43: "mixed forest",
    51: "dwarf scrub",
    52: "shrub or scrub",
    71: "grassland or herbaceous",
    72: "sedge or herbaceous",
    73: "lichens",
    74: "moss",
    81: "pasture or hay",
    82: "cultivated crops",
    90: "woody wetlands",
    95: "emergent herbaceous wetlands",
}


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
    name="nlcd",
    title="National Land Cover Database",
    bands=(Band("class", 30.0, ("landcover", "land_cover", "LndCov", "data"), transform="linear"),),
    dtype="uint8",
    nodata=NODATA,
    collections=("nlcd", "usgs-nlcd", "annual-nlcd"),
    to_stored=to_stored,
    resampling="nearest",
    cadence="interval",
    classes=CLASSES,
    roles=frozenset({"target"}),
    loss="cross_entropy",
)
