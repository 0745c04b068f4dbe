"""Sentinel-2 Level-1C reflectance at the top of the atmosphere, with the offset that processing 04.00 brought."""

from __future__ import annotations

from earthfield.sources import Source
from earthfield_ingest.sources.sentinel2_l2a import BANDS, NODATA, refuses, to_stored

SOURCE = Source(
    name="sentinel-2-l1c",
    title="Sentinel-2 Level-1C top-of-atmosphere reflectance",
    bands=BANDS,
    dtype="int16",
    nodata=NODATA,
    collections=("sentinel-2-l1c", "sentinel-s2-l1c"),
    # The offset is -1000 here too (RADIO_ADD_OFFSET), and items tell it in the same ways.
    to_stored=to_stored,
    refuses=refuses,
    # No quality: providers publish no cloud mask of this level that is a raster everywhere.
    keeps=(
        "platform", "relative_orbit", "processing_baseline", "sun_azimuth", "sun_elevation", "azimuth",
        "incidence_angle",
    ),
    shift_m=20.0,
)  # fmt: skip
