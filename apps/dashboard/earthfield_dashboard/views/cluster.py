"""The page *Cluster*: which land belongs together, found without labels; people give the names."""

from __future__ import annotations

from typing import Any

import streamlit as st

from earthfield.client import Place
from earthfield_dashboard.layers import Layer
from earthfield_dashboard.maps import (
    answer_tiles,
    field_tiles,
    geometry_layer,
    place_layer,
    show_map,
    touched_on,
)
from earthfield_dashboard.session import choose_layer, layers, search, told
from earthfield_dashboard.views.cluster_kept import Clustered, answers_of, keep, kept_of
from earthfield_dashboard.views.cluster_legend import show_legend
from earthfield_dashboard.views.within import TOOLS, area_of, ask_area, map_name, take_drawn
from earthfield_dashboard.words import degrees

_KMEANS, _DENSE = "As many as I say", "As many as the land has"
_METHODS = {_KMEANS: "kmeans", _DENSE: "hdbscan"}
_GREY = " Where the map is grey, no group is near enough."
_MOST = 24
"""Of which each has a colour of its own that colour-blind people can tell from its neighbours in the legend."""


def page() -> None:
    """Draws the page."""
    st.title("Cluster")
    st.markdown(
        "Which land belongs together? Every pixel is put into a group with those that did alike over the period. "
        "No examples are needed; **what the groups are, you say afterwards**, by naming them."
    )
    there = layers()
    if there is None:
        return
    left, right = st.columns([3, 2], gap="medium")
    with right:
        layer = choose_layer(there)
        touched = touched_on(_map_name(layer))
        take_drawn("cluster", touched.drawn)
        if touched.clicked:
            st.session_state["cluster-place"] = touched.clicked
        found = _asked(layer)
        opacity = st.slider("Opacity of the groups, %", 0, 100, 80, step=5, disabled=found is None) / 100
    with left:
        _map(layer, found, opacity)
    if found:
        show_legend(found)


def _asked(layer: Layer) -> Clustered | None:
    """Lets a person ask; gives what was found last on this map."""
    how = st.radio(
        "How many groups", list(_METHODS), key="cluster-method", horizontal=True,
        captions=["Every pixel gets a group.", "What fits none stays grey."],
    )  # fmt: skip
    question: dict[str, Any] = {"method": _METHODS[how], "outlines": True}
    if how == _KMEANS:
        question["k"] = st.slider("Groups", 2, _MOST, 6, key="cluster-k")
    else:
        share = st.slider(
            "Smallest group, % of the land", 0.5, 20.0, 2.0, step=0.5, key="cluster-share",
            help="A smaller number finds more groups, and rarer ones.",
        )  # fmt: skip
        question["min_share"] = share / 100
    area = ask_area("cluster", layer.bounds)
    like = _like(layer)
    if st.button("Find the groups", type="primary", icon=":material/workspaces:", width="stretch"):
        with told(), st.spinner("Looking at every pixel, and putting alike ones together ..."):
            asked = {**question, "like": like.as_like()} if like else question
            answer = search().cluster(layer.model, layer.period_id, area=area, **asked)
            keep(layer, Clustered(answer, question | {"area": area}, dict(like.names) if like else {}))
    found = kept_of(layer)
    if found and found.question != question | {"area": area}:
        st.caption("What is shown was found with other settings. Press *Find the groups* for these.")
    return found


def _like(layer: Layer) -> Clustered | None:
    """Lets a person keep numbers, colours and names of groups that were found on another map of the model."""
    others = answers_of(layer.model, without=layer)
    if not others:
        return None
    chosen = st.selectbox(
        "Same numbers, colours and names as", [None, *others], index=1, key="cluster-like",
        format_func=lambda one: "No other map: number them anew" if one is None else others[one].title,
        help="So that groups of two periods can be compared. Groups are paired with those that are most alike.",
    )  # fmt: skip
    return others[chosen] if chosen else None


def _map(layer: Layer, found: Clustered | None, opacity: float) -> None:
    over: list[Any] = [field_tiles(layer, opacity=1.0 if found is None else 0.25)]
    if found:
        over += [answer_tiles(one["href"], opacity=opacity) for one in found.rasters]
    if area := area_of("cluster"):
        over.append(geometry_layer(area, told="Only here"))
    place: Place | None = st.session_state.get("cluster-place")
    if place:
        over.append(place_layer(place))
    show_map(_map_name(layer), layer.bounds, over=over, tools=TOOLS)
    if found and place:
        _tell_place(layer, found, place)
    elif found:
        st.caption("Click the map, and the group of that place is named here.")
    else:
        st.caption("The colours are those of *Explore* until groups were found.")


def _map_name(layer: Layer) -> str:
    return f"{map_name('cluster')}-{layer.key}"


def _tell_place(layer: Layer, found: Clustered, place: Place) -> None:
    """Names the group of a place in words: colours are never the only sign."""
    with told():
        vector = search().embedding(layer.model, layer.period_id, place)["embedding"]
        number = found.nearest(vector)
        swatch = found.colours[number]
        st.html(
            f'<p role="status"><i style="display:inline-block;width:1em;height:1em;border-radius:.2em;'
            f'vertical-align:-.12em;background:{swatch}"></i> {degrees(*place)} is nearest to '
            f"<b>{found.escaped_name(number)}</b>.{_GREY if found.is_dense else ''}</p>"
        )
