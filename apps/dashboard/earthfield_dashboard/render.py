"""Maps that ask no other host for anything, and what is laid over them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import folium
from folium.elements import JSCSSMixin
from folium.plugins import Draw
from folium.template import Template

from earthfield_dashboard.client import Bounds, Place

_STATIC = "/app/static"
_OUTLINE: dict[str, Any] = {
    "color": "#0b6b50",
    "weight": 2,
    "fill": True,
    "fillColor": "#0b6b50",
    "fillOpacity": 0.08,
}
_EXTENT: dict[str, Any] = {"color": "#7a4a00", "weight": 2, "dashArray": "6 5", "fill": False}
_BOX: dict[str, Any] = {"color": "#b5179e", "weight": 3, "fill": True, "fillOpacity": 0.05}
_NUM_RANKS = 25


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


class _Call(JSCSSMixin, folium.MacroElement):
    """Calls a function of static/earthfield/map.js with the map."""

    _template = Template(
        "{% macro script(this, kwargs) %}{{ this.function }}({{ this._parent.get_name() }});{% endmacro %}"
    )

    def __init__(self, function: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._name = "Call"
        self.function = function


def map_of(bounds: Bounds, *, with_tiles: bool, drawing: bool = False) -> folium.Map:
    """Gives a map that shows `bounds`, with lines of longitude and latitude and a scale.

    Args:
        bounds: west, south, east, north in degrees.
        with_tiles: whether OpenStreetMap lies below; that needs the internet.
        drawing: whether a box can be drawn.
    """
    shown = OfflineMap(
        tiles=None,
        control_scale=True,
        max_zoom=19,
        zoom_snap=0.25,
        zoom_control=True,
        attribution_control=with_tiles,
    )
    if with_tiles:
        folium.TileLayer("OpenStreetMap", control=False).add_to(shown)
    west, south, east, north = bounds
    shown.fit_bounds([[south, west], [north, east]], padding=(24, 24), max_zoom=16)
    _Call("earthfieldGraticule").add_to(shown)
    if drawing:
        tools = dict.fromkeys(("polyline", "polygon", "circle", "marker", "circlemarker"), False)
        box = {"rectangle": {"shapeOptions": _BOX, "showArea": False}}
        OfflineDraw(  # type: ignore[no-untyped-call]
            draw_options={**tools, **box},
            edit_options={"edit": False, "remove": False},
            show_geometry_on_click=False,
        ).add_to(shown)
        _Call("earthfieldOneBox").add_to(shown)
    return shown


def picture_layer(
    png: bytes, bounds: Bounds, *, opacity: float, name: str
) -> folium.raster_layers.ImageOverlay:
    """Lays a picture in Web Mercator over the map; clicks go through it."""
    west, south, east, north = bounds
    return folium.raster_layers.ImageOverlay(
        f"data:image/png;base64,{base64.b64encode(png).decode()}", [[south, west], [north, east]],
        opacity=opacity, interactive=False, alt=name, pixelated=True,
    )  # fmt: skip


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


def hit_layers(features: Sequence[Mapping[str, Any]]) -> list[folium.Marker]:
    """Marks similar places with their rank."""
    layers = []
    for hit in features:
        lon, lat = hit["geometry"]["coordinates"]
        rank, score = hit["properties"]["rank"], hit["properties"]["score"]
        side = 22 if rank <= _NUM_RANKS else 12
        text = str(rank) if rank <= _NUM_RANKS else ""
        icon = folium.DivIcon(
            icon_size=(side, side),
            icon_anchor=(side // 2, side // 2),
            html=text,
            class_name="earthfield-rank",
        )
        layers.append(folium.Marker((lat, lon), icon=icon, tooltip=f"Rank {rank}, similarity {score:.3f}"))
    return layers
