"""What a place is compared with: other places and classes of labels, as they look in each period."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.codec import normalised
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import fields_of
from earthfield.timeline import Period
from earthfield_search.ground.comparable import check_comparable
from earthfield_search.ground.places import locate
from earthfield_search.learning.samples import gather
from earthfield_search.timelines.asked import MOST_REFERENCES, OWN, Reference, TimelineQuestion


def elsewhere(
    catalog: Catalog, model: str, reference: Reference, periods: Sequence[Period], dim: int
) -> NDArray[np.float32]:
    """Gives the vectors (P, D) of another place, NaN where it has none.

    Raises:
        NotFound: it has none in any period.
    """
    found, missed = np.full((len(periods), dim), np.nan, np.float32), None
    for number, period in enumerate(periods):
        try:
            found[number] = locate(catalog, model, reference.lon, reference.lat, period).vector
        except NotFound as error:
            missed = error
    if missed is not None and np.isnan(found).all():
        raise NotFound(f"reference {reference.name!r}: {missed}") from missed
    return found


def classes(
    catalog: Catalog,
    question: TimelineQuestion,
    periods: Sequence[Period],
    told: tuple[str, list[str]],
) -> dict[str, NDArray[np.float32]]:
    """Gives the mean vector (P, D) of each class of the labels, by name.

    Args:
        catalog: where fields and labels lie.
        question: which labels.
        periods: P of them.
        told: whose labels, and where it is noted which gave no vector.

    Raises:
        NotFound: there are no such labels.
        InvalidInput: they have too many classes, or one has the name of another reference.
    """
    from earthfield_search.labels import load_labels

    owner, notes = told
    assert question.labels is not None
    labels = load_labels(catalog, question.labels, owner=owner)
    names = np.array(labels.classes())
    if len(set(names)) > MOST_REFERENCES:
        raise InvalidInput(
            f"the labels {question.labels!r} hold {len(set(names))} classes, and {MOST_REFERENCES} are the most"
        )
    shared = {one.name for one in question.references} & set(names)
    if shared:
        raise InvalidInput(
            f"{sorted(shared)[0]!r} names a reference and a class of labels: rename the reference"
        )
    fields = [one for one in fields_of(catalog, question.model) if one.key.period in periods]
    check_comparable(fields)
    found = {
        str(one): np.full((len(periods), fields[0].dim), np.nan, np.float32) for one in sorted(set(names))
    }
    for number, period in enumerate(periods):
        try:
            samples = gather(labels, [one for one in fields if one.key.period == period], period)
        except NotFound as error:
            notes.append(f"labels in {period}: {error}")
            continue
        for name, vectors in found.items():
            own = samples.vectors[names[samples.label] == name]
            if len(own):
                vectors[number] = normalised(own.sum(axis=0))
        if samples.left.count:
            notes.append(
                f"labels in {period}: {samples.left.count} gave no vector ({'; '.join(samples.left.named[:3])})"
            )
    return {f"{name} (labels)" if name in OWN else name: vectors for name, vectors in found.items()}
