"""What a model says of itself, in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

_HEALTH = {
    "effective_rank": ("Directions in use", "How many of the 64 directions are used; 1 would be a collapse."),
    "mean_norm": ("Pull to one side", "0 is centred; near 1 all places look the same."),
    "sample_mean_norm": ("Sameness inside a place", "Near 1 there is no detail inside a place."),
    "nearest": ("Nearest pixel", "Distance to the pixel most alike; 0 would be a heap of equal ones."),
    "nearest_across": ("Nearest elsewhere", "Distance to the most alike pixel of another place."),
    "period_response": ("Answer to time", "How far half years lie apart; 0 is blind to time."),
    "sample_spread": ("Spread of places", "Mean distance between pixels of different places."),
}
_PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)


def show_card(model: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Shows what a model is, and its card.

    Args:
        model: as the list of models has it.
        report: its report.
    """
    for line in in_words(model, report):
        st.markdown(line)
    figures = report["figures"] or {}
    if figures.get("health"):
        st.subheader("Health of its vectors")
        st.dataframe(
            [_health_row(name, value) for name, value in figures["health"].items()], hide_index=True,
            width="stretch", alt="Health of the vectors at the end of the training",
            column_config={"value": st.column_config.NumberColumn("value", format="%.3f")},
        )  # fmt: skip
    if report["card"]:
        with st.expander("Its card, as it was written"):
            st.markdown(plain_card(report["card"]))
            st.download_button(
                "Card (Markdown)", report["card"], file_name=f"{report['model']}-card.md", mime="text/markdown",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip
    elif not figures:
        st.info(
            "Nothing is known of how this model was made: its fields were imported, or its folder holds no card.",
            icon=":material/help:",
        )


def in_words(model: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    """Gives what a model is as sentences."""
    figures, name = report["figures"] or {}, report["model"]
    lines = [f"**{name}** came with Earthfield."] if report["bundled"] else []
    if figures.get("parameters"):
        size = f" It is of the size *{figures['preset']}*." if figures.get("preset") else ""
        lines.append(f"It has {figures['parameters']:,} learned numbers.{size}")
    if figures.get("steps") and figures.get("seconds"):
        lines.append(
            f"It was trained for {_duration(figures['seconds'])}: {figures['steps']:,} steps"
            + (f" over {figures['samples']:,} samples" if figures.get("samples") else "")
            + f"{_places(figures.get('data') or {})}."
        )
    periods = model["periods"]
    lines.append(
        f"There are maps of it: {', '.join(periods)}."
        if periods
        else "There is no map of it yet; *Area* makes one."
    )
    if model.get("texts"):
        lines.append("It understands words: *Similar* takes a text.")
    return lines


def plain_card(card: str) -> str:
    """Gives a card as it may stand on a page: headings in bold, and no pictures, which other hosts might hold."""
    return _HEADING.sub(r"\n**\1**\n", _PICTURE.sub("", card).replace("![", "["))


def _places(data: Mapping[str, Any]) -> str:
    if not data:
        return ""
    km2 = sum(one["square_km"] for one in data.values())
    return f", on {len(data)} place{'s' if len(data) != 1 else ''} of {km2:,.0f} km² together"


def _duration(seconds: float) -> str:
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _health_row(name: str, value: float) -> dict[str, Any]:
    title, meaning = _HEALTH.get(name, (name.replace("_", " "), ""))
    return {"figure": title, "value": value, "what it means": meaning}
