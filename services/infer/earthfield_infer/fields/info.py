"""What lies in a field: a summary that never holds more than a strip of it in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.codec import is_missing, values_of
from earthfield.field import QUALITY_NODATA, layer_of, scenes_read
from earthfield.grid import PIXEL_M
from earthfield_infer.fields.choose import Part, strips

_BINS = 2001
"""Bins of the histogram that medians are read from, over -1..1: a median is right to 0.0005."""


@dataclass
class LayerFacts:
    """One quality layer."""

    unit: str
    """Unit of the figures."""
    low: float | None
    """Smallest value; None where no pixel has one."""
    mean: float | None
    """Mean over pixels that have one."""
    high: float | None
    """Largest value."""


@dataclass
class FieldFacts:
    """What lies in one field."""

    model: str
    """Name of the model."""
    tile: str
    """Its tile."""
    period: str
    """Its valid period."""
    support: str
    """When its inputs were taken; empty where the manifest does not tell."""
    dimensions: int
    """Length of a vector."""
    dtype: str
    """Type in which vectors are stored."""
    fingerprint: str
    """Hash of the model that made it."""
    origin: str
    """Where it was imported from; empty where it was made here."""
    pixels: int
    """Pixels with a vector."""
    share: float
    """Their share of the pixels that were asked for, 0..1."""
    km2: float
    """The area of these pixels."""
    bytes: int
    """Size of its files."""
    norm_low: float | None
    """Smallest length of a stored vector: 1 but for rounding."""
    norm_high: float | None
    """Largest length."""
    frames: dict[str, int] = field(default_factory=dict)
    """Frames of its own tile by source."""
    scenes: dict[str, int] = field(default_factory=dict)
    """Scenes that touched it by source, those in neighbouring tiles too."""
    quality: dict[str, LayerFacts] = field(default_factory=dict)
    """Quality layers by name."""
    agreement_low: float | None = None
    """10th percentile of the split-half agreement; None without such a layer."""
    agreement_median: float | None = None
    """Its median."""
    files: list[str] = field(default_factory=list)
    """Names of its files."""
    path: str = ""
    """Its folder."""


def facts_of(part: Part) -> FieldFacts:
    """Reads a field strip by strip and tells what lies in it, or in the part of it that is asked for."""
    one = part.field
    manifest = one.manifest
    low, high, pixels, asked = np.inf, -np.inf, 0, 0
    for strip in strips(part.window):
        codes = part.codes(strip)
        asked += int(part.inside(strip).sum())
        there = ~is_missing(codes)
        pixels += int(there.sum())
        if there.any():
            norms = np.linalg.norm(values_of(codes[:, there]), axis=0)
            low, high = min(low, float(norms.min())), max(high, float(norms.max()))
    layers, agreement = _layers(part)
    frames = {source: len(seen) for source, seen in sorted(manifest["sources"].items())}
    return FieldFacts(
        one.key.model, one.key.tile.id, str(one.key.period), manifest.get("support", {}).get("text", ""),
        one.dim, one.dtype, manifest["model"]["fingerprint"], str(manifest.get("imported", {}).get("origin", "")),
        pixels, pixels / max(asked, 1), pixels * PIXEL_M**2 / 1e6, sum(
            file["bytes"] for file in manifest["files"].values()
        ),
        low if pixels else None, high if pixels else None, frames,
        {source: len(scenes) for source, scenes in scenes_read(manifest).items()},
        layers, *agreement, files=sorted(manifest["files"]), path=str(one.folder),
    )  # fmt: skip


def _layers(part: Part) -> tuple[dict[str, LayerFacts], tuple[float | None, float | None]]:
    one = part.field
    seen = {name: _Running() for name in one.quality_names}
    for strip in strips(part.window):
        inside = part.inside(strip)
        for name, layer in one.quality(strip).items():
            seen[name].add(_present(layer[inside]))
    agreement = seen.get("agreement", _Running())
    return (
        {name: running.facts(layer_of(name).unit) for name, running in seen.items()},
        (agreement.quantile(0.1), agreement.quantile(0.5)),
    )


def _present(layer: NDArray[Any]) -> NDArray[np.float64]:
    there = layer != QUALITY_NODATA if layer.dtype == np.uint16 else np.isfinite(layer)
    return layer[there].astype(np.float64)


@dataclass
class _Running:
    """Figures of values that arrive strip by strip."""

    count: int = 0
    total: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))

    def add(self, values: NDArray[np.float64]) -> None:
        if not len(values):
            return
        self.count += len(values)
        self.total += float(values.sum())
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        places = np.rint((np.clip(values, -1, 1) + 1) / 2 * (_BINS - 1)).astype(np.int64)
        self.bins += np.bincount(places, minlength=_BINS)

    def facts(self, unit: str) -> LayerFacts:
        if not self.count:
            return LayerFacts(unit, None, None, None)
        return LayerFacts(unit, self.low, self.total / self.count, self.high)

    def quantile(self, share: float) -> float | None:
        if not self.count:
            return None
        place = int(np.searchsorted(np.cumsum(self.bins), share * self.count))
        return round(place / (_BINS - 1) * 2 - 1, 4)


def facts_of_all(parts: Sequence[Part]) -> list[FieldFacts]:
    """Tells of several fields, one after another."""
    return [facts_of(part) for part in parts]
