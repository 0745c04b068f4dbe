"""The page *Classify*: a handful of places that somebody names become a map of every pixel."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from earthfield.client import Place
from earthfield_dashboard.layers import Layer
from earthfield_dashboard.maps import Touched, geometry_layer, show_map, touched_on
from earthfield_dashboard.session import choose_layer, layers, search, told
from earthfield_dashboard.views.chosen import ring_layer
from earthfield_dashboard.views.classify_files import show_kept, show_upload
from earthfield_dashboard.views.classify_found import chosen_place, show_found, show_suggestions
from earthfield_dashboard.views.classify_labels import (
    PROPERTY,
    WHEN,
    Label,
    Sheet,
    add_class,
    add_labels,
    add_place,
    can_undo,
    erase_near,
    remove_all,
    sheet,
    undo,
)
from earthfield_dashboard.views.classify_map import (
    CLASSES,
    SURE,
    VIEWS,
    base_layers,
    is_too_many,
    label_layers,
    suggestion_layers,
    swatch,
)
from earthfield_dashboard.views.within import TOOLS, area_of, ask_area, map_name, take_drawn

_ACTIVE = "classify-active"
_ERASE, _WITHIN = "Erase", "Map only here"
_METHODS = {"From a few labels to many": "linear", "Most like the nearest labels": "knn", "Forest": "forest"}
_DOUBTS = {"Two classes are near one another": "margin", "All classes are even": "entropy"}
_KEPT_S = 1800


def page() -> None:
    """Draws the page."""
    st.title("Classify")
    st.markdown(
        "**Name your classes, click places of each, and every pixel is told**, with how sure that is. Ten places "
        "a class are a good start."
    )
    there = layers()
    if there is None:
        return
    left, right = st.columns([3, 2], gap="medium")
    with right:
        layer = choose_layer(there)
        _take(touched_on(_map_name(layer)))
        now = sheet()
        _from_elsewhere(now, layer)
        options = _options(layer)
        answer = _asked(layer, now, options)
    name = f"classify-next-{answer['links'][0]['href'] if answer else ''}"
    with left:
        _class_form()
        _choose_active(now)
        _map(layer, now, answer, chosen_place(answer, name))
    if answer:
        show_suggestions(answer, now, name)
        show_found(answer, now)


def _class_form() -> None:
    with st.form("classify-class", clear_on_submit=True, border=False):
        name_at, add_at = st.columns([3, 2], vertical_alignment="bottom")
        name = name_at.text_input("Name of a new class", max_chars=60, placeholder="maize")
        if add_at.form_submit_button("Add class", icon=":material/add:", width="stretch") and name.strip():
            add_class(name)
            st.session_state[_ACTIVE] = name.strip()
            st.rerun()


def _from_elsewhere(now: Sheet, layer: Layer) -> None:
    undo_at, clear_at = st.columns(2)
    undo_at.button("Undo", icon=":material/undo:", on_click=undo, disabled=not can_undo(), width="stretch")
    clear_at.button(
        "Start again",
        icon=":material/restart_alt:",
        on_click=remove_all,
        disabled=now == Sheet(),
        width="stretch",
    )
    with st.expander("Labels from a file"):
        show_upload()
    with st.expander("Kept labels"):
        show_kept(now)
    with st.expander("Type a place instead of clicking"):
        _typed_place(now, layer)


def _typed_place(now: Sheet, layer: Layer) -> None:
    if not now.classes:
        st.caption("Add a class first.")
        return
    with st.form("classify-place", border=False):
        west, south, east, north = layer.bounds
        lon_at, lat_at = st.columns(2)
        lon = lon_at.number_input("Longitude", -180.0, 180.0, (west + east) / 2, format="%.6f", step=0.001)
        lat = lat_at.number_input("Latitude", -90.0, 90.0, (south + north) / 2, format="%.6f", step=0.001)
        name = st.selectbox("Its class", now.classes)
        if st.form_submit_button("Label this place", icon=":material/add_location:"):
            add_place((lon, lat), name)
            st.rerun()


def _options(layer: Layer) -> dict[str, Any]:
    with st.expander("How"):
        method = st.selectbox(
            "Learn",
            list(_METHODS),
            help="Nearest labels suit one to ten a class; a forest suits ranges of values.",
        )
        count = st.slider("Places to label next", 0, 50, 8, help="Where the map is least sure.")
        doubt = st.selectbox("Such a place is one where", list(_DOUBTS), disabled=not count)
        ask_area("classify", layer.bounds)
    return {
        "method": _METHODS[method],
        "suggest": count,
        "doubt": _DOUBTS[doubt],
        "area": area_of("classify"),
    }


def _asked(layer: Layer, now: Sheet, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Makes the map when asked to; gives what was made last on this layer."""
    missing = _missing(now)
    body = {
        "labels": now.content, "column": PROPERTY, "period_column": WHEN if now.has_dates else None,
        "colours": {one: now.colour(one) for one in now.classes}, **options,
    }  # fmt: skip
    if st.button(
        "Make the map of classes",
        type="primary",
        icon=":material/category:",
        width="stretch",
        disabled=bool(missing),
    ):
        st.session_state["classify-asked"] = (layer.key, body)
    if missing:
        st.caption(missing)
    key, asked = st.session_state.get("classify-asked", ("", None))
    if key != layer.key or asked is None:
        return None
    if asked != body and not missing:
        st.caption("Something was changed since this map was made: make it again to see it.")
    with told():
        return _answer(layer.key, layer.model, layer.period_id, asked)
    return None


@st.cache_data(
    ttl=_KEPT_S, max_entries=50, show_spinner="Learning from the labels, and telling every pixel …"
)
def _answer(key: str, model: str, period: str, body: dict[str, Any]) -> dict[str, Any]:
    return search().classify(model, period, **body)


def _missing(now: Sheet) -> str:
    """Says what is missing before a map can be made; nothing if it can."""
    held = [one for one in now.classes if now.counts[one]]
    if len(now.classes) < 2:
        return "Add at least two classes, such as *maize* and *everything else*."
    if len(held) < 2:
        return "Label places of at least two classes: choose a class over the map, then click places of it."
    return ""


def _choose_active(now: Sheet) -> None:
    """Lets a person choose what the next click or drawing means: a class, or one of the two other meanings."""
    if not now.classes:
        st.info("Begin with a class: type its name and press *Add class*.", icon=":material/add_circle:")
        return
    choices = [*now.classes, _ERASE, _WITHIN]
    counts = now.counts

    def words(one: str) -> str:
        return f"{now.number(one)} {one} ({counts[one]})" if one in now.classes else one

    # Another key when classes come or go, so that what is chosen is there.
    kept = st.session_state.get(_ACTIVE)
    st.session_state[_ACTIVE] = st.pills(
        "The next click or drawing on the map is", choices, format_func=words, required=True,
        default=kept if kept in choices and kept != _ERASE else now.classes[-1],
        key=f"classify-active-{len(now.classes)}",
    )  # fmt: skip
    swatches = (
        f"{swatch(now.colour(one), str(now.number(one)))} {escape(one)} &ensp;" for one in now.classes
    )
    st.html(f'<div style="line-height:2">{"".join(swatches)}</div>')


def _map(layer: Layer, now: Sheet, answer: dict[str, Any] | None, near: Place | None) -> None:
    view, opacity = CLASSES, 1.0
    if answer:
        view_at, opacity_at = st.columns(2, vertical_alignment="center")
        view = view_at.segmented_control("Show", VIEWS, default=CLASSES, required=True) or CLASSES
        opacity = opacity_at.slider("Opacity, %", 0, 100, 80, step=5) / 100
    over = [*base_layers(layer, answer, view, opacity), *label_layers(now)]
    if area := area_of("classify"):
        over.insert(-1, geometry_layer(area, colour="#7a4a00", told="Only here is mapped"))
    if answer:
        over += suggestion_layers(answer["suggestions"])
    if near:
        over.append(ring_layer(near))
    show_map(_map_name(layer), layer.bounds, over=over, tools=TOOLS, look_at=near)
    if answer and view == SURE:
        st.html(f'<div class="earthfield-scale"><span>0 %</span>{_SURE_BAR}<span>100 %</span></div>')
        st.caption("Probability of the class that was told; dark places are unsure.")
    if is_too_many(now):
        st.caption("Only the last 600 labels are drawn; all of them are learnt from.")


def _map_name(layer: Layer) -> str:
    return f"{map_name('classify')}-{layer.key}"


_SURE_BAR = (
    '<i style="background:linear-gradient(to right,#00224e,#123570,#3b496c,#575d6d,#707173,#8a8678,#a59c74,#c3b369,'
    '#e1cc55,#fee838)"></i>'
)


def _take(touched: Touched) -> None:
    """Takes what was done on the map."""
    now, active = sheet(), st.session_state.get(_ACTIVE)
    clicked, drawn = touched.clicked, touched.drawn
    if active == _WITHIN:
        take_drawn("classify", drawn)
        if clicked:
            st.toast("Draw a box or a polygon with the buttons on the map.", icon=":material/info:")
    elif active == _ERASE:
        if clicked and now.labels:
            erase_near(clicked)
    elif active in now.classes:
        if drawn:
            add_labels([Label(dict(drawn), active)])
        if clicked:
            add_place(clicked, active)
