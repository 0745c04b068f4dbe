"""What to simulate (`Landscape`) and what came of it (`SimulateReport`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from earthfield.errors import InvalidInput

Progress = Callable[[int, int, str], None]
"""Called as progress(done, total, what) after every scene."""

MAX_SIDE_PX = 16384
"""Longest side that the in-memory maps are meant for."""


@dataclass(frozen=True)
class Landscape:
    """A landscape that never was, and the satellites that pass over it.

    The same landscape always gives the same bytes.

    The area is `size_px` pixels of 10 m with its centre within 60 m of (`lon`, `lat`), in that point's UTM
    zone; its upper left corner is snapped to multiples of 60 m so that the 10, 20, 30 and 60 m grids nest.
    A side that is no multiple of 2 (or 3) makes the 20 m (or 30 m) rasters hang over the right and lower
    edge by less than a pixel.

    Raises:
        InvalidInput: A field is out of its range.
    """

    seed: int = 0
    """Any integer >= 0; draws the climate, the style of the land and everything on it."""
    size_px: tuple[int, int] = (256, 256)
    """Width and height in 10 m pixels, each 16 to 16384."""
    lon: float = 4.9162
    """Longitude of the centre, degrees east, -180 to 180. By default the centre is that of a square of 2560 m which
    inference encodes at once: a landscape of up to 256 x 256 pixels is encoded in one piece."""
    lat: float = 52.1707
    """Latitude of the centre, degrees north, -79 to 83 (where UTM holds)."""
    start_year: int = 2022
    """First calendar year, 1985 to 2100."""
    years: int = 2
    """Number of whole calendar years, 2 to 12."""
    s2_revisit_days: int = 5
    """Days between Sentinel-2 scenes, 1 to 366; none under a sun below 8 degrees."""
    s1_revisit_days: int = 6
    """Days between Sentinel-1 scenes (ascending and descending in turn), 1 to 366."""
    landsat_revisit_days: int = 16
    """Days between Landsat scenes, 1 to 366; none under a sun below 14 degrees."""
    cloudiness: float = 0.5
    """0 hardly a cloud, 0.5 as at the place's latitude, 1 almost always overcast."""

    faults: float = 0.0
    """How much the satellites miss: 0 nothing; towards 1 more frames, spans, bands, orbits, whole sensors."""

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated, in a sentence."""
        width, height = self.size_px
        _within("size_px", min(width, height), 16, MAX_SIDE_PX)
        _within("size_px", max(width, height), 16, MAX_SIDE_PX)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("lon", self.lon, -180.0, 180.0)
        _within("lat", self.lat, -79.0, 83.0)
        _within("start_year", self.start_year, 1985, 2100)
        _within("years", self.years, 2, 12)
        for name in ("s2_revisit_days", "s1_revisit_days", "landsat_revisit_days"):
            _within(name, getattr(self, name), 1, 366)
        _within("cloudiness", self.cloudiness, 0.0, 1.0)
        _within("faults", self.faults, 0.0, 1.0)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON can hold them; equal dictionaries mean equal bytes."""
        return {**dataclasses.asdict(self), "size_px": list(self.size_px)}


def _within(name: str, value: float, low: float, high: float) -> None:
    """Raise InvalidInput unless low <= value <= high (NaN is refused too)."""
    if not (math.isfinite(value) and low <= value <= high):
        raise InvalidInput(f"The landscape's {name} is {value}; it must lie between {low} and {high}.")


@dataclass(frozen=True)
class SimulateReport:
    """What one call of `simulate` did."""

    directory: str
    """Where the catalogue lies."""
    style: str
    """The drawn climate and kind of land, in words."""
    num_scenes: dict[str, int] = field(default_factory=dict)
    """Scenes in the finished catalogue, by collection id."""
    num_written: int = 0
    """Items written by this call (0 when the directory was already finished)."""
    num_kept: int = 0
    """Items found finished from an earlier, interrupted call (or all of them)."""
    num_files: int = 0
    """Files written by this call, metadata included."""
    num_bytes: int = 0
    """Bytes written by this call."""
    seconds: float = 0.0
    """Wall-clock seconds of this call."""

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return dataclasses.asdict(self)
