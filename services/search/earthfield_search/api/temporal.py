"""A place through time, against its own past, other places and classes of labels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from earthfield_search.api.deps import PERIOD, ModelInQuery, Owner, PlaceInQuery, Served, period_of
from earthfield_search.jobs.temporal import timeline_of
from earthfield_search.timelines.asked import Reference, TimelineAnswer, TimelineQuestion

router = APIRouter()

_Text = Annotated[str, Query(max_length=128)]


@router.get("/temporal")
def temporal(
    catalog: Served,
    owner: Owner,
    model: ModelInQuery,
    place: PlaceInQuery,
    reference: Annotated[
        list[_Text], Query(max_length=20, description="Other places, each as NAME=LON,LAT.")
    ] = [],  # noqa: B006
    labels: Annotated[
        str | None, Query(max_length=64, description="A set of your labels: each class is a reference.")
    ] = None,
    period: Annotated[
        list[_Text],
        Query(max_length=100, description=f"Only these; all that hold the place when absent. {PERIOD}"),
    ] = [],  # noqa: B006
    false_alarms: Annotated[
        float, Query(gt=0, lt=1, description="Rate below which a period counts as changed.")
    ] = 0.01,
    calibrate: Annotated[bool, Query(description="Tell how likely a distance is by chance.")] = True,
) -> TimelineAnswer:
    """Gives for every period the cosine to each reference, and the distance to the period before.

    Distances come with the probability that they are a false alarm, where the fields tell their noise.
    """
    question = TimelineQuestion(
        model, *place, tuple(Reference.parse(one) for one in reference), labels,
        tuple(str(period_of(one)) for one in period), false_alarms, calibrate,
    )  # fmt: skip
    return timeline_of(catalog, question, owner=owner)
