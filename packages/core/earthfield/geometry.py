"""Geometry: where sun and sensor stood when a frame was taken, as a small vector of fixed form.

Directions are told in the image's own axes, right (east) and up (north), so that they turn with it. Every group of
figures has a flag; where it is 0 nothing was known and the figures are 0 too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEATURES = (
    "orbit", "orbit_known", "sun_right", "sun_up", "sun_height", "sun_known",
    "view_right", "view_up", "view_known", "incidence", "incidence_known",
)  # fmt: skip
"""`orbit` is +1 ascending, -1 descending. `sun_*` is the unit vector towards the sun: its two horizontal parts and
the sine of its elevation. `view_right`, `view_up` are the unit vector on the ground from below the satellite to the
scene; `incidence` is the sine of the incidence angle."""
NUM_FEATURES = len(FEATURES)

_PAIRS = (("sun_right", "sun_up"), ("view_right", "view_up"))
"""Features that are directions on the ground."""
_LOOK_DEG = {"ascending": 80.0, "descending": 280.0}
"""Where radars look, clockwise from north: to the right of an orbit that leans 10 degrees off the meridian."""
_POLARISATIONS = frozenset({"vv", "vh", "hh", "hv"})


def geometry_of(about: Mapping[str, Any], bands: Sequence[str] = ()) -> NDArray[np.float32]:
    """Turns what a cube tells of a step into figures.

    Args:
        about: a step's `about`: `orbit_state`, `sun_azimuth`, `sun_elevation`, `azimuth`, `incidence_angle`,
            `off_nadir`, in degrees; what is missing, no number, or out of its range counts as unknown.
        bands: names of the source's bands. One that measures polarisations is a radar that looks to the right.

    Returns:
        (G,) figures in the order of `FEATURES`.
    """
    told = dict.fromkeys(FEATURES, 0.0)
    state = str(about.get("orbit_state", "")).lower()
    if state in _LOOK_DEG:
        told |= {"orbit": 1.0 if state == "ascending" else -1.0, "orbit_known": 1.0}
    elevation, azimuth = _degrees(about, "sun_elevation", 90), _degrees(about, "sun_azimuth", 360)
    if elevation is not None:
        told |= {"sun_height": math.sin(math.radians(elevation)), "sun_known": 1.0}
        if azimuth is not None:
            right, up = _direction(azimuth)
            level = math.cos(math.radians(elevation))
            told |= {"sun_right": right * level, "sun_up": up * level}
    view = _degrees(about, "azimuth", 360)
    if view is None and _POLARISATIONS.intersection(bands):
        view = _LOOK_DEG.get(state)
    if view is not None:
        right, up = _direction(view)
        told |= {"view_right": right, "view_up": up, "view_known": 1.0}
    incidence = _degrees(about, "incidence_angle", 90)
    incidence = _degrees(about, "off_nadir", 90) if incidence is None else incidence
    if incidence is not None:
        told |= {"incidence": math.sin(math.radians(abs(incidence))), "incidence_known": 1.0}
    return np.array([told[name] for name in FEATURES], np.float32)


def turned(geometry: NDArray[np.float32], *, turns: int, mirrored: bool) -> NDArray[np.float32]:
    """Turns directions as `np.rot90(image, turns)` turns an image, and mirrors them left to right after it.

    Args:
        geometry: (..., G) figures.
        turns: quarter turns against the clock.
        mirrored: whether the image was mirrored after that.
    """
    result = geometry.copy()
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[turns % 4]
    for right, up in ((FEATURES.index(a), FEATURES.index(b)) for a, b in _PAIRS):
        x, y = geometry[..., right], geometry[..., up]
        result[..., right] = (x * cos - y * sin) * (-1 if mirrored else 1)
        result[..., up] = x * sin + y * cos
    return result


def _direction(azimuth_deg: float) -> tuple[float, float]:
    """Gives (east, north) of an azimuth."""
    return math.sin(math.radians(azimuth_deg)), math.cos(math.radians(azimuth_deg))


def _degrees(about: Mapping[str, Any], name: str, most: float) -> float | None:
    value = about.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= most:
        return None
    return float(value)
