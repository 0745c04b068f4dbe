"""Dialects of STAC: one way to ask for what providers spell differently."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyproj
import pyproj.exceptions

from earthfield.sources import known_sources

_PRODUCTS: tuple[tuple[str, str], ...] = (
    # What an item's product type says; ids of the products themselves below.
    (r"S2MSI2A", "sentinel-2-l2a"),
    (r"S2MSI1C", "sentinel-2-l1c"),
)
_IDS: tuple[tuple[str, str], ...] = (
    (r"S2[A-D]_(MSIL2A_|OPER_MSI_L2A_|.*_L2A$)", "sentinel-2-l2a"),
    (r"S2[A-D]_(MSIL1C_|OPER_MSI_L1C_|.*_L1C$)", "sentinel-2-l1c"),
    (r"S1[A-D]_.*_rtc$", "sentinel-1-rtc"),
    (r"S1[A-D]_(IW|EW|S\d)_GRD", "sentinel-1-grd"),
    (r"L[COTEM]\d{2}_L2S[PR]_\d{6}_\d{8}_(\d{8}_)?02_", "landsat-c2-l2"),
    (r"L[COTEM]\d{2}_L1(TP|GT|GS)_\d{6}_\d{8}_(\d{8}_)?02_", "landsat-c2-l1"),
    (r"ALOS2\d+-\d{6}_\w{3}R2\.2", "palsar2-scansar"),
    (r"Copernicus_DSM_COG_10_", "cop-dem-glo-30"),
    (r"ESA_WorldCover_10m_", "esa-worldcover"),
    (r"(USGS_NLCD|nlcd)[-_]\d{4}", "nlcd"),
    (r"cropland_\d{4}_", "usda-cdl"),
    (r"M[OY]D09A1\.", "modis-09A1-061"),
    (r"MCD43A4\.", "modis-43A4-061"),
    (r"VNP09A1\.", "viirs-09a1-001"),
)

_FLOWN_SINCE: Mapping[str, str] = {
    "sentinel-1": "2014-04-03", "sentinel-1a": "2014-04-03", "sentinel-1b": "2016-04-25",
    "sentinel-1c": "2024-12-05", "sentinel-1d": "2025-11-04",
    "sentinel-2": "2015-06-23", "sentinel-2a": "2015-06-23", "sentinel-2b": "2017-03-07",
    "sentinel-2c": "2024-09-05",
    "landsat-4": "1982-07-16", "landsat-5": "1984-03-01", "landsat-7": "1999-04-15",
    "landsat-8": "2013-02-11", "landsat-9": "2021-09-27",
    "terra": "1999-12-18", "aqua": "2002-05-04", "snpp": "2011-10-28", "suomi-npp": "2011-10-28",
    "alos-2": "2014-05-24",
}  # fmt: skip
"""Day of launch by platform or constellation: nothing was measured before it."""


def asset_key(assets: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Gives the first of `names` under which an asset is published, or None."""
    return next((name for name in names if name in assets), None)


def addresses(asset: Mapping[str, Any]) -> tuple[str, ...]:
    """Lists where an asset can be had: its own address first, then its `alternate` ones (https, s3)."""
    others = asset.get("alternate")
    others = others.values() if isinstance(others, Mapping) else ()
    told = (asset.get("href"), *(one.get("href") for one in others if isinstance(one, Mapping)))
    return tuple(dict.fromkeys(str(one) for one in told if one))


def collection_of(item: Mapping[str, Any], under: str | None = None) -> str | None:
    """Gives the collection whose sources read an item.

    An item's own collection counts where a source knows it, then the one it was found in. An item of a collection
    that nobody knows is recognised by the product type that it tells; an item without any also by its id.

    Args:
        item: the item as a dict.
        under: id of the collection in which it was found.

    Returns:
        The id of a collection that a source declares, else what the item tells, or None.
    """
    known = {name for source in known_sources().values() for name in source.collections}
    places = [str(name) for name in (item.get("collection"), under) if name]
    read = next((name for name in places if name in known), None)
    if read is not None:
        return read
    told = places[0] if places else None
    properties = item.get("properties") or {}
    product = str(properties.get("product:type") or property_ending(properties, "product_type") or "")
    found = next((name for pattern, name in _PRODUCTS if re.fullmatch(pattern, product)), None)
    if found is None and told is None:
        found = next((name for pattern, name in _IDS if re.match(pattern, str(item.get("id")))), None)
    return found or told


def platform_of(item: Mapping[str, Any]) -> str | None:
    """Gives the platform as providers write it today (`landsat-8`, `sentinel-2a`), or None.

    Landsat items that do not tell it carry it in their id, whose third and fourth characters are its number.
    """
    told = property_ending(item.get("properties") or {}, "platform")
    if told:
        return str(told).strip().lower().replace("_", "-").replace(" ", "-")
    landsat = re.match(r"L[COTEM]0(\d)_", str(item.get("id")))
    return f"landsat-{landsat[1]}" if landsat else None


def flown_since(item: Mapping[str, Any]) -> str | None:
    """Gives the day of launch of an item's platform, else of its constellation, or None where nobody knows it."""
    constellation = property_ending(item.get("properties") or {}, "constellation")
    names = (platform_of(item) or "", str(constellation or "").lower().replace(" ", "-"))
    return next((_FLOWN_SINCE[name] for name in names if name in _FLOWN_SINCE), None)


def declared_scaling(asset: Mapping[str, Any]) -> tuple[float, float] | None:
    """Gives the (scale, offset) that an asset declares for its first band, or None.

    It is read from `raster:bands` (STAC 1.0), from `bands` and from the asset itself (`raster:scale`, STAC 1.1).
    A scale of 1 with an offset of 0 is what tools write when they know nothing, so it counts as not declared.
    """
    for part in _band_parts(asset):
        scale = _number(part, "raster:scale", "scale")
        offset = _number(part, "raster:offset", "offset")
        if (scale, offset) not in ((None, None), (1.0, 0.0), (1.0, None)):
            return (1.0 if scale is None else scale), (offset or 0.0)
    return None


def declared_unit(asset: Mapping[str, Any]) -> str | None:
    """Gives the unit that an asset declares for its first band, in small letters, or None."""
    told = (part.get("unit") or part.get("raster:unit") for part in _band_parts(asset))
    return next((str(unit).strip().lower() for unit in told if unit), None)


@dataclass(frozen=True)
class Declared:
    """What an item tells of an asset's grid, for files that do not tell it themselves."""

    crs: str | None = None
    """Coordinate system, as `EPSG:32631`, WKT or PROJJSON."""
    transform: tuple[float, ...] | None = None
    """The first six numbers of `proj:transform`."""
    shape: tuple[int, int] | None = None
    """Rows and columns that the transform belongs to."""
    nodata: float | None = None
    """Value of a pixel that was not measured."""


def declared(properties: Mapping[str, Any], asset: Mapping[str, Any]) -> Declared:
    """Gathers what an item tells of an asset's grid, from the asset first."""
    both = (asset, properties)
    transform = next((one for part in both if (one := _numbers(part.get("proj:transform"), 6))), None)
    shape = next((one for part in both if (one := _numbers(part.get("proj:shape"), 2))), None)
    nodata = [_number(part, "nodata", "raster:nodata") for part in _band_parts(asset)]
    return Declared(
        crs=next((text for part in both for _, text in _crs_texts(part)), None),
        transform=transform,
        shape=(int(shape[0]), int(shape[1])) if shape else None,
        nodata=next((value for value in nodata if value is not None), None),
    )


def unknown_crs(properties: Mapping[str, Any], assets: Iterable[Mapping[str, Any]]) -> str | None:
    """Gives the name of the field that tells a coordinate system which PROJ does not know, or None."""
    told = ((name, text) for part in (properties, *assets) for name, text in _crs_texts(part))
    return next((name for name, text in told if not _is_crs(text)), None)


def property_ending(properties: Mapping[str, Any], *endings: str) -> Any:
    """Gives the first property whose name without its prefix is one of `endings`, or None.

    Providers prefix the same fact differently: `s2:processing_baseline`, `sentinel2:processing_baseline`,
    `sentinel:processing_baseline`.
    """
    for ending in endings:
        for name, value in properties.items():
            if name.rpartition(":")[2] == ending and value is not None:
                return value
    return None


def _crs_texts(part: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lists (field, text) for each way in which a part of an item tells its coordinate system."""
    ways: Mapping[str, Callable[[Any], str]] = {
        "proj:code": str,
        "proj:epsg": "EPSG:{}".format,
        "proj:wkt2": str,
        "proj:projjson": json.dumps,
    }
    return [(name, text_of(part[name])) for name, text_of in ways.items() if part.get(name)]


@lru_cache(maxsize=512)
def _is_crs(text: str) -> bool:
    try:
        pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError:
        return False
    return True


def _band_parts(asset: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Where an asset's first band may be described: STAC 1.0, STAC 1.1, and the asset itself."""
    firsts = (one for name in ("raster:bands", "bands") for one in (asset.get(name) or ())[:1])
    return (*(one for one in firsts if isinstance(one, Mapping)), asset)


def _number(part: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        if part.get(name) is not None:
            try:
                value = float(part[name])
            except (TypeError, ValueError):
                return None
            return value if math.isfinite(value) else None
    return None


def _numbers(told: Any, count: int) -> tuple[float, ...] | None:
    """Gives the first `count` of a list of numbers, or None where it is none."""
    if not isinstance(told, list | tuple) or len(told) < count:
        return None
    first = told[:count]
    return tuple(first) if all(isinstance(one, int | float) for one in first) else None
