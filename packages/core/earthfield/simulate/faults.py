"""What a landscape's satellites never deliver: frames, spans, bands, one of two orbits, whole sensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from earthfield.simulate import elevation, landsat, sentinel1, sentinel2
from earthfield.simulate.noise import stream
from earthfield.simulate.scene import Asset, Scene
from earthfield.simulate.spec import Landscape

_NEVER_THERE = {landsat.COLLECTION: 0.3, sentinel1.COLLECTION: 0.1, elevation.COLLECTION: 0.08}
"""Chance that a landscape with all faults lacks a sensor altogether; Sentinel-2 is always there."""
_ONE_ORBIT = 0.5
"""Chance that one orbit of the radar is missing, as over much of the Earth."""
_LACKS: dict[str, tuple[tuple[float, tuple[str, ...]], ...]] = {
    sentinel2.COLLECTION: ((0.1, ("B02", "B03", "B04", "B08")), (0.05, ("B05", "B06", "B07"))),
    sentinel1.COLLECTION: ((0.1, ("vh",)),),
    landsat.COLLECTION: ((0.15, ("lwir11",)),),
}
"""Chances that bands are missing from every scene of a collection."""
_TORN = 0.03
"""Chance that a single scene lacks a band."""
_QUALITY = ("SCL", "qa_pixel")
"""Assets that are always there."""


def kept(spec: Landscape, collection: str, scenes: Sequence[Scene]) -> list[Scene]:
    """The scenes of a collection that arrive, without the bands that do not.

    Args:
        spec: The landscape; `faults` scales every chance, and without faults every scene arrives.
        collection: Collection id.
        scenes: Its scenes in the order of time.
    """
    if spec.faults <= 0.0:
        return list(scenes)
    rng = stream(spec.seed, f"faults {collection}")
    gone = rng.random() < spec.faults * _NEVER_THERE.get(collection, 0.0)
    lost_share = spec.faults * float(rng.uniform(0.0, 0.35))
    orbit = str(rng.choice(["ascending", "descending"]))
    one_orbit = collection == sentinel1.COLLECTION and rng.random() < spec.faults * _ONE_ORBIT
    lacks: set[str] = set()
    for chance, bands in _LACKS.get(collection, ()):
        if rng.random() < spec.faults * chance and not lacks:
            lacks.update(bands)
    gaps = _gaps(rng, spec)
    if collection == elevation.COLLECTION:
        return [] if gone else list(scenes)
    arrived = []
    for scene in scenes:
        lost, torn = rng.random() < lost_share, rng.random() < spec.faults * _TORN
        day = scene.instant.timetuple().tm_yday + 366 * (scene.instant.year - spec.start_year)
        inside = any(first <= day < last for first, last in gaps)
        if gone or lost or inside or (one_orbit and scene.properties.get("sat:orbit_state") != orbit):
            continue
        arrived.append(_without(scene, frozenset(lacks), int(rng.integers(12)) if torn else -1))
    return arrived


def _gaps(rng: np.random.Generator, spec: Landscape) -> list[tuple[int, int]]:
    """Spans of days in which a sensor stands still."""
    found = []
    for year in range(spec.years):
        first, length = int(rng.integers(0, 366)), int(rng.integers(15, 130))
        if rng.random() < 0.3 * spec.faults:
            found.append((366 * year + first, 366 * year + first + length))
    return found


def _without(scene: Scene, bands: frozenset[str], torn: int) -> Scene:
    """The scene without some bands, and without one more where `torn` is not negative."""
    if not bands and torn < 0:
        return scene
    return dataclasses.replace(scene, make=partial(_some, scene, bands, torn))


def _some(scene: Scene, bands: frozenset[str], torn: int, properties: dict[str, Any]) -> Iterator[Asset]:
    """The scene's rasters that arrive."""
    for number, asset in enumerate(scene.make(properties)):
        if asset.key in _QUALITY or (asset.key not in bands and number != torn):
            yield asset
