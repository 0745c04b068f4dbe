"""The page *Area*: choose where, when and from what, and have the map made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from earthfield.errors import NotFound
from earthfield.schemas import INPUT_SOURCES, MapRequest, checked_request
from earthfield.sources import known_sources
from earthfield_dashboard.layers import Bounds, Layer, layers_of
from earthfield_dashboard.maps import (
    ask_streets,
    box_layer,
    geometry_layer,
    outline_layer,
    show_map,
    touched_on,
)
from earthfield_dashboard.session import runs, search, settings, told
from earthfield_dashboard.views.area_chosen import (
    Chosen,
    area_version,
    ask_area,
    chosen_area,
    take_drawn,
)
from earthfield_dashboard.views.area_estimate import show_estimate, show_there
from earthfield_dashboard.views.progress import show_run, show_runs

_WORLD: Bounds = (-170.0, -60.0, 170.0, 75.0)
_MAP_HEIGHT = 480


@dataclass(frozen=True)
class There:
    """What an installation has."""

    layers: list[Layer] = field(default_factory=list)
    """Maps that exist."""
    extent: Bounds | None = None
    """Where its catalogue holds scenes."""
    interval: tuple[str, str] | None = None
    """First and last instant of those."""
    models: tuple[str, ...] = ("starter",)
    """Models that maps can be made with."""


@dataclass(frozen=True)
class Wanted:
    """What a person asks for beside the area."""

    catalog: str
    """Where the scenes are."""
    periods: tuple[str, ...]
    """Of which there is to be a map each."""
    model: str
    """That makes them."""
    sources: tuple[str, ...]
    """Sensors that it may read."""
    skip_unreadable: bool
    """Whether it goes on without scenes that cannot be read."""


def page() -> None:
    """Draws the page."""
    st.title("Make a map")
    st.markdown(
        "Choose an area and a period, and Earthfield turns every satellite scene of it into one searchable map: 64 "
        "numbers for each 10 m pixel that say what the ground did over that time."
    )
    if drawn := touched_on(_map_name()).drawn:
        take_drawn(drawn)
    there = _there()
    chosen = chosen_area()
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _map(there, chosen)
        show_there(chosen, there.layers, there.interval)
    with right:
        st.subheader("Where")
        ask_area(there.extent)
        st.subheader("What to make")
        wanted = _wanted(there)
        if chosen:
            show_estimate(chosen, wanted.periods)
        if st.button("Make the map", type="primary", icon=":material/play_arrow:", width="stretch"):
            with told():
                _start(chosen, wanted)
    show_run()
    show_runs()


def _there() -> There:
    found = There()
    with told():
        service = search()
        found = There(layers_of(service), models=_models())
        try:
            catalog = service.catalog()
        except NotFound:
            return found  # none is set: a person names one
        if catalog and catalog["bbox"] and catalog["interval"]:
            west, south, east, north = catalog["bbox"]
            first, last = catalog["interval"]
            found = There(found.layers, (west, south, east, north), (first, last), found.models)
    return found


def _models() -> tuple[str, ...]:
    return tuple(dict.fromkeys(["starter", *(one["name"] for one in search().models())]))


def _map(there: There, chosen: Chosen | None) -> None:
    over: list[Any] = []
    if there.extent:
        over.append(box_layer(there.extent, is_extent=True))
    for layer in there.layers:
        for tile, outline in zip(layer.tiles, layer.outlines, strict=True):
            over.append(outline_layer(outline, told=f"Map of {layer.period}, {layer.model}, tile {tile}"))
    if chosen:
        over.append(geometry_layer(chosen.geojson(), told="Your area"))
    show_map(_map_name(), _view(there, chosen), over=over, tools=("rectangle", "polygon"), height=_MAP_HEIGHT)
    st.caption(
        "The square and the pentagon on the map draw a box and a polygon. "
        + ("Dashed brown: where the catalogue holds scenes. " if there.extent else "")
        + ("Green: maps that exist. " if there.layers else "")
        + "Magenta: your area."
    )
    ask_streets()


def _map_name() -> str:
    return f"area-{area_version()}"


def _view(there: There, chosen: Chosen | None) -> Bounds:
    """Gives what the map shows first: an area that was not drawn on it may lie anywhere."""
    if chosen and chosen.name != "the shape you drew":
        return chosen.bounds
    if there.extent:
        return there.extent
    return there.layers[0].bounds if there.layers else _WORLD


def _wanted(there: There) -> Wanted:
    year = there.interval[1][:4] if there.interval else ""
    period_at, model_at = st.columns(2)
    periods = period_at.text_input(
        "Period", value=year, placeholder="2018",
        help="2018, 2018-03, 2018-03..2018-09 or 2018-03-01/2018-09-15; several with commas between them.",
    )  # fmt: skip
    model = model_at.selectbox("Model", there.models)
    catalog = st.text_input(
        "Catalogue", value=settings().catalog, placeholder="/data/landscape or https://example.org/stac/v1",
        help="Folder of a static STAC catalogue, or address of a STAC API.",
    )  # fmt: skip
    with st.expander("More choices"):
        sources = st.multiselect("Sensors", list(known_sources()), default=list(INPUT_SOURCES))
        skip = st.toggle(
            "Go on without scenes that cannot be read",
            help="Otherwise such a scene ends the run, which names it.",
        )
    return Wanted(catalog.strip(), _split(periods), str(model), tuple(sources), skip)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _missing(chosen: Chosen | None, wanted: Wanted) -> Sequence[str]:
    return [
        word
        for word, is_there in (
            ("the area: draw it on the map, or choose another way under *Where*", chosen),
            ("the period", wanted.periods),
            ("the catalogue", wanted.catalog),
            ("a sensor, under *More choices*", wanted.sources),
        )
        if not is_there
    ]


def _start(chosen: Chosen | None, wanted: Wanted) -> None:
    missing = _missing(chosen, wanted)
    if missing or chosen is None:
        st.warning(f"Still missing: {'; '.join(missing)}.")
        return
    request = checked_request(
        MapRequest, root=settings().folder.absolute(), catalog=wanted.catalog, periods=wanted.periods,
        model=wanted.model, sources=wanted.sources, skip_unreadable=wanted.skip_unreadable, **chosen.asked(),
    )  # fmt: skip
    st.query_params["run"] = runs().start(request.model_dump(mode="json"))
    st.rerun()
