"""What is asked on the page *Change*: two periods of a model, and what counts as changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from earthfield.timeline import Period
from earthfield_dashboard.layers import Layer
from earthfield_dashboard.words import hectares

_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_CALIBRATED, _MAD, _OTSU, _GIVEN = "calibrated", "mad", "otsu", "given"
_RULES = {
    _CALIBRATED: "Certain: at most so many false alarms",
    _MAD: "Striking: far from what is usual here",
    _OTSU: "Two kinds: split where the distances part",
    _GIVEN: "A distance that I choose",
}
_SEASONS = {"remove": "Leave out what all land did (the season)", "keep": "Count it as change too"}
_MOST_RATIO = 1.5
"""Periods of which one is longer than this many of the other compare badly."""


def choose_pair(there: Sequence[Layer]) -> tuple[Layer, Layer] | None:
    """Lets a person choose two periods of one model; None, and what to do, where no model has two."""
    pairs = {
        name: own
        for name in dict.fromkeys(one.model for one in there)
        if _has_pair(
            own := sorted((one for one in there if one.model == name), key=lambda one: one.period_id)
        )
    }
    if not pairs:
        st.info(
            "Change needs maps of **two periods** of the same land, made by the same model. Make another one on "
            "the page *Area*.", icon=":material/compare:",
        )  # fmt: skip
        return None
    name = st.selectbox("Model", list(pairs), key="change-model") if len(pairs) > 1 else next(iter(pairs))
    own = pairs[name]
    default = _usual(own)
    before_at, after_at = st.columns(2)
    before = before_at.selectbox(
        "Before", range(len(own)), index=default[0], key=f"change-before-{name}",
        format_func=lambda at: own[at].period,
    )  # fmt: skip
    others = [at for at in range(len(own)) if at != before and _share(own[before], own[at])]
    after = after_at.selectbox(
        "After", others, index=others.index(default[1]) if default[1] in others else len(others) - 1,
        key=f"change-after-{name}-{before}", format_func=lambda at: own[at].period,
    )  # fmt: skip
    if after is None:
        st.info("No other map touches the land of this one.", icon=":material/info:")
        return None
    _mind(own[before], own[after])
    return own[before], own[after]


def ask_rule() -> dict[str, Any]:
    """Lets a person say what counts as changed; gives fields of `POST /change`."""
    rule = st.radio("What counts as changed", list(_RULES), format_func=_RULES.__getitem__, key="change-rule")
    question: dict[str, Any] = {}
    if rule == _CALIBRATED:
        question |= {"rule": rule, "false_alarms": _rate()}
    elif rule == _GIVEN:
        question["threshold"] = st.slider(
            "Changed from this distance on", 0.02, 1.5, 0.4, step=0.02, key="change-threshold",
            help="1 - cosine of the two vectors: 0 is the same, 1 has nothing in common.",
        )  # fmt: skip
    else:
        question["rule"] = rule
        if rule == _MAD:
            question["num_sigmas"] = st.slider(
                "How striking", 2.0, 10.0, 4.0, step=0.5, key="change-sigmas",
                help="Robust standard deviations above the usual distance. More finds less.",
            )  # fmt: skip
    if rule != _CALIBRATED:
        st.caption("This says what stands out, not how likely it is to be a change.")
    question["season"] = st.radio(
        "What most of the land has in common", list(_SEASONS), format_func=_SEASONS.__getitem__,
        index=0 if rule == _CALIBRATED else 1, key=f"change-season-{rule == _CALIBRATED}",
    )  # fmt: skip
    question["min_pixels"] = st.slider(
        "Smallest patch, pixels", 1, 100, 5, key="change-smallest", help="A pixel is 10 m x 10 m, 0.01 ha."
    )
    st.caption(f"Patches below {hectares(question['min_pixels'] / 100)} are left out.")
    return question


def _rate() -> float:
    rate = st.select_slider(
        "False alarms that you accept, of unchanged land", _RATES, 0.01, format_func=lambda one: f"{one:.1%}",
        key="change-rate",
    )  # fmt: skip
    every = round(1 / rate)
    st.caption(
        f"Of {every:,} places where **nothing** changed, about **one** will be shown as changed by mistake: up to "
        f"{hectares(100 * rate)} in every km². A smaller share shows less by mistake, and misses more."
    )
    return float(rate)


def _has_pair(own: Sequence[Layer]) -> bool:
    return any(_share(first, second) for first in own for second in own if first is not second)


def _share(first: Layer, second: Layer) -> bool:
    return bool(set(first.tiles) & set(second.tiles))


def _usual(own: Sequence[Layer]) -> tuple[int, int]:
    """Gives the last two maps that share land, lie apart in time and are about as long; else any two."""
    found = [
        (_apart(own[first], own[second]), _alike(own[first], own[second]), second, first)
        for first in range(len(own))
        for second in range(first + 1, len(own))
        if _share(own[first], own[second])
    ]
    if not found:
        return 0, 0
    *_, second, first = max(found)
    return first, second


def _apart(first: Layer, second: Layer) -> bool:
    one, other = Period.from_id(first.period_id), Period.from_id(second.period_id)
    return one.end <= other.start or other.end <= one.start


def _alike(first: Layer, second: Layer) -> bool:
    lengths = [
        one.end - one.start for one in (Period.from_id(first.period_id), Period.from_id(second.period_id))
    ]
    return max(lengths) < _MOST_RATIO * min(lengths)


def _mind(before: Layer, after: Layer) -> None:
    """Says what two periods can hardly tell."""
    if not _apart(before, after):
        st.caption("⚠ These periods overlap: what happened in both of them cannot show as a change.")
    elif not _alike(before, after):
        st.caption("⚠ These periods differ much in length: compare years with years, halves with halves.")
    elif before.period_id > after.period_id:
        st.caption("⚠ The second period lies before the first.")
