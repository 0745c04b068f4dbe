"""Dialects of STAC: one way to ask for what providers spell differently."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


def asset_key(assets: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Gives the first of `names` under which an asset is published, or None."""
    return next((name for name in names if name in assets), None)


def declared_scaling(asset: Mapping[str, Any]) -> tuple[float, float] | None:
    """Gives the (scale, offset) that an asset declares for its first band, or None.

    It is read from `raster:bands` (STAC 1.0), from `bands` and from the asset itself (`raster:scale`, STAC 1.1).
    A scale of 1 with an offset of 0 is what tools write when they know nothing, so it counts as not declared.
    """
    for part in (*asset.get("raster:bands", ())[:1], *asset.get("bands", ())[:1], asset):
        scale = _number(part, "raster:scale", "scale")
        offset = _number(part, "raster:offset", "offset")
        if (scale, offset) not in ((None, None), (1.0, 0.0), (1.0, None)):
            return (1.0 if scale is None else scale), (offset or 0.0)
    return None


def declared_nodata(asset: Mapping[str, Any]) -> float | None:
    """Gives the nodata value that an asset declares for its first band, or None."""
    for part in (*asset.get("raster:bands", ())[:1], *asset.get("bands", ())[:1], asset):
        value = part.get("nodata", part.get("raster:nodata"))
        if value is not None:
            return float(value)
    return None


def declared_crs(properties: Mapping[str, Any], asset: Mapping[str, Any]) -> str | None:
    """Gives the CRS that an asset or its item declares, as `EPSG:32631`, or None."""
    for part in (asset, properties):
        if part.get("proj:code"):
            return str(part["proj:code"])
        if part.get("proj:epsg"):
            return f"EPSG:{part['proj:epsg']}"
    return None


def property_ending(properties: Mapping[str, Any], *endings: str) -> Any:
    """Gives the first property whose name without its prefix is one of `endings`, or None.

    Providers prefix the same fact differently: `s2:processing_baseline`, `sentinel2:processing_baseline`,
    `sentinel:processing_baseline`.
    """
    for ending in endings:
        for name, value in properties.items():
            if name.rpartition(":")[2] == ending and value is not None:
                return value
    return None


def _number(part: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        if part.get(name) is not None:
            value = float(part[name])
            return value if math.isfinite(value) else None
    return None
