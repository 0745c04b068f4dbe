"""A scene on its way into the catalogue: what an item says, and its rasters, made one at a time."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from earthfield.simulate.arrays import Raster


@dataclass(frozen=True)
class Asset:
    """One raster of a scene."""

    key: str
    """Asset key, also the file's name without `.tif`."""
    values: Raster
    """Stored values, shape (rows, cols)."""
    gsd_m: int
    """Side of a pixel, metres."""
    nodata: float
    """Stored value of a pixel without measurement (NaN for floats)."""
    scale: float = 1.0
    """Physical value = stored x scale + offset."""
    offset: float = 0.0
    """See `scale`."""
    unit: str = ""
    """Unit of the physical value, "" for none."""
    band: str = ""
    """Name in eo:bands, "" for none."""
    classes: bool = False
    """Whether the values are codes (overviews then repeat instead of average)."""
    roles: tuple[str, ...] = ("data",)
    """STAC roles."""
    resolution_m: int = 0
    """Native resolution where it differs from the pixel, metres; 0 for the pixel's."""


@dataclass(frozen=True)
class Scene:
    """One acquisition."""

    id: str
    """Item id, also the folder's name."""
    collection: str
    """Collection id."""
    instant: datetime.datetime
    """When it was taken, UTC."""
    make: Callable[[dict[str, Any]], Iterator[Asset]]
    """Gives the rasters one by one and adds what it learns (cloud cover) to the properties it is given."""
    properties: dict[str, Any] = field(default_factory=dict)
    """Item properties besides datetime and projection."""


def days_of(start_year: int, years: int, every: int, phase: int) -> list[datetime.date]:
    """Every so many days from the phase-th day of the first year to the end of the last."""
    first = datetime.date(start_year, 1, 1)
    num = (datetime.date(start_year + years, 1, 1) - first).days
    return [first + datetime.timedelta(days=day) for day in range(phase, num, every)]
