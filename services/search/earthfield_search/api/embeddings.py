"""The numbers behind pixels: of one, with its quality and the scenes it was made from, or of many."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any, Literal

import numpy as np
import shapely
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from earthfield.catalog import checked_name
from earthfield.field import plain_value
from earthfield.grid import Window
from earthfield_search.api.at_points import PointVectors, vectors_at
from earthfield_search.api.deps import (
    PERIOD,
    ModelInQuery,
    PeriodInQuery,
    PlaceInQuery,
    Served,
    checked_place,
    period_of,
)
from earthfield_search.api.shelf import Shelf
from earthfield_search.ground.places import locate

router = APIRouter()


@router.get("/embeddings")
def embedding(
    catalog: Served, model: ModelInQuery, period: PeriodInQuery, place: PlaceInQuery
) -> dict[str, Any]:
    """Gives the embedding at a place, with what it was made from.

    Scenes are those of the pixel's tile; `quality` counts what was clear at the pixel itself. Where the pixel has
    no data (`is_pixel` is false), the embedding is the mean of its surroundings.
    """
    found = locate(catalog, model, *place, period)
    key, window = found.field.key, Window(found.row, found.row + 1, found.col, found.col + 1)
    quality = {name: plain_value(layer) for name, layer in found.field.quality(window).items()}
    return {
        "model": model,
        "period": str(key.period),
        "tile": key.tile.id,
        "lon": found.lonlat[0],
        "lat": found.lonlat[1],
        "row": found.row,
        "col": found.col,
        "is_pixel": found.is_pixel,
        "embedding": [round(float(value), 6) for value in found.vector],
        "quality": quality,
        "scenes": found.field.manifest["sources"],
        "made_with": found.field.manifest["model"],
    }


class EmbeddingsRequest(BaseModel):
    """Whose embeddings."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str = Field(max_length=64, description="Name of a model.")
    period: str = Field(max_length=64, description=PERIOD)
    points: Annotated[
        list[tuple[float, float]],
        Field(min_length=1, max_length=5000, description="Longitude and latitude of each point, degrees."),
    ]
    format: Literal["geojson", "csv", "geoparquet"] = Field("geojson", description="Form of the answer.")


@router.post(
    "/embeddings",
    response_model=None,
    responses={
        200: {
            "description": "The vectors.",
            "content": {"application/json": {}, "text/csv": {}, "application/vnd.apache.parquet": {}},
        }
    },
)
def embeddings(request: Request, asked: EmbeddingsRequest) -> Response | dict[str, Any]:
    """Gives the embedding of the pixel under each point, in the order of the points.

    A point that no field holds, or whose pixel has no data, has no embedding and is counted in `missing`. As CSV
    and GeoParquet every dimension has a column, empty where there is none.
    """
    shelf: Shelf = request.app.state.shelf
    period = period_of(asked.period)
    places = np.array([checked_place(*point) for point in asked.points], np.float64)
    layer = shelf.layer(checked_name(asked.model), period)
    found = vectors_at(layer, places)
    if asked.format == "csv":
        return Response(_csv(places, found, layer.fields[0].bands), media_type="text/csv; charset=utf-8")
    if asked.format == "geoparquet":
        from earthfield_search.files.geoparquet import MEDIA_TYPE, geoparquet_bytes

        columns = {"tile": found.tiles} | dict(zip(layer.fields[0].bands, found.vectors.T, strict=True))
        about = {"model": asked.model, "period": str(period)}
        return Response(
            geoparquet_bytes(np.asarray(shapely.points(places)), columns, about), media_type=MEDIA_TYPE
        )
    has = np.isfinite(found.vectors[:, 0])
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": place.tolist()},
            "properties": {
                "tile": found.tiles[number] or None,
                "embedding": [round(float(one), 6) for one in found.vectors[number]] if has[number] else None,
            },
        }
        for number, place in enumerate(places)
    ]
    missing = int((~has).sum())
    told = {"model": asked.model, "period": str(period), "missing": missing, "features": features}
    return {"type": "FeatureCollection", **told}


def _csv(places: np.ndarray, found: PointVectors, bands: tuple[str, ...]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["lon", "lat", "tile", *bands])
    for place, tile, vector in zip(places, found.tiles, found.vectors, strict=True):
        numbers = ["" if np.isnan(one) else f"{one:.6f}" for one in vector]
        writer.writerow([*(repr(float(one)) for one in place), tile, *numbers])
    return stream.getvalue()
