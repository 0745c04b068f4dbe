"""Elevation, and how the sun strikes its slopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthfield.simulate.arrays import Floats
from earthfield.simulate.canvas import PIXEL_M, Canvas
from earthfield.simulate.noise import fractal, stream
from earthfield.simulate.style import Style


@dataclass(frozen=True)
class Terrain:
    """The shape of the ground; arrays (rows, cols) of the canvas."""

    elevation_m: Floats
    """Height above the geoid, metres."""
    east_slope: Floats
    """Rise per metre towards east."""
    north_slope: Floats
    """Rise per metre towards north."""

    def illumination(self, sun_elevation_deg: float, sun_azimuth_deg: float) -> Floats:
        """Brightness of each pixel relative to flat ground, 0.4 to 1.6.

        Source: the cosine correction of Teillet et al. 1982, here with the exponent 0.6 because level-2A
        products are partly corrected.
        """
        up, round_ = np.deg2rad(sun_elevation_deg), np.deg2rad(sun_azimuth_deg)
        tilt = self.east_slope * np.float32(np.sin(round_)) + self.north_slope * np.float32(np.cos(round_))
        steep = np.sqrt(1.0 + self.east_slope**2 + self.north_slope**2)
        ratio = (1.0 - tilt / np.float32(np.tan(up))) / steep
        return np.clip(np.maximum(ratio, 0.05) ** np.float32(0.6), 0.4, 1.6).astype(np.float32)

    def lowness(self) -> Floats:
        """How low a pixel lies, about zero mean and unit variance, positive in the valleys."""
        z = self.elevation_m
        return ((z.mean() - z) / (z.std() + np.float32(1e-3))).astype(np.float32)


def terrain_of(seed: int, style: Style, canvas: Canvas) -> Terrain:
    """Smooth hills of the style's relief; the detail below 80 m is gentle, as in GLO-30."""
    rng = stream(seed, "terrain")
    hills = fractal(rng, canvas.shape, 320.0, octaves=6, gain=0.42)
    z = np.float32(style.base_m) + np.float32(style.relief_m) * hills
    north, east = np.gradient(z, PIXEL_M)
    return Terrain(z.astype(np.float32), east.astype(np.float32), (-north).astype(np.float32))
