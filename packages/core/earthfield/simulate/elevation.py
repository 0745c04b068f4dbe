"""Copernicus DEM GLO-30: one item with the height of the ground."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from earthfield.simulate.canvas import block_mean
from earthfield.simulate.covers import cover_table
from earthfield.simulate.noise import stream
from earthfield.simulate.scene import Asset, Scene
from earthfield.simulate.world import World

COLLECTION = "cop-dem-glo-30"
GSD_M = 30


def scenes(world: World) -> Iterator[Scene]:
    """The one elevation item."""
    yield Scene(
        id=f"DEM_SIM{world.spec.seed}",
        collection=COLLECTION,
        instant=datetime.datetime(2021, 4, 22, tzinfo=datetime.UTC),
        make=partial(_rasters, world),
        properties={"gsd": GSD_M, "platform": "tandem-x"},
    )


def _rasters(world: World, properties: dict[str, Any]) -> Iterator[Asset]:
    """Ground plus half the height of woods and houses, as the radar of TanDEM-X saw them."""
    rng = stream(world.spec.seed, "dem")
    things = 0.5 * cover_table("height_m")[world.land.cover]
    z = block_mean(world.terrain.elevation_m + things.astype(np.float32), 3)
    z = z + np.float32(0.3) * rng.standard_normal(z.shape, dtype=np.float32)
    rows, cols = world.canvas.shape_at(GSD_M)
    yield Asset("data", z[:rows, :cols].astype(np.float32), GSD_M, math.nan, unit="metre")
