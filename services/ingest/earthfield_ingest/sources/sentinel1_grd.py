"""Sentinel-1 ground range detected backscatter, where a provider has calibrated it and put it on a map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from earthfield.sources import Band, Source
from earthfield_ingest.backscatter import NODATA, SCALE_DB, declared_measure
from earthfield_ingest.dialect import asset_key, declared
from earthfield_ingest.sources.sentinel1_rtc import to_stored

UNCALIBRATED = (
    "its bands hold uncalibrated digital numbers: neither the unit in `raster:bands` nor an asset's role sigma0 or "
    "gamma0 says otherwise; use sentinel-1-rtc instead"
)
NO_MAP = "its image is in the radar's geometry, not on a map: `proj:transform` tells no square pixels"


def refuses(item: Mapping[str, Any]) -> str | None:
    """Refuses what most archives hold as GRD: digital numbers that nobody calibrated, along the satellite's track.

    Tools that make items of such files tell the box around the image as if it were its grid; its pixels are then
    far from square.
    """
    assets = item.get("assets", {})
    keys = [key for band in SOURCE.bands if (key := asset_key(assets, band.assets)) is not None]
    if any(declared_measure(item, assets[key]) is None for key in keys):
        return UNCALIBRATED
    for key in keys:
        transform = declared(item.get("properties", {}), assets[key]).transform
        if transform is not None and abs(abs(transform[0] / transform[4]) - 1) > 0.05:
            return NO_MAP
    return None


def _band(name: str) -> Band:
    aliases = (name, name.upper(), f"sigma0_{name}", f"gamma0_{name}")
    return Band(name, 10.0, aliases, scale=SCALE_DB, unit="dB", transform="linear")


SOURCE = Source(
    name="sentinel-1-grd",
    title="Sentinel-1 ground range detected backscatter",
    bands=(_band("vv"), _band("vh")),
    dtype="int16",
    nodata=NODATA,
    collections=("sentinel-1-grd", "sentinel1-grd", "sentinel-s1-l1c"),
    to_stored=to_stored,
    refuses=refuses,
    keeps=("platform", "orbit_state", "relative_orbit", "incidence_angle"),
    shift_m=20.0,
)
