"""What is asked of a place's timeline, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass, field

from earthfield.catalog import checked_name
from earthfield.errors import InvalidInput
from earthfield.timeline import Period
from earthfield_search.ground.places import check_lonlat

OWN = ("first", "mean")
MOST_REFERENCES = 20
"""Other places, or classes, that a timeline can be compared with."""


@dataclass(frozen=True)
class Reference:
    """Another place to compare with.

    Raises:
        InvalidInput: it has no name, or lies nowhere.
    """

    name: str
    """What it is called in the answer."""
    lon: float
    """Degrees."""
    lat: float
    """Degrees."""

    def __post_init__(self) -> None:
        if not self.name.strip() or self.name in OWN or len(self.name) > 64:
            raise InvalidInput(
                f"a reference needs a name of its own, at most 64 characters long, not {self.name[:64]!r}"
            )
        check_lonlat(self.lon, self.lat)

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Reads `NAME=LON,LAT`.

        Raises:
            InvalidInput: the text has another form.
        """
        name, mark, place = text.rpartition("=")
        try:
            lon, lat = (float(part) for part in place.split(","))
        except ValueError as error:
            raise InvalidInput(
                f"reference {text[:80]!r} is not NAME=LON,LAT: write forest=3.02,50.81"
            ) from error
        if not mark:
            raise InvalidInput(f"reference {text[:80]!r} has no name: write NAME=LON,LAT")
        return cls(name.strip(), lon, lat)


@dataclass(frozen=True)
class TimelineQuestion:
    """How did a place change?

    Raises:
        InvalidInput: a name, a place or a period cannot be used, or two references share a name.
    """

    model: str
    """Name of a model."""
    lon: float
    """Longitude, degrees."""
    lat: float
    """Latitude, degrees."""
    references: tuple[Reference, ...] = ()
    """Other places; in each period they look as they look then, so that the season is not taken for change."""
    labels: str | None = None
    """Name of kept labels: the mean vector of each class in each period is a reference."""
    periods: tuple[str, ...] = ()
    """Valid periods; all that hold the place where empty."""
    false_alarms: float = 0.01
    """Rate below which a period counts as a change against the one before."""
    calibrate: bool = True
    """Whether distances are told with the probability of a false alarm; it reads a part of each field."""

    def __post_init__(self) -> None:
        checked_name(self.model)
        check_lonlat(self.lon, self.lat)
        if self.labels is not None:
            checked_name(self.labels)
        names = [one.name for one in self.references]
        if len(set(names)) < len(names) or len(names) > MOST_REFERENCES:
            raise InvalidInput(f"references need names of their own, and {MOST_REFERENCES} are the most")
        if not 0 < self.false_alarms < 1:
            raise InvalidInput(f"a false-alarm rate of {self.false_alarms} lies outside 0..1: take 0.01")
        object.__setattr__(self, "periods", tuple(str(Period.parse(one)) for one in self.periods))


@dataclass(frozen=True)
class Moment:
    """The place in one period."""

    period: str
    """The valid period."""
    tile: str | None
    """Tile of the field; None where no vector is near the place."""
    is_pixel: bool
    """Whether the vector is the pixel's own; its surroundings' mean otherwise."""
    similarity: dict[str, float | None]
    """Cosine to each reference, None where it has no vector then."""
    before: str | None
    """The last period that was over when this one began; None for the first."""
    distance: float | None
    """1 - cosine to it, after what all land has in common was removed where calibrated."""
    false_alarm: float | None
    """How likely at least such a distance is without change; None where that cannot be told."""
    clear: dict[str, int | float | None]
    """Clear observations by source."""
    agreement: float | None
    """Cosine of two halves of the frames."""
    note: str = ""
    """What is missing, and why."""


@dataclass(frozen=True)
class TimelineAnswer:
    """A place through time."""

    model: str
    """The model."""
    lon: float
    """Of the place that was asked for, degrees."""
    lat: float
    """Degrees."""
    references: list[str]
    """Names of what it is compared with."""
    false_alarms: float
    """Rate below which a period counts as changed."""
    moments: list[Moment]
    """By start of the period."""
    changed: list[str]
    """Periods that differ from the one before at that rate."""
    notes: list[str] = field(default_factory=list)
    """What could not be compared."""
    files: list[str] = field(default_factory=list)
    """What was written."""
    seconds: float = 0.0
    """Wall time."""
