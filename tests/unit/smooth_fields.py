"""Small fields for tests: smooth random unit vectors, written as a real job writes them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import normalised, quantise
from earthfield.field import FieldContent, write_field
from earthfield.grid import Tile, Window, geobox_of
from earthfield.timeline import Period

TILE = Tile(32631, 48, 549)


def smooth_vectors(height: int, width: int, *, seed: int = 0, sigma: float = 6.0) -> NDArray[np.float32]:
    """Gives (h, w, 64) unit vectors that change slowly over the ground."""
    return _smooth_vectors(height, width, seed, sigma).copy()


@lru_cache(maxsize=8)
def _smooth_vectors(height: int, width: int, seed: int, sigma: float) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=(height, width, 64))
    return normalised(gaussian_filter(noise, (sigma, sigma, 0)))


def write_smooth_field(
    catalog: Catalog,
    *,
    tile: Tile = TILE,
    period: str = "2018",
    local: Window = Window(128, 384, 256, 512),
    model: str = "smooth",
    seed: int = 0,
) -> FieldKey:
    """Writes a field over a window of a tile; its first pixels (8 x 8) are without data."""
    key = FieldKey(model, tile, Period.parse(period))
    window = local.shifted(tile.window.y0, tile.window.x0)
    vectors = smooth_vectors(*local.shape, seed=seed)
    vectors[:8, :8] = np.nan
    codes = np.ascontiguousarray(np.moveaxis(quantise(vectors), -1, 0))
    clear = np.full(local.shape, 7, np.uint16)
    preview = np.zeros((*local.shape, 4), np.uint8)
    area = geobox_of(tile.epsg, window).extent
    frame = {"step": 3510, "acquired": "2018-01-21T10:53:28Z", "items": ["S2A_one", "S2A_two"]}
    manifest = {
        "model": {"name": model, "fingerprint": "f" * 64, "sources": ["sentinel-2-l2a"]},
        "window": [window.y0, window.y1, window.x0, window.x1],
        "area": shapely.to_wkt(area.geom, rounding_precision=-1),
        "inputs": f"{seed}",
        "pixels": int(np.isfinite(vectors[..., 0]).sum()),
        "sources": {"sentinel-2-l2a": [frame]},
    }
    write_field(catalog, FieldContent(key, window, codes, {"clear_sentinel-2-l2a": clear}, preview, manifest))
    return key
