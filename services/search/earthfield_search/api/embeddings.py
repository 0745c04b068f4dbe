"""The numbers behind one pixel: its embedding, its quality, the scenes it was made from."""

from __future__ import annotations

from typing import Any

from earthfield.field import QUALITY_NODATA
from fastapi import APIRouter

from earthfield_search.api.deps import ModelInQuery, PeriodInQuery, PlaceInQuery, Served
from earthfield_search.api.place import pixel_of

router = APIRouter()


@router.get("/embeddings")
def embedding(
    catalog: Served, model: ModelInQuery, period: PeriodInQuery, place: PlaceInQuery
) -> dict[str, Any]:
    """Gives the embedding at a place, with what it was made from.

    Scenes are those of the pixel's tile; `quality` counts what was clear at the pixel itself.
    """
    field, window, vector = pixel_of(catalog, model, period, place)
    quality = {
        name: None if (value := int(layer[0, 0])) == QUALITY_NODATA else value
        for name, layer in field.quality(window).items()
    }
    return {
        "model": model,
        "period": str(period),
        "tile": field.key.tile.id,
        "lon": place[0],
        "lat": place[1],
        "row": window.y0,
        "col": window.x0,
        "embedding": [round(float(value), 6) for value in vector],
        "quality": quality,
        "scenes": field.manifest["sources"],
        "made_with": field.manifest["model"],
    }
