"""Questions of likeness in requests, and their answers."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from earthfield.errors import InvalidInput
from earthfield_search.api.deps import PERIOD, AreaInBody, inline_area_text, period_of
from earthfield_search.asking.answer import features_of, table_of_hits
from earthfield_search.files.geoparquet import MEDIA_TYPE, geoparquet_bytes
from earthfield_search.jobs.similar import Like, SimilarAnswer, SimilarQuestion, Within

_Degrees = Annotated[float, Field(ge=-180, le=180)]
_Latitude = Annotated[float, Field(ge=-90, le=90)]
_Points = Annotated[list[tuple[_Degrees, _Latitude]], Field(max_length=1000)]
_ClassName = Annotated[str, Field(min_length=3, max_length=265, pattern=r"^[^:]+:.+$")]


class SimilarRequest(BaseModel):
    """What to look for, and where. At least one example is needed; of several each counts the same."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: Annotated[str, Field(max_length=64, description="Name of a model.")]
    period: Annotated[str, Field(max_length=64)] | None = Field(
        None, description=f"When the examples look like it; the newest that holds them when absent. {PERIOD}"
    )
    lon: _Degrees | None = Field(
        None, description="Longitude of a place that looks like it; `lat` goes with it."
    )
    lat: _Latitude | None = Field(None, description="Latitude of that place.")
    at: _Points = Field([], description="Places that look like it: longitude and latitude, degrees.")
    polygon: AreaInBody = None
    vector: Annotated[list[float], Field(max_length=4096)] = Field([], description="A vector of the model.")
    text: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        None, description="Words, for models that were trained with texts."
    )
    label: _ClassName | None = Field(None, description="What is labelled so: `SET:CLASS`, of your labels.")
    not_at: _Points = Field([], description="Places that do not look like it.")
    periods: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=100)] = Field(
        [], description="Periods to look in; that of the examples when empty."
    )
    area: AreaInBody = None
    tiles: Annotated[list[Annotated[str, Field(max_length=32)]], Field(max_length=1000)] = Field(
        [], description="Tiles to look in; all when empty."
    )
    min_purity: Annotated[float, Field(ge=0, le=1, description="Least agreement of a cell's pixels.")] = 0.0
    labelled: _ClassName | None = Field(None, description="Only where this was labelled: `SET:CLASS`.")
    k: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="How many; 20 when absent, all of them with `above`."
    )
    above: Annotated[float, Field(ge=-1, le=1)] | None = Field(None, description="Smallest cosine.")
    min_distance_m: Annotated[
        float,
        Field(ge=0, le=1e8, description="Smallest distance between two answers, and to an example, metres."),
    ] = 0.0
    diverse: Annotated[
        float, Field(ge=0, le=0.99, description="0: the most alike; towards 1: unlike one another.")
    ] = 0.0
    explain: bool = Field(False, description="Tell of each place its quality and the scenes behind it.")
    offset: Annotated[int, Field(ge=0, le=100_000, description="Leaves out that many of the best.")] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] | None = Field(None, description="Most places of a page.")
    format: Literal["geojson", "geoparquet"] = Field("geojson", description="Form of the answer.")

    def question(self) -> SimilarQuestion:
        """Gives what is asked.

        Raises:
            InvalidInput: it does not hold together.
        """
        if (self.lon is None) != (self.lat is None):
            raise InvalidInput("lon and lat go together: give both, or `at`")
        at = [*([(self.lon, self.lat)] if self.lon is not None and self.lat is not None else []), *self.at]
        like = Like(
            at=tuple(at), polygon=inline_area_text(self.polygon), vector=tuple(self.vector), text=self.text,
            label=self.label, not_at=tuple(self.not_at),
        )  # fmt: skip
        within = Within(
            tuple(str(period_of(one)) for one in self.periods), inline_area_text(self.area), tuple(self.tiles),
            self.min_purity, self.labelled,
        )  # fmt: skip
        return SimilarQuestion(
            self.model, like, str(period_of(self.period)) if self.period else None, within, self.k, self.above,
            self.min_distance_m, self.diverse, self.explain, self.offset, self.limit,
        )  # fmt: skip


class PlaceFound(BaseModel):
    """A place that looks like it; a GeoJSON point at the pixel of its cell that fits best."""

    type: Literal["Feature"]
    geometry: dict[str, Any]
    properties: dict[str, Any] = Field(
        description="rank, score and pixel_score (cosines), purity, pixels, distance_m (null where the examples "
        "have no place), tile, period, lon and lat of the cell, cell (a name for it); "
        "with `explain` also quality, scenes, read and note."
    )


class PlacesFound(BaseModel):
    """The places that look like it, best first."""

    type: Literal["FeatureCollection"]
    query: dict[str, Any] = Field(
        description="model, period, periods, k, cells (that were compared), asked (places), purity of the "
        "examples; lon, lat, tile and is_pixel of the first place."
    )
    numberMatched: int = Field(description="Places on all pages.")
    numberReturned: int = Field(description="Places on this page.")
    complete: bool = Field(description="False: there are more above the threshold than `numberMatched`.")
    next_offset: int | None = Field(description="`offset` of the next page; null after the last.")
    cautions: list[str] = Field(description="What to bear in mind.")
    features: list[PlaceFound]


FOUND: dict[int | str, dict[str, Any]] = {
    200: {"model": PlacesFound, "description": "The places.", "content": {MEDIA_TYPE: {}}}
}
"""How routes that find places answer, for the description of the service."""


def wants_geoparquet(request: Request, form: str) -> bool:
    """Tells whether a request asks for GeoParquet, in its body or by what it accepts."""
    return form == "geoparquet" or "parquet" in request.headers.get("accept", "")


def told(request: Request, answer: SimilarAnswer, form: str, **members: Any) -> Response:
    """Gives an answer as GeoJSON or GeoParquet; more members stand beside the features."""
    content = about(answer) | members
    if wants_geoparquet(request, form):
        return Response(geoparquet_bytes(*table_of_hits(answer.hits), content), media_type=MEDIA_TYPE)
    return JSONResponse({"type": "FeatureCollection", **content, "features": features_of(answer)})


def about(answer: SimilarAnswer) -> dict[str, Any]:
    """Gives what an answer tells beside the places."""
    question, end = answer.question, answer.question.offset + len(answer.hits)
    query: dict[str, Any] = {
        "model": answer.model, "period": answer.period, "periods": answer.periods, "k": question.k,
        "above": question.above, "title": answer.title, "cells": answer.num_cells, "examples": answer.examples,
        "purity": answer.purity, "asked": [dataclasses.asdict(one) for one in answer.asked],
    }  # fmt: skip
    if answer.asked:
        first = answer.asked[0]
        query |= {"lon": first.lon, "lat": first.lat, "tile": first.tile, "is_pixel": first.is_pixel}
    return {
        "query": query,
        "numberMatched": answer.num_found,
        "numberReturned": len(answer.hits),
        "complete": answer.is_complete,
        "next_offset": end if answer.hits and end < answer.num_found else None,
        "cautions": answer.cautions,
    }
