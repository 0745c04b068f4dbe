"""The page *Similar*: where is it like here?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from earthfield.errors import EarthfieldError
from earthfield_dashboard.layers import Layer
from earthfield_dashboard.maps import (
    answer_tiles,
    field_tiles,
    geometry_layer,
    hits_layer,
    place_layer,
    points_layer,
    show_map,
    touched_on,
)
from earthfield_dashboard.session import choose_layer, layers, search, told
from earthfield_dashboard.views.chosen import ring_layer
from earthfield_dashboard.views.downloads import offer_files, saved
from earthfield_dashboard.views.similar_asked import (
    Examples,
    add,
    choose_limits,
    choose_meaning,
    examples,
    is_one_click,
    meaning,
    question_of,
    show_examples,
    take,
    version,
)
from earthfield_dashboard.views.similar_list import chosen_hit, show_hits
from earthfield_dashboard.views.similar_saved import Again, asked_again, show_saved

_KEPT_S = 1800
_HEAT = "similar-heat"
_UNLIKE = "#d55e00"
_AREA = "#7a4a00"


def page() -> None:
    """Draws the page."""
    st.title("Similar")
    st.markdown("**Click the map**: Earthfield finds where the ground did the same over the period.")
    there = layers()
    if there is None:
        return
    left, right = st.columns([3, 2], gap="medium")
    with right:
        layer = choose_layer(there)
        board = f"similar-{layer.key}-{version()}"
        touched = touched_on(board)
        take(meaning(), touched.clicked, touched.drawn)
        show_examples(layer)
        limits = choose_limits(layer, there)
        is_hot = st.toggle("Similarity of every pixel, as a heat map", value=True)
        opacity = st.slider("Opacity of the heat map, %", 0, 100, 85, step=5) / 100 if is_hot else 0.0
    asked, again = examples(), asked_again()
    question = question_of(asked, limits, layer)
    found = again.found if again else _answer(layer, asked, question)
    name = f"similar-hits-{again.name if again else ''}-{hash(str(question)) & 0xFFFFFF}"
    with left:
        choose_meaning()
        heat = _heat(layer, question) if is_hot and found and not again else None
        over = [field_tiles(layer), *_heated(heat, opacity), *_asked_layers(asked, found if again else None)]
        chosen = chosen_hit(found, name)
        if found:
            over.append(hits_layer(found["features"]))
        if chosen:
            over.append(ring_layer(chosen))
        show_map(board, layer.bounds, over=over, tools=("polygon", "rectangle"), look_at=chosen)
        _legend(heat)
    if found:
        _show(layer, found, again, question, name)
    with right:
        show_saved(layer, None if asked.is_empty else question)
    if is_hot and found and not again and heat is None:
        with left:
            _compare(layer, question)


def _answer(layer: Layer, asked: Examples, question: Mapping[str, Any]) -> dict[str, Any] | None:
    """Asks the service, once for each question."""
    if asked.is_empty:
        return None
    with told():
        return _found(layer.key, layer.model, dict(question))
    return None


@st.cache_data(ttl=_KEPT_S, max_entries=200, show_spinner="Looking for similar places …")
def _found(key: str, model: str, question: dict[str, Any]) -> dict[str, Any]:
    return search().similar(model, **question)


def _heat(layer: Layer, question: Mapping[str, Any]) -> dict[str, Any] | None:
    """Says what the heat map is made of: a place whose tiles are there, or an answer's rasters and their scale.

    None while that answer is not there yet; `missing` tells why there will be none.
    """
    if is_one_click(question, layer):
        return {"layer": layer, "place": question["at"][0]}
    told_of, heat = st.session_state.get(_HEAT, (None, None))
    return heat if told_of == (layer.key, str(question)) else None


def _compare(layer: Layer, question: Mapping[str, Any]) -> None:
    """Makes such an answer, which takes a while, once the places are on the screen; then draws the page again."""
    try:
        heat = _rasters(layer.key, layer.model, layer.period, dict(question))
    except EarthfieldError as error:
        heat = {"missing": str(error)}
    st.session_state[_HEAT] = (layer.key, str(question)), heat
    st.rerun()


@st.cache_data(ttl=_KEPT_S, max_entries=50, show_spinner="Comparing every pixel …")
def _rasters(key: str, model: str, period: str, question: dict[str, Any]) -> dict[str, Any]:
    """Compares every pixel of one period: the map's own, or the first of those that are searched."""
    periods = question.get("periods") or [period]
    shown = period if period in periods else periods[0]
    client = search()
    answer = client.similarity_map(model, **(question | {"periods": [shown]}))
    rasters = [one for one in answer["links"] if one["href"].endswith(".tif")]
    sets = [client.answer_tile_set(one["href"]) for one in rasters]
    low, high = min(one["low"] for one in sets), max(one["high"] for one in sets)
    return {"links": answer["links"], "rasters": rasters, "period": shown, "low": low, "high": high}


def _heated(heat: Mapping[str, Any] | None, opacity: float) -> list[Any]:
    if not heat or "missing" in heat:
        return []
    if "place" in heat:
        return [field_tiles(heat["layer"], style="similarity", place=heat["place"], opacity=opacity)]
    return [
        answer_tiles(one["href"], opacity=opacity, palette="viridis", low=heat["low"], high=heat["high"])
        for one in heat["rasters"]
    ]


def _legend(heat: Mapping[str, Any] | None) -> None:
    if not heat:
        return
    if "missing" in heat:
        st.warning(f"There is no heat map: {heat['missing']}", icon=":material/info:")
        return
    low, high = (
        ("least alike", "the same") if "place" in heat else (f"{heat['low']:.2f}", f"{heat['high']:.2f}")
    )
    st.html(f'<div class="earthfield-scale"><span>{low}</span><i></i><span>{high}</span></div>')
    if heat.get("period"):
        st.caption(f"Cosine of every pixel of {heat['period']} to what is looked for; 1 is the same.")


def _asked_layers(asked: Examples, again: Mapping[str, Any] | None) -> list[Any]:
    """Marks what was asked with: the page's examples, or those of a saved search."""
    if again:
        told = again["query"]["asked"]
        return [
            *(place_layer((one["lon"], one["lat"])) for one in told if one["wanted"]),
            *points_layer(
                [(one["lon"], one["lat"]) for one in told if not one["wanted"]], colour=_UNLIKE, told=_NO
            ),
        ]
    over: list[Any] = []
    if asked.area:
        over.append(geometry_layer(asked.area, colour=_AREA, told="Only here is looked"))
    if asked.polygon:
        over.append(geometry_layer(asked.polygon, colour="#d00050", told="It is like this"))
    over += [place_layer(place) for place in asked.at]
    return over + points_layer(asked.not_at, colour=_UNLIKE, told=_NO)


_NO = "It is not like this"


def _show(
    layer: Layer, found: dict[str, Any], again: Again | None, question: Mapping[str, Any], name: str
) -> None:
    for caution in found["cautions"]:
        st.info(caution, icon=":material/lightbulb:")
    title = f"the saved search “{again.name}”" if again else examples().words
    hit = show_hits(layer, found, name=name, title=title, again=again)
    if hit and not again:
        like_at, unlike_at, _ = st.columns([1, 1, 2])
        wanted = like_at.button("More like this one", icon=":material/thumb_up:", width="stretch")
        unwanted = unlike_at.button("Not like this one", icon=":material/thumb_down:", width="stretch")
        if wanted or unwanted:
            add(hit, wanted=wanted)
            st.rerun()
    if found["features"]:
        _offer(layer, found, again, question)


def _offer(layer: Layer, found: dict[str, Any], again: Again | None, question: Mapping[str, Any]) -> None:
    import json

    client = search()
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Places (GeoJSON)", json.dumps(found), file_name="similar-places.geojson", mime="application/geo+json",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        if again:
            return
        write = saved(lambda path: client.save_similar(path, layer.model, **question), ".parquet")
        st.download_button(
            "Places (GeoParquet)", write, file_name="similar-places.parquet", icon=":material/download:",
            mime="application/vnd.apache.parquet", on_click="ignore",
        )  # fmt: skip
        is_ready = st.session_state.get("similar-files") == (layer.key, str(question))
        if not is_ready and st.button("Heat map as files …", icon=":material/grid_on:"):
            st.session_state["similar-files"] = (layer.key, str(question))
            is_ready = True
    if is_ready:
        with told():
            made = _rasters(layer.key, layer.model, layer.period, dict(question))
            offer_files(made["links"], name="similar", words=_file_words)


def _file_words(name: str) -> str:
    return "Places" if name.endswith("json") else "Heat map"
