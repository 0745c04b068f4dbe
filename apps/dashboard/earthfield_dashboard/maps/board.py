"""The map on a page: what lies over it goes in, clicks and drawings come out, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import folium
import streamlit as st
from streamlit_folium import st_folium

from earthfield.client import Place
from earthfield_dashboard.layers import Bounds
from earthfield_dashboard.maps.drawing import base_map, street_tiles

_NEAR_ZOOM = 16
_STREETS = "kept-streets"


@dataclass(frozen=True)
class Touched:
    """What a person just did on a map."""

    clicked: Place | None = None
    """Where it was clicked, longitude and latitude, once for each click."""
    drawn: Mapping[str, Any] | None = None
    """The GeoJSON geometry that was drawn, once for each drawing."""


def show_map(
    name: str,
    bounds: Bounds,
    *,
    over: Sequence[Any] = (),
    tools: Sequence[str] = (),
    height: int = 520,
    look_at: Place | None = None,
) -> None:
    """Shows a map; `touched_on` tells what is done on it.

    Args:
        name: of the map; the same name keeps position and zoom while what lies over it changes.
        bounds: what it shows first, degrees.
        over: layers, lowest first.
        tools: what can be drawn: "rectangle", "polygon", "marker".
        height: in CSS pixels.
        look_at: a place that it moves to, once for each place.
    """
    group = folium.FeatureGroup()
    if st.session_state.get(_STREETS, False):
        street_tiles().add_to(group)
    for one in over:
        one.add_to(group)
    st_folium(
        base_map(bounds, tools=tools), key=_key(name), height=height,
        use_container_width=True, feature_group_to_add=group,
        center=(look_at[1], look_at[0]) if look_at else None, zoom=_NEAR_ZOOM if look_at else None,
        returned_objects=["last_clicked", "last_active_drawing"] if tools else ["last_clicked"],
    )  # fmt: skip


def touched_on(name: str) -> Touched:
    """Gives what was done on a map since this was last asked.

    It is known before the map is shown again, so a page that asks first draws everything once.
    """
    told = st.session_state.get(_key(name)) or {}
    clicked = _once(f"{name}-clicked", told.get("last_clicked"))
    drawn = _once(f"{name}-drawn", told.get("last_active_drawing"))
    return Touched(
        (clicked["lng"], clicked["lat"]) if clicked else None, drawn["geometry"] if drawn else None
    )


def ask_streets() -> None:
    """Lets a person lay streets and names under every map of the session."""
    st.session_state[_STREETS] = st.toggle(
        "Streets and names below", value=st.session_state.get(_STREETS, False), key="streets",
        help="From OpenStreetMap, over the internet. Without it Earthfield asks no other computer for anything.",
    )  # fmt: skip


def _key(name: str) -> str:
    """Where the session keeps what a map told last."""
    return f"map-{name}"


def _once(name: str, told: dict[str, Any] | None) -> dict[str, Any] | None:
    """Gives what the map told unless it was taken before."""
    if not told or told == st.session_state.get(name):
        return None
    st.session_state[name] = told
    return told
