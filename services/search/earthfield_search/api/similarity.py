"""Where it looks alike: the nearest cells to examples, and every pixel's likeness as a picture."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from earthfield_search.api.asked import FOUND, SimilarRequest, told
from earthfield_search.api.deps import ModelInQuery, Owner, PeriodInQuery, PlaceInQuery, Served
from earthfield_search.api.pictures import PNG, Painter
from earthfield_search.ground.places import locate
from earthfield_search.jobs.similar import find_similar

router = APIRouter()


@router.post("/similarity", response_model=None, responses=FOUND)
def similar(request: Request, catalog: Served, owner: Owner, asked: SimilarRequest) -> Response:
    """Gives the cells most like the examples, best first, as GeoJSON points or GeoParquet.

    Examples are places, a polygon, a vector, a text or a class of labels, less places that it does not look like.
    Their own cells are not among the answers. A point is the pixel of its cell that fits best.
    """
    return told(request, find_similar(catalog, asked.question(), owner=owner), asked.format)


@router.get("/similarity/map.png", response_class=Response, responses=PNG)
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
