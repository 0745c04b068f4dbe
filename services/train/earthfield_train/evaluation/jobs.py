"""The job: a field and its rivals scored on labels, with few shots and splits that do not leak."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Described

from earthfield.errors import InvalidInput
from earthfield.field import Field, fields_of, safe_label
from earthfield.progress import Progress, silent
from earthfield.schemas import Request, as_json
from earthfield.storage import write_json
from earthfield.timeline import Period
from earthfield_analysis.fewshot import Features, Sites, blocks, compare, draws, usable_classes
from earthfield_train.evaluation.composites import composites_at, sampled
from earthfield_train.evaluation.report import EvaluateReport, Split, SplitReport
from earthfield_train.evaluation.sites import LabelledArea, read_labels

log = logging.getLogger(__name__)

_MOST_SITES = 60_000


class EvaluateRequest(Request):
    """A field against labels."""

    labels: Annotated[Path, Described(description="Raster of class codes, 0 or nodata where there is none.")]
    period: str = Described(description="Valid period of the field.")
    model: str = Described("starter", description="Name of a model.")
    shots: int = Described(10, ge=1, le=1000, description="Labels per class to learn from.")
    draws: int = Described(20, ge=1, le=1000, description="How often to draw them.")
    ignore: tuple[int, ...] = Described((), description="Class codes to leave out.")
    parcels: Path | None = Described(None, description="Raster whose connected pixels are the parcels.")
    block_px: int = Described(8, ge=2, le=1024, description="Side of a block in the split by blocks.")
    buffer_px: int = Described(2, ge=0, le=64, description="Pixels between training groups and test pixels.")
    seed: int = Described(0, description="Of the draws.")


def evaluate_fields(request: EvaluateRequest, *, progress: Progress = silent) -> EvaluateReport:
    """Scores a model's fields, composites of the same observations and coordinates alone on the same draws.

    Raises:
        NotFound: there is no such field or label raster, or no label lies on a field.
        InvalidInput: the labels cannot be split for so many shots.
    """
    from earthfield_train.evaluation.picture import draw_scores

    started = time.monotonic()
    catalog, period = request.catalog_root, Period.parse(request.period)
    fields = fields_of(catalog, request.model, period.id)
    area = read_labels(request.labels, fields, ignore=request.ignore, parcels_path=request.parcels)
    flat = sampled(area.codes != 0, area.codes, most=_MOST_SITES, seed=request.seed)
    rows, cols = np.unravel_index(flat, area.codes.shape)
    y, x = rows + area.window.y0, cols + area.window.x0
    monthly, whole = composites_at(catalog, area.epsg, y, x, period, progress=progress)
    described = {
        f"{request.model} field": Features(_vectors_at(fields, area, rows, cols), is_unit=True),
        "monthly composites": Features(monthly),
        "whole-period composite": Features(whole),
        "coordinates alone": Features(np.stack([x, y], axis=1).astype(np.float32)),
    }
    kept = np.all([np.isfinite(one.values).all(axis=1) for one in described.values()], axis=0)
    described = {name: Features(one.values[kept], one.is_unit) for name, one in described.items()}
    labels = area.codes[rows, cols][kept]
    report = EvaluateReport(
        model=request.model, period=str(period), labels=str(request.labels), shots=request.shots,
        draws=request.draws, pixels={str(code): int((labels == code).sum()) for code in np.unique(labels)},
        dropped_px=int(np.count_nonzero(area.codes) - kept.sum()),
        features={name: one.values.shape[1] for name, one in described.items()},
    )  # fmt: skip
    groups: dict[Split, NDArray[np.int32]] = {
        "parcels": area.parcels,
        "blocks": np.where(area.codes != 0, blocks(area.codes.shape, size=request.block_px), 0).astype(
            np.int32
        ),
    }
    for done, (split, grouped) in enumerate(groups.items(), 1):
        sites = Sites(labels, rows[kept], cols[kept], grouped)
        try:
            report.splits.append(_scored(split, sites, described, request))
        except InvalidInput as error:
            report.impossible[split] = str(error)
        progress("few-shot draws", done, len(groups))
    if not report.splits:
        raise InvalidInput("; ".join(f"{split}: {why}" for split, why in report.impossible.items()))
    name = safe_label(f"{request.model}_{period.id}_{request.labels.stem}_{request.shots}shots")
    path = catalog.report("evaluate", name)
    report.report, report.picture = str(path), str(path.with_suffix(".png"))
    draw_scores(path.with_suffix(".png"), report)
    report.seconds = time.monotonic() - started
    write_json(path, as_json(report))
    log.info("evaluated %s on %s in %.1f s", request.model, request.labels, report.seconds)
    return report


def _vectors_at(
    fields: list[Field], area: LabelledArea, rows: NDArray[np.intp], cols: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Gives the field's vectors of some pixels of the area, (N, 64), NaN where there is none."""
    found = np.full((len(rows), 64), np.nan, np.float32)
    for held in fields:
        overlap = held.window & area.window
        if held.key.tile.epsg != area.epsg or not overlap:
            continue
        local = overlap.shifted(-area.window.y0, -area.window.x0)
        inside = (rows >= local.y0) & (rows < local.y1) & (cols >= local.x0) & (cols < local.x1)
        if inside.any():
            found[inside] = held.vectors(overlap)[rows[inside] - local.y0, cols[inside] - local.x0]
    return found


def _scored(
    split: Split, sites: Sites, described: Mapping[str, Features], request: EvaluateRequest
) -> SplitReport:
    classes, left_out = usable_classes(sites, shots=request.shots)
    if len(classes) < 2:
        why = "; ".join(f"class {code}: {reason}" for code, reason in left_out.items())
        raise InvalidInput(
            f"fewer than two classes can be drawn and held out with {request.shots} shots ({why})"
        )
    kept = sites.of_classes(classes)
    own = {name: Features(one.values[kept], one.is_unit) for name, one in described.items()}
    sites = Sites(sites.labels[kept], sites.rows[kept], sites.cols[kept], sites.groups)
    drawn = list(
        draws(sites, shots=request.shots, count=request.draws, buffer_px=request.buffer_px, seed=request.seed)
    )
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for one in compare(own, sites, drawn):
        scores.setdefault(one.features, {})[one.probe] = {"mean": one.mean, "sem": one.sem}
    return SplitReport(
        split=split, classes=classes, left_out={str(code): why for code, why in left_out.items()}, scores=scores,
        test_px=float(np.mean([len(draw.test) for draw in drawn])), chance=1 / len(classes),
    )  # fmt: skip
