"""Tiles for web maps: fields in colour, how alike every pixel is to one place, or how good the fields are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from earthfield.storage import hash_of
from earthfield_search.api.deps import ModelInPath, PeriodInPath, checked_place, period_of
from earthfield_search.api.easel import Easel, Look, TileStyle, quality_names
from earthfield_search.api.palette import RampName
from earthfield_search.api.pictures import PNG
from earthfield_search.api.tiling import MAX_ZOOM, MIN_ZOOM, bounds_of, extent_of

router = APIRouter()

_KEPT = "private, max-age=60"
SAME: dict[int | str, dict[str, Any]] = {304: {"description": "It is as the client has it."}}
"""How routes answer that know what the client has, for the description of the service."""

Zoom = Annotated[int, Path(ge=0, le=30, description=f"Zoom, {MIN_ZOOM}..{MAX_ZOOM}.")]
Column = Annotated[int, Path(ge=0, lt=2**30, description="Column, from the west.")]
Row = Annotated[int, Path(ge=0, lt=2**30, description="Row, from the north.")]
_NUMBER: dict[str, Any] = {"ge": -1e30, "le": 1e30, "allow_inf_nan": False}
PaletteInQuery = Annotated[RampName, Query(description="Colours of numbers, from dark to light.")]
LowInQuery = Annotated[
    float | None, Query(**_NUMBER, description="Number that the first colour means; found when absent.")
]
HighInQuery = Annotated[
    float | None, Query(**_NUMBER, description="Number that the last colour means; found when absent.")
]


def _look(
    style: Annotated[
        TileStyle,
        Query(description="Principal axes, three bands as they are, the cosine to a place, or a quality layer."),
    ] = "pca",
    lon: Annotated[
        float | None, Query(ge=-180, le=180, description="Longitude of the place, for `similarity`, degrees.")
    ] = None,
    lat: Annotated[
        float | None, Query(ge=-90, le=90, description="Latitude of the place, for `similarity`, degrees.")
    ] = None,
    layer: Annotated[
        str | None, Query(max_length=64, description="The quality layer, for `quality`; the TileJSON lists them.")
    ] = None,
    palette: PaletteInQuery = "viridis", low: LowInQuery = None, high: HighInQuery = None,
    like: Annotated[
        str | None,
        Query(
            max_length=64,
            description="A period of the same model, as text or as its id, for `pca` and `axes`: its colours are "
            "taken, so that like colours mean like vectors in both.",
        ),
    ] = None,
) -> Look:  # fmt: skip
    """Reads how a layer shall look; what the style does not need is left out, so that equal looks are equal."""
    if style == "quality":
        return Look(style, None, layer, palette, low, high)
    if style == "similarity":
        place = checked_place(lon, lat) if lon is not None and lat is not None else None
        return Look(style, place, None, palette, low, high)
    return Look(style, like=period_of(like).id if like else None)


LookInQuery = Annotated[Look, Depends(_look)]


class Stop(BaseModel):
    """A number and its colour."""

    value: float
    colour: str = Field(description="#RRGGBB.")


class TilesTold(BaseModel):
    """TileJSON, and what its colours mean."""

    tilejson: Literal["3.0.0"] = "3.0.0"
    name: str
    tiles: list[str] = Field(description="Address of the tiles, with {z}, {x} and {y}.")
    minzoom: int = MIN_ZOOM
    maxzoom: int = MAX_ZOOM
    bounds: list[float] = Field(description="West, south, east, north, degrees.")
    meaning: str = Field(description="What the values are; empty where colours mean nothing by themselves.")
    unit: str = Field(description="Unit of numbers.")
    palette: RampName | None = Field(description="Colours of numbers; null where there are none.")
    low: float | None = Field(description="Number that the first colour means; null where there are none.")
    high: float | None = Field(description="Number that the last colour means; null where there are none.")
    stops: list[Stop] = Field(
        description="Numbers with their colours, for a legend; empty where there are none."
    )


class TileSet(TilesTold):
    """TileJSON of a model and period, and what its colours mean."""

    style: TileStyle
    quality: list[str] = Field(description="Quality layers that there are.")


@router.get("/tiles/{model}/{period}")
def tile_set(request: Request, model: ModelInPath, period: PeriodInPath, look: LookInQuery) -> TileSet:
    """Describes the tiles of a model and period as TileJSON, which map libraries read, with what colours mean."""
    easel: Easel = request.app.state.easel
    layer = easel.shelf.layer(model, period)
    scale = easel.scale(layer, look)
    asked: dict[str, Any] = {"style": look.style}
    if look.place:
        asked |= {"lon": look.place[0], "lat": look.place[1]}
    if look.quality:
        asked |= {"layer": look.quality}
    if look.like:
        asked |= {"like": look.like}
    if scale:
        asked |= {"palette": look.ramp, "low": f"{scale.ramp.low:.9g}", "high": f"{scale.ramp.high:.9g}"}
    base = f"{request.scope.get('root_path', '')}/tiles/{model}/{period.id}"
    return TileSet(
        name=f"{model} {period}", tiles=[f"{base}/{{z}}/{{x}}/{{y}}.png?{urlencode(asked)}"],
        bounds=extent_of(layer.fields), style=look.style, meaning=scale.meaning if scale else "",
        unit=scale.unit if scale else "", palette=scale.ramp.name if scale else None,
        low=scale.ramp.low if scale else None, high=scale.ramp.high if scale else None,
        stops=[Stop(**one) for one in scale.ramp.stops()] if scale else [], quality=quality_names(layer),
    )  # fmt: skip


@router.get("/tiles/{model}/{period}/{z}/{x}/{y}.png", response_class=Response, responses=PNG | SAME)
def tile(
    request: Request, model: ModelInPath, period: PeriodInPath, z: Zoom, x: Column, y: Row, look: LookInQuery
) -> Response:
    """Gives a tile of 256 x 256 px, PNG with transparency, Web Mercator, rows from the north (XYZ)."""
    bounds_of(z, x, y)
    easel: Easel = request.app.state.easel
    layer = easel.shelf.layer(model, period)
    tag = hash_of([layer.stamp, easel.pattern(layer, look).stamp, asdict(look), z, x, y])[:24]
    return kept_tile(request, tag, _KEPT, lambda: easel.tiler.tile(layer, easel.paint(layer, look), z, x, y))


def kept_tile(request: Request, tag: str, kept: str, paint: Callable[[], bytes]) -> Response:
    """Gives a tile, or that the client's own is still the same.

    Args:
        request: which tile is asked for.
        tag: a text that is another one when the tile is.
        kept: how long clients may keep it, as the header Cache-Control says it.
        paint: gives the tile as PNG.
    """
    headers = {"ETag": f'"{tag}"', "Cache-Control": kept}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if headers["ETag"] in known:
        return Response(status_code=304, headers=headers)
    return Response(paint(), media_type="image/png", headers=headers)
