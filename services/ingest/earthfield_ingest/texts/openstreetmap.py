"""OpenStreetMap: features from GeoJSON, from an answer of Overpass, or from an Overpass server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import shapely

from earthfield.errors import InvalidInput, Unavailable
from earthfield_ingest.texts.records import NO_ID, NO_PLACE, NO_TEXT, Dropped, Found, Record, place_of

TELLING_TAGS = (
    "place", "natural", "landuse", "landcover", "leaf_type", "leaf_cycle", "crop", "trees", "wetland", "water",
    "waterway", "surface", "man_made", "amenity", "leisure", "tourism", "historic", "building", "military",
    "power", "railway", "aeroway", "highway", "boundary", "protect_class", "religion",
)  # fmt: skip
"""Tags that say what a feature is, in the order in which a text tells them."""

_ID = re.compile(r"^(node|way|relation)/(\d+)$")
_LOCAL = {"localhost", "127.0.0.1", "::1"}
_TIMEOUT_S = 180
_MAX_BYTES = 512 << 20
_MAX_AREA_DEG2 = 1.0


def is_features(content: Any) -> bool:
    """Tells whether JSON is a GeoJSON collection or an answer of Overpass."""
    if not isinstance(content, dict):
        return False
    return content.get("type") == "FeatureCollection" or isinstance(content.get("elements"), list)


def features(content: Mapping[str, Any]) -> Iterator[Found]:
    """Yields the features of a GeoJSON collection or of an answer of Overpass, each at one point of itself."""
    if "elements" in content:
        for one in content["elements"]:
            told = one if isinstance(one, dict) else {}
            tags = told.get("tags")
            yield _feature(f"{told.get('type')}/{told.get('id')}", tags, _place_of_element(told))
        return
    for one in content.get("features") or ():
        told = one if isinstance(one, dict) else {}
        properties = told.get("properties") or {}
        tags = properties.get("tags") if isinstance(properties.get("tags"), dict) else properties
        yield _feature(_id_of(told, properties), tags, _place_of_geometry(told.get("geometry")))


def asked(server: str, bbox: tuple[float, float, float, float]) -> dict[str, Any]:
    """Asks an Overpass server for what lies in a box.

    Args:
        server: address of its interpreter, https.
        bbox: west, south, east, north in degrees.

    Raises:
        InvalidInput: the address is not https, the box is too large, or the server refuses the question.
        Unavailable: the server does not answer, or is busy.
    """
    parts = urlsplit(server)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        raise InvalidInput(f"{server} is not an https address: give one such as https://HOST/api/interpreter")
    west, south, east, north = bbox
    if not west < east or (east - west) * (north - south) > _MAX_AREA_DEG2:
        raise InvalidInput(
            f"the box {west:g} {south:g} {east:g} {north:g} is more than {_MAX_AREA_DEG2:g} square degree, "
            "which is too much for a public server: ask for less, or give a file"
        )
    return _answer(server, question(bbox))


def question(bbox: tuple[float, float, float, float]) -> str:
    """Gives the question, in Overpass QL, for everything in a box that a telling tag describes."""
    west, south, east, north = bbox
    keys = "|".join(TELLING_TAGS)
    return (
        f"[out:json][timeout:{_TIMEOUT_S}];"
        f'nwr[~"^({keys})$"~"."]({south:.7f},{west:.7f},{north:.7f},{east:.7f});out tags center;'
    )


def _answer(server: str, text: str) -> dict[str, Any]:
    try:
        body = _fetched(server, text)
    except httpx.HTTPError as error:
        raise Unavailable(f"{server} does not answer ({error}): check the network and try again") from error
    try:
        content = json.loads(body)
    except ValueError as error:
        raise Unavailable(f"{server} answers with something that is not JSON: try again later") from error
    if not isinstance(content, dict) or not isinstance(content.get("elements"), list):
        raise Unavailable(f"{server} answers without elements: try again later")
    # Overpass says 200 also where it ran out of time, and then its answer is not whole.
    if "error" in str(content.get("remark", "")):
        raise Unavailable(f"{server} did not finish ({content['remark']}): ask for a smaller area")
    return content


def _fetched(server: str, text: str) -> bytes:
    body = bytearray()
    with httpx.stream("POST", server, data={"data": text}, timeout=_TIMEOUT_S + 20) as answer:
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Unavailable(f"{server} is busy ({answer.status_code}): try again later")
        if answer.status_code != 200:
            raise InvalidInput(f"{server} refuses the question ({answer.status_code}): check the address")
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > _MAX_BYTES:
                raise InvalidInput(f"{server} answers with more than {_MAX_BYTES >> 20} MiB: ask for less")
    return bytes(body)


def _feature(name: str | None, tags: Any, place: tuple[float, float] | None) -> Found:
    if name is None or not _ID.match(name):
        return Dropped(NO_ID)
    if place is None:
        return Dropped(NO_PLACE)
    known = tags if isinstance(tags, dict) else {}
    called = str(known.get("name") or "").strip()
    facts = [
        f"{key} {known[key]}".replace("_", " ").replace(";", ", ")
        for key in TELLING_TAGS
        if isinstance(known.get(key), str)
    ]
    if not facts and not called:
        return Dropped(NO_TEXT)
    return Record(
        lon=place[0],
        lat=place[1],
        text=", ".join(filter(None, [called, *facts])),
        kind="openstreetmap",
        id=name,
        name=called,
        licence="ODbL-1.0",
        attribution="© OpenStreetMap contributors",
        url=f"https://www.openstreetmap.org/{name}",
        language="",
    )


def _id_of(feature: Mapping[str, Any], properties: Mapping[str, Any]) -> str | None:
    """Finds the id as the tools write it: `node/1`, or a type and a number apart."""
    for told in (feature.get("id"), properties.get("@id"), properties.get("id"), properties.get("full_id")):
        text = re.sub(
            r"^([nwr])(?=\d)", lambda m: {"n": "node/", "w": "way/", "r": "relation/"}[m[1]], str(told)
        )
        if _ID.match(text):
            return text
    kind = properties.get("@type") or properties.get("osm_type") or properties.get("type")
    return f"{kind}/{properties.get('@id') or properties.get('osm_id') or properties.get('id')}"


def _place_of_element(one: Mapping[str, Any]) -> tuple[float, float] | None:
    centre = one.get("center")
    told = centre if isinstance(centre, dict) else one
    return place_of(told.get("lon"), told.get("lat"))


def _place_of_geometry(geometry: Any) -> tuple[float, float] | None:
    try:
        shape = shapely.geometry.shape(geometry)
        point = shape.representative_point() if not shape.is_empty else None
    except (shapely.errors.ShapelyError, AttributeError, KeyError, TypeError, ValueError):
        return None
    return None if point is None else place_of(point.x, point.y)
