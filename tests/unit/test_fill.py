"""Filled frames lie between what was seen, never across what was not measured."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import earthfield.fill
from earthfield.errors import InvalidInput
from earthfield.fill import DECAY_DAYS, fill, fill_arrays, middles
from earthfield.frames import SourceFrames
from earthfield.timeline import Period, step_of

NODATA = -32768
S2 = "sentinel-2-l2a"


def slowly(values, valid, acquired, instants, *, nearest=False, decay=DECAY_DAYS):  # type: ignore[no-untyped-def]
    """The obvious way: pixel by pixel, band by band, instant by instant."""
    num, bands, rows, cols = values.shape
    filled = np.full((len(instants), bands, rows, cols), NODATA, values.dtype)
    confidence = np.zeros((len(instants), rows, cols))
    for s, row, col in np.ndindex(len(instants), rows, cols):
        sure = []
        for band in range(bands):
            seen = sorted(
                (acquired[t], int(values[t, band, row, col]))
                for t in range(num)
                if valid[t, row, col] and values[t, band, row, col] != NODATA
            )
            if not seen:
                continue
            gaps = [abs((instants[s] - when) / np.timedelta64(1, "D")) for when, _ in seen]
            sure.append(np.exp(-min(gaps) / decay))
            before = [one for one in seen if one[0] <= instants[s]] or seen[:1]
            after = [one for one in seen if one[0] >= instants[s]] or seen[-1:]
            (t0, v0), (t1, v1) = before[-1], after[0]
            share = (instants[s] - t0) / (t1 - t0) if t1 > t0 else 0.0
            if nearest:
                share = float(share > 0.5)
            filled[s, band, row, col] = round(v0 + (v1 - v0) * float(share))
        confidence[s, row, col] = min(sure, default=0.0)
    return filled, confidence


@st.composite
def series(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num, wanted, bands = draw(st.integers(1, 8)), draw(st.integers(1, 6)), draw(st.integers(1, 3))
    hours = random.choice(24 * 200, num, replace=False)
    start = np.datetime64("2018-01-01", "us")
    acquired = start + hours * np.timedelta64(1, "h")
    instants = start + random.integers(-24 * 20, 24 * 220, wanted) * np.timedelta64(1, "h")
    instants[0] = acquired[0]
    values = random.integers(-2000, 12000, (num, bands, 3, 4)).astype(np.int16)
    values[random.random(values.shape) < draw(st.sampled_from([0.0, 0.3]))] = NODATA
    valid = random.random((num, 3, 4)) < draw(st.sampled_from([0.2, 0.7, 1.0]))
    return values, valid, acquired.astype("datetime64[us]"), instants.astype("datetime64[us]")


@settings(max_examples=80, deadline=None)
@given(series(), st.booleans())
def test_it_equals_the_obvious_way(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], nearest: bool
) -> None:
    method = "nearest" if nearest else "linear"
    values, confidence = fill_arrays(*drawn, nodata=NODATA, method=method)
    wanted, sure = slowly(*drawn, nearest=nearest)
    # A value halfway between two integers may round either way.
    assert np.abs(values.astype(int) - wanted).max() <= (0 if nearest else 1)
    assert ((values == NODATA) == (wanted == NODATA)).all()
    np.testing.assert_allclose(confidence, sure, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(series())
def test_at_its_own_instants_it_gives_what_was_seen_with_certainty(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    values, valid, acquired, _ = drawn
    filled, confidence = fill_arrays(values, valid, acquired, acquired, nodata=NODATA)
    seen = valid[:, None] & (values != NODATA)
    assert (filled[seen] == values[seen]).all()
    assert (confidence[seen.all(axis=1)] == 1.0).all()


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    values = random.integers(0, 9000, (6, 2, 37, 11)).astype(np.int16)
    valid = random.random((6, 37, 11)) < 0.5
    acquired = np.datetime64("2018-01-01", "us") + np.arange(6) * np.timedelta64(7, "D")
    whole = fill_arrays(values, valid, acquired, acquired + np.timedelta64(3, "D"), nodata=NODATA)
    monkeypatch.setattr(earthfield.fill, "_BLOCK_PX", 50)
    parts = fill_arrays(values, valid, acquired, acquired + np.timedelta64(3, "D"), nodata=NODATA)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


def frames(source: str = S2, *, values: list[int], when: list[str]) -> SourceFrames:
    stored = np.array(values, np.int16).reshape(-1, 1, 1, 1)
    days = np.array(when, "datetime64[us]")
    return SourceFrames(source, ("one",), stored, np.ones((len(values), 1, 1), bool), days, NODATA)


def test_confidence_falls_with_the_time_to_the_nearest_observation() -> None:
    seen = frames(values=[100, 300], when=["2018-03-01", "2018-05-01"])
    whole = fill(seen, period=Period.parse("2018-03..2018-05"))
    sure = whole.confidence[:, 0, 0]
    near = [min(days_between(one, "2018-03-01"), days_between(one, "2018-05-01")) for one in whole.instants]
    np.testing.assert_allclose(sure, np.exp(-np.array(near) / DECAY_DAYS), rtol=1e-5)
    assert (np.argsort(near) == np.argsort(-sure)).all()


def days_between(instant: np.datetime64, day: str) -> float:
    return float(abs(instant - np.datetime64(day, "us")) / np.timedelta64(1, "D"))


def test_without_instants_there_is_one_frame_a_step() -> None:
    year = Period.parse("2018")
    assert [step_of(one.astype(object)) for one in middles(year)] == list(year.steps)
    seen = frames(values=[100, 300], when=["2018-03-01", "2018-03-21"])
    steps = [step_of(one.astype(object)) for one in fill(seen).instants]
    assert steps == list(range(step_of(seen.acquired[0].astype(object)), steps[-1] + 1))
    assert steps[-1] == step_of(seen.acquired[-1].astype(object))


def test_classes_are_never_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from earthfield.sources import known_sources

    known = known_sources()
    cover = replace(known[S2], name="cover", classes={10: "trees", 30: "grass"})
    monkeypatch.setattr(earthfield.fill, "known_sources", lambda: {**known, "cover": cover})
    seen = frames("cover", values=[10, 30], when=["2018-03-01", "2018-03-21"])
    assert set(fill(seen).values.ravel().tolist()) == {10, 30}


def test_what_was_never_seen_stays_unknown() -> None:
    seen = frames(values=[100, 300], when=["2018-03-01", "2018-03-21"])
    dark = SourceFrames(S2, ("one",), seen.values, np.zeros_like(seen.valid), seen.acquired, NODATA)
    whole = fill(dark)
    assert (whole.values == NODATA).all()
    assert (whole.confidence == 0).all()
    nothing = fill(seen.take(np.zeros(2, bool)), period=Period.parse("2018-03"))
    assert (nothing.values == NODATA).all()
    assert (nothing.confidence == 0).all()


def test_floats_keep_their_fractions_and_nan_their_gaps() -> None:
    values = np.array([0.25, np.nan, 0.75], np.float32).reshape(3, 1, 1, 1)
    when = np.array(["2018-03-01", "2018-03-02", "2018-03-03"], "datetime64[us]")
    filled, confidence = fill_arrays(values, np.ones((3, 1, 1), bool), when, when, nodata=np.nan)
    assert filled.ravel().tolist() == [0.25, 0.5, 0.75]
    assert confidence[1, 0, 0] == pytest.approx(np.exp(-1 / DECAY_DAYS))


def test_what_does_not_fit_is_told() -> None:
    seen = frames(values=[100, 300], when=["2018-03-01", "2018-03-21"])
    with pytest.raises(InvalidInput, match="not both"):
        fill(seen, seen.acquired, period=Period.parse("2018"))
    with pytest.raises(InvalidInput, match="more than 0"):
        fill(seen, decay_days=0)
    with pytest.raises(InvalidInput, match="do not fit"):
        fill_arrays(seen.values, seen.valid, seen.acquired[:1], seen.acquired, nodata=NODATA)


def test_the_example_of_the_docstring_is_true() -> None:
    assert doctest.testmod(earthfield.fill).attempted > 5
    assert doctest.testmod(earthfield.fill).failed == 0
