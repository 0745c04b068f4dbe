"""Landsat 8 and 9 Collection 2 Level-2: surface reflectance and temperature as the product's digital numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Band, Quality, Source
from earthfield_ingest.dialect import asset_key, declared_scaling, platform_of
from earthfield_ingest.masks import without_bits

NODATA = 0
REFLECTANCE = (2.75e-5, -0.2)
"""Scale and offset of the product's reflectance."""
KELVIN = (0.00341802, 149.0)
"""Scale and offset of the product's temperature."""

CLOUDY_BITS = (0, 1, 2, 3, 4)
"""Bits of QA_PIXEL that hide the surface: fill, dilated cloud, cirrus, cloud, cloud shadow."""

SATURATED_BITS = (1, 2, 3, 4, 5, 6, 11)
"""Bits of QA_RADSAT that spoil a stored band: saturation of bands 2 to 7, and terrain that hides the ground."""

QUALITY = (
    Quality(("qa_pixel", "QA_PIXEL", "QA_PIXEL.TIF"), partial(without_bits, bits=CLOUDY_BITS)),
    # 0 is what almost every pixel has, and no file needs all 16 bits.
    Quality(
        ("qa_radsat", "QA_RADSAT", "QA_RADSAT.TIF"),
        partial(without_bits, bits=SATURATED_BITS),
        required=False,
        nodata=65535,
    ),
)


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
        return in_numbers(raw * scale + offset, band, raw != 0)
    return _kept(np.rint(raw), np.isfinite(raw) & (raw != 0))


def in_numbers(physical: NDArray[Any], band: Band, measured: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Stores physical values as a band's numbers, 0 where they are not finite or not measured."""
    numbers = np.rint((physical - band.offset) / band.scale)
    return _kept(numbers, np.isfinite(physical) & measured)


def of_platforms(item: Mapping[str, Any], platforms: tuple[str, ...], others: str) -> str | None:
    """Refuses an item whose platform is none of `platforms`; one that tells none passes.

    Args:
        item: the STAC item.
        platforms: platforms that are read, as `landsat-8`.
        others: where the others are read, the end of a sentence.
    """
    platform = platform_of(item)
    if platform is None or platform in platforms:
        return None
    return f"its `platform` is {platform}, {others}"


def _kept(numbers: NDArray[Any], measured: NDArray[np.bool_]) -> NDArray[np.uint16]:
    return np.where(measured, np.clip(np.where(measured, numbers, 1), 1, 65535), NODATA).astype(np.uint16)


def _refuses(item: Mapping[str, Any]) -> str | None:
    return of_platforms(item, ("landsat-8", "landsat-9"), "which landsat-tm-c2-l2 reads if it is 4, 5 or 7")


def reflectance(name: str, number: int) -> Band:
    """Gives a reflective band of a Level-2 product by its name and number."""
    scale, offset = REFLECTANCE
    return Band(name, 30.0, (name, f"SR_B{number}", f"SR_B{number}.TIF"), scale=scale, offset=offset)


def temperature(name: str, number: int, gsd_m: float) -> Band:
    """Gives the surface temperature of a Level-2 product by its name and number."""
    aliases = (name, f"ST_B{number}", f"ST_B{number}.TIF")
    return Band(name, gsd_m, aliases, scale=KELVIN[0], offset=KELVIN[1], unit="K", transform="linear")


SOURCE = Source(
    name="landsat-c2-l2",
    title="Landsat 8-9 Collection 2 Level-2",
    bands=(
        reflectance("blue", 2),
        reflectance("green", 3),
        reflectance("red", 4),
        reflectance("nir08", 5),
        reflectance("swir16", 6),
        reflectance("swir22", 7),
        temperature("lwir11", 10, 100.0),
    ),
    dtype="uint16",
    nodata=NODATA,
    collections=("landsat-c2-l2", "landsat-c2l2-sr", "landsat-c2l2-st"),
    to_stored=to_stored,
    quality=QUALITY,
    refuses=_refuses,
    keeps=("platform", "wrs_path", "wrs_row", "sun_azimuth", "sun_elevation", "off_nadir"),
    regrid_m=30.0,
)
