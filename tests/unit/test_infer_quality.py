"""What is told of every pixel: counts, days, and how well two halves of the frames agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earthfield.frames import SourceFrames
from earthfield.timeline import Period
from earthfield_infer.quality import agreement, days_to_nearest, halves

MAY = Period.parse("2018-05")


def frames_at(days: list[str], valid: list[list[bool]], name: str = "s") -> SourceFrames:
    """Frames of a row of pixels."""
    seen = np.array(valid, bool).reshape(len(days), 1, -1)
    values = np.arange(seen.size, dtype=np.int16).reshape(len(days), 1, 1, -1)
    return SourceFrames(name, ("a",), values, seen, np.array(days, "datetime64[us]"), -1)


def test_days_count_from_the_middle_of_the_valid_period_to_the_nearest_clear_frame() -> None:
    # The middle of May is the 16th, 12:00.
    one = frames_at(
        ["2018-03-01T12:00", "2018-05-14T12:00", "2018-05-20T12:00"],
        [[True, True, True, False], [False, True, False, False], [False, True, True, False]],
    )
    assert days_to_nearest(one, MAY).tolist() == [[76, 2, 4, 65535]]


def test_frames_after_and_before_the_period_count_alike() -> None:
    one = frames_at(["2018-05-06T12:00", "2018-05-26T12:00"], [[True, False], [False, True]])
    assert days_to_nearest(one, MAY).tolist() == [[10, 10]]


@given(st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_halves_are_disjoint_complete_and_even(one: int, other: int) -> None:
    def made(count: int, name: str) -> SourceFrames:
        days = [str(np.datetime64("2018-01-01") + 5 * day) for day in range(count)]
        return frames_at(days, [[True, False]] * count, name)

    frames = {"a": made(one, "a"), "b": made(other, "b")}
    first, second = halves(frames)
    for name, whole in frames.items():
        dealt = [first[name].acquired, second[name].acquired]
        assert np.array_equal(np.sort(np.concatenate(dealt)), whole.acquired)
        assert len(dealt[0]) - len(dealt[1]) in (0, 1)
        # Alternately: between two of the one lies one of the other.
        assert (dealt[0][1:] > dealt[1][: len(dealt[0]) - 1]).all()


def test_agreement_is_a_cosine_and_missing_where_either_is() -> None:
    one = np.array([[1, 0], [0, 1], [0.6, 0.8], [np.nan, np.nan]], np.float32)
    other = np.array([[1, 0], [1, 0], [0.6, 0.8], [1, 0]], np.float32)
    assert agreement(one, other) == pytest.approx([1, 0, 1, np.nan], nan_ok=True)
    assert np.nanmax(agreement(one, other)) <= 1
