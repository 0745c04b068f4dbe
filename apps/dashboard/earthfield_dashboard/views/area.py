"""The page *Area & run*: choose where, when and from what, and have the map made."""

from __future__ import annotations

from typing import Any

import folium
import streamlit as st
from streamlit_folium import st_folium

from earthfield.area import area_from_bbox
from earthfield.errors import EarthfieldError
from earthfield.schemas import MapRequest, checked_request
from earthfield_dashboard.client import Bounds, Layer
from earthfield_dashboard.render import box_layer, map_of, outline_layer
from earthfield_dashboard.session import runs, search, settings, told
from earthfield_dashboard.views.progress import show_run, show_runs

_WORLD: Bounds = (-170.0, -60.0, 170.0, 75.0)
_SIDES = ("west", "south", "east", "north")
_MAP_HEIGHT = 480
_TILE_KM2 = 10.24**2
_MANY_KM2 = 2_500.0


def page() -> None:
    """Draws the page."""
    st.title("Make a map")
    st.markdown(
        "Draw a box, name a period, and Earthfield turns every satellite scene of it into one searchable map: "
        "64 numbers for each 10 m pixel that say what the ground did over that time."
    )
    layers, extent, year = _there()
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _map(layers, extent)
    with right:
        _form(extent, year)
    show_run()
    show_runs()


def _there() -> tuple[list[Layer], Bounds | None, str]:
    """What maps there are, where the installation's catalogue holds scenes, and the last year in which it does."""
    layers: list[Layer] = []
    with told():
        layers = search().layers()
        found = search().catalog()
        if found and found["bbox"] and found["interval"]:
            west, south, east, north = found["bbox"]
            return layers, (west, south, east, north), found["interval"][1][:4]
    return layers, None, ""


def _map(layers: list[Layer], extent: Bounds | None) -> None:
    with_tiles = st.session_state.get("with_tiles", False)
    shown = map_of(_view(layers, extent), with_tiles=with_tiles, drawing=True)
    over = folium.FeatureGroup()
    if extent:
        box_layer(extent, is_extent=True).add_to(over)
    for layer in layers:
        for tile, outline in zip(layer.tiles, layer.outlines, strict=True):
            outline_layer(outline, told=f"Map of {layer.period}, {layer.model}, tile {tile}").add_to(over)
    chosen = _chosen()
    if chosen:
        box_layer(chosen).add_to(over)
    answer = st_folium(
        shown, key="area-map", height=_MAP_HEIGHT, use_container_width=True, feature_group_to_add=over,
        returned_objects=["last_active_drawing"],
    )  # fmt: skip
    st.caption(
        "Use the square button on the map to draw a box. "
        + ("Dashed brown: where the catalogue holds scenes. " if extent else "")
        + ("Green: maps that exist. " if layers else "")
        + "Magenta: your box."
    )
    st.checkbox("OpenStreetMap as background (needs the internet)", key="with_tiles")
    _take(answer.get("last_active_drawing"))


def _take(drawing: dict[str, Any] | None) -> None:
    """Takes a box that was just drawn over into the fields beside the map."""
    if not drawing or drawing == st.session_state.get("last_drawing"):
        return
    st.session_state["last_drawing"] = drawing
    corners = drawing["geometry"]["coordinates"][0]
    lons, lats = [one[0] for one in corners], [one[1] for one in corners]
    st.session_state["drawn"] = (min(lons), min(lats), max(lons), max(lats))
    st.rerun()


def _view(layers: list[Layer], extent: Bounds | None) -> Bounds:
    if extent:
        return extent
    return layers[0].bounds if layers else _WORLD


def _sides() -> Bounds | None:
    """The four numbers beside the map, or None while one is missing."""
    west, south, east, north = (st.session_state.get(side) for side in _SIDES)
    if west is None or south is None or east is None or north is None:
        return None
    return west, south, east, north


def _chosen() -> Bounds | None:
    """The box, once it is one."""
    sides = _sides()
    return sides if sides and sides[0] < sides[2] and sides[1] < sides[3] else None


def _form(extent: Bounds | None, year: str) -> None:
    # Widgets read their keys when they are drawn: what the map gave is put there before.
    for side, value in zip(_SIDES, st.session_state.pop("drawn", ()), strict=False):
        st.session_state[side] = round(value, 6)
    st.subheader("What to make")
    catalog = st.text_input(
        "Catalogue", value=settings().catalog, help="Folder of a static STAC catalogue, or address of a STAC API.",
        placeholder="/data/landscape or https://example.org/stac/v1",
    )  # fmt: skip
    period_at, model_at = st.columns(2)
    period = period_at.text_input(
        "Period",
        value=year,
        placeholder="2018",
        help="2018, 2018-03, 2018-03..2018-09 or 2018-03-01/2018-09-15",
    )
    model = model_at.selectbox("Model", _models())
    st.markdown("**Area**, degrees")
    if extent and st.button("Take all that the catalogue covers", icon=":material/select_all:"):
        st.session_state["drawn"] = extent
        st.rerun()
    first, second = st.columns(2), st.columns(2)
    for side, at in zip(_SIDES, (*first, *second), strict=True):
        at.number_input(
            side.capitalize(), key=side, value=None, format="%.6f", step=0.01, placeholder="draw or type"
        )
    _estimate()
    if st.button("Make the map", type="primary", icon=":material/play_arrow:", width="stretch"):
        with told():
            _start(catalog, period, model)


def _models() -> list[str]:
    names = ["starter"]
    try:
        return list(dict.fromkeys(names + search().models()))
    except EarthfieldError:
        return names


def _estimate() -> None:
    sides = _sides()
    if sides is None:
        st.caption("No area yet: draw a box on the map, or type its four sides.")
        return
    try:
        area_km2 = area_from_bbox(sides).to_crs("EPSG:6933").area / 1e6
    except EarthfieldError as error:
        st.warning(str(error))
        return
    num = max(1, round(area_km2 / _TILE_KM2))
    st.markdown(
        f"**{area_km2:,.2f} km²**, {area_km2 * 1e4:,.0f} pixels of 10 m, "
        f"{'part of one tile' if area_km2 < _TILE_KM2 else f'about {num} tiles'}"
    )
    if area_km2 > _MANY_KM2:
        st.warning("A large area: this may take many hours on one machine. Try a part of it first.")


def _start(catalog: str, period: str, model: str) -> None:
    chosen = _chosen()
    if not catalog.strip() or chosen is None:
        missing = (
            "the catalogue"
            if not catalog.strip()
            else "the area: draw a box on the map, or type its four sides"
        )
        st.warning(f"Still missing: {missing}.")
        return
    request = checked_request(
        MapRequest,
        root=settings().folder.absolute(),
        catalog=catalog.strip(),
        periods=(period,),
        model=model,
        bbox=chosen,
    )
    st.query_params["run"] = runs().start(request.model_dump(mode="json"))
    st.rerun()
