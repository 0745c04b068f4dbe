"""Which fields may be compared: vectors of two models mean different things, even under one name."""

from __future__ import annotations

from collections.abc import Sequence

from earthfield.errors import Conflict
from earthfield.field import Field


def check_comparable(fields: Sequence[Field]) -> None:
    """Makes sure that the vectors of some fields come from one model and have one length.

    Raises:
        Conflict: they do not.
    """
    makers: dict[tuple[str, int], Field] = {}
    for field in fields:
        makers.setdefault((str(field.manifest["model"]["fingerprint"]), field.dim), field)
    if len(makers) < 2:
        return
    first, second = list(makers.values())[:2]
    raise Conflict(
        f"{first.key.id} and {second.key.id} were made by different models, or by two versions of one, so their "
        "vectors cannot be compared: make or import one of them again under a name of its own"
    )
