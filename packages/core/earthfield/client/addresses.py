"""Parts of requests as the search service reads them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

Place = tuple[float, float]
"""Longitude and latitude, degrees."""


def part(text: str) -> str:
    """Gives a text as one part of a path."""
    return quote(text, safe="")


def period_part(text: str) -> str:
    """Gives a period as it can stand in a path, where an interval's slash cannot."""
    if "/" not in text:
        return part(text)
    from earthfield.timeline import Period

    return Period.parse(text).id


def at(model: str, period: str, place: Place) -> dict[str, Any]:
    """Gives a place in a model's fields as parameters."""
    return {"model": model, "period": period, "lon": place[0], "lat": place[1]}
