"""How a training went: losses, errors by sensor, health and pace over its steps."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from earthfield_dashboard.views.charts import draw_lines

_PARTS = {
    "loss": ("Losses", "What is made small, and its parts. Falling and then level is how it should look."),
    "source": ("Error by sensor", "How far what is drawn from a vector lies from what the sensor measured."),
    "health": (
        "Health of the vectors",
        "Measured now and then; *The model in words* says what each figure means.",
    ),
    "course": ("Course", "Gradient, learning rate and speed."),
}
_FIRST_CURVES = {"course": ("gradient", "rate")}
"""What is drawn first where the curves of a part have different units."""
_APART = ("health/effective_rank",)
"""So much larger than the others of its part that these would lie on the ground."""


def show_curves(model: str, told: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Shows the curves of a training, or what is known where its log is absent.

    Args:
        model: its name.
        told: its curves.
        report: its report.
    """
    if not told["curves"]:
        _without_log(model, report["figures"])
        return
    st.markdown(f"{told['steps']:,} steps were logged. A point is the mean of a stretch of steps.")
    parts = [one for one in _PARTS if any(curve["part"] == one for curve in told["curves"])]
    part = st.radio("Show", parts, format_func=lambda one: _PARTS[one][0], horizontal=True, key="curves-part")
    own = [one for one in told["curves"] if one["part"] == part]
    names = [one["name"] for one in own]
    first = [one for one in names if one in _FIRST_CURVES.get(part, names) and one not in _APART]
    chosen = st.multiselect(
        "Curves", names, default=first, format_func=curve_name, key=f"curves-{model}-{part}"
    )
    is_log = st.toggle("Logarithmic scale", value=part == "course", key=f"curves-log-{part}")
    st.caption(_PARTS[part][1])
    shown = [one for one in own if one["name"] in chosen]
    if not shown:
        st.info("Choose a curve above.", icon=":material/info:")
    else:
        _draw(shown, part, is_log)
    st.download_button(
        "Curves (CSV)", _csv(told["curves"]), file_name=f"{model}-curves.csv", mime="text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def curve_name(name: str) -> str:
    """Gives a curve's name as people read it."""
    kind, _, rest = name.partition("/")
    words = {"l1": "error of {}", "ce": "wrong classes of {}", "health": "{}"}
    return words[kind].format(rest.replace("_", " ")) if rest and kind in words else name.replace("_", " ")


def _draw(shown: Sequence[Mapping[str, Any]], part: str, is_log: bool) -> None:
    rows = [
        {"step": step, "value": value, "curve": curve_name(one["name"])}
        for one in shown
        for step, value in zip(one["steps"], one["values"], strict=True)
        if value > 0 or not is_log
    ]
    words = ", ".join(
        f"{curve_name(one['name'])} from {one['values'][0]:.3g} to {one['values'][-1]:.3g}" for one in shown
    )
    names = [curve_name(one["name"]) for one in shown]
    draw_lines(rows, names, y=_PARTS[part][0].lower(), is_log=is_log, alt=f"{_PARTS[part][0]}: {words}")


def _without_log(model: str, figures: Mapping[str, Any] | None) -> None:
    if not figures or not figures["first"]:
        st.info(
            f"No training of *{model}* was logged here. `earthfield train --name {model}` writes one as it goes.",
            icon=":material/show_chart:",
        )
        return
    st.info(
        "The log of this training did not come along with the model; this is what its figures keep of it.",
        icon=":material/show_chart:",
    )
    rows = [
        {"figure": curve_name(name), "first 50 steps": figures["first"].get(name), "last 50 steps": value}
        for name, value in figures["last"].items()
        if name not in ("seconds",)
    ]
    number = st.column_config.NumberColumn(format="%.4f")
    st.dataframe(
        rows, hide_index=True, width="stretch", alt="Means of the first and the last 50 steps",
        column_config={"first 50 steps": number, "last 50 steps": number},
    )  # fmt: skip


def _csv(curves: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["curve", "step", "value"])
    for one in curves:
        for step, value in zip(one["steps"], one["values"], strict=True):
            table.writerow([one["name"], step, value])
    return text.getvalue()
