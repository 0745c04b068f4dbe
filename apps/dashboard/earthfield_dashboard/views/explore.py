"""The page *Explore*: maps in colour, two under one line, how sure they are, and what a place went through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from earthfield.client import Place
from earthfield_dashboard.layers import Layer
from earthfield_dashboard.maps import ask_streets, field_tiles, place_layer, show_map, touched_on
from earthfield_dashboard.session import choose_layer, layers, take_map_in_address, told
from earthfield_dashboard.views.colours import Colours, ask_colours, show_meaning
from earthfield_dashboard.views.pixel import show_place

_PLACE = "explored-place"


def page() -> None:
    """Draws the page."""
    st.title("Explore")
    st.markdown(
        "Land in like colours did alike over the period. **Click the map** to see what a place went through, and "
        "from which satellite pictures that is known."
    )
    there = layers()
    if there is None:
        return
    left, right = st.columns([3, 2], gap="medium")
    take_map_in_address()
    with right:
        layer = choose_layer(there)
        other = _other(there, layer)
        colours = ask_colours(layer)
        _typed_place(layer)
        ask_streets()
    if clicked := touched_on(_map_name(layer)).clicked:
        st.session_state[_PLACE] = clicked
    place: Place | None = st.session_state.get(_PLACE)
    with left:
        _map(layer, other, colours, place)
        show_meaning(colours, layer, other)
    if place:
        with told():
            show_place(layer, place)


def _map(layer: Layer, other: Layer | None, colours: Colours, place: Place | None) -> None:
    over: list[Any] = []
    if other:
        over.append(field_tiles(layer, side="left", **colours.as_tiles()))
        over.append(field_tiles(other, side="right", **colours.as_tiles_beside(layer, other)))
    else:
        over.append(field_tiles(layer, **colours.as_tiles()))
    over += [place_layer(place)] if place else []
    show_map(_map_name(layer), layer.bounds, over=over)


def _map_name(layer: Layer) -> str:
    return f"explore-{layer.key}"


def _other(there: Sequence[Layer], layer: Layer) -> Layer | None:
    """Lets a person choose a second map, which lies right of a line over the first."""
    others = [one for one in there if one.key != layer.key]
    is_wanted = st.toggle(
        "Compare with another map", disabled=not others, key="explore-compare",
        help="A line divides the map: drag it, or move it with the arrow keys."
        if others
        else "There is one map only: make one of another period on the page *Area*.",
    )  # fmt: skip
    if not (is_wanted and others):
        return None
    return choose_layer(others, title="Right of the line", name="explore-other")


def _typed_place(layer: Layer) -> None:
    with st.expander("Type a place instead of clicking"), st.form("place-form", border=False):
        west, south, east, north = layer.bounds
        lon_at, lat_at = st.columns(2)
        lon = lon_at.number_input("Longitude", -180.0, 180.0, (west + east) / 2, 0.001, format="%.6f")
        lat = lat_at.number_input("Latitude", -90.0, 90.0, (south + north) / 2, 0.001, format="%.6f")
        if st.form_submit_button("Show this place"):
            st.session_state[_PLACE] = (lon, lat)
