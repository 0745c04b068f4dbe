"""VIIRS VNP09A1: surface reflectance of eight days on the sinusoidal grid of 927 m."""

from __future__ import annotations

from earthfield.sources import Band, Lattice, Quality, Source
from earthfield_ingest.sources.modis_09a1 import (
    NODATA,
    PIXEL_M,
    SCALE,
    SINUSOIDAL,
    is_clear,
    to_stored,
)


def _band(number: int) -> Band:
    return Band(f"M{number}", 2 * PIXEL_M, (f"SurfReflect_M{number}",), scale=SCALE, nodata=NODATA)


SOURCE = Source(
    name="viirs-09a1",
    title="VIIRS surface reflectance of 8 days",
    bands=tuple(_band(number) for number in (1, 2, 3, 4, 5, 7, 8, 10, 11)),
    dtype="int16",
    nodata=NODATA,
    collections=("viirs-09a1-001", "VNP09A1_001", "VNP09A1_002"),
    to_stored=to_stored,
    # The same bits as of MODIS; 0 is clear shallow ocean.
    quality=(Quality(("SurfReflect_State",), is_clear, nodata=65535),),
    keeps=("platform",),
    lattice=Lattice(SINUSOIDAL, 2 * PIXEL_M),
    resampling="nearest",
    cadence="interval",
    roles=frozenset({"target"}),
    # Beyond the paper: Sentinel-2 and Landsat tell the same of single pixels.
    loss_weight=0.5,
    regrid_m=2 * PIXEL_M,
)
