"""Map tiles of answers: classes, clusters, probabilities, change and likeness, laid over a web map as they are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path as FilePath
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from earthfield.errors import InvalidInput, NotFound
from earthfield.storage import hash_of
from earthfield_search.api.answer_files import answer_file
from earthfield_search.api.answer_rasters import AnswerRaster, AnswerTiles
from earthfield_search.api.answers import AnswerId
from earthfield_search.api.deps import Owner, Served
from earthfield_search.api.pictures import PNG
from earthfield_search.api.tiles import (
    SAME,
    Column,
    HighInQuery,
    LowInQuery,
    PaletteInQuery,
    Row,
    Stop,
    TilesTold,
    Zoom,
    kept_tile,
)

router = APIRouter()

_KEPT = "private, max-age=3600"
RasterName = Annotated[str, Path(max_length=200, description="Name of one of its GeoTIFFs.")]


class ClassTold(BaseModel):
    """A class and its colour."""

    value: int = Field(description="Its number in the raster.")
    name: str = Field(description="What it is called; the number where it has no name.")
    colour: str = Field(description="#RRGGBB, as in the picture.")


class AnswerTileSet(TilesTold):
    """TileJSON of a raster, and what its colours mean."""

    kind: Literal["classes", "numbers"]
    classes: list[ClassTold] = Field(description="The classes; none for numbers.")
    about: dict[str, str] = Field(description="What the file tells of the question.")


@router.get("/answers/{answer}/{name}/tiles")
def answer_tile_set(
    request: Request, catalog: Served, owner: Owner, answer: AnswerId, name: RasterName,
    palette: PaletteInQuery = "viridis", low: LowInQuery = None, high: HighInQuery = None,
) -> AnswerTileSet:  # fmt: skip
    """Describes the tiles of a raster of an answer as TileJSON, with what its colours mean."""
    raster = _raster(request, _path(catalog, owner, answer, name))
    ramp = raster.ramp(palette, *_ordered(low, high))
    base = f"{request.scope.get('root_path', '')}/answers/{answer}/{name}/tiles/{{z}}/{{x}}/{{y}}.png"
    is_numbers = raster.table is None
    query = {"palette": ramp.name, "low": f"{ramp.low:.9g}", "high": f"{ramp.high:.9g}"}
    return AnswerTileSet(
        name=name, tiles=[f"{base}?{urlencode(query)}" if is_numbers else base], bounds=raster.extent,
        kind="numbers" if is_numbers else "classes", meaning=raster.meaning, unit=raster.unit,
        classes=[ClassTold(**asdict(one)) for one in raster.classes],
        palette=ramp.name if is_numbers else None,
        low=ramp.low if is_numbers else None, high=ramp.high if is_numbers else None,
        stops=[Stop(**one) for one in ramp.stops()] if is_numbers else [], about=raster.tags,
    )  # fmt: skip


@router.get("/answers/{answer}/{name}/tiles/{z}/{x}/{y}.png", response_class=Response, responses=PNG | SAME)
def answer_tile(
    request: Request, catalog: Served, owner: Owner, answer: AnswerId, name: RasterName,
    z: Zoom, x: Column, y: Row,
    palette: PaletteInQuery = "viridis", low: LowInQuery = None, high: HighInQuery = None,
) -> Response:  # fmt: skip
    """Gives a tile of a raster of an answer, 256 x 256 px, PNG with transparency, Web Mercator (XYZ).

    Classes have the colours of the answer's picture; numbers those of the palette between `low` and `high`.
    """
    raster = _raster(request, _path(catalog, owner, answer, name))
    ramp = raster.ramp(palette, *_ordered(low, high))
    tiles: AnswerTiles = request.app.state.answer_tiles
    tag = hash_of([answer, name, raster.stamp, ramp.name, ramp.low, ramp.high, z, x, y])[:24]
    return kept_tile(request, tag, _KEPT, lambda: tiles.tile(raster, ramp, z, x, y))


def _path(catalog: Served, owner: str, answer: str, name: str) -> FilePath:
    path, _ = answer_file(catalog.owned_answers(owner), answer, name)
    if path.suffix != ".tif":
        raise NotFound(f"{name[:64]} is no GeoTIFF: only those have tiles")
    return path


def _raster(request: Request, path: FilePath) -> AnswerRaster:
    tiles: AnswerTiles = request.app.state.answer_tiles
    return tiles.raster(path)


def _ordered(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    if low is not None and high is not None and low >= high:
        raise InvalidInput(f"low is {low:g} and high is {high:g}: low must be the smaller one")
    return low, high
