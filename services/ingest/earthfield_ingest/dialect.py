"""Dialects of STAC: one way to ask for what providers spell differently."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


def asset_key(assets: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Gives the first of `names` under which an asset is published, or None."""
    return next((name for name in names if name in assets), None)


def declared_scaling(asset: Mapping[str, Any]) -> tuple[float, float] | None:
    """Gives the (scale, offset) that an asset declares for its first band, or None.

    It is read from `raster:bands` (STAC 1.0), from `bands` and from the asset itself (`raster:scale`, STAC 1.1).
    A scale of 1 with an offset of 0 is what tools write when they know nothing, so it counts as not declared.
    """
    for part in _band_parts(asset):
        scale = _number(part, "raster:scale", "scale")
        offset = _number(part, "raster:offset", "offset")
        if (scale, offset) not in ((None, None), (1.0, 0.0), (1.0, None)):
            return (1.0 if scale is None else scale), (offset or 0.0)
    return None


@dataclass(frozen=True)
class Declared:
    """What an item tells of an asset's grid, for files that do not tell it themselves."""

    crs: str | None = None
    """Coordinate system, as `EPSG:32631`."""
    transform: tuple[float, ...] | None = None
    """The first six numbers of `proj:transform`."""
    shape: tuple[int, int] | None = None
    """Rows and columns that the transform belongs to."""
    nodata: float | None = None
    """Value of a pixel that was not measured."""


def declared(properties: Mapping[str, Any], asset: Mapping[str, Any]) -> Declared:
    """Gathers what an item tells of an asset's grid, from the asset first."""
    both = (asset, properties)
    code = next((part["proj:code"] for part in both if part.get("proj:code")), None)
    epsg = next((part["proj:epsg"] for part in both if part.get("proj:epsg")), None)
    transform = next((part["proj:transform"] for part in both if part.get("proj:transform")), None)
    shape = next((part["proj:shape"] for part in both if part.get("proj:shape")), None)
    nodata = [_number(part, "nodata", "raster:nodata") for part in _band_parts(asset)]
    return Declared(
        crs=code or (f"EPSG:{epsg}" if epsg else None),
        transform=tuple(transform[:6]) if transform else None,
        shape=(shape[0], shape[1]) if shape else None,
        nodata=next((value for value in nodata if value is not None), None),
    )


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


def _band_parts(asset: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Where an asset's first band may be described: STAC 1.0, STAC 1.1, and the asset itself."""
    return (*asset.get("raster:bands", ())[:1], *asset.get("bands", ())[:1], asset)


def _number(part: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        if part.get(name) is not None:
            value = float(part[name])
            return value if math.isfinite(value) else None
    return None
