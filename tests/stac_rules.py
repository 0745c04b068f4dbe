"""What STAC's schemas demand of items and collections, checked without a network.

The core schemas come with pystac. Those of the extensions do not, and may not be fetched here: what they demand of
the fields that we write is said below in our own words, after projection v2.0.0, file v2.1.0, raster v2.0.0 and the
embeddings specification v0.0.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft7Validator
from pystac.validation import JsonSchemaSTACValidator

_NUMBERS = {"type": "array", "items": {"type": "number"}}
_LINK = {"type": "object", "required": ["rel", "href"]}

PROJECTION: dict[str, Any] = {
    "proj:code": {"type": ["string", "null"], "pattern": "^[A-Z]+:.+$"},
    "proj:shape": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
    "proj:transform": {**_NUMBERS, "oneOf": [{"minItems": n, "maxItems": n} for n in (6, 9)]},
}
FILE: dict[str, Any] = {
    "file:checksum": {"type": "string", "pattern": "^[a-f0-9]+$"},
    "file:size": {"type": "integer", "minimum": 0},
}
RASTER: dict[str, Any] = {"raster:scale": {"type": "number"}, "raster:offset": {"type": "number"}}
EMBEDDING_ITEM: dict[str, Any] = {
    "emb:runtime_parameters": {"type": "object"},
    "emb:uncertainty": {
        "type": "object", "properties": {"method": {"type": "string"}, "description": {"type": "string"}},
        "additionalProperties": False,
    },
    "emb:quantization": {
        "type": "object", "required": ["method", "original_dtype"], "additionalProperties": False,
        "properties": {
            "method": {"type": "string"}, "original_dtype": {"type": "string"},
            "quantized_dtype": {"type": "string"}, "link": _LINK,
        },
    },
}  # fmt: skip
EMBEDDING_COLLECTION: dict[str, Any] = {
    "emb:type": {"enum": ["pixel", "chip"]},
    "emb:dimensions": {"type": "integer", "minimum": 1},
}


def check_item(item: Mapping[str, Any]) -> None:
    """Raises where an item breaks the core schemas or a rule of an extension."""
    JsonSchemaSTACValidator().validate_core(dict(item), "Feature", item["stac_version"])
    known = {
        "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
        "https://stac-extensions.github.io/file/v2.1.0/schema.json",
        "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    }
    assert set(item["stac_extensions"]) <= known
    _check(item["properties"], PROJECTION | EMBEDDING_ITEM)
    assert "embeddings" in item["assets"]
    for asset in item["assets"].values():
        _check(asset, PROJECTION | FILE | RASTER)
        for band in asset.get("bands", ()):
            _check(band, RASTER)


def check_collection(collection: Mapping[str, Any]) -> None:
    """Raises where a collection breaks the core schemas or a rule of the embeddings specification."""
    JsonSchemaSTACValidator().validate_core(dict(collection), "Collection", collection["stac_version"])
    _check(collection, EMBEDDING_COLLECTION)
    assert {"emb:type", "emb:dimensions", "data_type"} <= collection.keys()
    assert {"emb:model", "emb:source-data"} <= {link["rel"] for link in collection["links"]}
    _check(collection["summaries"], {"proj:code": {"type": "array"}})


def _check(found: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
    """Under a prefix of an extension nothing may stand but what it knows, and that must be as it says."""
    prefixes = ("proj:", "file:", "raster:", "emb:")
    held = {name: value for name, value in found.items() if name.startswith(prefixes)}
    Draft7Validator({"type": "object", "properties": dict(rules), "additionalProperties": False}).validate(
        held
    )
