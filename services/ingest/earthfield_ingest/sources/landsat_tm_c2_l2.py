"""Landsat 4, 5 and 7 Collection 2 Level-2: surface reflectance and temperature of TM and ETM+."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from earthfield.sources import Quality, Source
from earthfield_ingest.dialect import platform_of
from earthfield_ingest.masks import without_bits
from earthfield_ingest.sources.landsat_c2_l2 import (
    NODATA,
    QUALITY,
    of_platforms,
    reflectance,
    temperature,
    to_stored,
)

SATURATED_BITS = (0, 1, 2, 3, 4, 6)
"""Bits of QA_RADSAT that spoil a stored band: saturation of bands 1 to 5 and 7."""


def _refuses(item: Mapping[str, Any]) -> str | None:
    if platform_of(item) is None:
        return "neither its `platform` nor its `id` tells which Landsat it is, and with it what its bands are"
    platforms = ("landsat-4", "landsat-5", "landsat-7")
    return of_platforms(item, platforms, "which landsat-c2-l2 reads if it is 8 or 9")


SOURCE = Source(
    name="landsat-tm-c2-l2",
    title="Landsat 4-7 Collection 2 Level-2",
    bands=(
        reflectance("blue", 1),
        reflectance("green", 2),
        reflectance("red", 3),
        reflectance("nir08", 4),
        reflectance("swir16", 5),
        reflectance("swir22", 7),
        temperature("lwir", 6, 120.0),
    ),
    dtype="uint16",
    nodata=NODATA,
    collections=("landsat-c2-l2", "landsat-c2l2-sr", "landsat-c2l2-st"),
    to_stored=to_stored,
    quality=(
        QUALITY[0],
        Quality(QUALITY[1].assets, partial(without_bits, bits=SATURATED_BITS), required=False, nodata=65535),
    ),
    refuses=_refuses,
    keeps=("platform", "wrs_path", "wrs_row", "sun_azimuth", "sun_elevation", "off_nadir"),
    regrid_m=30.0,
)
