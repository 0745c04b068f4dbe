"""MODIS MCD43A4: reflectance as if seen from straight above, of every day, on the sinusoidal grid of 463 m."""

from __future__ import annotations

from functools import partial

from earthfield.sources import Lattice, Quality, Source
from earthfield_ingest.masks import in_classes
from earthfield_ingest.sources.modis_09a1 import NODATA, PIXEL_M, SINUSOIDAL, bands, to_stored

FILL = 32767
CLEAR_CODES = (0, 1)
"""Codes of the mandatory quality: a full inversion, or a magnitude inversion. 255 is fill."""

SOURCE = Source(
    name="modis-43a4",
    title="MODIS nadir reflectance of 16 days",
    bands=bands("Nadir_Reflectance_Band{}", FILL),
    dtype="int16",
    nodata=NODATA,
    collections=("modis-43A4-061", "modis-43A4-006", "MCD43A4_061"),
    to_stored=to_stored,
    quality=(
        # The red band's; 0 is its best value.
        Quality(
            ("BRDF_Albedo_Band_Mandatory_Quality_Band1",),
            partial(in_classes, classes=CLEAR_CODES),
            required=False,
            nodata=255,
        ),
    ),
    keeps=("platform",),
    lattice=Lattice(SINUSOIDAL, PIXEL_M),
    resampling="nearest",
    cadence="interval",
    roles=frozenset({"target"}),
    # Beyond the paper: Sentinel-2 and Landsat tell the same of single pixels.
    loss_weight=0.5,
    regrid_m=PIXEL_M,
)
