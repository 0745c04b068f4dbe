"""Dynamic World: the most probable land cover of 10 m pixels, of one Sentinel-2 scene or of a composite."""

from __future__ import annotations

from earthfield.sources import Band
from earthfield_ingest.classmap import class_map

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


SOURCE = class_map(
    "dynamic-world",
    "Dynamic World",
    # It is exported without a nodata value, and 0 is water.
    Band("class", 10.0, ("label", "LABEL"), transform="linear", nodata=NODATA),
    classes=CLASSES,
    collections=("dynamic-world", "dynamic-world-v1", "dynamicworld"),
    nodata=NODATA,
)
