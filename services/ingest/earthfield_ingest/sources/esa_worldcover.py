"""ESA WorldCover: land cover of a year at 10 m, in 11 classes."""

from __future__ import annotations

from earthfield.sources import Band
from earthfield_ingest.classmap import class_map

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


SOURCE = class_map(
    "esa-worldcover",
    "ESA WorldCover",
    Band("class", 10.0, ("map", "ESA_WORLDCOVER_10M_MAP"), transform="linear"),
    classes=CLASSES,
    collections=(
        "esa-worldcover",
        "esa-worldcover-2020",
        "esa-worldcover-2021",
        "esa-worldcover-map-10m-2020-v1",
        "esa-worldcover-map-10m-2021-v2",
    ),
)
