"""One place on the ground in the fields of a model and period."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from earthfield.catalog import Catalog
from earthfield.errors import NotFound
from earthfield.field import Field, fields_of
from earthfield.grid import Window, pixel_at
from earthfield.timeline import Period
from numpy.typing import NDArray


class Pixel(NamedTuple):
    """A pixel that has a vector."""

    field: Field
    """The field that holds it."""
    window: Window
    """Its 1 x 1 window in the zone's grid."""
    vector: NDArray[np.float32]
    """(64,) unit vector."""


def pixel_of(catalog: Catalog, model: str, period: Period, place: tuple[float, float]) -> Pixel:
    """Finds the pixel that holds a place.

    Raises:
        NotFound: no field there, or no vector in it.
    """
    lon, lat = place
    covered = False
    for field in fields_of(catalog, model, period.id):
        row, col = pixel_at(field.key.tile.epsg, lon, lat)
        window = Window(row, row + 1, col, col + 1)
        if window not in field.window:
            continue
        covered, vector = True, field.vectors(window)[0, 0]
        if np.isfinite(vector).all():
            return Pixel(field, window, vector)
    if covered:
        raise NotFound(
            f"no scene of {period} shows {lon:.5f} {lat:.5f} clearly: choose a place that is in colour"
        )
    raise NotFound(
        f"{lon:.5f} {lat:.5f} lies outside the map of {model}, {period}: choose a place inside the coloured area"
    )
