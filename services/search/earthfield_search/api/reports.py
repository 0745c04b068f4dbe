"""What is known of a model: what it says of itself, how its training went, how it scored on labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, EarthfieldError
from earthfield_search.api.deps import ModelInPath, Served
from earthfield_search.api.report_files import (
    curves_of,
    evaluation_files,
    is_bundled,
    json_of,
    model_files,
    text_of,
    training_log,
)

router = APIRouter()

CurvePart = Literal["loss", "source", "health", "course"]
_LOSSES = ("loss", "reconstruction", "uniformity", "consistency", "text", "emulation")


class _Told(BaseModel):
    model_config = ConfigDict(protected_namespaces=(), allow_inf_nan=False)


class PlaceFigures(_Told):
    """A root that a model was trained on."""

    plots: int
    square_km: float


class ModelFigures(_Told):
    """What was measured at the end of a training."""

    preset: str | None = Field(None, description="Size of the network.")
    objective: str | None = Field(None, description="`pretrain`, or `emulate`: learnt from published fields.")
    parameters: int | None = Field(None, description="Learned figures.")
    steps: int | None = None
    samples: int | None = None
    seconds: float | None = Field(None, description="Wall time of the training.")
    first: dict[str, float] = Field({}, description="Mean of each curve over the first 50 steps.")
    last: dict[str, float] = Field({}, description="The same over the last 50.")
    health: dict[str, float] = Field({}, description="Health of the embeddings at the end.")
    data: dict[str, PlaceFigures] = Field({}, description="What it was trained on, by name of the root.")
    emulation: dict[str, Any] | None = Field(None, description="Where it learnt from published fields.")


class ModelReport(_Told):
    """What a model says of itself."""

    model: str
    bundled: bool = Field(description="Whether it came with Earthfield.")
    card: str | None = Field(description="Its card, Markdown; null where it has none.")
    figures: ModelFigures | None = Field(description="Of its training; null where it was not trained here.")


class Curve(_Told):
    """One figure over the steps of a training."""

    name: str = Field(description="`loss`, `l1/<source>`, `health/<figure>`, `gradient`, `rate` ...")
    part: CurvePart = Field(
        description="Losses, errors by source, health of the embeddings, course of the run."
    )
    steps: list[int] = Field(description="Last step of each stretch.")
    values: list[float] = Field(description="Mean over each stretch.")


class ModelCurves(_Told):
    """How a training went; nothing where its log did not come along with the model."""

    model: str
    steps: int = Field(description="Steps that were logged.")
    curves: list[Curve]


class ScoredClass(_Told):
    """A class that was told apart from the others."""

    code: int
    name: str
    pixels: int


class DrawnLabels(_Told):
    """How many labels were drawn."""

    shots: str = Field(description="As asked for: `1`, `10`, `max`.")
    labels: int = Field(description="Labels per class that this stands for.")
    mean: float
    fewest: int


class OneScore(_Told):
    """Balanced accuracy of one description, number of labels and probe."""

    features: str
    shots: str
    probe: str
    mean: float
    sem: float | None


class FieldMargin(_Told):
    """A field beside the best classical description, each with its better probe."""

    field: str
    shots: str
    accuracy: float
    rival: str
    rival_probe: str
    rival_accuracy: float
    error_reduction: float | None
    paper: float | None = None


class Evaluation(_Told):
    """Fields scored on labels, beside what can be had without a model."""

    name: str = Field(description="Of the report.")
    models: list[str]
    period: str
    labels: str = Field(description="Name of the labels' file.")
    protocol: Literal["block", "parcels", "random"] = Field(description="How pixels were split.")
    rules: dict[str, float | int | str] = Field(description="Every number of the protocol.")
    classes: list[ScoredClass]
    left_out: dict[str, str] = Field({}, description="Classes that were not scored, with the reason.")
    shots: list[DrawnLabels]
    splits: int = Field(description="Draws x folds.")
    partial_splits: int = 0
    test_px: float
    chance: float = Field(description="Balanced accuracy of guessing.")
    place_px: int
    dropped_px: int = 0
    features: dict[str, int] = Field(description="Numbers per pixel of each description.")
    kinds: dict[str, str] = Field(description="`field`, `classical` or `coordinates`, of each description.")
    scores: list[OneScore]
    margins: list[FieldMargin] = []
    warnings: list[str] = []
    notes: list[str] = []

    @field_validator("labels")
    @classmethod
    def _named(cls, value: str) -> str:
        # Its folder is one of this machine, and nobody's business.
        return Path(value.replace("\\", "/")).name


class ModelEvaluations(_Told):
    """Every evaluation of a model, newest first."""

    model: str
    evaluations: list[Evaluation]
    unreadable: list[str] = Field(description="Reports, of whichever model, that cannot be read.")


@router.get("/models/{model}/report")
def model_report(catalog: Served, model: ModelInPath) -> ModelReport:
    """Tells what a model says of itself: its card, and the figures of its training where there are any."""
    folder = model_files(catalog, model)
    if folder is None:
        return ModelReport(model=model, bundled=False, card=None, figures=None)
    return ModelReport(
        model=model, bundled=is_bundled(folder), card=text_of(folder / "card.md"),
        figures=_figures(folder / "metrics.json"),
    )  # fmt: skip


@router.get("/models/{model}/curves")
def model_curves(
    catalog: Served,
    model: ModelInPath,
    most: Annotated[int, Query(ge=2, le=5000, description="Points of each curve, at most.")] = 400,
) -> ModelCurves:
    """Gives every figure of a training over its steps, thinned to means; of a training that goes on too."""
    model_files(catalog, model)
    steps, curves = curves_of(training_log(catalog, model), most=most)
    return ModelCurves(
        model=model, steps=steps,
        curves=[Curve(name=name, part=_part(name), steps=at, values=what) for name, (at, what) in curves.items()],
    )  # fmt: skip


@router.get("/models/{model}/evaluations")
def model_evaluations(catalog: Served, model: ModelInPath) -> ModelEvaluations:
    """Lists how a model's fields scored on labels (`earthfield evaluate`), beside what needs no model."""
    model_files(catalog, model)
    found, unreadable = _evaluations(catalog)
    own = [one for one in found if model in one.models]
    return ModelEvaluations(model=model, evaluations=own, unreadable=unreadable)


def _evaluations(catalog: Catalog) -> tuple[list[Evaluation], list[str]]:
    found, unreadable = [], []
    for path in evaluation_files(catalog):
        try:
            found.append(Evaluation.model_validate({**(json_of(path) or {}), "name": path.stem}))
        except (EarthfieldError, ValidationError):
            unreadable.append(path.stem)
    return found, unreadable


def _figures(path: Path) -> ModelFigures | None:
    content = json_of(path)
    if content is None:
        return None
    config = content.get("config")
    chosen = config if isinstance(config, dict) else {}
    try:
        return ModelFigures.model_validate(
            {**content, "preset": chosen.get("preset"), "objective": chosen.get("objective")}
        )
    except ValidationError as error:
        told = error.errors()[0]
        raise BrokenArtefact(
            f"{path} does not hold the figures of a training ({'.'.join(map(str, told['loc']))}: {told['msg']}): "
            "train or import the model again, or remove the file"
        ) from error


def _part(name: str) -> CurvePart:
    if name in _LOSSES:
        return "loss"
    return (
        "source" if name.startswith(("l1/", "ce/")) else "health" if name.startswith("health/") else "course"
    )
