"""The STAC collection of a model's fields, kept in step with what lies in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from earthfield.catalog import Catalog, FieldKey
from earthfield.errors import BrokenArtefact
from earthfield.field.content import ITEM, MANIFEST, Embedding
from earthfield.field.scenes import scenes_read
from earthfield.storage import one_at_a_time, write_json

_MEMBER = "earthfield:member"
"""Property of an item's link: what the item adds to extent and summaries, so that no item is read twice."""


def keep_collection(catalog: Catalog, model: str, *, changed: FieldKey | None = None) -> None:
    """Writes `fields/<model>/collection.json` where it does not tell what lies there.

    Equal fields give equal bytes, in whatever order they were written. Several processes may call it at once.

    Args:
        catalog: where fields lie.
        model: the model.
        changed: a field that was written just now, and is read again even where the collection knows it.

    Raises:
        BrokenArtefact: an item or a manifest of the model cannot be read.
        Unavailable: the disk is full.
    """
    path = catalog.collection(model)
    if not path.parent.is_dir():
        return
    with one_at_a_time(path.parent):
        known = _known(path)
        keys = {f"./{key.tile.id}/{key.period.id}/{ITEM}": key for key in catalog.fields(model)}
        if changed is not None:
            known.pop(f"./{changed.tile.id}/{changed.period.id}/{ITEM}", None)
        if keys.keys() == known.keys():
            return
        members = {href: known.get(href) or _member(catalog.field(key)) for href, key in keys.items()}
        if members:
            write_json(path, _collection(model, members))
        else:
            path.unlink()


def _known(path: Path) -> dict[str, dict[str, Any]]:
    """Gives what a collection knows of its items; nothing where it is absent or damaged: it is made again."""
    try:
        links = json.loads(path.read_text())["links"]
        return {link["href"]: link[_MEMBER] for link in links if link["rel"] == "item"}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _member(folder: Path) -> dict[str, Any]:
    try:
        item = json.loads((folder / ITEM).read_text())
        manifest = json.loads((folder / MANIFEST).read_text())
        properties, embedding = item["properties"], Embedding.of(manifest)
        imported = manifest.get("imported", {})
        return {
            "bbox": item["bbox"],
            "interval": [properties["start_datetime"], properties["end_datetime"]],
            "period": properties["earthfield:period"],
            "crs": properties["proj:code"],
            "dimensions": embedding.dimensions,
            "dtype": embedding.dtype,
            "fingerprint": manifest["model"]["fingerprint"],
            "sources": sorted(scenes_read(manifest)) or [str(imported.get("origin", "unknown"))],
            "licence": str(imported.get("licence", "")),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenArtefact(
            f"{folder} holds no whole field ({error}): make it again with --overwrite"
        ) from error


def _collection(model: str, members: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    def all_of(name: str) -> list[Any]:
        return sorted({one[name] for one in members.values()} - {""})

    west, south, east, north = zip(*(one["bbox"] for one in members.values()), strict=True)
    first, last = zip(*(one["interval"] for one in members.values()), strict=True)
    sources = sorted({source for one in members.values() for source in one["sources"]})
    licences = all_of("licence")
    dimensions, dtypes = all_of("dimensions"), all_of("dtype")
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": model,
        "title": f"Embedding fields of model {model}",
        "description": " ".join(
            [
                f"A unit vector of {dimensions[0]} numbers for every 10 m pixel, made by model {model}.",
                *licences,
            ]
        ),
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[min(west), min(south), max(east), max(north)]]},
            "temporal": {"interval": [[min(first), max(last)]]},
        },
        "summaries": {
            "gsd": [10],
            "data_type": dtypes,
            "proj:code": all_of("crs"),
            "earthfield:period": all_of("period"),
            "earthfield:fingerprint": all_of("fingerprint"),
        },
        "gsd": 10,
        "data_type": dtypes[0],
        "emb:type": "pixel",
        "emb:dimensions": dimensions[0],
        "links": [*_links(model, sources, all_of("fingerprint")), *_items(members)],
    }


def _links(model: str, sources: list[str], fingerprints: list[str]) -> list[dict[str, Any]]:
    return [
        {"rel": "root", "href": "./collection.json", "type": "application/json"},
        *(
            {"rel": "emb:model", "href": f"urn:earthfield:model:{model}:{one}", "title": model}
            for one in fingerprints
        ),
        *(
            {"rel": "emb:source-data", "href": f"urn:earthfield:source:{one}", "title": one}
            for one in sources
        ),
    ]


def _items(members: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"rel": "item", "href": href, "type": "application/geo+json", _MEMBER: dict(one)}
        for href, one in sorted(members.items())
    ]
