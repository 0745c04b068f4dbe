"""Land cover and crops of simulated landscapes: the truth of a year at 10 m, for a model to learn from."""

from __future__ import annotations

from earthfield.simulate.classes import CLASSES, COLLECTION
from earthfield.sources import Band
from earthfield_ingest.classmap import class_map

SOURCE = class_map(
    COLLECTION,
    "Simulated land cover and crops",
    Band("class", 10.0, ("class",), transform="linear"),
    classes=CLASSES,
    collections=(COLLECTION,),
)
