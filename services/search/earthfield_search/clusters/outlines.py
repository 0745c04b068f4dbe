"""Outlines of clusters as GeoJSON: spots join what surrounds them, each cluster becomes one shape of many parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import shapes, sieve

from earthfield.storage import whole_file

MOST_PIXELS = 8 << 20
"""Of an answer that is outlined, eight whole tiles: outlines of more are no file that somebody opens."""
SPOT_PX = 5
"""Connected pixels of one cluster below this join the largest neighbour."""


def outlines(rasters: Sequence[Path], told: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Outlines the classes of some rasters.

    Args:
        rasters: GeoTIFFs of classes (H, W), uint8, 0 where there is no data.
        told: properties of each class, by its number; others are left out.

    Returns:
        A GeoJSON feature for each class that is left, by number, in degrees.
    """
    parts: dict[int, list[Any]] = {}
    for path in rasters:
        with rasterio.open(path) as data:
            classes, transform, crs = data.read(1), data.transform, data.crs
        to_degrees = Transformer.from_crs(crs, 4326, always_xy=True)
        there = classes > 0
        joined = sieve(classes, size=SPOT_PX, mask=there, connectivity=4)
        for shape, number in shapes(joined, mask=there, connectivity=4, transform=transform):
            if int(number) in told:
                parts.setdefault(int(number), []).append(_in_degrees(shape, to_degrees))
    return [_feature(own, told[number]) for number, own in sorted(parts.items())]


def _feature(parts: Sequence[Any], properties: Mapping[str, Any]) -> dict[str, Any]:
    whole = shapely.geometry.mapping(shapely.MultiPolygon(parts))
    return {"type": "Feature", "geometry": whole, "properties": properties}


def write_outlines(path: Path, features: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> Path:
    """Writes outlines, a line for each: spread over lines, corners would take four times the room."""
    lines = ",\n".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in features)
    head = json.dumps({"type": "FeatureCollection", "earthfield": about}, ensure_ascii=False)
    with whole_file(path) as temporary:
        temporary.write_text(f'{head[:-1]}, "features": [\n{lines}\n]}}\n')
    return path


def _in_degrees(shape: dict[str, Any], to_degrees: Transformer) -> Any:
    def moved(corners: NDArray[np.float64]) -> NDArray[np.float64]:
        lon, lat = to_degrees.transform(corners[:, 0], corners[:, 1])
        # A hundredth of a metre; neighbours keep the corners that they share.
        return np.column_stack([lon, lat]).round(7)

    return shapely.transform(shapely.geometry.shape(shape), moved)
