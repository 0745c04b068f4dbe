"""One legend for land cover and crops: the classes that a simulated landscape's map of them has."""

from __future__ import annotations

from collections.abc import Mapping

from earthfield.simulate.covers import LandCover
from earthfield.simulate.crops import CROPS

COLLECTION = "simulated-cover"
FIRST_CROP = 100
"""Cropland has the code of its crop, from here on; everything else that of its land cover."""
CLASSES: Mapping[int, str] = {
    **{int(one): one.name.lower().replace("_", " ") for one in LandCover},
    **{FIRST_CROP + code: crop.name.replace("_", " ") for code, crop in CROPS.items()},
}
"""Names of the codes."""
