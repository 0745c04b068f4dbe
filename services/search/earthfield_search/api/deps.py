"""What every route needs from a request: the catalogue, and names and periods that were checked."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import InvalidInput
from earthfield.timeline import Period

PERIOD = "Period as text (2018, 2018-03..2018-09) or as its id (20180101_20190101)."


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


Served = Annotated[Catalog, Depends(catalog_of)]
ModelInPath = Annotated[str, Depends(_model_in_path)]
PeriodInPath = Annotated[Period, Depends(_period_in_path)]
ModelInQuery = Annotated[str, Depends(_model_in_query)]
PeriodInQuery = Annotated[Period, Depends(_period_in_query)]
PlaceInQuery = Annotated[tuple[float, float], Depends(_place_in_query)]
