"""Learning from labels: a class or a number for every pixel, from a handful of places that somebody named."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from earthfield.catalog import checked_name
from earthfield.errors import InvalidInput
from earthfield_search.api.deps import (
    PERIOD,
    AnswerFolder,
    AreaInBody,
    Owner,
    Served,
    inline_area_text,
    links_of,
    period_of,
)
from earthfield_search.api.labels import ColumnField, FeatureCollection, PeriodColumnField
from earthfield_search.jobs.classify import ClassifyAnswer, ClassifyQuestion, classify_fields
from earthfield_search.jobs.regress import RegressAnswer, RegressQuestion, regress_fields
from earthfield_search.labels import LabelColumns, Labels, labels_from_geojson

router = APIRouter()


class LearnRequest(BaseModel):
    """What to learn from which labels."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: Annotated[str, Field(max_length=64, description="Name of a model.")]
    period: Annotated[str, Field(max_length=64, description=f"Period to map. {PERIOD}")]
    labels: Annotated[
        FeatureCollection | Annotated[str, Field(min_length=1, max_length=64)],
        Field(
            description="GeoJSON features with a class or a number each, or the name of labels that are kept."
        ),
    ]
    column: ColumnField = None
    period_column: PeriodColumnField = None
    skip_bad: Annotated[
        bool, Field(description="Leave out features that cannot be used; they are named.")
    ] = False
    method: Annotated[
        Literal["linear", "knn", "forest"], Field(description="Linear, nearest neighbours, or random forest.")
    ] = "linear"
    area: AreaInBody = None
    polygon_px: Annotated[
        int, Field(ge=1, le=10_000, description="Most pixels of a polygon to learn from.")
    ] = 100
    block_m: Annotated[
        float | None, Field(ge=20, le=5e6, description="Side of the blocks of the cross-validation, metres.")
    ] = None
    seed: Annotated[int, Field(ge=0, lt=2**32, description="Of every draw.")] = 0


class ClassifyRequest(LearnRequest):
    """Which class is every pixel of?"""

    each_class: Annotated[bool, Field(description="Write the probability of every class, a raster each.")] = (
        False
    )
    suggest: Annotated[
        int, Field(ge=0, le=200, description="Places to name where the map is least sure.")
    ] = 0
    doubt: Annotated[
        Literal["margin", "entropy"],
        Field(description="What makes such a place: two classes are near one another, or all are even."),
    ] = "margin"
    colours: Annotated[
        dict[str, Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$")]],
        Field(max_length=255, description="Colour of classes by name, `#RRGGBB`; the others get their own."),
    ] = Field({})


class RegressRequest(LearnRequest):
    """How much is there at every pixel?"""


@router.post("/classify")
def classify(
    request: Request, catalog: Served, owner: Owner, folder: AnswerFolder, question: ClassifyRequest
) -> dict[str, Any]:
    """Tells the class of every pixel, with its probability, hectares per class, and cross-validated scores.

    `links` are the files: classes and probability as cloud-optimised GeoTIFF, a picture, a report. `suggestions`
    are places apart from one another and from the labels where the map is least sure, the most doubtful first.
    """
    name, held = _labels(question)
    asked = ClassifyQuestion(
        **_shared(question, name), each_class=question.each_class, suggest=question.suggest,
        doubt=question.doubt, colours=question.colours,
    )  # fmt: skip
    answer = classify_fields(catalog, asked, labels=held, owner=owner, folder=folder)
    return _told(request, answer)


@router.post("/regress")
def regress(
    request: Request, catalog: Served, owner: Owner, folder: AnswerFolder, question: RegressRequest
) -> dict[str, Any]:
    """Tells a number for every pixel, with cross-validated scores.

    `links` are the files: numbers as a cloud-optimised GeoTIFF, a picture, a report.
    """
    name, held = _labels(question)
    asked = RegressQuestion(**_shared(question, name))
    answer = regress_fields(catalog, asked, labels=held, owner=owner, folder=folder)
    return _told(request, answer)


def _labels(question: LearnRequest) -> tuple[str, Labels | None]:
    """Gives the name of kept labels, or those that stand in the request."""
    if isinstance(question.labels, str):
        if question.column or question.period_column or question.skip_bad:
            raise InvalidInput(
                "labels that are kept have their columns already: leave `column` and its like out"
            )
        return checked_name(question.labels), None
    columns = LabelColumns(question.column, period=question.period_column, skip_bad=question.skip_bad)
    return "", labels_from_geojson(question.labels.model_dump(), columns)


def _shared(question: LearnRequest, name: str) -> dict[str, Any]:
    return {
        "model": checked_name(question.model),
        "period": str(period_of(question.period)),
        "labels": name,
        "method": question.method,
        "area": inline_area_text(question.area),
        "polygon_px": question.polygon_px,
        "block_m": question.block_m,
        "seed": question.seed,
    }


def _told(request: Request, answer: ClassifyAnswer | RegressAnswer) -> dict[str, Any]:
    content = dataclasses.asdict(answer)
    files = content.pop("files")
    return {**content, "links": links_of(request, files)}
