"""The STAC item of a field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import shapely
from odc.geo.geom import Geometry

from earthfield.catalog import FieldKey
from earthfield.codec import BANDS, DIM, NODATA

_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
]
_ROLES = {
    "embedding.tif": ["data", "embedding"],
    "quality.tif": ["data", "quality"],
    "preview.png": ["overview"],
}


def field_item(key: FieldKey, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the STAC item as JSON content; it holds nothing that depends on when it was written."""
    area = Geometry(shapely.from_wkt(manifest["area"]), f"EPSG:{key.tile.epsg}").to_crs("EPSG:4326")
    geobox, period = key.tile.geobox, key.period
    last = period.end - timedelta(seconds=1)
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": _EXTENSIONS,
        "id": f"{key.model}_{key.tile.id}_{period.id}",
        "geometry": shapely.geometry.mapping(area.geom),
        "bbox": list(area.geom.bounds),
        "properties": {
            "datetime": None,
            "start_datetime": f"{period.start:%Y-%m-%dT%H:%M:%SZ}",
            "end_datetime": f"{last:%Y-%m-%dT%H:%M:%SZ}",
            "title": f"Embedding field of {period}, tile {key.tile.id}, model {key.model}",
            "gsd": 10,
            "proj:code": f"EPSG:{key.tile.epsg}",
            "proj:shape": list(geobox.shape),
            "proj:transform": list(geobox.transform)[:6],
            "emb:model": key.model,
            "emb:model_fingerprint": manifest["model"]["fingerprint"],
            "emb:dimensions": DIM,
            "emb:type": "pixel",
            "emb:quantization": "x = sign(q) * (q / 127.5)^2, q int8, -128 is no data",
        },
        "assets": {
            name.partition(".")[0]: _asset(name, file) for name, file in sorted(manifest["files"].items())
        },
        "links": [
            {"rel": "derived_from", "href": item, "title": source}
            for source, frames in sorted(manifest["sources"].items())
            for item in sorted({one for frame in frames for one in frame["items"]})
        ],
    }


def _asset(name: str, file: Mapping[str, Any]) -> dict[str, Any]:
    asset = {
        "href": f"./{name}",
        "type": _COG if name.endswith(".tif") else "image/png",
        "roles": _ROLES[name],
        # A multihash: 0x12 names SHA-256, 0x20 its length.
        "file:checksum": f"1220{file['sha256']}",
        "file:size": file["bytes"],
    }
    if name == "embedding.tif":
        asset["bands"] = [{"name": band, "data_type": "int8", "nodata": NODATA} for band in BANDS]
    return asset
