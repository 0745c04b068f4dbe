"""The words of the catalogue: items, collections and the catalogue itself, as JSON files.

Written as STAC 1.0.0 with projection 1.1.0 (`proj:epsg`), the form in which the public archives still
publish; pystac would rewrite it to 1.1.0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from earthfield.simulate.canvas import Canvas
from earthfield.simulate.scene import Asset, Scene

_EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/view/v1.0.0/schema.json",
    "https://stac-extensions.github.io/sat/v1.0.0/schema.json",
]
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
NOTICE = "SIMULATED by Earthfield: no satellite took these scenes and the land does not exist."
DESCRIPTIONS = {
    "sentinel-2-l2a": "Sentinel-2 Level-2A surface reflectance and scene classification (SCL). Scenes of "
    "processing baseline 04.00 and later carry the radiometric offset: reflectance = 0.0001 x DN - 0.1.",
    "sentinel-1-rtc": "Sentinel-1 IW terrain-corrected backscatter, linear power (float32), 20 m.",
    "landsat-c2-l2": "Landsat Collection 2 Level-2 surface reflectance (0.0000275 x DN - 0.2), surface "
    "temperature (0.00341802 x DN + 149 K) and QA_PIXEL.",
    "cop-dem-glo-30": "Elevation in metres.",
    "simulated-cover": "Land cover and crops of a year at 10 m, as they are; codes in legend.json.",
}


def write_json(path: Path, content: dict[str, Any]) -> int:
    """Write JSON whole or not at all and return the number of bytes."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    partial = path.with_suffix(path.suffix + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return len(text.encode())


def asset_of(asset: Asset, canvas: Canvas) -> dict[str, Any]:
    """What an item says of one raster."""
    transform = canvas.transform_at(asset.gsd_m)
    band: dict[str, Any] = {
        "data_type": asset.values.dtype.name,
        "nodata": "nan" if math.isnan(asset.nodata) else asset.nodata,
        "scale": asset.scale,
        "offset": asset.offset,
        "spatial_resolution": asset.resolution_m or asset.gsd_m,
    }
    if asset.unit:
        band["unit"] = asset.unit
    words: dict[str, Any] = {
        "href": f"./{asset.key}.tif",
        "type": _COG,
        "roles": list(asset.roles),
        "proj:shape": list(asset.values.shape),
        "proj:transform": [float(value) for value in tuple(transform)[:6]],
        "raster:bands": [band],
    }
    if asset.band:
        words["eo:bands"] = [{"name": asset.band}]
    return words


def item_of(
    scene: Scene, canvas: Canvas, properties: dict[str, Any], assets: dict[str, Any]
) -> dict[str, Any]:
    """The item of a scene whose rasters are written."""
    ring = canvas.outline()
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": scene.id,
        "collection": scene.collection,
        "stac_extensions": _EXTENSIONS,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": bbox_of(ring),
        "properties": {
            "datetime": f"{scene.instant:%Y-%m-%dT%H:%M:%SZ}",
            "description": NOTICE,
            "earthfield:simulated": True,
            "proj:epsg": canvas.epsg,
            **properties,
        },
        "assets": assets,
        "links": [
            {"rel": "self", "href": f"./{scene.id}.json", "type": "application/geo+json"},
            {"rel": "parent", "href": "../collection.json"},
            {"rel": "collection", "href": "../collection.json"},
            {"rel": "root", "href": "../../catalog.json"},
        ],
    }


def bbox_of(ring: Sequence[Sequence[float]]) -> list[float]:
    """West, south, east, north of a ring of [lon, lat] pairs."""
    lons, lats = [point[0] for point in ring], [point[1] for point in ring]
    return [min(lons), min(lats), max(lons), max(lats)]


def collection_of(name: str, scenes: Sequence[Scene], canvas: Canvas) -> dict[str, Any]:
    """The collection of finished scenes, in the order of time."""
    instants = sorted(scene.instant for scene in scenes)
    span = [f"{instants[at]:%Y-%m-%dT%H:%M:%SZ}" for at in (0, -1)] if instants else [None, None]
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "title": f"{name} (simulated)",
        "description": f"{NOTICE} Imitates: {DESCRIPTIONS[name]}",
        "keywords": ["simulated"],
        "license": "CC0-1.0",
        "earthfield:simulated": True,
        "extent": {
            "spatial": {"bbox": [bbox_of(canvas.outline())]},
            "temporal": {"interval": [span]},
        },
        "links": [
            {"rel": "root", "href": "../catalog.json"},
            {"rel": "parent", "href": "../catalog.json"},
            *(
                {"rel": "item", "href": f"./{scene.id}/{scene.id}.json", "type": "application/geo+json"}
                for scene in scenes
            ),
        ],
    }


def catalog_of(seed: int, words: str, names: Sequence[str]) -> dict[str, Any]:
    """The catalogue: the file whose presence says that all is finished."""
    return {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": f"simulated-{seed}",
        "description": f"{NOTICE} Landscape {seed}: {words}.",
        "earthfield:simulated": True,
        "links": [
            {"rel": "root", "href": "./catalog.json"},
            *({"rel": "child", "href": f"./{name}/collection.json"} for name in names),
        ],
    }
