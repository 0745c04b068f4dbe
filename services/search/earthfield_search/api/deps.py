"""What every route needs from a request: the catalogue, who asks, and checked names, periods and areas."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from odc.geo.geom import Geometry
from pydantic import Field

from earthfield.area import area_from_bbox, area_from_geojson, area_from_text
from earthfield.catalog import Catalog, checked_name
from earthfield.errors import EarthfieldError, InvalidInput
from earthfield.timeline import Period
from earthfield_search.api.answer_files import link_of, new_answer_folder

PERIOD = "Period as text (2018, 2018-03..2018-09) or as its id (20180101_20190101)."
_WKT = re.compile(r"\s*(MULTI)?POLYGON\b", re.IGNORECASE)
_MOST_TEXT = 2_000_000


def catalog_of(request: Request) -> Catalog:
    """Gives the catalogue that this service serves."""
    found: Catalog = request.app.state.catalog
    return found


def period_of(text: str) -> Period:
    """Reads a period from a request: its id, which has no slash, or its text.

    Raises:
        InvalidInput: neither.
    """
    if "_" in text:
        return Period.from_id(text)
    return Period.parse(text)


def _model_in_path(model: Annotated[str, Path(description="Name of a model.")]) -> str:
    return checked_name(model)


def _period_in_path(period: Annotated[str, Path(description=PERIOD)]) -> Period:
    return period_of(period)


def _model_in_query(model: Annotated[str, Query(description="Name of a model.")]) -> str:
    return checked_name(model)


def _period_in_query(period: Annotated[str, Query(description=PERIOD)]) -> Period:
    return period_of(period)


def checked_place(lon: float, lat: float) -> tuple[float, float]:
    """Gives a place back if it is one on the globe.

    Raises:
        InvalidInput: it is not.
    """
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise InvalidInput(f"{lon}, {lat} is not a place: longitude -180..180, latitude -90..90, in degrees")
    return lon, lat


def _place_in_query(
    lon: Annotated[float, Query(description="Longitude, degrees.")],
    lat: Annotated[float, Query(description="Latitude, degrees.")],
) -> tuple[float, float]:
    return checked_place(lon, lat)


def owner_of(request: Request) -> str:
    """Gives whose key the request carries: labels, saved searches and answers are kept under this name.

    Empty where the service has no keys.
    """
    caller = request.scope.get("state", {}).get("caller")
    return str(caller.owner) if caller is not None else ""


def _answer_folder(request: Request, catalog: Served, owner: Owner) -> pathlib.Path:
    return new_answer_folder(catalog, owner, keep=request.app.state.limits.answers)


def links_of(request: Request, files: Iterable[str | pathlib.Path]) -> list[dict[str, str]]:
    """Gives where answer files of this request's owner can be fetched.

    Args:
        request: the request that they answer.
        files: paths under `AnswerFolder`.

    Returns:
        For each file `href` (a path on this service), `type` (media type) and `title` (name of the file).

    Raises:
        Internal: a file lies elsewhere.
    """
    folder = catalog_of(request).owned_answers(owner_of(request))
    return [link_of(request.scope.get("root_path", ""), folder, pathlib.Path(one)) for one in files]


def inline_area(value: str | dict[str, Any] | list[float] | None) -> Geometry | None:
    """Reads an area that stands in the request itself; no file and no address is ever opened.

    Args:
        value: GeoJSON (as an object, or as text), WKT, or a box `[west, south, east, north]`, in degrees.

    Raises:
        InvalidInput: it is none of these, or not an area on the globe.
    """
    if value is None:
        return None
    try:
        return _area(value)
    except EarthfieldError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError) as error:
        raise InvalidInput(f"the area is not readable ({error}): give GeoJSON, WKT or a box") from error


def inline_area_text(value: str | dict[str, Any] | list[float] | None) -> str | None:
    """Gives an area that stands in the request as WKT, as questions take it; errors as in `inline_area`."""
    area = inline_area(value)
    return None if area is None else area.wkt


def _area(value: str | dict[str, Any] | list[float]) -> Geometry:
    if isinstance(value, list):
        return area_from_bbox(value)
    text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
    if len(text) > _MOST_TEXT:
        raise InvalidInput(f"the area has {len(text)} characters, at most {_MOST_TEXT} are read: simplify it")
    if text.lstrip().startswith("{"):
        return area_from_geojson(text)
    if _WKT.match(text):
        return area_from_text(text)
    raise InvalidInput(
        f"the area {text[:40]!r} is neither GeoJSON nor the WKT of a polygon: give one of them"
    )


AreaInBody = Annotated[
    dict[str, Any] | str | list[float] | None,
    Field(description="Area: GeoJSON, WKT of a polygon, or a box [west, south, east, north], in degrees."),
]
"""An area as a field of request models; read it with `inline_area` or `inline_area_text`."""
Owner = Annotated[str, Depends(owner_of)]
AnswerFolder = Annotated[pathlib.Path, Depends(_answer_folder)]
"""A new folder for the files of this request's answer; `links_of` tells clients where they are."""
Served = Annotated[Catalog, Depends(catalog_of)]
ModelInPath = Annotated[str, Depends(_model_in_path)]
PeriodInPath = Annotated[Period, Depends(_period_in_path)]
ModelInQuery = Annotated[str, Depends(_model_in_query)]
PeriodInQuery = Annotated[Period, Depends(_period_in_query)]
PlaceInQuery = Annotated[tuple[float, float], Depends(_place_in_query)]
