"""Schedules: which areas are kept up to date by themselves, for which periods, and when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import BrokenArtefact, Conflict, InvalidInput, NotFound
from earthfield.schemas import INPUT_SOURCES, MapRequest, Request, checked_request
from earthfield.storage import write_json
from earthfield.timeline import Period, as_utc

SCHEMA = "earthfield-schedule/1"
Rolling = Literal["year", "season", "month"]
REFRESH_CRON, REBUILD_CRON = "0 3 */5 * *", "0 4 1 * *"
"""Every five days, the length of a step; and monthly, because archives process again what they hold."""

_SEASON_MONTHS = 3
_MOST_PERIODS = 1200


class Schedule(BaseModel):
    """What is made again by itself: the content of ROOT/refresh/NAME.json."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    name: Annotated[str, Field(description="What it is called.")]
    catalog: str = Field(min_length=1, description="Where scenes are looked for.")
    area: str | None = Field(
        None, description="WKT in degrees; all that a static catalogue covers if absent."
    )
    period_of: tuple[Rolling, ...] = Field(
        ("year",), min_length=1, description="Calendar periods that roll on."
    )
    since: str | None = Field(
        None, description="The first period that belongs to it, such as 2024 or 2025-03."
    )
    late_days: int = Field(
        30, ge=0, le=3660, description="Days after its end that a period is still looked at for late scenes."
    )
    active: bool = Field(True, description="Whether it runs by itself; one that is paused is kept.")
    cron: str = Field(REFRESH_CRON, min_length=9, description="When it looks for what is new, UTC.")
    rebuild_cron: str = Field(
        REBUILD_CRON, min_length=9, description="When it looks at every period since the first, UTC."
    )
    model: str = Field("starter", description="Name of a model.")
    sources: tuple[str, ...] = Field(INPUT_SOURCES, min_length=1, description="Sources to read.")
    encoder: str | None = Field(None, description="Address of an encoder; in process when absent.")
    agreement: bool = Field(True, description="As `earthfield embed --agreement`.")
    dtype: Literal["int8", "float16", "float32"] = Field("int8", description="As `earthfield embed --dtype`.")
    skip_unreadable: bool = Field(False, description="As `earthfield ingest --skip-unreadable`.")
    allow: tuple[str, ...] = Field((), description="As `earthfield ingest --allow`.")
    coregister: bool = Field(False, description="As `earthfield ingest --coregister`.")

    @field_validator("name", "model")
    @classmethod
    def _usable(cls, value: str) -> str:
        return checked_name(value)

    @field_validator("since")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        return None if value is None else str(Period.parse(value))

    def periods(self, at: datetime, *, whole: bool = False) -> tuple[Period, ...]:
        """Gives the periods that are looked at on a day.

        Args:
            at: the day.
            whole: every period since the first, instead of those that may still get scenes.

        Raises:
            InvalidInput: there are too many.
        """
        at = as_utc(at)
        since = Period.parse(self.since).start if self.since else None
        first = at - timedelta(days=self.late_days)
        if since is not None:
            first = since if whole else max(first, since)
        found = [period for kind in self.period_of for period in rolling(kind, min(first, at), at)]
        return tuple(sorted(set(found)))

    def request(self, catalog: Catalog, at: datetime, *, whole: bool = False) -> MapRequest:
        """Gives what has to be made on a day; see `periods`."""
        periods = tuple(str(period) for period in self.periods(at, whole=whole))
        own = self.model_dump(
            exclude={"name", "active", "area", "period_of", "since", "late_days", "cron", "rebuild_cron"}
        )
        return checked_request(MapRequest, root=catalog.root, aoi=self.area, periods=periods, **own)


class RefreshRequest(Request):
    """Stored schedules brought up to date."""

    name: str | None = Field(None, description="Which schedule; every one of the root when absent.")
    at: datetime | None = Field(None, description="Day that periods roll to; today when absent.")
    whole: bool = Field(
        False, description="Every period since the first, not only those that may still change."
    )

    @property
    def instant(self) -> datetime:
        """The day that periods roll to."""
        return datetime.now(UTC) if self.at is None else as_utc(self.at)

    @property
    def schedules(self) -> list[Schedule]:
        """What is to be brought up to date; errors as in `schedule_named`."""
        catalog = self.catalog_root
        names = [self.name] if self.name is not None else catalog.schedule_names()
        return [schedule_named(catalog, name) for name in names]


def rolling(kind: Rolling, first: datetime, last: datetime) -> list[Period]:
    """Lists the calendar periods of a kind from the one that holds `first` to the one that holds `last`.

    Seasons are those of meteorology: they begin in December, March, June and September.

    Raises:
        InvalidInput: there are more than 1,200.
    """
    found = [_containing(kind, first)]
    while found[-1].end <= last:
        found.append(_containing(kind, found[-1].end))
        if len(found) > _MOST_PERIODS:
            raise InvalidInput(
                f"more than {_MOST_PERIODS} periods since {first:%Y-%m-%d}: give a later --since"
            )
    return found


def _containing(kind: Rolling, instant: datetime) -> Period:
    if kind == "year":
        return Period.parse(f"{instant:%Y}")
    if kind == "month":
        return Period.parse(f"{instant:%Y-%m}")
    # Months since year 0, moved so that December is the first of a season.
    months = instant.year * 12 + instant.month
    first = months - months % _SEASON_MONTHS
    names = [f"{(one - 1) // 12:04d}-{(one - 1) % 12 + 1:02d}" for one in (first, first + _SEASON_MONTHS - 1)]
    return Period.parse("..".join(names))


def schedule_named(catalog: Catalog, name: str) -> Schedule:
    """Reads a stored schedule.

    Raises:
        NotFound: there is none of this name.
        BrokenArtefact: its file cannot be read.
    """
    path = catalog.schedule(name)
    if not path.is_file():
        have = ", ".join(catalog.schedule_names()) or "none"
        raise NotFound(
            f"there is no schedule {name!r} under {catalog.root} (there are: {have}): "
            f"`earthfield schedule add {name}` makes it"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema") != SCHEMA:
            raise KeyError("schema")
        return Schedule(**content)
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        words = str(error).splitlines()[0]
        raise BrokenArtefact(
            f"{path} is not a schedule of {SCHEMA} ({words}): remove it with `earthfield schedule remove {name}`"
        ) from error


def checked_schedule(**content: Any) -> Schedule:
    """Makes a schedule from outside values.

    Raises:
        InvalidInput: one sentence that names the field and what is wrong.
    """
    try:
        return Schedule(**content)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        where = ".".join(str(part) for part in first["loc"]) or "schedule"
        raise InvalidInput(str(cause) if cause else f"{where}: {first['msg']}") from error


def store_schedule(catalog: Catalog, schedule: Schedule, *, overwrite: bool = False) -> bool:
    """Stores a schedule; gives False where it was there just so.

    Raises:
        Conflict: another one has the name.
    """
    path = catalog.schedule(schedule.name)
    if path.is_file() and not overwrite:
        if schedule_named(catalog, schedule.name) == schedule:
            return False
        raise Conflict(f"{path} holds another schedule: take another name, or --overwrite")
    write_json(path, {"schema": SCHEMA, **schedule.model_dump(mode="json")})
    return True


def forget_schedule(catalog: Catalog, name: str) -> None:
    """Removes a schedule; what it made stays.

    Raises:
        NotFound: there is none of this name.
    """
    path = catalog.schedule(name)
    if not path.is_file():
        schedule_named(catalog, name)
    path.unlink(missing_ok=True)


def news_of(catalog: Catalog, name: str) -> dict[str, Any] | None:
    """Gives what was last new in a schedule, as its report has it; None where nothing was yet."""
    try:
        found = json.loads(catalog.report("refresh", name).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    except (OSError, ValueError):
        return None


def check_cron(text: str) -> str:
    """Gives a cron expression back if it is one: minute hour day month weekday, a sixth field for seconds.

    Raises:
        InvalidInput: it is not.
    """
    fields = text.split()
    try:
        if len(fields) not in (5, 6):
            raise ValueError
        for field, (low, high, names) in zip(fields, _CRON, strict=False):
            _check_cron_field(field, low, high, names)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is not a cron expression: minute hour day month weekday, such as '0 3 */5 * *'"
        ) from None
    return text


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_CRON: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 59, ()), (0, 23, ()), (1, 31, ()), (1, 12, _MONTHS), (0, 7, _DAYS), (0, 59, ()),
)  # fmt: skip
"""Least and greatest number, and names, of the fields of a cron expression."""


def _check_cron_field(text: str, low: int, high: int, names: Sequence[str]) -> None:
    """Raises ValueError where a field is none."""
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and not 1 <= int(step) <= high:
            raise ValueError
        if span == "*":
            continue
        ends = [
            names.index(one.lower()) + low if one.lower() in names else int(one) for one in span.split("-")
        ]
        if len(ends) > 2 or not all(low <= one <= high for one in ends) or ends != sorted(ends):
            raise ValueError
