"""Time: 5-day steps counted from 1970, and half-open periods in UTC."""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from earthfield.errors import InvalidInput

STEP_DAYS = 5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_YEAR_OR_MONTH = re.compile(r"^(\d{4})(?:-(\d{2}))?$")
_FORMS = "write 2018, 2018-03, 2018-03..2018-09 or 2018-03-01/2018-09-15"


def as_utc(instant: datetime) -> datetime:
    """Gives `instant` in UTC; a naive one is taken as UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def step_of(instant: datetime) -> int:
    """Gives the index of the 5-day step that holds `instant`: days since 1970-01-01 UTC // 5."""
    return (as_utc(instant) - EPOCH).days // STEP_DAYS


def step_start(step: int) -> datetime:
    """Gives the first instant of a step."""
    return EPOCH + timedelta(days=step * STEP_DAYS)


@dataclass(frozen=True, order=True)
class Period:
    """A half-open interval [start, end) in UTC.

    Raises:
        InvalidInput: start is not before end.
    """

    start: datetime
    """First instant inside the period."""
    end: datetime
    """First instant after it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", as_utc(self.start))
        object.__setattr__(self, "end", as_utc(self.end))
        if self.start >= self.end:
            raise InvalidInput(f"period {self.start:%Y-%m-%d} to {self.end:%Y-%m-%d} ends before it starts")

    @classmethod
    def parse(cls, text: str) -> Period:
        """Reads `2018`, `2018-03`, `2018-03..2018-09` (both ends whole) or an ISO interval `a/b`.

        Raises:
            InvalidInput: the text has none of these forms, or names a date that does not exist.
        """
        text = text.strip()
        try:
            if "/" in text:
                first, last = text.split("/")
                return cls(datetime.fromisoformat(first), datetime.fromisoformat(last))
            first, _, last = text.partition("..")
            return cls(_calendar_span(first)[0], _calendar_span(last or first)[1])
        except InvalidInput:
            raise
        except ValueError as error:
            raise InvalidInput(f"period {text!r} cannot be read ({error}); {_FORMS}") from error

    @classmethod
    def parse_all(cls, texts: Sequence[str]) -> tuple[Period, ...]:
        """Reads several periods, sorted and without doubles."""
        return tuple(sorted({cls.parse(text) for text in texts}))

    @property
    def id(self) -> str:
        """Name in addresses: `20180101_20190101`, with the time of day only where it is not midnight."""
        return f"{_compact(self.start)}_{_compact(self.end)}"

    @classmethod
    def from_id(cls, text: str) -> Period:
        """Reads what `id` wrote.

        Raises:
            InvalidInput: the text is not such a name.
        """
        try:
            first, last = text.split("_")
            return cls(_expand(first), _expand(last))
        except ValueError as error:
            raise InvalidInput(f"{text!r} is not the name of a period such as 20180101_20190101") from error

    @property
    def days(self) -> float:
        """Length in days."""
        return (self.end - self.start) / timedelta(days=1)

    @property
    def steps(self) -> range:
        """The steps that overlap the period."""
        return range(step_of(self.start), step_of(self.end - timedelta(microseconds=1)) + 1)

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= as_utc(instant) < self.end

    def covers(self, other: Period) -> bool:
        """Tells whether `other` lies wholly inside."""
        return self.start <= other.start and other.end <= self.end

    def __str__(self) -> str:
        for form in (f"{self.start:%Y}", f"{self.start:%Y-%m}"):
            if Period.parse(form) == self:
                return form
        last = self.end - timedelta(microseconds=1)
        months = f"{self.start:%Y-%m}..{last:%Y-%m}"
        if Period.parse(months) == self:
            return months
        return f"{_iso(self.start)}/{_iso(self.end)}"


def hull(periods: Sequence[Period]) -> Period:
    """Gives the shortest period that covers all of `periods`."""
    return Period(min(p.start for p in periods), max(p.end for p in periods))


def _calendar_span(text: str) -> tuple[datetime, datetime]:
    match = _YEAR_OR_MONTH.match(text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is neither a year nor a month; {_FORMS}")
    year, month = int(match[1]), int(match[2] or 0)
    if month == 0:
        return datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    start = datetime(year, month, 1, tzinfo=UTC)
    return start, start + timedelta(days=calendar.monthrange(year, month)[1])


def _is_midnight(instant: datetime) -> bool:
    return instant.hour == instant.minute == instant.second == instant.microsecond == 0


def _compact(instant: datetime) -> str:
    return f"{instant:%Y%m%d}" if _is_midnight(instant) else f"{instant:%Y%m%dT%H%M%S}"


def _expand(text: str) -> datetime:
    form = "%Y%m%dT%H%M%S" if "T" in text else "%Y%m%d"
    return datetime.strptime(text, form).replace(tzinfo=UTC)


def _iso(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d}" if _is_midnight(instant) else f"{instant:%Y-%m-%dT%H:%M:%SZ}"
