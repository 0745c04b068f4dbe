"""What differs from landscape to landscape besides the land: habits of farmers, air, instruments."""

from __future__ import annotations

from dataclasses import dataclass

from earthfield.simulate.crops import CROPS
from earthfield.simulate.noise import stream


@dataclass(frozen=True)
class Quirks:
    """One draw of everything that is uncertain about the real world, so that a model meets all of it.

    Source: the ranges hold what the scenes of two real places show (docs/experiments.md), and more.
    """

    crop_shift_days: tuple[float, ...]
    """How much later each crop's calendar runs, by crop code (index 0 unused)."""
    crop_stretch: tuple[float, ...]
    """Length of each crop's season relative to the norm, by crop code."""
    crop_lai: tuple[float, ...]
    """Leaf area of each crop at its best relative to the norm, by crop code."""
    lush: float
    """Leaf area of everything relative to the norm."""
    haste_days: float
    """Spread of sowing among the fields of one crop, days."""
    vigour: float
    """Spread of the leaf area among places, natural logarithm."""
    unrest: float
    """How much places go their own way within weeks, 1 for the norm."""
    tint: float
    """Spread of spectra among places of the same surface, 1 for the norm."""
    grain: float
    """Contrast of the texture inside a place, 1 for the norm."""
    moist: float
    """Contrast of the soil's moisture inside a field, 1 for the norm."""
    haze: float
    """Level of residual haze, 1 for the norm."""
    veil: float
    """Thin cloud and shade that nobody flags: opacity in the median scene."""
    missed: float
    """Share of covered scenes that the scene classification takes for clear, 0 to 1."""
    blindness: float
    """How much opacity the scene classification overlooks, 1 for the norm."""
    shift_px: float
    """Spread of the registration error, 10 m pixels."""
    blur_px: float
    """Width of the optics of 10 m bands, pixels (standard deviation)."""
    blur20_px: float
    """Width of the optics of 20 m bands, 10 m pixels (standard deviation)."""
    noise: float
    """Noise of a 10 m pixel, reflectance; half of it at 20 m."""
    fidget: float
    """Relative noise that all bands of a pixel share in one scene (dew, wind, stray shade)."""
    gain: float
    """Spread of a scene's calibration and correction, relative."""
    brdf: float
    """Strength of the effects of view and sun angle, 1 for the norm."""
    looks: float
    """Looks of the radar's speckle before the blur."""
    vv_db: float
    """Added to all VV: calibration, processor and roughness, decibel."""
    vh_db: float
    """Added to all VH, decibel."""
    rows_db: float
    """Spread of what the direction of rows adds in one pass or the other, decibel."""


def quirks_of(seed: int) -> Quirks:
    """Draw the quirks of a landscape."""
    rng = stream(seed, "quirks")
    num = len(CROPS) + 1

    def about(middle: float, spread: float) -> float:
        return float(middle * rng.lognormal(0.0, spread))

    return Quirks(
        crop_shift_days=tuple(rng.normal(0.0, 7.0, num).tolist()),
        crop_stretch=tuple(rng.lognormal(0.0, 0.07, num).tolist()),
        crop_lai=tuple(rng.lognormal(-0.05, 0.2, num).tolist()),
        lush=about(0.9, 0.18),
        haste_days=about(9.0, 0.4),
        vigour=about(0.22, 0.35),
        unrest=about(1.0, 0.4),
        tint=about(1.0, 0.4),
        grain=about(1.0, 0.35),
        moist=about(1.0, 0.4),
        haze=about(1.0, 0.5),
        veil=about(0.004, 0.6),
        missed=float(rng.uniform(0.0, 0.03)),
        blindness=about(1.0, 0.35),
        shift_px=about(0.32, 0.5),
        blur_px=float(rng.uniform(0.45, 0.75)),
        blur20_px=float(rng.uniform(0.6, 1.2)),
        noise=about(0.0026, 0.4),
        fidget=about(0.04, 0.5),
        gain=about(0.03, 0.4),
        brdf=about(1.0, 0.4),
        looks=about(1.9, 0.4),
        vv_db=float(rng.normal(1.2, 1.0)),
        vh_db=float(rng.normal(0.5, 1.0)),
        rows_db=about(1.0, 0.5),
    )
