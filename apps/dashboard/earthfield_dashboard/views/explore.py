"""The page *Explore*: the map in colour, and what a click on it answers."""

from __future__ import annotations

from typing import Any

import folium
import streamlit as st
from streamlit_folium import st_folium

from earthfield.errors import EarthfieldError
from earthfield_dashboard.client import Heat, Layer, Place
from earthfield_dashboard.render import hit_layers, map_of, picture_layer, place_layer
from earthfield_dashboard.session import heat, key_of, picture, search, told
from earthfield_dashboard.views.similar import show_pixel, show_similar

_STYLES = {"Principal colours": "pca", "Bands A01, A16, A09": "axes"}
_APART_M = (0, 50, 100, 250, 500, 1000)
_MAP_HEIGHT = 520


def page() -> None:
    """Draws the page."""
    st.title("Explore")
    st.markdown(
        "Pixels in like colours did alike over the period. **Click the map** to find where it is alike."
    )
    layers: list[Layer] | None = None
    with told():
        layers = search().layers()
    if layers is None:
        return
    if not layers:
        st.info("There is no map yet. Make one on the page *Area & run*.", icon=":material/map:")
        return
    left, right = st.columns([3, 2], gap="medium")
    with right:
        layer, style, opacity = _controls(layers)
        k, apart_m, with_heat = _question()
        _typed_place(layer)
    place: Place | None = st.session_state.get("place")
    found, warmth, trouble = _answers(layer, place, k=k, apart_m=apart_m, with_heat=with_heat)
    with left:
        _map(layer, style, opacity, place, found, warmth)
        if warmth:
            _scale(warmth)
    if trouble:
        st.warning(trouble, icon=":material/info:")
    if place and found:
        similar, pixel = st.tabs(["Similar places", "This place"])
        with similar:
            show_similar(found)
        with pixel, told():
            show_pixel(search().embedding(layer, place))


def _controls(layers: list[Layer]) -> tuple[Layer, str, float]:
    wanted_model, wanted_periods = st.session_state.pop("wanted", (None, ()))
    for number, one in enumerate(layers):
        if one.model == wanted_model and one.period in wanted_periods:
            st.session_state["layer"] = number
    if st.session_state.get("layer", 0) >= len(layers):
        st.session_state["layer"] = 0
    st.subheader("Map")
    number = st.selectbox(
        "Period and model", range(len(layers)), format_func=lambda at: layers[at].title, key="layer"
    )
    style = st.radio(
        "Colours", list(_STYLES), horizontal=True,
        help="The three widest directions of the 64 numbers, or three of the numbers as they are.",
    )  # fmt: skip
    opacity = st.slider("Opacity of the map, %", 0, 100, 100, step=5)
    return layers[number], _STYLES[style], opacity / 100


def _question() -> tuple[int, int, bool]:
    st.subheader("Similar places")
    count_at, apart_at = st.columns(2)
    k = count_at.number_input("How many", 1, 200, 20)
    apart_m = apart_at.selectbox(
        "At least apart", _APART_M, index=2, format_func=lambda one: f"{one} m" if one else "any distance"
    )
    with_heat = st.toggle("Similarity of every pixel, as a heat map", value=True)
    return int(k), apart_m, with_heat


def _typed_place(layer: Layer) -> None:
    with st.expander("Type a place instead of clicking"), st.form("place-form", border=False):
        west, south, east, north = layer.bounds
        lon_at, lat_at = st.columns(2)
        lon = lon_at.number_input("Longitude", value=(west + east) / 2, format="%.6f", step=0.001)
        lat = lat_at.number_input("Latitude", value=(south + north) / 2, format="%.6f", step=0.001)
        if st.form_submit_button("Find what is similar"):
            st.session_state["place"] = (lon, lat)


def _answers(
    layer: Layer, place: Place | None, *, k: int, apart_m: int, with_heat: bool
) -> tuple[dict[str, Any] | None, Heat | None, str]:
    if place is None:
        return None, None, ""
    try:
        found = search().similar(layer, place, k=k, apart_m=apart_m)
        return found, heat(layer, key_of(layer), place) if with_heat else None, ""
    except EarthfieldError as error:
        return None, None, str(error)


def _map(
    layer: Layer,
    style: str,
    opacity: float,
    place: Place | None,
    found: dict[str, Any] | None,
    warmth: Heat | None,
) -> None:
    over = folium.FeatureGroup()
    with told(), st.spinner("Painting the map"):
        png, bounds = picture(layer, key_of(layer), style)
        if warmth:
            picture_layer(warmth.png, bounds, opacity=opacity, name="Similarity to the place").add_to(over)
        else:
            picture_layer(png, bounds, opacity=opacity, name=f"Map of {layer.title}").add_to(over)
    if found:
        for mark in reversed(hit_layers(found["features"])):
            mark.add_to(over)
    if place:
        place_layer(place).add_to(over)
    shown = map_of(layer.bounds, with_tiles=st.session_state.get("explore_tiles", False))
    answer = st_folium(
        shown, key=f"explore-{key_of(layer)}", height=_MAP_HEIGHT, use_container_width=True,
        feature_group_to_add=over, returned_objects=["last_clicked"],
    )  # fmt: skip
    st.checkbox("OpenStreetMap as background (needs the internet)", key="explore_tiles")
    _take(answer.get("last_clicked"))


def _take(clicked: dict[str, float] | None) -> None:
    """Makes a new click the place that is asked about."""
    if not clicked or clicked == st.session_state.get("last_click"):
        return
    st.session_state["last_click"] = clicked
    st.session_state["place"] = (clicked["lng"], clicked["lat"])
    st.rerun()


def _scale(warmth: Heat) -> None:
    digits = 2 if warmth.high - warmth.low > 0.05 else 5
    st.html(
        '<div class="earthfield-scale" role="img" aria-label="Colours of similarity: dark is low, yellow is high">'
        f"<span>less alike {warmth.low:.{digits}f}</span><i></i><span>{warmth.high:.{digits}f} alike</span></div>"
    )
    st.caption("Red: the place you asked about. Numbers: the places most like it, by rank.")
