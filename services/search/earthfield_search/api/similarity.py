"""Where it looks alike: the nearest cells to a place, and every pixel's likeness as a picture."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from earthfield.catalog import checked_name
from earthfield_search.api.deps import (
    PERIOD,
    ModelInQuery,
    PeriodInQuery,
    PlaceInQuery,
    Served,
    checked_place,
    period_of,
)
from earthfield_search.api.pictures import Painter
from earthfield_search.jobs.similar import Hit, SimilarQuestion, find_similar
from earthfield_search.places import locate

router = APIRouter()


class SimilarRequest(BaseModel):
    """What is similar to a place."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str = Field(description="Name of a model.")
    period: str = Field(description=PERIOD)
    lon: float = Field(description="Longitude, degrees.")
    lat: float = Field(description="Latitude, degrees.")
    k: Annotated[int, Field(ge=1, le=1000, description="How many.")] = 20
    min_distance_m: Annotated[
        float, Field(ge=0, description="Smallest distance between two answers, and to the place, metres.")
    ] = 0.0


@router.post("/similarity")
def similar(catalog: Served, request: SimilarRequest) -> dict[str, Any]:
    """Gives the k nearest cells to a place, best first, as GeoJSON points; its own cell is not among them.

    A point is the pixel of its cell that fits best.
    """
    period = period_of(request.period)
    lon, lat = checked_place(request.lon, request.lat)
    answer = find_similar(
        catalog,
        SimilarQuestion(
            checked_name(request.model),
            lon,
            lat,
            str(period),
            k=request.k,
            min_distance_m=request.min_distance_m,
        ),
    )
    query = {
        "model": answer.model,
        "period": answer.period,
        "lon": answer.lon,
        "lat": answer.lat,
        "tile": answer.tile,
    }
    return {
        "type": "FeatureCollection",
        "query": {**query, "k": answer.k, "is_pixel": answer.is_pixel, "cells": answer.num_cells},
        "features": [_feature(hit) for hit in answer.hits],
    }


def _feature(hit: Hit) -> dict[str, Any]:
    properties = {
        name: getattr(hit, name)
        for name in ("rank", "score", "pixel_score", "purity", "pixels", "distance_m", "tile", "period")
    }
    point = {"type": "Point", "coordinates": [hit.pixel_lon, hit.pixel_lat]}
    return {"type": "Feature", "geometry": point, "properties": properties}


@router.get("/similarity/map.png", response_class=Response)
def similarity_map(
    request: Request, catalog: Served, model: ModelInQuery, period: PeriodInQuery, place: PlaceInQuery
) -> Response:
    """Gives the cosine of every pixel to the one at a place, viridis, RGBA in EPSG:3857.

    It lies where the field's picture lies; the headers say which cosines the darkest and the brightest colour are.
    """
    painter: Painter = request.app.state.painter
    heat = painter.heat(model, period, locate(catalog, model, *place, period).vector)
    headers = {"X-Score-Low": f"{heat.low:.6f}", "X-Score-High": f"{heat.high:.6f}"}
    return Response(heat.png, media_type="image/png", headers=headers)
