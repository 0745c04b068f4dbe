"""Landsat 8 and 9 Collection 2 Level-2: surface reflectance and temperature as the product's digital numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Quality, Source
from earthfield_ingest.dialect import asset_key, declared_scaling
from earthfield_ingest.masks import without_bits

NODATA = 0

CLOUDY_BITS = (0, 1, 2, 3, 4)
"""Bits of QA_PIXEL that hide the surface: fill, dilated cloud, cirrus, cloud, cloud shadow."""


def to_stored(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[np.uint16]:
    """Keeps the product's digital numbers; an item with another scale or offset is brought to them.

    Args:
        item: the STAC item.
        band: which band.
        raw: digital numbers, float, NaN or 0 where nothing was measured.

    Returns:
        uint16 of the same shape, 0 where nothing was measured.
    """
    key = asset_key(item.get("assets", {}), band.assets)
    scale, offset = (key and declared_scaling(item["assets"][key])) or (band.scale, band.offset)
    if not np.allclose((scale, offset), (band.scale, band.offset), rtol=1e-6, atol=0.0):
        stored = np.rint((raw * scale + (offset - band.offset)) / band.scale)
    else:
        stored = np.rint(raw)
    return np.where(np.isfinite(raw) & (raw != 0), np.clip(stored, 1, 65535), NODATA).astype(np.uint16)


def _reflectance(name: str, number: int) -> Band:
    return Band(name, 30.0, (name, f"SR_B{number}", f"SR_B{number}.TIF"), scale=2.75e-5, offset=-0.2)


SOURCE = Source(
    name="landsat-c2-l2",
    title="Landsat 8-9 Collection 2 Level-2",
    bands=(
        _reflectance("blue", 2),
        _reflectance("green", 3),
        _reflectance("red", 4),
        _reflectance("nir08", 5),
        _reflectance("swir16", 6),
        _reflectance("swir22", 7),
        Band(
            "lwir11", 100.0, ("lwir11", "ST_B10", "ST_B10.TIF"),
            scale=0.00341802, offset=149.0, unit="K", transform="linear",
        ),
    ),
    dtype="uint16",
    nodata=NODATA,
    collections=("landsat-c2-l2", "landsat-c2l2-sr"),
    to_stored=to_stored,
    quality=(Quality(("qa_pixel", "QA_PIXEL", "QA_PIXEL.TIF"), partial(without_bits, bits=CLOUDY_BITS)),),
    keeps=("platform", "wrs_path", "wrs_row", "sun_azimuth", "sun_elevation"),
)  # fmt: skip
