"""What can be asked: examples of what is looked for, and where to look for it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from earthfield.catalog import checked_name
from earthfield.errors import InvalidInput
from earthfield.grid import Tile
from earthfield.timeline import Period
from earthfield_search.ground.places import check_lonlat, shape_of

MOST = 10_000
"""Most places in one answer, or in one page of it."""
MOST_EXAMPLES = 1_000
_MOST_TEXT = 500
_PAGE = 1_000

LonLat = tuple[float, float]
"""Longitude and latitude, degrees."""


@dataclass(frozen=True)
class Like:
    """Examples of what is looked for; of several kinds at once, each example counts the same.

    Raises:
        InvalidInput: there is none, or one cannot be read.
    """

    at: tuple[LonLat, ...] = ()
    """Places that look like it."""
    polygon: str | None = None
    """An area that looks like it, WKT or GeoJSON in degrees."""
    vector: tuple[float, ...] = ()
    """A vector of the model, of any length above 0."""
    text: str | None = None
    """Words, for models that were trained with texts."""
    label: str | None = None
    """A class of a set of labels that is kept, `SET:CLASS`."""
    not_at: tuple[LonLat, ...] = ()
    """Places that do not look like it."""

    def __post_init__(self) -> None:
        for name in ("at", "not_at"):
            places = tuple((float(lon), float(lat)) for lon, lat in getattr(self, name))
            object.__setattr__(self, name, places)
            if len(places) > MOST_EXAMPLES:
                raise InvalidInput(f"{len(places)} places are too many to ask with: at most {MOST_EXAMPLES}")
            for place in places:
                check_lonlat(*place)
        object.__setattr__(self, "vector", tuple(float(value) for value in self.vector))
        if self.vector and not (all(map(math.isfinite, self.vector)) and any(self.vector)):
            raise InvalidInput("the vector must be finite numbers, not all of them 0")
        if self.text is not None and not 0 < len(self.text.strip()) <= _MOST_TEXT:
            raise InvalidInput(f"the text must have 1 to {_MOST_TEXT} characters")
        _check_utf8(self.text, self.label)
        if self.polygon is not None:
            shape_of(self.polygon)
        if self.label is not None:
            class_of(self.label)
        if not (self.at or self.polygon or self.vector or self.text or self.label):
            raise InvalidInput("say what to look for: places, a polygon, a vector, a text or a label")


@dataclass(frozen=True)
class Within:
    """Where to look; a cell must meet every condition that is set.

    Raises:
        InvalidInput: a condition cannot be read.
    """

    periods: tuple[str, ...] = ()
    """Valid periods; that of the examples where empty."""
    area: str | None = None
    """Area that holds the cell's centre, WKT or GeoJSON in degrees."""
    tiles: tuple[str, ...] = ()
    """Ids of tiles; every one where empty."""
    min_purity: float = 0.0
    """Least agreement of a cell's pixels, 0..1."""
    label: str | None = None
    """Only where something of this class was labelled, `SET:CLASS`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "periods", tuple(str(one) for one in Period.parse_all(self.periods)))
        object.__setattr__(self, "tiles", tuple(sorted({Tile.parse(one).id for one in self.tiles})))
        if not 0 <= self.min_purity <= 1:
            raise InvalidInput(f"the least purity is {self.min_purity}; it must lie in 0..1")
        if self.area is not None:
            shape_of(self.area)
        if self.label is not None:
            class_of(self.label)
        _check_utf8(self.label)


@dataclass(frozen=True)
class SimilarQuestion:
    """Where does it look like this?

    Raises:
        InvalidInput: a number is out of its range, or the period cannot be read.
    """

    model: str
    """Name of a model."""
    like: Like
    """What is looked for."""
    period: str | None = None
    """Valid period in which the examples look like it; that of the newest field that holds them when absent."""
    within: Within = field(default_factory=Within)
    """Where to look."""
    k: int | None = None
    """How many places; 20 when absent, all of them with `above`."""
    above: float | None = None
    """Smallest cosine, -1..1; none when absent."""
    min_distance_m: float = 0.0
    """Smallest distance between two answers, and between an answer and an example."""
    diverse: float = 0.0
    """0: the most alike. Towards 1: ever more unlike one another, of ten times as many."""
    explain: bool = False
    """Whether to tell of each hit its quality and the scenes behind it."""
    offset: int = 0
    """Leaves out that many of the best: the next page begins there."""
    limit: int | None = None
    """Most hits of one page; k when absent, or 1,000 with `above`."""

    def __post_init__(self) -> None:
        checked_name(self.model)
        if self.k is None and self.above is None:
            object.__setattr__(self, "k", 20)
        _check_range("k", self.k, 1, MOST)
        _check_range("the threshold", self.above, -1, 1)
        _check_range("the smallest distance (in metres)", self.min_distance_m, 0, 1e8)
        _check_range("the diversity", self.diverse, 0, 0.99)
        _check_range("the offset", self.offset, 0, 10 * MOST)
        _check_range("the limit", self.limit, 1, MOST)
        if self.diverse and self.k is None:
            raise InvalidInput("everything above a threshold cannot be diverse: say how many with k")
        if self.period is not None:
            object.__setattr__(self, "period", str(Period.parse(self.period)))

    @classmethod
    def at(
        cls, model: str, lon: float, lat: float, period: str | None = None, k: int = 20,
        min_distance_m: float = 0.0,
    ) -> SimilarQuestion:  # fmt: skip
        """Asks what looks like one place; the fields and errors of the question itself."""
        return cls(model, Like(at=((lon, lat),)), period, k=k, min_distance_m=min_distance_m)

    @property
    def page(self) -> int:
        """Most hits of one page."""
        return self.limit or self.k or _PAGE

    def content(self) -> dict[str, Any]:
        """Gives the question as plain content."""
        return dataclasses.asdict(self)

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> SimilarQuestion:
        """Reads what `content` gave, from JSON too.

        Raises:
            InvalidInput: it is something else.
        """
        try:
            plain = dict(content)
            like, within = Like(**plain.pop("like")), Within(**plain.pop("within"))
            return cls(like=like, within=within, **plain)
        except (TypeError, KeyError, AttributeError) as error:
            raise InvalidInput(f"this is not a question of likeness ({error})") from error


def class_of(text: str) -> tuple[str, str]:
    """Splits `SET:CLASS` into the name of a set of labels and a class of it.

    Raises:
        InvalidInput: it has no colon, or the name cannot stand in an address.
    """
    name, colon, value = text.partition(":")
    if not colon or not value or len(value) > 200:
        raise InvalidInput(f"{text[:80]!r} is no class of a set of labels: write SET:CLASS")
    return checked_name(name), value


def _check_utf8(*texts: str | None) -> None:
    """Refuses half a surrogate pair, which JSON may carry and no file can hold."""
    for text in texts:
        try:
            (text or "").encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"{text!r:.80} holds characters that are none") from error


def _check_range(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:
        raise InvalidInput(f"{name} is {value}; it must lie in {least}..{most}")
