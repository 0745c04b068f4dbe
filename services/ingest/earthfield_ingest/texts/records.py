"""Records: one text with its place and licence, and what became of all that were found."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

NO_PLACE = "no usable coordinates"
NO_TEXT = "nothing to say of it"
NON_COMMERCIAL = "licence forbids commercial use"
NO_LICENCE = "no known licence"
ABSENT = "recorded as absent"
DOUBTFUL = "coordinates marked as doubtful"
NO_ID = "no id of its origin"
DOUBLE = "found twice"
OUTSIDE = "outside the area"


@dataclass(frozen=True)
class Record:
    """One text that has a place."""

    lon: float
    """Longitude, degrees, -180..180."""
    lat: float
    """Latitude, degrees, -90..90."""
    text: str
    """What is said of the place, made of the facts of its origin alone."""
    kind: str
    """Where it comes from: `wikipedia`, `gbif`, `openstreetmap`, `note`, `simulated`."""
    id: str
    """Its id there."""
    name: str
    """What it is called there; empty where it has no name."""
    licence: str
    """SPDX id of the licence under which it may be used."""
    attribution: str
    """Whom to name."""
    url: str
    """Where to read more."""
    language: str
    """Language of the text as a two-letter code; empty where nothing tells it."""


@dataclass(frozen=True)
class Dropped:
    """Something that is left out."""

    reason: str
    """Why."""


Found = Record | Dropped
"""What a reader yields for everything that it finds."""


@dataclass
class TextsReport:
    """What a run did."""

    found: int = 0
    """Everything that the inputs hold."""
    kept: int = 0
    """What is in the table."""
    dropped: dict[str, int] = field(default_factory=dict)
    """What was left out, by reason."""
    kinds: dict[str, int] = field(default_factory=dict)
    """What is in the table, by where it comes from."""
    licences: dict[str, int] = field(default_factory=dict)
    """What is in the table, by licence."""
    path: Path = Path()
    """The table."""
    seconds: float = 0.0
    """Wall time."""

    def count(self, one: Found) -> None:
        """Counts one more."""
        self.found += 1
        if isinstance(one, Dropped):
            self.dropped = dict(Counter(self.dropped) + Counter([one.reason]))
        else:
            self.kept += 1
            self.kinds[one.kind] = self.kinds.get(one.kind, 0) + 1
            self.licences[one.licence] = self.licences.get(one.licence, 0) + 1


def place_of(lon: object, lat: object) -> tuple[float, float] | None:
    """Gives a place in degrees, or None where the two are no place on Earth; 0, 0 stands for no place."""
    try:
        x, y = float(str(lon)), float(str(lat))
    except ValueError:
        return None
    if not (math.isfinite(x) and math.isfinite(y) and abs(x) <= 180 and abs(y) <= 90) or (x, y) == (0.0, 0.0):
        return None
    return x, y
