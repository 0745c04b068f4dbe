"""Timelines: a place's vector through every period, against its own past, other places and classes of labels."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.errors import NotFound
from earthfield.field import plain_value
from earthfield.grid import Window, pixel_at, tile_at, zone_of
from earthfield.progress import Progress, silent
from earthfield.timeline import Period
from earthfield_analysis.change import distance
from earthfield_analysis.timeline import likeness, own_references, predecessors
from earthfield_search.changes.compare import AGREEMENT, fit_fields, noise_of
from earthfield_search.ground.comparable import check_comparable
from earthfield_search.ground.places import Place, locate
from earthfield_search.timelines.asked import Moment, TimelineAnswer, TimelineQuestion
from earthfield_search.timelines.references import classes, elsewhere

log = logging.getLogger(__name__)

_STRIPS = 4
"""Strips of each field that a calibration is fitted on: a timeline asks about one pixel."""


def timeline_of(
    catalog: Catalog, question: TimelineQuestion, *, owner: str = "", progress: Progress = silent
) -> TimelineAnswer:
    """Follows a place through every period that a model has fields of; writes nothing.

    Args:
        catalog: where fields and labels lie.
        question: which place, and what it is compared with.
        owner: whose labels.
        progress: told after each period.

    Raises:
        NotFound: no field holds the place, a reference lies outside of all of them, or there are no such labels.
        Conflict: the fields were made by different models.
    """
    started = time.monotonic()
    periods = _periods(catalog, question)
    places = [_place(catalog, question, one) for one in periods]
    vectors = _stacked(catalog, question, places)
    check_comparable([one.field for one in places if one is not None])
    notes: list[str] = []
    references: dict[str, NDArray[np.float32]] = dict(own_references(vectors))
    for one in question.references:
        references[one.name] = elsewhere(catalog, question.model, one, periods, vectors.shape[1])
    if question.labels is not None:
        references |= classes(catalog, question, periods, (owner, notes))
    like, earlier = likeness(vectors, references), _earlier(periods, places)
    found = []
    for number, period in enumerate(periods):
        similarity = {name: _number(values[number]) for name, values in like.items()}
        found.append(_moment(question, period, places[number], earlier[number], similarity))
        progress("following the place", number + 1, len(periods))
    log.info("%d periods of %s at %g %g", len(found), question.model, question.lon, question.lat)
    return TimelineAnswer(
        question.model, question.lon, question.lat, list(references), question.false_alarms, found,
        [m.period for m in found if m.false_alarm is not None and m.false_alarm <= question.false_alarms],
        notes, seconds=time.monotonic() - started,
    )  # fmt: skip


def _periods(catalog: Catalog, question: TimelineQuestion) -> list[Period]:
    """Lists the periods asked for, or those that the place's own tile has fields of, sorted."""
    keys = list(catalog.fields(question.model))
    wanted = {Period.parse(one) for one in question.periods}
    absent = wanted - {one.period for one in keys}
    if absent:
        missing = ", ".join(str(one) for one in sorted(absent))
        raise NotFound(f"{question.model} has no field for {missing}: run `earthfield map` for it first")
    if wanted:
        return sorted(wanted)
    zone = zone_of(question.lon, question.lat)
    # A zone's fields may reach over its edge, and on both hemispheres.
    near = {key.tile.epsg for key in keys if abs(key.tile.epsg % 100 - zone % 100) in (0, 1, 59)}
    tiles = {tile_at(epsg, *pixel_at(epsg, question.lon, question.lat)) for epsg in near}
    return sorted({key.period for key in keys if key.tile in tiles})


def _place(catalog: Catalog, question: TimelineQuestion, period: Period) -> Place | None:
    try:
        return locate(catalog, question.model, question.lon, question.lat, period)
    except NotFound:
        return None


def _stacked(
    catalog: Catalog, question: TimelineQuestion, places: Sequence[Place | None]
) -> NDArray[np.float32]:
    there = [one.vector for one in places if one is not None]
    if not there:
        # Tells what is there instead.
        locate(catalog, question.model, question.lon, question.lat)
        raise NotFound(f"no field of {', '.join(question.periods)} has data at the place: name other periods")
    if len({len(one) for one in there}) > 1:
        check_comparable([one.field for one in places if one is not None])
    gap = np.full_like(there[0], np.nan)
    return np.stack([gap if one is None else one.vector for one in places])


def _earlier(periods: Sequence[Period], places: Sequence[Place | None]) -> list[Place | None]:
    """Gives for each period the place in the last one before it that has a vector and does not overlap."""
    there = [number for number, place in enumerate(places) if place is not None]
    found: list[Place | None] = [None] * len(periods)
    for number, before in zip(there, predecessors([periods[n] for n in there]), strict=True):
        found[number] = None if before is None else places[there[before]]
    return found


def _moment(
    question: TimelineQuestion,
    period: Period,
    place: Place | None,
    earlier: Place | None,
    similarity: dict[str, float | None],
) -> Moment:
    if place is None:
        return Moment(
            str(period), None, False, similarity, None, None, None, {}, None, "no vector near the place"
        )
    quality = place.field.quality(_pixel(place))
    clear = {
        name.removeprefix("clear_"): plain_value(layer)
        for name, layer in quality.items()
        if name.startswith("clear_")
    }
    agreement = plain_value(quality[AGREEMENT]) if AGREEMENT in quality else None
    note = "" if place.is_pixel else "the pixel has no data: its surroundings' mean"
    told: tuple[str | None, float | None, float | None] = (None, None, None)
    if earlier is not None:
        apart, chance, why = _apart(question, earlier, place)
        told, note = (
            (str(earlier.field.key.period), apart, chance),
            "; ".join(one for one in (note, why) if one),
        )
    return Moment(
        str(period), place.field.key.tile.id, place.is_pixel, similarity, *told, clear, agreement, note
    )


def _apart(question: TimelineQuestion, earlier: Place, place: Place) -> tuple[float, float | None, str]:
    """Gives the distance of a place to itself before, its false-alarm probability, and why there is none."""
    plain = float(distance(earlier.vector, place.vector))
    if not question.calibrate:
        return plain, None, ""
    same = earlier.field.key.tile == place.field.key.tile and earlier.is_pixel and place.is_pixel
    if not same or any(AGREEMENT not in one.field.quality_names for one in (earlier, place)):
        return plain, None, "not calibrated: a pixel with agreement is needed in both periods"
    tile = place.field.key.tile.id
    fitted = fit_fields(
        [earlier.field], {tile: place.field}, calibrated=True, season=True, most_strips=_STRIPS
    )
    if fitted.null is None:
        return plain, None, "not calibrated: too few pixels with agreement"
    apart = fitted.apart(earlier.vector, place.vector)
    noise = noise_of(earlier.field, place.field, _pixel(place))[0, 0]
    chance = float(fitted.null.probability(apart, noise))
    return float(apart), None if math.isnan(chance) else chance, ""


def _pixel(place: Place) -> Window:
    return Window(place.row, place.row + 1, place.col, place.col + 1)


def _number(value: np.floating) -> float | None:
    return None if np.isnan(value) else round(float(value), 5)
