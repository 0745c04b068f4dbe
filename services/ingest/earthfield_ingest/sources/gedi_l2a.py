"""GEDI Level 2A: canopy heights under the footprints of a lidar, put on the 10 m grid as a sparse raster.

A pixel holds the footprint (25 m across) whose centre lies in it; every other pixel is nodata. Which footprints
count is told in `earthfield_ingest.readers.footprints`. Heights `rhNN` are metres above the ground below which NN
per cent of the energy came back; the low ones are often negative. `elevation` is that of the ground above the
WGS 84 ellipsoid, not above the sea, to half a metre.

Source: GEDI L02 user guide, versions 1 and 2.
"""

from __future__ import annotations

from earthfield.sources import Band, Source
from earthfield_ingest.packing import NODATA, packed

_FILES = ("data", "h5", "hdf5", "granule")
_PERCENTS = (25, 50, 75, 95, 98, 100)


def _height(percent: int) -> Band:
    return Band(
        f"rh{percent}", 25.0, _FILES, scale=0.01, unit="m", transform="linear", index=percent + 1,
        variables=("rh",),
    )  # fmt: skip


SOURCE = Source(
    name="gedi-l2a",
    title="GEDI Level 2A canopy height",
    bands=(
        *map(_height, _PERCENTS),
        Band(
            "elevation", 25.0, _FILES, scale=0.5, unit="m", transform="linear", variables=("elev_lowestmode",)
        ),
    ),
    dtype="int16",
    nodata=NODATA,
    collections=("gedi-l2a", "GEDI02_A", "GEDI02_A.v002", "GEDI02_A_002", "GEDI02_A.v001", "GEDI02_A_001"),
    to_stored=packed,
    keeps=("platform",),
    resampling="nearest",
    layout="footprints",
    roles=frozenset({"target"}),
)
