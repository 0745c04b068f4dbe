"""Labels that are kept: each owner's own, by name."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from earthfield.catalog import checked_name
from earthfield_search.api.deps import Owner, Served
from earthfield_search.labels import (
    LabelColumns,
    labels_from_geojson,
    list_labels,
    load_labels,
    remove_labels,
    save_labels,
)
from earthfield_search.labels.kept import described, feature_collection

router = APIRouter()

MOST_LABELS = 50_000
_TEXT = {"min_length": 1, "max_length": 200}
_COLUMN = "Property of the class or number; `label`, `class`, `value` or the only one when absent."
ColumnField = Annotated[
    str | None,
    Field(**_TEXT, description=_COLUMN),
]
PeriodColumnField = Annotated[
    str | None, Field(**_TEXT, description="Property that tells when a label holds: 2018, 2018-06-15.")
]
FeaturesField = Annotated[
    list[dict[str, Any]],
    Field(
        min_length=1, max_length=MOST_LABELS, description="GeoJSON features: points and polygons, in degrees."
    ),
]


class FeatureCollection(BaseModel):
    """GeoJSON features with a property that tells the class or the number."""

    model_config = ConfigDict(extra="ignore")

    type: Annotated[str, Field(pattern="^FeatureCollection$", description="`FeatureCollection`.")]
    features: FeaturesField


class KeepRequest(BaseModel):
    """Labels to keep."""

    model_config = ConfigDict(extra="forbid")

    labels: FeatureCollection
    column: ColumnField = None
    period_column: PeriodColumnField = None
    skip_bad: Annotated[
        bool, Field(description="Leave out features that cannot be used; they are named.")
    ] = False


class LabelSetModel(BaseModel):
    """What is told about labels that are kept."""

    name: str
    labels: int
    points: int
    dated: int
    column: str
    are_numbers: bool
    classes: dict[str, int]
    bounds: list[float]
    smallest: float | None
    largest: float | None
    skipped: list[str] = []


NameInPath = Annotated[str, Path(max_length=64, description="Name of the labels.")]


@router.get("/labels")
def labels_list(catalog: Served, owner: Owner) -> dict[str, list[LabelSetModel]]:
    """Lists the labels of whoever asks."""
    return {"labels": [LabelSetModel(**dataclasses.asdict(one)) for one in list_labels(catalog, owner)]}


@router.get("/labels/{name}")
def labels_read(catalog: Served, owner: Owner, name: NameInPath) -> dict[str, Any]:
    """Gives labels as GeoJSON, with what is told about them in `about`."""
    held = load_labels(catalog, checked_name(name), owner)
    return {**feature_collection(held), "about": dataclasses.asdict(described(name, held))}


@router.put("/labels/{name}")
def labels_keep(catalog: Served, owner: Owner, name: NameInPath, request: KeepRequest) -> LabelSetModel:
    """Keeps labels under a name, in place of those of the same name."""
    columns = LabelColumns(request.column, period=request.period_column, skip_bad=request.skip_bad)
    held = labels_from_geojson(request.labels.model_dump(), columns)
    found = save_labels(catalog, checked_name(name), held, owner)
    return LabelSetModel(**dataclasses.asdict(found), skipped=list(held.skipped))


@router.delete("/labels/{name}", status_code=204)
def labels_remove(catalog: Served, owner: Owner, name: NameInPath) -> None:
    """Removes labels that are kept."""
    remove_labels(catalog, checked_name(name), owner)
