"""The job: fields and their rivals scored on labels, with few labels and splits that do not leak."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Described

from earthfield.catalog import Catalog
from earthfield.errors import NotFound
from earthfield.field import Field, fields_of, safe_label
from earthfield.progress import Progress, silent
from earthfield.schemas import Request, as_json
from earthfield.storage import write_json
from earthfield.timeline import Period
from earthfield_analysis.fewshot import Features, Score, Shots, compare, needed
from earthfield_analysis.protocol import Dealt, Protocol, Rules, Sites, deal
from earthfield_train.evaluation.descriptions import (
    COORDINATES,
    Place,
    describe_coordinates,
    describe_fields,
    describe_observations,
    sampled,
)
from earthfield_train.evaluation.report import (
    ClassReport,
    EvaluateReport,
    Kind,
    ShotsReport,
    margins_of,
    places_apart,
)
from earthfield_train.evaluation.sites import read_labels

log = logging.getLogger(__name__)

_MOST_SITES = 60_000
_RIMS: dict[Protocol, int] = {"block": 4, "parcels": 2, "random": 0}
_INTERPOLATES = (
    "the random protocol tests on the neighbours of training pixels: it measures interpolation, not how far a few "
    "labels carry. Never quote it alone; the block protocol is the one to trust"
)
_NOTES = [
    "block: the place is cut into a grid of blocks, dealt anew into folds for every draw so that as many folds as "
    "possible hold every class; pixels within the rim of test blocks are never trained on",
    "labels: class-balanced; fewer labels of a draw are part of more; max is half of the smallest class, or fewer "
    "where a fold leaves fewer outside",
    "scaling: every feature to zero mean and unit deviation over all pixels of the place, labelled or not",
    "knn: 3 nearest by cosine of the scaled features, 1 nearest with one label a class",
    "ridge: least squares on +1 and -1 of each class; penalty of least leave-one-out squared error over the "
    "training labels, in closed form; with one label a class the mean squared length of the training vectors",
    "sem: standard error over draws x folds, which share labels and are not independent",
]


class EvaluateRequest(Request):
    """Fields against labels."""

    labels: Annotated[
        Path, Described(description="Raster of class codes (0 and nodata: no label), or polygons.")
    ]
    label_column: str | None = Described(None, description="Column of the polygons that holds the class.")
    period: str = Described(description="Valid period of the fields.")
    models: tuple[str, ...] = Described(("starter",), min_length=1, description="Names of models.")
    protocol: Protocol = Described("block", description="How pixels are split.")
    classes: tuple[str, ...] = Described(
        (), description="Classes to tell apart; all that can be drawn if empty."
    )
    ignore: tuple[str, ...] = Described((), description="Classes to leave out.")
    shots: tuple[Shots, ...] = Described(
        (1, 10, "max"), min_length=1, description="Labels per class, or max."
    )
    draws: int = Described(20, ge=1, le=1000, description="How often to deal and draw anew.")
    folds: int = Described(4, ge=2, le=64, description="Parts that the blocks are dealt into.")
    grid: int = Described(4, ge=2, le=64, description="Blocks along each side of the place.")
    buffer_px: int | None = Described(
        None, ge=0, le=64, description="Rim between training and test; 4 for blocks, 2 for parcels."
    )
    parcels: Path | None = Described(None, description="Raster whose connected pixels are the parcels.")
    baselines: bool = Described(True, description="Whether to score composites and the like as well.")
    seed: int = Described(0, ge=0, description="Of deals, draws and random patches.")

    @property
    def rules(self) -> Rules:
        """How pixels are split."""
        rim = _RIMS[self.protocol] if self.buffer_px is None else self.buffer_px
        return Rules(self.protocol, self.draws, self.grid, self.folds, rim, self.seed)


def evaluate_fields(request: EvaluateRequest, *, progress: Progress = silent) -> EvaluateReport:
    """Scores models' fields, and descriptions made from the same cubes, on the same draws.

    Raises:
        NotFound: there is no such field, label file, column or class, or no label lies on a field.
        InvalidInput: the labels cannot be split for so many labels.
    """
    started = time.monotonic()
    catalog, period, fewest = request.catalog_root, Period.parse(request.period), needed(request.shots)
    fields = {model: fields_of(catalog, model, period.id) for model in dict.fromkeys(request.models)}
    area = read_labels(
        request.labels, [one for own in fields.values() for one in own], column=request.label_column,
        classes=request.classes, ignore=request.ignore, parcels_path=request.parcels,
    )  # fmt: skip
    flat = sampled(area.codes != 0, area.codes, most=_MOST_SITES, seed=request.seed)
    rows, cols = np.unravel_index(flat, area.codes.shape)
    place = Place(area.epsg, area.window, rows, cols, period)
    described, kinds = _described(catalog, place, fields, request, progress)
    kept = _complete(described, request)
    sites = Sites(area.codes[rows, cols][kept], rows[kept], cols[kept], area.codes.shape)
    dealt = deal(sites, request.rules, shots=fewest, parcels=area.parcels)
    own = {name: one.take(kept).take(dealt.kept) for name, one in described.items()}
    scores = compare(own, dealt, shots=request.shots, progress=progress)
    report = EvaluateReport(
        models=list(fields), period=str(period), labels=str(request.labels), protocol=request.protocol,
        rules=asdict(request.rules), splits=len(dealt.splits), chance=1 / len(dealt.sites.classes),
        classes=[ClassReport(code, area.names[code], count) for code, count in dealt.sites.counts.items()],
        left_out={area.names[code]: why for code, why in dealt.left_out.items()},
        shots=_drawn(dealt, request.shots),
        partial_splits=_partial(dealt),
        test_px=float(np.mean([len(split.test) for split in dealt.splits])),
        place_px=int(np.prod(area.window.shape)), dropped_px=int(np.count_nonzero(area.codes) - len(kept)),
        features={name: one.values.shape[1] for name, one in described.items()}, kinds=kinds, scores=scores,
        margins=margins_of(scores, kinds), warnings=_warnings(request, scores, kinds), notes=list(_NOTES),
    )  # fmt: skip
    _keep(catalog, report, request)
    report.seconds = time.monotonic() - started
    write_json(Path(report.report), as_json(report))
    log.info("evaluated %s on %s in %.1f s", ", ".join(fields), request.labels, report.seconds)
    return report


def _described(
    catalog: Catalog,
    place: Place,
    fields: dict[str, list[Field]],
    request: EvaluateRequest,
    progress: Progress,
) -> tuple[dict[str, Features], dict[str, Kind]]:
    described = {f"{model} field": describe_fields(place, own) for model, own in fields.items()}
    kinds: dict[str, Kind] = dict.fromkeys(described, "field")
    if request.baselines:
        found = describe_observations(catalog, place, seed=request.seed, progress=progress)
        found[COORDINATES] = describe_coordinates(place)
        described |= found
        kinds |= {name: "coordinates" if name == COORDINATES else "classical" for name in found}
    return described, kinds


def _complete(described: dict[str, Features], request: EvaluateRequest) -> NDArray[np.intp]:
    """Gives the pixels that every description has data for: all are scored on the same ones.

    Raises:
        NotFound: there is none.
    """
    whole = {name: np.asarray(np.isfinite(one.values).all(axis=1)) for name, one in described.items()}
    kept = np.flatnonzero(np.all(list(whole.values()), axis=0))
    if not len(kept):
        told = ", ".join(f"{name} on {int(one.sum())}" for name, one in whole.items())
        raise NotFound(
            f"no labelled pixel of {request.labels} has data in every description ({told} of "
            f"{len(next(iter(whole.values())))} px): check that fields and cubes cover the labels"
        )
    return kept


def _warnings(request: EvaluateRequest, scores: list[Score], kinds: dict[str, Kind]) -> list[str]:
    told = [_INTERPOLATES] if request.protocol == "random" else []
    apart = places_apart(scores, kinds)
    return [*told, apart] if apart else told


def _partial(dealt: Dealt) -> int:
    """Counts splits whose test lacks a class."""
    classes = len(dealt.sites.classes)
    return sum(len(np.unique(dealt.sites.labels[one.test])) < classes for one in dealt.splits)


def _drawn(dealt: Dealt, shots: tuple[Shots, ...]) -> list[ShotsReport]:
    found = []
    for one in shots:
        labels = dealt.most if one == "max" else int(one)
        drawn = [min(labels, split.most) for split in dealt.splits]
        found.append(ShotsReport(str(one), labels, float(np.mean(drawn)), min(drawn)))
    return found


def _keep(catalog: Catalog, report: EvaluateReport, request: EvaluateRequest) -> None:
    """Draws the picture and tells the report where both lie."""
    from earthfield_train.evaluation.picture import draw_scores

    period = Period.parse(request.period).id
    name = safe_label(f"{'_'.join(report.models)}_{period}_{request.labels.stem}_{request.protocol}")[:64]
    path = catalog.report("evaluate", name.strip("._-"))
    report.report, report.picture = str(path), str(path.with_suffix(".png"))
    draw_scores(path.with_suffix(".png"), report)
