"""What has changed: distances between two periods, how likely they are by chance, and the patches."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.errors import EarthfieldError, InvalidInput, NotFound
from earthfield.field import Field, fields_of
from earthfield.progress import Progress, silent
from earthfield.timeline import Period
from earthfield_analysis.change import FEWEST, patches, threshold
from earthfield_search.changes.asked import CALIBRATED, CAUTION, Calibration, ChangeAnswer, ChangeQuestion
from earthfield_search.changes.compare import AGREEMENT, Compared, compare
from earthfield_search.changes.patches import Found, described, numbered
from earthfield_search.files.answers import answer_name, answer_path, texts, write_geojson, write_raster
from earthfield_search.ground.comparable import check_comparable
from earthfield_search.ground.coverage import coverages
from earthfield_search.ground.places import shape_of

log = logging.getLogger(__name__)

_HECTARE_PX = 100
_MOST_SHOWN = 1000


def detect_change(
    catalog: Catalog, question: ChangeQuestion, *, folder: Path | None = None, progress: Progress = silent
) -> ChangeAnswer:
    """Compares two periods of a model pixel by pixel.

    Writes for each group of touching tiles the distances as GeoTIFF, the logarithm of the false-alarm probability
    as another where calibrated, and both periods and the change side by side as PNG; and all patches as GeoJSON.

    Args:
        catalog: where fields lie and answers go.
        question: what to compare.
        folder: where the files go instead of the catalogue's answers.
        progress: told after each strip of a field.

    Raises:
        NotFound: a period has no field, no tile has both, or none lies in the area.
        InvalidInput: the rule is `calibrated` and a field has no agreement, or too few pixels to fit on.
        Conflict: the fields were made by different models.
    """
    started = time.monotonic()
    first, second, alone = _pairs(catalog, question)
    rule = _rule(question, [*first.values(), *second.values()])
    season = question.season or ("remove" if rule == "calibrated" else "keep")
    shape = shape_of(question.area) if question.area is not None else None
    done = [
        compare(one, second, calibrated=rule == "calibrated", season=season == "remove", progress=progress)
        for one in coverages(list(first.values()), area=shape)
    ]
    known = np.concatenate([one.distances[np.isfinite(one.score)] for one in done])
    if not known.size:
        raise _nothing(question, done)
    limit = _limit(question, rule, known)
    flagged = [_flagged(one, question, limit) for one in done]
    numbers = [patches(one, min_pixels=question.min_pixels) for one in flagged]
    found = numbered([one for part, own in zip(done, numbers, strict=True) for one in described(part, own)])
    paths = _write(catalog, folder, question, (rule, limit), done, numbers, found)
    changed = sum(int((one > 0).sum()) for one in numbers)
    log.info(
        "%d patches of %s changed from %s to %s", len(found), question.model, question.before, question.after
    )
    is_calibrated = rule == "calibrated"
    return ChangeAnswer(
        model=question.model, before=question.before, after=question.after,
        tiles=sorted(held.key.tile.id for one in done for held in one.coverage.fields), left_out=alone,
        pixels=int(known.size), hectares=known.size / _HECTARE_PX,
        unjudged_pixels=sum(int((np.isfinite(one.distances) & ~np.isfinite(one.score)).sum()) for one in done),
        median=float(np.median(known)), threshold=limit, rule=rule, season=season,
        false_alarms=question.false_alarms if is_calibrated else None,
        flagged_pixels=sum(int(one.sum()) for one in flagged),
        false_hectares=question.false_alarms * known.size / _HECTARE_PX if is_calibrated else None,
        changed_pixels=changed, changed_hectares=changed / _HECTARE_PX, share=changed / known.size,
        num_patches=len(found), patches=[one.patch for one in found[:_MOST_SHOWN]],
        calibrations=[_told(one) for one in done if one.null is not None],
        caution=CALIBRATED if is_calibrated else CAUTION, files=texts(paths),
        seconds=time.monotonic() - started,
    )  # fmt: skip


def _pairs(
    catalog: Catalog, question: ChangeQuestion
) -> tuple[dict[str, Field], dict[str, Field], list[str]]:
    """Opens the fields of both periods by tile, those that both have; names the other tiles."""
    both = [
        {one.key.tile.id: one for one in fields_of(catalog, question.model, Period.parse(text).id)}
        for text in (question.before, question.after)
    ]
    check_comparable([field for fields in both for field in fields.values()])
    shared = [
        tile
        for tile in sorted(both[0].keys() & both[1].keys())
        if both[0][tile].window & both[1][tile].window
    ]
    if not shared:
        raise NotFound(f"no tile of {question.model} has both {question.before} and {question.after}")
    alone = sorted((both[0].keys() | both[1].keys()) - set(shared))
    return {tile: both[0][tile] for tile in shared}, {tile: both[1][tile] for tile in shared}, alone


def _rule(question: ChangeQuestion, fields: Sequence[Field]) -> str:
    if question.threshold is not None:
        return "given"
    without = [one.key.id for one in fields if AGREEMENT not in one.quality_names]
    if question.rule == "calibrated" and without:
        raise InvalidInput(
            f"{without[0]} has no quality layer `{AGREEMENT}`, which tells a pixel's noise: make it with "
            "`earthfield embed --agreement --overwrite`, or take the rule mad or otsu"
        )
    return question.rule or ("mad" if without else "calibrated")


def _nothing(question: ChangeQuestion, done: Sequence[Compared]) -> EarthfieldError:
    """Tells why no pixel can be judged."""
    there = sum(int(np.isfinite(one.distances).sum()) for one in done)
    if there:
        return InvalidInput(
            f"none of the {there} pixels can be judged: false alarms are calibrated on at least {FEWEST} pixels of "
            "the fields that have data and agreement in both periods; take the rule mad or a threshold"
        )
    where = " in the area" if question.area is not None else ""
    return NotFound(f"no pixel{where} has data in both {question.before} and {question.after}")


def _limit(question: ChangeQuestion, rule: str, known: NDArray[np.float32]) -> float | None:
    if rule == "mad" or rule == "otsu":
        return float(
            threshold(known, rule="mad" if rule == "mad" else "otsu", num_sigmas=question.num_sigmas)
        )
    return question.threshold


def _flagged(one: Compared, question: ChangeQuestion, limit: float | None) -> NDArray[np.bool_]:
    if limit is None:
        return np.asarray(np.nan_to_num(one.score, nan=-1) >= -np.log10(question.false_alarms))
    return np.asarray(np.nan_to_num(one.distances, nan=-1) > limit)


def _told(one: Compared) -> Calibration:
    assert one.null is not None
    tiles = [held.key.tile.id for held in one.coverage.fields]
    removed = one.shift.size if one.shift is not None else 0.0
    null = one.null
    return Calibration(tiles, null.pixels, removed, null.gain, null.floor, null.dof_above, null.dof_below)


def _write(
    catalog: Catalog,
    folder: Path | None,
    question: ChangeQuestion,
    decided: tuple[str, float | None],
    done: Sequence[Compared],
    numbers: Sequence[NDArray[np.int32]],
    found: Sequence[Found],
) -> list[Path]:
    rule, limit = decided
    parts = [question.model, Period.parse(question.before).id, Period.parse(question.after).id]
    name = answer_name("change", *parts)
    about: dict[str, Any] = {
        "model": question.model, "before": question.before, "after": question.after, "rule": rule,
        "caution": CALIBRATED if rule == "calibrated" else CAUTION,
        **({"false_alarms": question.false_alarms} if limit is None else {"threshold": round(limit, 6)}),
    }  # fmt: skip
    paths = []
    for one, own in zip(done, numbers, strict=True):
        base = answer_path(catalog, folder, f"{name}{one.coverage.suffix}.tif")
        paths += _rasters(base, one, own > 0, about)
    geojson = answer_path(catalog, folder, f"{name}.geojson")
    return [*paths, write_geojson(geojson, [one.feature() for one in found], earthfield=about)]


def _rasters(path: Path, one: Compared, changed: NDArray[np.bool_], about: dict[str, Any]) -> list[Path]:
    from earthfield_search.changes.picture import draw_change

    nan, tags = float("nan"), {name: str(value) for name, value in about.items()}
    paths = [write_raster(path, one.distances, one.coverage, nodata=nan, name="1 - cosine", tags=tags)]
    if one.null is not None:
        beside = path.with_name(f"{path.stem}_false_alarm.tif")
        name = "log10 of the false-alarm probability"
        paths.append(write_raster(beside, -one.score, one.coverage, nodata=nan, name=name, tags=tags))
    return [*paths, draw_change(path.with_suffix(".png"), one, changed, about)]
