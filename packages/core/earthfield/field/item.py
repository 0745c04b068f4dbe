"""The STAC item of a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import shapely
from odc.geo.geom import Geometry

from earthfield.catalog import FieldKey
from earthfield.codec import NODATA, QUANTIZATION
from earthfield.field.content import EMBEDDING, PREVIEW, QUALITY, THREE_AXES, Embedding
from earthfield.field.quality import QUALITY_NODATA, layer_of
from earthfield.field.scenes import scenes_read

_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
# `emb:` follows https://stac-extensions.github.io/embeddings/v0.0.1/schema.json but is not declared: that schema
# demands STAC 1.0.0, so an item of STAC 1.1 that declared it could never be valid.
EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
]
_RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
_QUANTIZED = {
    "method": "signed_square_root",
    "original_dtype": "float32",
    "quantized_dtype": "int8",
    "link": {
        "rel": "about",
        "href": "https://developers.google.com/earth-engine/guides/aef_on_gcs_readme",
        "title": QUANTIZATION,
    },
}
_ASSETS: Mapping[str, tuple[str, list[str], str]] = {
    EMBEDDING: ("embeddings", ["data", "embedding"], "A unit vector for every pixel"),
    QUALITY: ("quality", ["data", "quality", "uncertainty"], "What is known of every pixel"),
    PREVIEW: ("preview", ["overview"], "First three principal axes as red, green, blue"),
    THREE_AXES: ("axes", ["overview"], "Three single axes as red, green, blue"),
}
"""Key, roles and title of each file's asset."""


def field_item(key: FieldKey, manifest: Mapping[str, Any], *, quality: Sequence[str] = ()) -> dict[str, Any]:
    """Gives the STAC item as JSON content; it holds nothing that depends on when it was written.

    Args:
        key: which field.
        manifest: its manifest, complete.
        quality: names of the quality layers, in the order of the file's bands.
    """
    area = Geometry(shapely.from_wkt(manifest["area"]), f"EPSG:{key.tile.epsg}").to_crs("EPSG:4326")
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": EXTENSIONS + [_RASTER] * any(layer_of(name).is_scaled for name in quality),
        "id": f"{key.model}_{key.tile.id}_{key.period.id}",
        "collection": key.model,
        "geometry": shapely.geometry.mapping(area.geom),
        "bbox": list(area.geom.bounds),
        "properties": _properties(key, manifest, quality),
        "assets": {
            _ASSETS[name][0]: _asset(name, file, Embedding.of(manifest), quality)
            for name, file in sorted(manifest["files"].items())
        },
        "links": _links(manifest),
    }


def _properties(key: FieldKey, manifest: Mapping[str, Any], quality: Sequence[str]) -> dict[str, Any]:
    geobox, period, model = key.tile.geobox, key.period, manifest["model"]
    last = period.end - timedelta(seconds=1)
    found = {
        "datetime": None,
        "start_datetime": f"{period.start:%Y-%m-%dT%H:%M:%SZ}",
        "end_datetime": f"{last:%Y-%m-%dT%H:%M:%SZ}",
        "title": f"Embedding field of {period}, tile {key.tile.id}, model {key.model}",
        "gsd": 10,
        "proj:code": f"EPSG:{key.tile.epsg}",
        "proj:shape": list(geobox.shape),
        "proj:transform": list(geobox.transform)[:6],
        "emb:runtime_parameters": {
            "sources": sorted(manifest["sources"]),
            "valid_period": period.id,
            "support_period": manifest.get("support", {}).get("text", str(period)),
        },
        "earthfield:model": key.model,
        "earthfield:fingerprint": model["fingerprint"],
        "earthfield:tile": key.tile.id,
        "earthfield:period": str(period),
    }
    if Embedding.of(manifest).dtype == "int8":
        found["emb:quantization"] = _QUANTIZED
    if licence := manifest.get("imported", {}).get("licence"):
        found["attribution"] = licence
    if "agreement" in quality:
        found["emb:uncertainty"] = {
            "method": "split_half_agreement",
            "description": layer_of("agreement").meaning,
        }
    return found


def _links(manifest: Mapping[str, Any]) -> list[dict[str, str]]:
    collection = {"href": "../../collection.json", "type": "application/json"}
    links = [{"rel": rel, **collection} for rel in ("root", "parent", "collection")]
    scenes = [(source, item) for source, items in scenes_read(manifest).items() for item in items]
    return links + [
        {"rel": rel, "href": item, "title": source}
        for rel in ("derived_from", "emb:source-data")
        for source, item in scenes
    ]


def _asset(
    name: str, file: Mapping[str, Any], embedding: Embedding, quality: Sequence[str]
) -> dict[str, Any]:
    _, roles, title = _ASSETS[name]
    asset: dict[str, Any] = {
        "href": f"./{name}",
        "title": title,
        "type": _COG if name.endswith(".tif") else "image/png",
        "roles": roles,
        # A multihash: 0x12 names SHA-256, 0x20 its length.
        "file:checksum": f"1220{file['sha256']}",
        "file:size": file["bytes"],
    }
    if name == EMBEDDING:
        nodata = NODATA if embedding.dtype == "int8" else "nan"
        asset["data_type"], asset["nodata"] = embedding.dtype, nodata
        asset["bands"] = [{"name": band} for band in embedding.bands]
    if name == QUALITY and quality:
        asset["data_type"], asset["nodata"] = "uint16", QUALITY_NODATA
        asset["bands"] = [_quality_band(layer) for layer in quality]
    return asset


def _quality_band(name: str) -> dict[str, Any]:
    layer = layer_of(name)
    told = {"name": name, "description": layer.meaning, "unit": layer.unit}
    scale = {"raster:scale": layer.scale, "raster:offset": layer.offset} if layer.is_scaled else {}
    return {key: value for key, value in told.items() if value} | scale
