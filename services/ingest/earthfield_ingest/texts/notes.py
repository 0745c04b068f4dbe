"""Notes: GeoJSON features that say what is there in a `text` of their own, as simulated landscapes have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from earthfield.storage import hash_of
from earthfield_ingest.texts.darwincore import licence_of
from earthfield_ingest.texts.records import (
    NO_LICENCE,
    NO_PLACE,
    NO_TEXT,
    NON_COMMERCIAL,
    Dropped,
    Found,
    Record,
    place_of,
)

_OTHERS = re.compile(r"^(CC-BY-SA-\d\.\d|ODbL-1\.0|PDDL-1\.0|ODC-By-1\.0|MIT|etalab-2\.0|OGL-UK-3\.0)$")
"""SPDX ids that a note may name, beside what `licence_of` knows."""


def is_notes(content: Any) -> bool:
    """Tells whether JSON is a GeoJSON collection whose features have a `text` and a `licence`."""
    if not isinstance(content, dict) or content.get("type") != "FeatureCollection":
        return False
    features = content.get("features")
    first = features[:100] if isinstance(features, list) else []
    return any({"text", "licence"} <= set(_properties(one)) for one in first)


def notes(content: Mapping[str, Any]) -> Iterator[Found]:
    """Yields the notes of a collection: points with `text` and `licence`.

    `id`, `name`, `attribution`, `url` and `language` are taken where they stand; a note without an id is known by
    its place and text.
    """
    kind = "simulated" if content.get("earthfield:simulated") else "note"
    for one in content["features"]:
        yield _note(one, kind)


def _note(feature: Any, kind: str) -> Found:
    told = {name: str(value).strip() for name, value in _properties(feature).items() if value is not None}
    if not told.get("text"):
        return Dropped(NO_TEXT)
    if re.search(r"[-_/ ]nc([-_/ ]|$)|non-?commercial", told.get("licence", ""), re.IGNORECASE):
        return Dropped(NON_COMMERCIAL)
    licence = _licence(told.get("licence", ""))
    if licence is None:
        return Dropped(NO_LICENCE)
    place = _place(feature)
    if place is None:
        return Dropped(NO_PLACE)
    return Record(
        lon=place[0],
        lat=place[1],
        text=told["text"],
        kind=kind,
        id=str(feature.get("id") or told.get("id") or hash_of([*place, told["text"]])[:16]),
        name=told.get("name", ""),
        licence=licence,
        attribution=told.get("attribution", ""),
        url=told.get("url", ""),
        language=told.get("language", ""),
    )


def _licence(told: str) -> str | None:
    return told if _OTHERS.match(told) else licence_of(told)


def _place(feature: Mapping[str, Any]) -> tuple[float, float] | None:
    geometry = feature.get("geometry")
    at = geometry.get("coordinates") if isinstance(geometry, dict) else None
    if not isinstance(at, list) or len(at) < 2 or not isinstance(geometry, dict):
        return None
    return place_of(at[0], at[1]) if geometry.get("type") == "Point" else None


def _properties(feature: Any) -> Mapping[str, Any]:
    told = feature.get("properties") if isinstance(feature, dict) else None
    return told if isinstance(told, dict) else {}
