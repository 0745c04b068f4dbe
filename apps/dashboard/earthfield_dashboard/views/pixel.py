"""What is known of one place: how it went through time, from which scenes, and its numbers."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import altair as alt
import streamlit as st

from earthfield.client import Place
from earthfield_dashboard.layers import Layer
from earthfield_dashboard.session import search
from earthfield_dashboard.words import degrees

_GREEN = "#0b6b50"


def show_place(layer: Layer, place: Place) -> None:
    """Shows what the maps know about a place.

    Args:
        layer: the map that is looked at.
        place: longitude and latitude.

    Raises:
        EarthfieldError: the search service does not answer, or has no vector there.
    """
    with st.spinner("Reading what is known of this place ..."):
        pixel = _pixel(layer.key, layer.model, layer.period_id, place)
        history = _history(layer.key, layer.model, place)
    st.subheader(degrees(pixel["lon"], pixel["lat"]))
    if not pixel["is_pixel"]:
        st.info("This pixel was never seen clearly; its numbers are the mean of its surroundings.")
    time, scenes, numbers = st.tabs(["Through time", f"Pictures behind it, {layer.period}", "Its 64 numbers"])
    with time:
        show_history(history)
    with scenes:
        _scenes(pixel)
    with numbers:
        _numbers(pixel)


@st.cache_data(show_spinner=False, max_entries=256, ttl=600)
def _pixel(_key: str, model: str, period_id: str, place: Place) -> dict[str, Any]:
    return search().embedding(model, period_id, place)


@st.cache_data(show_spinner=False, max_entries=256, ttl=600)
def _history(_key: str, model: str, place: Place) -> dict[str, Any]:
    return search().temporal(model, place)


def show_history(told: dict[str, Any]) -> None:
    """Shows how a place went through time.

    Args:
        told: the answer of the search service's /temporal.
    """
    rows = [one for one in told["moments"] if one["tile"]]
    if len(rows) < 2:
        st.info("One period only: make maps of others on the page *Area* to see how this place went on.")
    if told["changed"]:
        st.markdown(f"**It changed**: {', '.join(told['changed'])} differs from the period before.")
    elif len(rows) > 1:
        st.markdown("No period differs from the one before by more than this place's own noise.")
    if len(rows) > 1:
        st.altair_chart(_chart(rows, told["references"][0]))
    st.dataframe(
        [_row(one, told["references"][0], one["period"] in told["changed"]) for one in rows], hide_index=True,
        width="stretch",
        column_config={
            "alike": st.column_config.NumberColumn(
                "Like the first period", format="%.3f",
                help="Cosine to its vector of the first period; 1 is the same.",
            ),
            "distance": st.column_config.NumberColumn(
                "Distance to the period before", format="%.3f",
                help="After what all land has in common was removed.",
            ),
            "chance": st.column_config.NumberColumn(
                "By chance", format="%.3f", help="How likely that is without change."
            ),
            "agreement": st.column_config.NumberColumn(
                "Agreement", format="%.2f", help="Of vectors from two halves of the pictures; 1 is the same."
            ),
        },
    )  # fmt: skip
    for note in told["notes"]:
        st.caption(note)
    st.download_button(
        "Download the history (JSON)", json.dumps(told), file_name="timeline.json", mime="application/json",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _row(one: dict[str, Any], reference: str, is_changed: bool) -> dict[str, Any]:
    return {
        "Period": one["period"],
        "Changed": "yes" if is_changed else "no" if one["before"] else "–",
        "alike": one["similarity"].get(reference),
        "distance": one["distance"],
        "chance": one["false_alarm"],
        "agreement": one["agreement"],
        "Clear pictures": ", ".join(f"{count} {name}" for name, count in one["clear"].items() if count),
    }


def _chart(rows: list[dict[str, Any]], reference: str) -> alt.LayerChart:
    values = [{"period": one["period"], "alike": one["similarity"].get(reference)} for one in rows]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("period:O", sort=None, title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("alike:Q", title="like the first period", scale=alt.Scale(zero=False)),
    )
    points = base.mark_point(size=90, filled=True, color=_GREEN, shape="circle")
    words = base.mark_text(dy=-14, color="#16241f").encode(text=alt.Text("alike:Q", format=".2f"))
    return (base.mark_line(color=_GREEN) + points + words).properties(height=220)


def _scenes(told: dict[str, Any]) -> None:
    clear = {name.removeprefix("clear_"): count for name, count in told["quality"].items()}
    with st.container(horizontal=True, gap="medium"):
        for source, frames in told["scenes"].items():
            st.metric(
                source, f"{clear.get(source) or 0} of {len(frames)}", width="content",
                help="5-day steps that show this pixel clearly, of all in its tile.",
            )  # fmt: skip
    st.caption(f"5-day steps that show this pixel clearly, of those in tile {told['tile']}, by source.")
    rows = sorted(
        (
            {
                "acquired": frame["acquired"][:16].replace("T", " "),
                "source": source,
                "scenes": ", ".join(frame["items"]),
            }
            for source, frames in told["scenes"].items()
            for frame in frames
        ),
        key=lambda one: one["acquired"],
    )
    st.dataframe(
        rows, hide_index=True, width="stretch",
        column_config={"acquired": "Acquired, UTC", "source": "Source", "scenes": "Scenes (STAC items)"},
    )  # fmt: skip
    st.download_button(
        "Download the scenes (CSV)", _as_csv(rows), file_name="scenes.csv", mime="text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _numbers(told: dict[str, Any]) -> None:
    st.bar_chart(
        {"axis": [f"A{at:02d}" for at in range(len(told["embedding"]))], "value": told["embedding"]},
        x="axis", y="value", x_label="", y_label="", color=_GREEN, height=240,
    )  # fmt: skip
    st.code(", ".join(f"{value:.4f}" for value in told["embedding"]), language=None, wrap_lines=True)


def _as_csv(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["acquired", "source", "scenes"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
