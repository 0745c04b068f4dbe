"""A row that is chosen in a list of places: which one it is, and a ring around it on the map."""

from __future__ import annotations

from typing import Any

import folium
import streamlit as st

from earthfield.client import Place


def chosen_row(name: str, count: int) -> int | None:
    """Gives the row that is chosen in the list `name` of `count` rows, by its box or by any of its cells."""
    selection = (st.session_state.get(name) or {}).get("selection", {})
    rows = selection.get("rows") or [cell[0] for cell in selection.get("cells") or []]
    return int(rows[0]) if rows and rows[0] < count else None


def ring_layer(place: Place) -> Any:
    """Draws a ring around a place, wide enough to be seen around its mark."""
    lon, lat = place
    return folium.CircleMarker(
        (lat, lon), radius=21, color="#d00050", weight=4, fill=False, interactive=False
    )
