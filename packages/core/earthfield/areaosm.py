"""Areas by name: the polygon of an OpenStreetMap relation, asked of a server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from earthfield.errors import InvalidInput, NotFound, Unavailable

_RELATION = re.compile(r"^osm:(?:relation/)?(\d+)$", re.IGNORECASE)
_TIMEOUT_S = 90.0
_NAME_KEYS = ("name", "name:en", "int_name")
_MOST_PLACES = 20
_RINGS = ("outer", "inner", "")
"""Roles of the ways that make the boundary; older relations leave the role empty."""


def is_osm(text: str) -> bool:
    """Tells whether a text means something of OpenStreetMap."""
    return text.strip().lower().startswith("osm:")


@dataclass(frozen=True)
class NamedPlace:
    """An area of OpenStreetMap that has a name."""

    relation: int
    """Id of its relation; `polygon_of(f"osm:{relation}")` gives its outline."""
    name: str
    """What it is called there."""
    kind: str
    """What it is: `administrative, level 8`, `protected_area` ..."""
    bounds: tuple[float, float, float, float] | None
    """West, south, east, north in degrees, where the server tells."""


def places_named(name: str) -> list[NamedPlace]:
    """Finds areas with a boundary by their whole name, in their own language or in English, largest first.

    Raises:
        InvalidInput: no name, or the server that the settings name gives outlines only.
        NotFound: nothing of that name has a boundary.
        Unavailable: the server or the network does not answer.
    """
    from earthfield.settings import Settings

    server, wanted = Settings().osm_url, " ".join(name.split())
    if not wanted:
        raise InvalidInput("no name was given: write that of a town, a region or a park")
    if "{relation}" in server:
        raise InvalidInput(
            f"{server} gives outlines by number only: give the relation's, such as osm:54413, or set "
            "EARTHFIELD_OSM_URL to a server that speaks Overpass"
        )
    quoted = wanted.replace("\\", "\\\\").replace('"', '\\"')
    parts = "".join(f'relation["boundary"]["{key}"="{quoted}"];' for key in _NAME_KEYS)
    content = _asked(server, {"data": f"[out:json][timeout:30];({parts});out tags bb {_MOST_PLACES};"})
    elements = content.get("elements", []) if isinstance(content, dict) else []
    found = [_place(one) for one in elements if one.get("type") == "relation"]
    if not found:
        raise NotFound(f"OpenStreetMap has no area named {wanted!r}: check how it is written there")
    return sorted(found, key=lambda one: -_size(one))


def _place(one: Mapping[str, Any]) -> NamedPlace:
    tags, box = one.get("tags", {}), one.get("bounds")
    level = tags.get("admin_level")
    kind = f"{tags.get('boundary', 'area')}{f', level {level}' if level else ''}"
    sides = (box["minlon"], box["minlat"], box["maxlon"], box["maxlat"]) if box else None
    return NamedPlace(int(one["id"]), str(tags.get("name", "")), kind, sides)


def _size(place: NamedPlace) -> float:
    if place.bounds is None:
        return 0.0
    west, south, east, north = place.bounds
    return (east - west) * (north - south)


def polygon_of(text: str) -> BaseGeometry:
    """Gives the polygon of `osm:relation/54413` or `osm:54413`, from the server that the settings name.

    Raises:
        InvalidInput: it is no relation's id, or the relation has no closed boundary.
        NotFound: the server does not know the relation.
        Unavailable: the server or the network does not answer.
    """
    from earthfield.settings import Settings

    match = _RELATION.match(text.strip())
    if match is None:
        raise InvalidInput(
            f"{text!r} is not an OpenStreetMap relation: write osm:relation/54413 or osm:54413"
        )
    return _polygon(int(match[1]), Settings().osm_url)


@lru_cache(maxsize=16)
def _polygon(relation: int, server: str) -> BaseGeometry:
    """Asks once a process: a job needs its area several times, and it must not change in between."""
    content = _answer(relation, server)
    if isinstance(content, dict) and content.get("type") in ("FeatureCollection", "Feature"):
        return _of_geojson(content, relation, server)
    return _of_overpass(content, relation, server)


def _answer(relation: int, server: str) -> Any:
    """Asks a server whose address has a place for `{relation}`, or else one that speaks Overpass."""
    by_hand = (
        f"try again later, or download the boundary of relation {relation} as GeoJSON "
        "(from osm-boundaries.com or overpass-turbo.eu) and give that file as --aoi"
    )
    if "{relation}" in server:
        return _asked(server.replace("{relation}", str(relation)), None, server, by_hand)
    query = {"data": f"[out:json][timeout:60];relation({relation});out geom;"}
    return _asked(server, query, server, by_hand)


def _asked(
    address: str, query: Mapping[str, str] | None, server: str = "", otherwise: str = "try again later"
) -> Any:
    """Gives a server's JSON; `otherwise` is what people can do where it gives none."""
    import httpx

    server = server or address
    try:
        told = httpx.get(
            address,
            params=query,
            headers={"User-Agent": "earthfield (embedding fields from satellite archives)"},
            timeout=_TIMEOUT_S,
            follow_redirects=True,
        )
        if told.is_error:
            raise Unavailable(f"the OpenStreetMap server {server} answers {told.status_code}: {otherwise}")
        return told.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(
            f"the OpenStreetMap server {server} cannot be reached ({error}): {otherwise}"
        ) from error
    except ValueError as error:
        raise Unavailable(f"the OpenStreetMap server {server} answers no JSON: {otherwise}") from error


def _of_geojson(content: Mapping[str, Any], relation: int, server: str) -> BaseGeometry:
    features = content.get("features", [content])
    shapes = [shapely.geometry.shape(one["geometry"]) for one in features if one.get("geometry")]
    if not shapes:
        raise _unknown(relation, server)
    return shapely.union_all([shapely.make_valid(shape) for shape in shapes])


def _of_overpass(content: Any, relation: int, server: str) -> BaseGeometry:
    elements = content.get("elements", []) if isinstance(content, dict) else []
    found = next((one for one in elements if one.get("type") == "relation"), None)
    if found is None:
        raise _unknown(relation, server)
    ways = [
        shapely.LineString([(point["lon"], point["lat"]) for point in member["geometry"]])
        for member in found.get("members", ())
        if member.get("type") == "way" and member.get("role", "") in _RINGS and member.get("geometry")
    ]
    return area_of_ways(ways, f"the OpenStreetMap relation {relation}")


def area_of_ways(ways: Iterable[shapely.LineString], name: str) -> BaseGeometry:
    """Joins ways into rings and these into an area; a ring inside another is a hole, one in a hole is land again.

    Raises:
        InvalidInput: some ways close no ring; the message names a place.
    """
    lines = shapely.union_all(list(ways))
    _, cuts, dangles, broken = shapely.polygonize_full([lines])
    loose = shapely.union_all([cuts, dangles, broken])
    if lines.is_empty or not loose.is_empty:
        where = "" if loose.is_empty else " near {:.5f} {:.5f}".format(*shapely.get_coordinates(loose)[0])
        raise InvalidInput(
            f"{name} has no closed boundary{where}: it may be no area; give its outline as GeoJSON instead"
        )
    return shapely.build_area(lines)


def _unknown(relation: int, server: str) -> NotFound:
    return NotFound(f"the OpenStreetMap server {server} knows no relation {relation}: check the number")
