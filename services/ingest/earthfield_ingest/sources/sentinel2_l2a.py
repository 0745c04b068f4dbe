"""Sentinel-2 Level-2A surface reflectance, with the offset that processing baseline 04.00 brought."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Quality, Source
from earthfield_ingest.dialect import asset_key, declared_scaling, property_ending
from earthfield_ingest.masks import in_classes

NODATA = -32768
SCALE = 1e-4
_OFFSET_DN = -1000.0
OFFSET_SINCE = "2022-01-25"
"""From this day on the archive was filled with processing 04.00 and later."""
UNTOLD = (
    "neither `s2:processing_baseline` nor the offset in `raster:bands` tells whether its numbers carry the offset "
    "of processing 04.00"
)

CLEAR_CLASSES = (2, 4, 5, 6, 7, 11)
"""Scene classes that show the surface: dark areas, vegetation, bare soil, water, unclassified, and snow (which is
surface, not weather). Left out: 0 no data, 1 saturated, 3 cloud shadow, 8 and 9 cloud, 10 thin cirrus."""


def to_stored(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[np.int16]:
    """Turns digital numbers into reflectance x 1e4.

    Args:
        item: the STAC item.
        band: which band.
        raw: digital numbers, float, NaN or 0 where nothing was measured.

    Returns:
        int16 of the same shape, -32768 where nothing was measured. Without an offset the digital number itself.
    """
    scale, offset = scaling(item, band)
    stored = np.rint(raw * (scale / SCALE) + offset / SCALE)
    return np.where(np.isfinite(raw) & (raw != 0), np.clip(stored, NODATA + 1, 32767), NODATA).astype(
        np.int16
    )


def scaling(item: Mapping[str, Any], band: Band) -> tuple[float, float]:
    """Gives (scale, offset) from digital number to reflectance for one item.

    What the item says wins in this order: its flag that the offset was applied to the pixels already (Earth Search
    sets it and declares the offset all the same, so that trusting both would count it twice); the asset's own
    scale and offset; its processing baseline (-1000 from 04.00 on).
    """
    properties = item.get("properties", {})
    key = asset_key(item.get("assets", {}), band.assets)
    declared = declared_scaling(item["assets"][key]) if key else None
    scale = declared[0] if declared else SCALE
    applied = property_ending(properties, "boa_offset_applied")
    if applied is not None and _is_true(applied):
        return scale, 0.0
    if declared is not None and applied is None:
        return declared
    return scale, _OFFSET_DN * SCALE if baseline(properties) >= (4, 0) else 0.0


def baseline(properties: Mapping[str, Any]) -> tuple[int, int]:
    """Gives the processing baseline as (4, 0) for `04.00`; (0, 0) where the item does not tell it."""
    told = property_ending(properties, "processing_baseline") or properties.get("processing:version")
    found = re.match(r"^N?(\d{2})\.?(\d{2})$", str(told or ""))
    if found is None:
        name = str(property_ending(properties, "product_uri", "product_id", "datatake_id") or "")
        found = re.search(r"_N(\d{2})\.?(\d{2})(?:_|$)", name)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def refuses(item: Mapping[str, Any]) -> str | None:
    """Refuses items of the years since processing 04.00 that leave open whether their numbers carry its offset."""
    properties, assets = item.get("properties", {}), item.get("assets", {})
    since = str(properties.get("datetime") or properties.get("start_datetime") or "") >= OFFSET_SINCE
    if not since or baseline(properties) != (0, 0):
        return None
    keys = (asset_key(assets, band.assets) for band in SOURCE.bands)
    told = property_ending(properties, "boa_offset_applied") is not None
    if told or any(key is not None and declared_scaling(assets[key]) for key in keys):
        return None
    return UNTOLD


def _is_true(flag: Any) -> bool:
    return flag is True or str(flag).lower() == "true"


def _band(name: str, gsd_m: float, common: str) -> Band:
    aliases = (name, common, f"{name}_{gsd_m:.0f}m")
    return Band(name, gsd_m, aliases, scale=SCALE, transform="log_reflectance")


BANDS = (
    _band("B02", 10.0, "blue"),
    _band("B03", 10.0, "green"),
    _band("B04", 10.0, "red"),
    _band("B05", 20.0, "rededge1"),
    _band("B06", 20.0, "rededge2"),
    _band("B07", 20.0, "rededge3"),
    _band("B08", 10.0, "nir"),
    _band("B8A", 20.0, "nir08"),
    _band("B11", 20.0, "swir16"),
    _band("B12", 20.0, "swir22"),
)

SOURCE = Source(
    name="sentinel-2-l2a",
    title="Sentinel-2 Level-2A surface reflectance",
    bands=BANDS,
    dtype="int16",
    nodata=NODATA,
    collections=(
        "sentinel-2-l2a", "sentinel-2-c1-l2a", "sentinel-2-pre-c1-l2a", "sentinel-s2-l2a", "sentinel-s2-l2a-cogs",
    ),
    to_stored=to_stored,
    refuses=refuses,
    quality=(Quality(("SCL", "scl", "SCL_20m"), partial(in_classes, classes=CLEAR_CLASSES)),),
    keeps=(
        "platform", "relative_orbit", "processing_baseline", "sun_azimuth", "sun_elevation", "azimuth",
        "incidence_angle",
    ),
    shift_m=20.0,
)  # fmt: skip
