"""What has changed between two periods: figures, patches as GeoJSON, and links to the rasters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from earthfield_search.api.deps import (
    PERIOD,
    AnswerFolder,
    AreaInBody,
    Served,
    inline_area_text,
    links_of,
    period_of,
)
from earthfield_search.changes.asked import Calibration, ChangeAnswer, ChangeQuestion
from earthfield_search.jobs.change import detect_change

router = APIRouter()

_MOST_CORNERS = 50_000
"""Corners of outlines that stand in an answer itself; the linked GeoJSON has every patch."""
_Period = Annotated[str, Field(max_length=64, description=PERIOD)]


class ChangeRequest(BaseModel):
    """What has changed between two periods?"""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: Annotated[str, Field(max_length=64, description="Name of a model.")]
    before: _Period
    after: _Period
    rule: Literal["calibrated", "mad", "otsu"] | None = Field(
        None, description="What counts as changed; calibrated where both fields have agreement, else mad."
    )
    false_alarms: Annotated[
        float, Field(gt=0, lt=1, description="For calibrated: share of unchanged pixels that may be flagged.")
    ] = 0.01
    season: Literal["remove", "keep"] | None = Field(
        None, description="Whether what all land has in common is removed; it is where calibrated."
    )
    num_sigmas: Annotated[
        float, Field(gt=0, le=1000, description="For mad: robust sigmas above the median.")
    ] = 4.0
    threshold: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="A distance (1 - cosine) to use instead of a rule."
    )
    min_pixels: Annotated[
        int, Field(ge=1, le=1_000_000, description="Smallest patch, pixels of 0.01 ha.")
    ] = 5
    area: AreaInBody = None
    num_patches: Annotated[
        int, Field(ge=0, le=1000, description="Patches in the answer itself, at most.")
    ] = 200

    def question(self) -> ChangeQuestion:
        """Gives what the job answers."""
        return ChangeQuestion(
            self.model, str(period_of(self.before)), str(period_of(self.after)), self.rule, self.num_sigmas,
            self.threshold, self.min_pixels, self.false_alarms, self.season, inline_area_text(self.area),
        )  # fmt: skip


class ChangeTold(BaseModel):
    """What has changed: the largest patches as GeoJSON, figures, and links."""

    model_config = ConfigDict(protected_namespaces=())

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: list[dict[str, Any]] = Field(description="Outlines of the largest patches, largest first.")
    model: str
    before: str
    after: str
    tiles: list[str]
    left_out: list[str] = Field(description="Tiles that only one period has.")
    rule: str
    season: str
    false_alarms: float | None
    threshold: float | None
    pixels: int
    hectares: float
    unjudged_pixels: int
    flagged_pixels: int
    false_hectares: float | None = Field(description="What the rate alone would flag at most.")
    changed_hectares: float
    share: float
    median: float
    num_patches: int
    calibrations: list[Calibration]
    caution: str
    links: list[dict[str, str]] = Field(description="GeoTIFFs, picture and the GeoJSON of all patches.")


@router.post("/change")
def change(request: Request, catalog: Served, folder: AnswerFolder, asked: ChangeRequest) -> ChangeTold:
    """Tells what has changed between two periods, calibrated to a false-alarm rate where the fields allow it."""
    answer = detect_change(catalog, asked.question(), folder=folder)
    names = ChangeTold.model_fields.keys() - {"type", "features", "links"}
    figures = {name: getattr(answer, name) for name in names}
    return ChangeTold(
        features=_features(answer, asked.num_patches), links=links_of(request, answer.files), **figures
    )


def _features(answer: ChangeAnswer, most: int) -> list[dict[str, Any]]:
    """Gives the largest patches, as many as are wanted and as their corners allow."""
    [path] = [one for one in answer.files if one.endswith(".geojson")]
    corners, kept = 0, []
    for feature in json.loads(Path(path).read_text())["features"][:most]:
        corners += _corners(feature["geometry"]["coordinates"])
        if corners > _MOST_CORNERS:
            break
        kept.append(feature)
    return kept


def _corners(coordinates: list[Any]) -> int:
    if coordinates and isinstance(coordinates[0], int | float):
        return 1
    return sum(_corners(one) for one in coordinates)
