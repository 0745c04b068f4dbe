"""Charts that colour-blind people can read: lines and points differ by colour and by dash or shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A6D00")
"""Okabe and Ito's, the darker ones first; the last one is ours."""
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [12, 4], [4, 4, 1, 4], [3, 6], [10, 2])


def draw_lines(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], *, y: str, is_log: bool, alt: str
) -> None:
    """Draws lines over steps.

    Args:
        rows: `step`, `value`, `curve` each.
        names: the curves, in the order of the legend.
        y: what the values are.
        is_log: whether equal factors are equally far apart.
        alt: what the chart shows, for those who hear it.
    """
    dashes = [_DASHES[place % len(_DASHES)] for place in range(len(names))]
    spec = {
        "mark": {"type": "line", "interpolate": "linear", "strokeWidth": 2, "tooltip": True},
        "height": 420,
        "encoding": {
            "x": {"field": "step", "type": "quantitative", "title": "step"},
            "y": {
                "field": "value", "type": "quantitative", "title": y,
                "scale": {"type": "log" if is_log else "linear", "zero": False},
            },
            "color": {
                "field": "curve", "type": "nominal", "scale": {"domain": list(names), "range": _colours(names)},
                "legend": {"orient": "bottom", "columns": 2, "title": None, "labelLimit": 220, "symbolSize": 400},
            },
            "strokeDash": {
                "field": "curve", "type": "nominal", "scale": {"domain": list(names), "range": dashes},
            },
        },
    }  # fmt: skip
    st.vega_lite_chart(list(rows), spec, width="stretch", alt=alt)


def draw_scores(
    rows: Sequence[Mapping[str, Any]], order: Sequence[str], groups: Sequence[str], *, chance: float, alt: str
) -> None:
    """Draws scores as points with their error, one line for each description.

    Args:
        rows: `described by`, `labels`, `score`, `low`, `high` each, %.
        order: descriptions, from above.
        groups: values of `labels`, in the order of the legend.
        chance: what guessing scores, %.
        alt: what the chart shows, for those who hear it.
    """
    shapes = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
    y = {
        "field": "described by", "type": "nominal", "sort": list(order), "title": None,
        "axis": {"labelLimit": 150, "grid": True},
    }  # fmt: skip
    colour = {
        "field": "labels", "type": "nominal", "scale": {"domain": list(groups), "range": _colours(groups)},
        "legend": {"orient": "bottom", "title": None, "columns": 1, "labelLimit": 260},
    }  # fmt: skip
    shape = {
        "field": "labels", "type": "nominal",
        "scale": {"domain": list(groups), "range": [shapes[at % 6] for at in range(len(groups))]},
    }  # fmt: skip
    x = {
        "type": "quantitative", "title": "rightly named, % (mean of the classes)",
        "scale": {"zero": False, "nice": False, "padding": 12},
    }  # fmt: skip
    spec = {
        "height": 90 + 26 * len(groups) + 40 * len(order),
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": colour},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1, "tooltip": True},
                "encoding": {"y": y, "x": {**x, "field": "score"}, "color": colour, "shape": shape},
            },
            {
                "data": {"values": [{"chance": chance}]},
                "mark": {"type": "rule", "strokeDash": [4, 4], "color": "#5b6b64"},
                "encoding": {"x": {**x, "field": "chance"}},
            },
        ],
    }  # fmt: skip
    st.vega_lite_chart(list(rows), spec, width="stretch", alt=alt)


def _colours(names: Sequence[str]) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(len(names))]
