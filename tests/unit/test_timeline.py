"""Steps never shift, and periods mean what people write."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthfield.errors import InvalidInput
from earthfield.timeline import EPOCH, Period, hull, step_of, step_start

INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(INSTANTS)
def test_every_instant_lies_in_its_step(instant: datetime) -> None:
    step = step_of(instant)
    assert step_start(step) <= instant < step_start(step + 1)


def test_steps_count_days_since_1970_by_five() -> None:
    assert step_of(EPOCH) == 0
    assert step_of(datetime(1970, 1, 5, 23, 59, tzinfo=UTC)) == 0
    assert step_of(datetime(1970, 1, 6)) == 1
    assert step_of(datetime(2018, 1, 1)) == 17532 // 5


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2018", "2018-01-01", "2019-01-01"),
        ("2018-03", "2018-03-01", "2018-04-01"),
        ("2018-12", "2018-12-01", "2019-01-01"),
        ("2018-03..2018-09", "2018-03-01", "2018-10-01"),
        ("2017..2018", "2017-01-01", "2019-01-01"),
        ("2018-03-01/2018-09-15", "2018-03-01", "2018-09-15"),
    ],
)
def test_a_period_is_read_as_written(text: str, start: str, end: str) -> None:
    period = Period.parse(text)
    assert (f"{period.start:%Y-%m-%d}", f"{period.end:%Y-%m-%d}") == (start, end)
    assert Period.parse(str(period)) == period


@given(INSTANTS, st.timedeltas(timedelta(seconds=1), timedelta(days=2000)))
def test_a_period_survives_its_name(start: datetime, length: timedelta) -> None:
    start = start.replace(microsecond=0)
    period = Period(start, start + timedelta(seconds=int(length.total_seconds())))
    assert Period.from_id(period.id) == period
    assert Period.parse(str(period)) == period
    assert step_of(period.start) in period.steps
    assert step_of(period.end - timedelta(seconds=1)) == period.steps[-1]


@pytest.mark.parametrize(
    "text", ["", "18", "2018-13", "2018-02-30/2018-03-01", "2019..2018", "2018-3", "2018-01-01", "a/b/c"]
)
def test_a_malformed_period_is_told(text: str) -> None:
    with pytest.raises(InvalidInput):
        Period.parse(text)


def test_a_period_is_half_open() -> None:
    period = Period.parse("2018")
    assert period.start in period
    assert period.end not in period
    assert hull([Period.parse("2018-05"), Period.parse("2018-02")]) == Period.parse("2018-02..2018-05")
