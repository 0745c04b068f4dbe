"""What stands between ground and satellite: clouds, shadows, cirrus, haze, and the swath's edge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.ndimage import correlate1d

from earthfield.simulate.arrays import Bools, Floats
from earthfield.simulate.noise import fractal, smooth
from earthfield.simulate.quirks import Quirks

_SHADE = np.array([0.45, 0.5, 0.55, 0.57, 0.6, 0.61, 0.62, 0.62, 0.68, 0.7], np.float32)
"""Share of the light that a full cloud shadow takes, by band; the blue sky lights the visible ones."""
_HAZE = np.array([0.105, 0.085, 0.068, 0.06, 0.054, 0.05, 0.045, 0.043, 0.015, 0.009], np.float32)
"""Path reflectance of thick haze, by band."""


@dataclass(frozen=True)
class Sky:
    """The air over one scene; arrays (rows, cols) of the scene's own grid."""

    cloud: Floats
    """Opacity of thick cloud, 0 to 1."""
    cirrus: Floats
    """Opacity of thin high cloud, 0 to 1."""
    shadow: Floats
    """Depth of cloud shadow, 0 to 1."""
    white: Floats
    """Brightness of the cloud relative to the norm, about 1."""
    veil: Floats
    """Opacity of thin cloud, cloud edges and smoke that no classification names, 0 to 0.45."""
    shade: Floats
    """Depth of the shade of thin and distant cloud that none names, -0.1 to 0.5."""
    haze: Floats
    """Residual haze, -0.4 (over-corrected) to 1.3."""
    haze_tilt: float
    """How much bluer than the norm the haze is: natural logarithm at B02, its opposite at B12."""
    missed: bool
    """Whether the classification takes even thick cloud for clear ground."""

    def through(self, surface: Floats, band: int, cloud_spectrum: Floats) -> Floats:
        """What reaches the satellite of a surface reflectance (rows, cols) in one band."""
        lit = surface * (1.0 - np.float32(_SHADE[band]) * (self.shadow + self.shade))
        path = _HAZE[band] * math.exp(self.haze_tilt * (1.0 - 2.0 * band / (len(_HAZE) - 1)))
        lit += self.haze * (np.float32(path) - np.float32(0.06) * lit)
        bright = np.float32(cloud_spectrum[band]) * self.white
        veil = self.cirrus * np.float32(0.5 if band >= 8 else 1.0)
        veil += self.veil * np.float32(0.8 if band >= 8 else 1.0)
        lit += (bright - lit) * veil
        lit += (bright - lit) * self.cloud
        return lit.astype(np.float32)


def sky_of(
    rng: np.random.Generator,
    shape: tuple[int, int],
    pixel_m: float,
    *,
    overcast: float,
    sun_elevation_deg: float,
    sun_azimuth_deg: float,
    quirks: Quirks,
) -> Sky:
    """Draw the air of one scene.

    Args:
        rng: The scene's own randomness.
        shape: Rows and columns.
        pixel_m: Side of a pixel, metres.
        overcast: Share of the sky under thick cloud, 0 to 1.
        sun_elevation_deg: Sun above the horizon.
        sun_azimuth_deg: Sun's direction, clockwise from north.
        quirks: How hazy the landscape is, and how much of it goes unnoticed.
    """
    cloud, near_cloud = _clouds(rng, shape, pixel_m, overcast)
    shadow = np.zeros(shape, np.float32)
    if cloud.any():
        reach = float(rng.uniform(500, 2600)) / math.tan(math.radians(max(12.0, sun_elevation_deg))) / pixel_m
        down = round(reach * math.cos(math.radians(sun_azimuth_deg)))
        right = round(-reach * math.sin(math.radians(sun_azimuth_deg)))
        shadow = np.roll(cloud, (down, right), (0, 1)) * (1.0 - cloud)
    cirrus = np.zeros(shape, np.float32)
    if rng.random() < 0.12 + 0.3 * overcast:
        wisps = fractal(rng, shape, float(rng.uniform(700, 2500)) / pixel_m, octaves=3, periodic=True)
        cirrus = np.clip(0.14 * (wisps + float(rng.uniform(-0.8, 1.2))), 0.0, 0.4).astype(np.float32)
    white = (
        1.0
        + 0.14 * fractal(rng, shape, 600.0 / pixel_m, octaves=3, periodic=True)
        + float(rng.normal(0.0, 0.1))
    )
    veil, shade = _unnoticed(rng, shape, pixel_m, near_cloud, quirks)
    level = float(rng.choice([rng.normal(0.0, 0.13), 0.05 + rng.exponential(0.2)], p=[0.7, 0.3]))
    uneven = 1.0 + 0.35 * smooth(rng, shape, float(rng.uniform(800, 4000)) / pixel_m, periodic=True)
    return Sky(
        cloud=cloud,
        cirrus=cirrus,
        shadow=shadow.astype(np.float32),
        white=np.clip(white, 0.5, 1.7).astype(np.float32),
        veil=veil,
        shade=shade,
        haze=np.clip(quirks.haze * level * uneven, -0.4, 1.3).astype(np.float32),
        haze_tilt=float(rng.normal(0.0, 0.25)),
        missed=bool(rng.random() < quirks.missed),
    )


def _unnoticed(
    rng: np.random.Generator, shape: tuple[int, int], pixel_m: float, near_cloud: Floats, quirks: Quirks
) -> tuple[Floats, Floats]:
    """Veil and shade: in most scenes next to nothing, in some a tenth; more of both around clouds.

    Source: what is left in pixels called clear of two real places, where the median scene differs from its
    neighbours in time by 1 % in blue and one in ten by 3 %.
    """
    strength = min(0.3, float(quirks.veil * rng.lognormal(0.0, 1.1)))
    lumps = fractal(rng, shape, float(np.exp(rng.uniform(5.5, 8.0))) / pixel_m, octaves=4, periodic=True)
    veil = np.float32(strength) * np.exp(np.float32(0.8) * lumps) + near_cloud
    deep = min(0.3, float(3.5 * quirks.veil * rng.lognormal(0.0, 1.0)))
    patches = fractal(rng, shape, float(np.exp(rng.uniform(5.0, 7.5))) / pixel_m, octaves=4, periodic=True)
    down, right = (int(part) for part in rng.integers(0, 40, 2))
    shade = np.float32(deep) * patches + np.float32(0.08) * np.roll(near_cloud, (down, right), (0, 1))
    return np.clip(veil, 0.0, 0.45).astype(np.float32), np.clip(shade, -0.1, 0.5).astype(np.float32)


def _clouds(
    rng: np.random.Generator, shape: tuple[int, int], pixel_m: float, overcast: float
) -> tuple[Floats, Floats]:
    """Opacity with soft edges, and of the haze around: none below 4 % of the sky, a closed deck above 93 %."""
    size_m, soft = float(np.exp(rng.uniform(np.log(500.0), np.log(8000.0)))), float(rng.uniform(0.25, 0.6))
    reach, halo = float(rng.uniform(0.3, 1.4)), float(rng.uniform(0.05, 0.4))
    nothing = np.zeros(shape, np.float32)
    if overcast < 0.04:
        return nothing, nothing
    lumps = fractal(rng, shape, size_m / pixel_m, octaves=5, gain=0.55, periodic=True)
    if overcast > 0.93:
        return np.clip(0.93 + 0.06 * lumps, 0.35, 1.0).astype(np.float32), nothing
    level = NormalDist().inv_cdf(1.0 - overcast)
    above = (lumps - np.float32(level)).astype(np.float32)
    f = np.clip(above / np.float32(soft) + 0.35, 0.0, 1.0)
    around = np.float32(halo) * np.clip(above / np.float32(reach) + 1.0, 0.0, 1.0) ** 2
    return np.asarray(f * f * (3.0 - 2.0 * f), np.float32), np.asarray(around, np.float32)


def outside_swath(rng: np.random.Generator, shape: tuple[int, int], chance: float) -> Bools:
    """Pixels beyond a slanting swath edge; no pixel on most scenes, all but never every pixel."""
    outside = np.zeros(shape, np.bool_)
    share, side, slant = (
        float(rng.uniform(0.05, 0.85)),
        bool(rng.random() < 0.5),
        float(rng.normal(0.22, 0.03)),
    )
    if rng.random() >= chance:
        return outside
    rows, cols = shape
    y, x = np.ogrid[0:rows, 0:cols]
    edge = share * cols + slant * (rows / 2 - y)
    outside[:] = x > edge if side else x < edge
    return outside


def seen_through_optics(field: Floats, down_px: float, right_px: float, blur_px: float) -> Floats:
    """Blur by the instrument and shift by the error of registration, both a fraction of a pixel."""
    taps = np.arange(-2, 3, dtype=np.float64)
    for axis, shift in ((0, down_px), (1, right_px)):
        weights = np.exp(-0.5 * ((taps - shift) / blur_px) ** 2)
        field = correlate1d(field, weights / weights.sum(), axis=axis, mode="nearest", output=np.float32)
    return field
