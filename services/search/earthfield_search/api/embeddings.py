"""The numbers behind one pixel: its embedding, its quality, the scenes it was made from."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from earthfield.field import plain_value
from earthfield.grid import Window
from earthfield_search.api.deps import ModelInQuery, PeriodInQuery, PlaceInQuery, Served
from earthfield_search.places import locate

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
