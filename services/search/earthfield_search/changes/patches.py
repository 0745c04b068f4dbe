"""Patches of what changed: their outlines in degrees, how large they are, and how likely by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from rasterio.features import shapes
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from earthfield_search.changes.compare import Compared

_HECTARE_PX = 100


@dataclass(frozen=True)
class Patch:
    """Connected pixels that changed."""

    patch: int
    """Its number, 1 for the largest."""
    hectares: float
    """Its area."""
    mean_distance: float
    """Mean of 1 - cosine."""
    max_distance: float
    """Largest of 1 - cosine."""
    lon: float
    """A point inside, degrees."""
    lat: float
    """A point inside, degrees."""
    false_alarm: float | None = None
    """Geometric mean of its pixels' false-alarm probabilities; None where not calibrated."""
    least_false_alarm: float | None = None
    """The smallest of them."""


@dataclass(frozen=True)
class Found:
    """A patch and its outline."""

    patch: Patch
    """What is known of it."""
    outline: BaseGeometry
    """Polygons in degrees."""

    def feature(self) -> dict[str, Any]:
        """Gives it as a GeoJSON feature."""
        told = {name: value for name, value in asdict(self.patch).items() if value is not None}
        numbers = {
            name: float(f"{told[name]:.4g}") for name in told.keys() - {"patch", "lon", "lat", "hectares"}
        }
        properties = {
            name: numbers.get(name, value) for name, value in told.items() if name not in ("lon", "lat")
        }
        return {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(self.outline),
            "properties": properties,
        }


def described(one: Compared, numbers: NDArray[np.int32]) -> list[Found]:
    """Describes every patch of a coverage.

    Args:
        one: what was compared.
        numbers: (H, W) number of each pixel's patch, 0 for none.
    """
    last = int(numbers.max())
    if not last:
        return []
    order = np.arange(1, last + 1)
    sizes = np.bincount(numbers.ravel())[1:]
    means, peaks = _mean_and_peak(one.distances, numbers, order)
    scores = _mean_and_peak(one.score, numbers, order) if one.null is not None else None
    parts: dict[int, list[Any]] = {}
    transform = one.coverage.geobox.transform
    for outline, number in shapes(numbers, mask=numbers > 0, connectivity=8, transform=transform):
        parts.setdefault(int(number), []).append(shapely.geometry.shape(outline))
    crs, found = f"EPSG:{one.coverage.epsg}", []
    for number in order:
        shape, place = shapely.union_all(parts[int(number)]), number - 1
        lon, lat = Geometry(shapely.point_on_surface(shape), crs).to_crs("EPSG:4326").geom.coords[0]
        # Rounded, so that the mean of equal numbers is never beyond them.
        chances = (
            [10 ** -round(float(one[place]), 5) for one in scores] if scores is not None else [None, None]
        )
        patch = Patch(
            int(number), int(sizes[place]) / _HECTARE_PX, float(means[place]), float(peaks[place]), lon, lat,
            *chances,
        )  # fmt: skip
        degrees = Geometry(shape, crs).to_crs("EPSG:4326").geom
        found.append(Found(patch, shapely.set_precision(degrees, 1e-7)))
    return found


def numbered(found: Sequence[Found]) -> list[Found]:
    """Numbers patches of all coverages together, the largest first."""
    order = sorted(found, key=lambda one: -one.patch.hectares)
    return [replace(one, patch=replace(one.patch, patch=number)) for number, one in enumerate(order, 1)]


def _mean_and_peak(
    layer: NDArray[np.float32], numbers: NDArray[np.int32], order: NDArray[np.int_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.atleast_1d(ndimage.mean(layer, numbers, order)), np.atleast_1d(
        ndimage.maximum(layer, numbers, order)
    )
