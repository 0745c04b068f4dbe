"""Small fields of known content, for tests of whoever reads fields."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import normalised, quantise
from earthfield.field import QUALITY_NODATA, FieldContent, write_field
from earthfield.grid import Tile, Window, geobox_of
from earthfield.timeline import Period

TILE = Tile.parse("32631_0048_0549")
EAST = Tile.parse("32631_0049_0549")
WINDOW = Window(-562968, -562928, 50120, 50200)
"""40 x 80 px over the border of both tiles, which lies at column 50176; cells of 8 px start at its corner."""
KINDS = normalised(np.random.default_rng(3).normal(size=(4, 64)))
"""One vector for each kind of land."""


def kinds() -> NDArray[np.int_]:
    """Kind of every pixel of the window: four strips of 20 columns, west to east 0 1 0 2."""
    return np.broadcast_to(np.array([0, 1, 0, 2]).repeat(20), WINDOW.shape).copy()


def vectors_of(land: NDArray[np.int_], *, noise: float = 0.02, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors of kinds, with a little noise."""
    rng = np.random.default_rng(seed)
    return normalised(KINDS[land] + noise * rng.normal(size=(*land.shape, 64)).astype(np.float32))


def write_small(
    catalog: Catalog,
    period: str,
    vectors: NDArray[np.float32],
    *,
    model: str = "small",
    window: Window = WINDOW,
    inputs: str = "a",
    agreement: NDArray[np.float32] | None = None,
) -> list[FieldKey]:
    """Writes vectors over the window as fields, one per tile; with the layer `agreement` where one is given."""
    keys = []
    for tile in (TILE, EAST):
        part = window & tile.window
        if not part:
            continue
        ys, xs = part.shifted(-window.y0, -window.x0).slices
        own, key = vectors[ys, xs], FieldKey(model, tile, Period.parse(period))
        clear = np.where(np.isnan(own[..., 0]), QUALITY_NODATA, 9).astype(np.uint16)
        manifest = {
            "window": [part.y0, part.y1, part.x0, part.x1], "inputs": f"{inputs} {period}",
            "pixels": int(np.isfinite(own[..., 0]).sum()), "area": geobox_of(tile.epsg, part).extent.wkt,
            "model": {"name": model, "fingerprint": "f"}, "sources": {},
        }  # fmt: skip
        codes = np.ascontiguousarray(np.moveaxis(quantise(own), -1, 0))
        picture = np.zeros((*part.shape, 4), np.uint8)
        quality = {"clear_sentinel-2-l2a": clear}
        if agreement is not None:
            quality["agreement"] = agreement[ys, xs]
        write_field(catalog, FieldContent(key, part, codes, quality, picture, manifest))
        keys.append(key)
    return keys
