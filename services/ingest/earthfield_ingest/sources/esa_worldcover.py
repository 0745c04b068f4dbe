"""ESA WorldCover: land cover of a year at 10 m, in 11 classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Source
from earthfield_ingest.masks import known_classes

NODATA = 0
CLASSES = {
    10: "tree cover",
    20: "shrubland",
    30: "grassland",
    40: "cropland",
    50: "built-up",
    60: "bare or sparse vegetation",
    70: "snow and ice",
    80: "permanent water bodies",
    90: "herbaceous wetland",
    95: "mangroves",
    100: "moss and lichen",
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
    name="esa-worldcover",
    title="ESA WorldCover",
    bands=(Band("class", 10.0, ("map", "ESA_WORLDCOVER_10M_MAP"), transform="linear"),),
    dtype="uint8",
    nodata=NODATA,
    collections=("esa-worldcover", "esa-worldcover-2020", "esa-worldcover-2021", "esa-worldcover-map-10m-2020-v1",
                 "esa-worldcover-map-10m-2021-v2"),
    to_stored=to_stored,
    resampling="nearest",
    cadence="interval",
    classes=CLASSES,
    roles=frozenset({"target"}),
    loss="cross_entropy",
)  # fmt: skip
