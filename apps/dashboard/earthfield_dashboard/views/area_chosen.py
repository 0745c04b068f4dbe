"""The area that a map is to be made of: drawn, typed, uploaded, or found by name; it lives in the session."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import shapely
import streamlit as st
from odc.geo.geom import Geometry

from earthfield.area import area_from_bbox, area_from_geojson, area_from_text
from earthfield.areaosm import NamedPlace, places_named
from earthfield.errors import EarthfieldError, InvalidInput, Unavailable
from earthfield_dashboard.layers import Bounds

_SIDES = ("West", "South", "East", "North")
_SIDE_KEYS = tuple(f"area-{side.lower()}" for side in _SIDES)
_KEPT = "area-chosen"
_MOST_BYTES = 5_000_000


@dataclass(frozen=True)
class Chosen:
    """An area of interest."""

    name: str
    """Where it comes from, for people."""
    geometry: Geometry
    """In longitude and latitude, degrees."""

    @property
    def km2(self) -> float:
        """How large it is, km2."""
        return float(self.geometry.to_crs("EPSG:6933").area) / 1e6

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north, degrees."""
        box: Bounds = self.geometry.geom.bounds
        return box

    @property
    def is_box(self) -> bool:
        """Whether its four sides say all of it."""
        return bool(self.geometry.geom.equals(shapely.box(*self.bounds)))

    def geojson(self, *, at_most: int = 5000) -> dict[str, Any]:
        """Gives its outline as GeoJSON, with fewer corners where there are more than `at_most`."""
        shape = self.geometry.geom
        if shapely.get_num_coordinates(shape) > at_most:
            west, south, east, north = self.bounds
            shape = shape.simplify(max(east - west, north - south) / 1000)
        return dict(shapely.geometry.mapping(shape))

    def asked(self) -> dict[str, Any]:
        """Gives it as the fields of a request that say where."""
        if self.is_box:
            return {"bbox": self.bounds}
        return {"aoi": shapely.to_geojson(self.geometry.geom)}


def chosen_area() -> Chosen | None:
    """Gives the area, or None while there is none."""
    found: Chosen | None = st.session_state.get(_KEPT)
    return found


def take_area(name: str, geometry: Geometry) -> None:
    """Takes an area in place of the one before, and draws the page again."""
    st.session_state[_KEPT] = Chosen(name, geometry)
    st.session_state["area-sides-next"] = geometry.geom.bounds
    st.rerun()


def take_drawn(drawn: Mapping[str, Any]) -> None:
    """Takes what was drawn on the map."""
    try:
        area = area_from_geojson(json.dumps(drawn))
    except EarthfieldError as error:
        st.warning(str(error), icon=":material/info:")
        return
    take_area("the shape you drew", area)


def forget_area() -> None:
    """Takes the area away, and its drawing with it."""
    st.session_state.pop(_KEPT, None)
    st.session_state["area-version"] = area_version() + 1


def area_version() -> int:
    """Changes when the area was taken away: the map is then a new one, without what was drawn."""
    return int(st.session_state.get("area-version", 0))


def ask_area(extent: Bounds | None) -> None:
    """Lets a person choose the area without drawing.

    Args:
        extent: where the installation's catalogue holds scenes.
    """
    chosen = chosen_area()
    if chosen is None:
        st.markdown("Draw a box or a polygon on the map, or choose another way:")
    else:
        words, clear = st.columns([3, 2], vertical_alignment="center")
        words.markdown(f"Your area: **{chosen.name}**")
        clear.button("Choose another", icon=":material/close:", on_click=forget_area)
    typed, uploaded, named = st.tabs(["Coordinates", "GeoJSON", "Place name"])
    with typed:
        _typed(extent)
    with uploaded:
        _uploaded()
    with named:
        _named()


def _typed(extent: Bounds | None) -> None:
    if extent and st.button("Take all that the catalogue covers", icon=":material/select_all:"):
        take_area("all that the catalogue covers", area_from_bbox(extent))
    # Widgets read their keys when they are drawn: what was chosen in another way is put there before.
    for key, value in zip(_SIDE_KEYS, st.session_state.pop("area-sides-next", ()), strict=False):
        st.session_state[key] = round(value, 6)
    with st.form("area-sides", border=False):
        first, second = st.columns(2), st.columns(2)
        sides = [
            at.number_input(side, key=key, value=None, format="%.6f", step=0.01, placeholder="degrees")
            for side, key, at in zip(_SIDES, _SIDE_KEYS, (*first, *second), strict=True)
        ]
        if not st.form_submit_button("Take this box"):
            return
    missing = [side.lower() for side, value in zip(_SIDES, sides, strict=True) if value is None]
    if missing:
        st.warning(f"Still missing: {', '.join(missing)}.")
        return
    try:
        area = area_from_bbox([float(value) for value in sides if value is not None])
    except EarthfieldError as error:
        st.warning(str(error), icon=":material/info:")
        return
    take_area("the box you typed", area)


def _uploaded() -> None:
    file = st.file_uploader("File with a polygon, GeoJSON", type=["geojson", "json"], key="area-file")
    if file is None or file.file_id == st.session_state.get("area-file-taken"):
        st.caption("From QGIS, geojson.io and their like; in longitude and latitude.")
        return
    st.session_state["area-file-taken"] = file.file_id
    try:
        area = _area_of(file.getvalue())
    except EarthfieldError as error:
        st.warning(f"{file.name}: {error}", icon=":material/info:")
        return
    take_area(file.name, area)


def _area_of(content: bytes) -> Geometry:
    """Gives the area of an uploaded file; what it holds is read as GeoJSON and never as the name of something."""
    if len(content) > _MOST_BYTES:
        raise InvalidInput(f"more than {_MOST_BYTES // 1_000_000} MB: simplify the polygon first")
    try:
        return area_from_geojson(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidInput("this is no text: save the polygon as GeoJSON") from error


def _named() -> None:
    with st.form("area-name", border=False):
        name = st.text_input(
            "Name of a town, region or park", key="area-named",
            help="As OpenStreetMap writes it, in its own language or in English. Asked over the internet.",
        )  # fmt: skip
        is_asked = st.form_submit_button("Look it up", icon=":material/search:")
    if is_asked:
        st.session_state.pop("area-places", None)
        with _asking_openstreetmap(), st.spinner("Asking OpenStreetMap ..."):
            st.session_state["area-places"] = places_named(name)
    found: list[NamedPlace] = st.session_state.get("area-places", [])
    if not found:
        return
    number = st.selectbox("Which one", range(len(found)), format_func=lambda one: _told(found[one]))
    if st.button("Take its outline"):
        outline: Geometry | None = None
        with _asking_openstreetmap(), st.spinner("Fetching its outline ..."):
            outline = area_from_text(f"osm:{found[number].relation}")
        if outline is not None:
            take_area(found[number].name, outline)


@contextmanager
def _asking_openstreetmap() -> Iterator[None]:
    """Tells a failure of OpenStreetMap with what to do instead."""
    try:
        yield
    except Unavailable as error:
        st.error(
            "OpenStreetMap cannot be reached from here: is there no internet? Draw the area on the map, type "
            "its coordinates, or upload it as GeoJSON.",
            icon=":material/cloud_off:",
        )
        st.caption(str(error).partition(": ")[0])
    except EarthfieldError as error:
        st.warning(str(error), icon=":material/info:")


def _told(place: NamedPlace) -> str:
    return f"{place.name} ({place.kind})"
