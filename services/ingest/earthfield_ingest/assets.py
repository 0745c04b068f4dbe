"""Sizes of assets: how many pixels and bytes of a file a window needs, before the file is opened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from earthfield.sources import Source
from earthfield_ingest.dialect import Declared, declared
from earthfield_ingest.scene import Scene, is_remote

_BLOCK_PX = 512
"""Usual side of a block of a cloud-optimised file: what is cut off at a window's sides is fetched all the same."""
_HEADER_BYTES = 1000
"""Of a small file; of a large one it does not matter."""
_RATIOS: Mapping[str, float] = {"f": 0.9, "i": 0.73, "u": 0.73}
"""Compressed bytes for each byte of pixels, by kind of number, with deflate: measured on the Sentinel-2 reflectance
(0.72 without headers) and Sentinel-1 power (0.91) of a Flemish field."""
_DEGREE_M = 111_320.0


@dataclass(frozen=True)
class AssetSize:
    """What of a file a window needs."""

    pixels: int
    """Pixels in the blocks that the window touches."""
    bytes: int
    """Their bytes as they lie in the file: by the item's `file:size` where it tells one, else from pixels, type and
    a usual ratio of compression."""
    remote: bool
    """Whether they come over the network."""


def size_of(
    scene: Scene, key: str, source: Source, extent_m: tuple[float, float], *, gsd_m: float, dtype: str
) -> AssetSize:
    """Tells what of an asset is read for a window.

    Args:
        scene: the item.
        key: the asset's.
        source: whose it is; files that are no rasters have blocks that nobody knows.
        extent_m: height and width of the window.
        gsd_m: side of a pixel where the item does not tell it.
        dtype: type of the pixels where the item does not tell it.
    """
    asset = scene.assets[key]
    told = declared(scene.properties, asset)
    side = _side_m(told, asset) or gsd_m
    shape = told.shape or _shape_of(scene, side)
    margin = _BLOCK_PX if source.layout == "raster" else 0
    wanted = [math.ceil(length / side) + margin for length in extent_m]
    pixels = min(wanted[0], shape[0]) * min(wanted[1], shape[1])
    kind = np.dtype(_dtype(asset) or dtype)
    size, whole = asset.get("file:size"), shape[0] * shape[1]
    if isinstance(size, int | float) and size > 0 and whole:
        num_bytes = size * min(1.0, pixels / whole)
    else:
        num_bytes = pixels * kind.itemsize * _RATIOS.get(kind.kind, 1.0) + _HEADER_BYTES
    return AssetSize(pixels, round(num_bytes), is_remote(asset["href"]))


def _side_m(told: Declared, asset: Mapping[str, Any]) -> float | None:
    if told.transform is not None:
        side = abs(told.transform[0])
        return side * _DEGREE_M if side < 0.1 else side
    parts = (*asset.get("raster:bands", ())[:1], *asset.get("bands", ())[:1], asset)
    told_m = (
        part.get(name)
        for part in parts
        for name in ("spatial_resolution", "raster:spatial_resolution", "gsd")
    )
    return next((float(one) for one in told_m if isinstance(one, int | float) and one > 0), None)


def _shape_of(scene: Scene, side_m: float) -> tuple[int, int]:
    """Rows and columns of a file that covers the footprint."""
    if scene.footprint.is_empty:
        return 0, 0
    west, south, east, north = scene.footprint.bounds
    width = (east - west) * _DEGREE_M * math.cos(math.radians((south + north) / 2))
    return math.ceil((north - south) * _DEGREE_M / side_m), math.ceil(width / side_m)


def _dtype(asset: Mapping[str, Any]) -> str | None:
    parts = (*asset.get("raster:bands", ())[:1], *asset.get("bands", ())[:1], asset)
    told = next((part["data_type"] for part in parts if part.get("data_type")), None)
    try:
        return np.dtype(told).name if told else None
    except TypeError:
        return None
