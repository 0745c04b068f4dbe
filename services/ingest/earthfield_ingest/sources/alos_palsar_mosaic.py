"""ALOS and ALOS-2 PALSAR yearly mosaics: L-band backscatter, one image for a year."""

from __future__ import annotations

from functools import partial

from earthfield.sources import Band, Quality, Source
from earthfield_ingest.backscatter import NODATA, SCALE_DB
from earthfield_ingest.masks import in_classes
from earthfield_ingest.sources.palsar2_scansar import to_stored

CLEAR_CLASSES = (50, 255)
"""Classes of the mask that show the surface: water and land. Left out: 0 no data, 100 layover, 150 shadow."""


def _band(name: str) -> Band:
    return Band(name, 25.0, (name.upper(), name), scale=SCALE_DB, unit="dB", transform="linear")


SOURCE = Source(
    name="alos-palsar-mosaic",
    title="ALOS PALSAR yearly mosaic",
    bands=(_band("hh"), _band("hv")),
    dtype="int16",
    nodata=NODATA,
    collections=("alos-palsar-mosaic", "alos_palsar_mosaic"),
    to_stored=to_stored,
    quality=(Quality(("mask", "MSK"), partial(in_classes, classes=CLEAR_CLASSES)),),
    cadence="interval",
    keeps=("platform",),
    roles=frozenset({"target"}),
    # Beyond the paper: the same land as ScanSAR sees, once a year.
    loss_weight=0.5,
    regrid_m=30.0,
)
