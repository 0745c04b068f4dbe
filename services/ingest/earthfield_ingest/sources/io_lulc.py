"""Impact Observatory land use and land cover: maps of a year at 10 m, the versions of 10 and of 9 classes."""

from __future__ import annotations

from earthfield.sources import Band
from earthfield_ingest.classmap import class_map

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


SOURCE = class_map(
    "io-lulc",
    "Impact Observatory land use and land cover",
    Band("class", 10.0, ("data", "supercell"), transform="linear"),
    classes=CLASSES,
    collections=("io-lulc", "io-lulc-9-class", "io-lulc-annual-v02"),
)
