"""Where it looks alike: the nearest cells to a place, and every pixel's likeness as a picture."""

from __future__ import annotations

from typing import Annotated, Any

from earthfield.catalog import checked_name
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

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
from earthfield_search.api.place import pixel_of
from earthfield_search.jobs import SimilarQuestion, find_similar

router = APIRouter()


class SimilarRequest(BaseModel):
    """What is similar to a place."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str = Field(description="Name of a model.")
    period: str = Field(description=PERIOD)
    lon: float = Field(description="Longitude, degrees.")
    lat: float = Field(description="Latitude, degrees.")
    k: Annotated[int, Field(ge=1, le=1000, description="How many.")] = 20


@router.post("/similarity")
def similar(catalog: Served, request: SimilarRequest) -> dict[str, Any]:
    """Gives the k nearest cells to a place, best first, as GeoJSON points."""
    period = period_of(request.period)
    lon, lat = checked_place(request.lon, request.lat)
    question = SimilarQuestion(checked_name(request.model), lon, lat, str(period), request.k)
    answer = find_similar(catalog, question)
    return {
        "type": "FeatureCollection",
        "query": {"model": request.model, "period": str(period), "lon": lon, "lat": lat, "k": request.k},
        "features": [_feature(rank, hit) for rank, hit in enumerate(answer.hits, start=1)],
    }


def _feature(rank: int, hit: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [hit.lon, hit.lat]},
        "properties": {
            "rank": rank,
            "score": float(hit.score),
            "purity": float(hit.purity),
            "tile": hit.tile,
            "period": str(hit.period),
        },
    }


@router.get("/similarity/map.png", response_class=Response)
def similarity_map(
    request: Request, catalog: Served, model: ModelInQuery, period: PeriodInQuery, place: PlaceInQuery
) -> Response:
    """Gives the cosine of every pixel to the one at a place, viridis, RGBA in EPSG:3857.

    It lies where the field's picture lies; the headers say which cosines the darkest and the brightest colour are.
    """
    painter: Painter = request.app.state.painter
    heat = painter.heat(model, period, pixel_of(catalog, model, period, place).vector)
    headers = {"X-Score-Low": f"{heat.low:.4f}", "X-Score-High": f"{heat.high:.4f}"}
    return Response(heat.png, media_type="image/png", headers=headers)
