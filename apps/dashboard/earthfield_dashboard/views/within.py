"""Where a question is asked: everywhere, or inside what a person drew or typed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from earthfield.area import area_from_geojson
from earthfield.errors import EarthfieldError
from earthfield_dashboard.layers import Bounds
from earthfield_dashboard.words import hectares

TOOLS = ("rectangle", "polygon")
"""What the map of such a page lets people draw."""
_SIDES = ("West", "South", "East", "North")


def map_name(name: str) -> str:
    """Gives the name of the page's map: another one once an area was taken away, so that its drawing goes too."""
    return f"{name}-{st.session_state.get(f'{name}-cleared', 0)}"


def take_drawn(name: str, drawn: Mapping[str, Any] | None) -> None:
    """Takes what was just drawn, if anything was, as the area."""
    if drawn:
        st.session_state[f"{name}-area"] = dict(drawn)


def area_of(name: str) -> dict[str, Any] | None:
    """Gives the area as GeoJSON, or None for everywhere."""
    found: dict[str, Any] | None = st.session_state.get(f"{name}-area")
    return found


def ask_area(name: str, bounds: Bounds) -> dict[str, Any] | None:
    """Tells where the question is asked, and lets a person take that back or type a box.

    Args:
        name: of the page.
        bounds: of the map, where a typed box begins.

    Returns:
        GeoJSON, or None for everywhere.
    """
    area = area_of(name)
    if area is None:
        st.caption("**Where:** everywhere on this map. Draw a box or polygon on it to ask about a part.")
    else:
        told, clear = st.columns([3, 2], vertical_alignment="center")
        told.caption(f"**Where:** inside your shape, {_size(area)}.")
        if clear.button("Everywhere again", key=f"{name}-clear", icon=":material/close:"):
            st.session_state.pop(f"{name}-area", None)
            st.session_state[f"{name}-cleared"] = st.session_state.get(f"{name}-cleared", 0) + 1
            st.rerun()
    with st.expander("Type a box instead of drawing"), st.form(f"{name}-box", border=False):
        first, second = st.columns(2), st.columns(2)
        west, south, east, north = (
            at.number_input(side, value=value, format="%.6f", step=0.001, key=f"{name}-{side}")
            for side, value, at in zip(_SIDES, bounds, (*first, *second), strict=True)
        )
        if st.form_submit_button("Take this box"):
            _take_box(name, (west, south, east, north))
    return area


def _take_box(name: str, box: Bounds) -> None:
    west, south, east, north = box
    if not (west < east and south < north):
        st.warning("West must be less than east, and south less than north.", icon=":material/info:")
        return
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    st.session_state[f"{name}-area"] = {"type": "Polygon", "coordinates": [ring]}
    st.rerun()


def _size(area: Mapping[str, Any]) -> str:
    try:
        return hectares(area_from_geojson(json.dumps(area)).to_crs("EPSG:6933").area / 1e4)
    except EarthfieldError:
        # The service refuses such an area with the reason when it is asked.
        return "which crosses itself"
