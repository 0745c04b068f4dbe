"""National Land Cover Database of the United States: land cover of a year at 30 m."""

from __future__ import annotations

from earthfield.sources import Band
from earthfield_ingest.classmap import class_map

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


SOURCE = class_map(
    "nlcd",
    "National Land Cover Database",
    Band("class", 30.0, ("landcover", "land_cover", "LndCov", "data"), transform="linear"),
    classes=CLASSES,
    regrid_m=30.0,
    collections=("nlcd", "usgs-nlcd", "annual-nlcd"),
)
