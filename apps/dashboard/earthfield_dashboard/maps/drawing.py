"""The map without anything of another host, and what can be laid over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote, urlencode

import folium
from folium.elements import JSCSSMixin
from folium.plugins import Draw
from folium.template import Template
from folium.utilities import JsCode

from earthfield.client import Place
from earthfield.storage import hash_of
from earthfield_dashboard.layers import Bounds, Layer

_STATIC = "/app/static"
_SERVICE = "/service"
"""Where the dashboard's own server hands tiles of the search service on."""
_OUTLINE: dict[str, Any] = {
    "color": "#0b6b50",
    "weight": 2,
    "fill": True,
    "fillColor": "#0b6b50",
    "fillOpacity": 0.08,
}
_EXTENT: dict[str, Any] = {"color": "#7a4a00", "weight": 2, "dashArray": "6 5", "fill": False}
_BOX: dict[str, Any] = {"color": "#b5179e", "weight": 3, "fill": True, "fillOpacity": 0.05}


class OfflineMap(folium.Map):
    """A map whose scripts and styles come from the dashboard itself."""

    default_js = [  # noqa: RUF012
        ("leaflet", f"{_STATIC}/leaflet/leaflet.js"),
        ("earthfield", f"{_STATIC}/earthfield/map.js"),
    ]
    default_css = [  # noqa: RUF012
        ("leaflet_css", f"{_STATIC}/leaflet/leaflet.css"),
        ("earthfield_css", f"{_STATIC}/earthfield/map.css"),
    ]


class OfflineDraw(Draw):
    """Leaflet.draw from the dashboard itself."""

    default_js = [("leaflet_draw_js", f"{_STATIC}/leaflet-draw/leaflet.draw.js")]  # noqa: RUF012
    default_css = [("leaflet_draw_css", f"{_STATIC}/leaflet-draw/leaflet.draw.css")]  # noqa: RUF012


Side = Literal["left", "right"]
"""Of the line that divides a map into two."""


class _Call(JSCSSMixin, folium.MacroElement):
    """Calls a function of static/earthfield/map.js with the map."""

    _template = Template(
        "{% macro script(this, kwargs) %}{{ this.function }}({{ this._parent.get_name() }});{% endmacro %}"
    )

    def __init__(self, function: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name = "Call"
        self.function = function


def base_map(bounds: Bounds, *, tools: Sequence[str] = ()) -> folium.Map:
    """Gives a map that shows `bounds`, with lines of longitude and latitude and a scale.

    Args:
        bounds: west, south, east, north in degrees.
        tools: what can be drawn: "rectangle", "polygon", "marker".
    """
    shown = OfflineMap(
        tiles=None, control_scale=True, max_zoom=19, zoom_snap=0.25, zoom_control=True
    )  # fmt: skip
    west, south, east, north = bounds
    shown.fit_bounds([[south, west], [north, east]], padding=(24, 24), max_zoom=16)
    for function in ("earthfieldGraticule", "earthfieldSwipe", "earthfieldStreets"):
        _Call(function).add_to(shown)
    if tools:
        known = ("polyline", "polygon", "circle", "marker", "circlemarker", "rectangle")
        shape = {"shapeOptions": _BOX, "showArea": False}
        chosen = {one: ({} if one == "marker" else shape) if one in tools else False for one in known}
        OfflineDraw(  # type: ignore[no-untyped-call]
            draw_options=chosen,
            edit_options={"edit": False, "remove": False},
            show_geometry_on_click=False,
        ).add_to(shown)
        _Call("earthfieldOneBox").add_to(shown)
    return shown


def field_tiles(
    layer: Layer,
    *,
    style: str = "pca",
    place: Place | None = None,
    quality: str = "",
    opacity: float = 1.0,
    side: Side | None = None,
    **look: Any,
) -> folium.TileLayer:
    """Lays a field in colour over the map, as tiles of the search service.

    Args:
        layer: which field.
        style: "pca", "axes", "similarity" to a place, or "quality".
        place: for "similarity".
        quality: name of the layer, for "quality".
        opacity: 0 to 1.
        side: on which side of a line that a person moves it shows; everywhere when absent. Give one layer for each
            side.
        look: what the service's tiles of fields take besides, such as `palette`, `low`, `high`, `like`.
    """
    query = {"style": style, "v": hash_of(layer.stamp)[:8]}
    if place:
        query |= {"lon": f"{place[0]:.7f}", "lat": f"{place[1]:.7f}"}
    if quality:
        query |= {"layer": quality}
    query |= {name: f"{value:.9g}" if isinstance(value, float) else value for name, value in look.items()}
    address = (
        f"{_SERVICE}/tiles/{quote(layer.model)}/{layer.period_id}/{{z}}/{{x}}/{{y}}.png?{urlencode(query)}"
    )
    return _tiles(address, opacity, name=f"Map of {layer.title}", side=side, told=layer.period)


def answer_tiles(
    href: str, *, opacity: float = 1.0, side: Side | None = None, told: str = "", **style: Any
) -> folium.TileLayer:
    """Lays a raster of an answer over the map, as tiles of the search service.

    Args:
        href: link of the answer's GeoTIFF, as the service gave it: /answers/ID/NAME.tif.
        opacity: 0 to 1.
        side: on which side of a line that a person moves it shows, as in `field_tiles`.
        told: what it is called on its side.
        style: what the service's tiles of answers take, such as `palette`, `low`, `high`.
    """
    query = f"?{urlencode(style)}" if style else ""
    address = f"{_SERVICE}{href}/tiles/{{z}}/{{x}}/{{y}}.png{query}"
    return _tiles(address, opacity, name="Answer", side=side, told=told)


def _tiles(
    address: str, opacity: float, *, name: str, side: Side | None = None, told: str = ""
) -> folium.TileLayer:
    more: dict[str, Any] = {"pane": f"earthfield-{side}", "earthfield_name": told} if side else {}
    return folium.TileLayer(
        address, attr="Earthfield", name=name, overlay=True, control=False, opacity=opacity, min_zoom=8,
        max_native_zoom=18, max_zoom=19, **more,
    )  # fmt: skip


def street_tiles() -> folium.TileLayer:
    """Lays the streets of OpenStreetMap under all; that asks another host, so only where a person wants it."""
    return folium.TileLayer("OpenStreetMap", control=False, pane="earthfield-streets")


def geometry_layer(geometry: Mapping[str, Any], *, colour: str = "#b5179e", told: str = "") -> folium.GeoJson:
    """Draws any GeoJSON geometry; `told` shows when pointed at."""
    style = {"color": colour, "weight": 3, "fillColor": colour, "fillOpacity": 0.08}
    return folium.GeoJson(
        {"type": "Feature", "properties": {}, "geometry": dict(geometry)},
        style_function=lambda _: style, tooltip=told or None,
    )  # fmt: skip


def points_layer(places: Sequence[Place], *, colour: str, told: str) -> list[folium.CircleMarker]:
    """Marks places in one colour; `told` shows when pointed at."""
    return [
        folium.CircleMarker(
            (lat, lon), radius=7, color="#ffffff", weight=2, fill=True, fill_color=colour, fill_opacity=1,
            tooltip=told,
        )
        for lon, lat in places
    ]  # fmt: skip


def outline_layer(geometry: Mapping[str, Any], *, told: str) -> folium.GeoJson:
    """Draws around something that exists; `told` shows when pointed at."""
    return folium.GeoJson(
        {"type": "Feature", "properties": {}, "geometry": dict(geometry)},
        style_function=lambda _: _OUTLINE, tooltip=told,
    )  # fmt: skip


def box_layer(bounds: Bounds, *, is_extent: bool = False) -> folium.Rectangle:
    """Draws a box: the area that was chosen, or the extent of a catalogue."""
    west, south, east, north = bounds
    style = _EXTENT if is_extent else _BOX
    return folium.Rectangle([[south, west], [north, east]], interactive=False, **style)


def place_layer(place: Place) -> folium.CircleMarker:
    """Marks the place that was asked about."""
    lon, lat = place
    return folium.CircleMarker(
        (lat, lon), radius=8, color="#ffffff", weight=3, fill=True, fill_color="#d00050", fill_opacity=1,
        interactive=False,
    )  # fmt: skip


def hits_layer(features: Sequence[Mapping[str, Any]]) -> folium.GeoJson:
    """Marks similar places with their rank, the best above the others."""
    marks = [
        {
            "type": "Feature",
            "geometry": dict(hit["geometry"]),
            "properties": {name: hit["properties"][name] for name in ("rank", "score")},
        }
        for hit in features
    ]
    content = {"type": "FeatureCollection", "features": marks}
    return folium.GeoJson(content, point_to_layer=JsCode("earthfieldRank"))
