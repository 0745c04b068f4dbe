"""The map of the page *Classify*: labels with their numbers, the classes, how sure they are, what to label next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import folium

from earthfield_dashboard.layers import Layer
from earthfield_dashboard.maps import answer_tiles, field_tiles, geometry_layer
from earthfield_dashboard.views.classify_labels import Sheet

CLASSES, SURE, COLOURS = "Classes", "How sure", "Map in colours"
VIEWS = (CLASSES, SURE, COLOURS)
_MOST_DRAWN = 600
_SURE_COLOURS = "cividis"


def base_layers(layer: Layer, answer: Mapping[str, Any] | None, view: str, opacity: float) -> list[Any]:
    """Gives what lies below the labels: the map in colours, and over it classes or how sure they are."""
    over: list[Any] = [field_tiles(layer)]
    if answer is None or view == COLOURS:
        return over
    if view == SURE:
        style: dict[str, Any] = {"palette": _SURE_COLOURS, "low": 0, "high": 100}
        return over + [answer_tiles(one["href"], opacity=opacity, **style) for one in sure_rasters(answer)]
    return over + [answer_tiles(one["href"], opacity=opacity) for one in class_rasters(answer)]


def class_rasters(answer: Mapping[str, Any]) -> list[dict[str, str]]:
    """Links to the rasters of classes, one for each group of touching tiles."""
    return [one for one in _rasters(answer) if not one["title"].endswith("_probability.tif")]


def sure_rasters(answer: Mapping[str, Any]) -> list[dict[str, str]]:
    """Links to the rasters of the told class's probability."""
    return [one for one in _rasters(answer) if one["title"].endswith("_probability.tif")]


def _rasters(answer: Mapping[str, Any]) -> list[dict[str, str]]:
    return [one for one in answer["links"] if one["title"].endswith(".tif")]


def label_layers(now: Sheet) -> list[Any]:
    """Marks labels in their class's colour with its number, the last where there are many; clicks go through."""
    over: list[Any] = []
    for one in now.labels[-_MOST_DRAWN:]:
        number, colour = now.number(one.name), now.colour(one.name)
        if one.place:
            over.append(_badge(one.place, str(number), colour))
        else:
            over.append(geometry_layer(one.geometry, colour=colour, told=f"{number} {escape(one.name)}"))
    return over


def is_too_many(now: Sheet) -> bool:
    """Tells whether some labels are not drawn."""
    return len(now.labels) > _MOST_DRAWN


def suggestion_layers(places: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Marks places that are worth a label with a question mark and their rank."""
    return [
        folium.Marker(
            (one["lat"], one["lon"]), interactive=False,
            icon=folium.DivIcon(
                icon_size=(34, 22), icon_anchor=(17, 11), class_name="",
                html=f'<div style="{_BOX};width:34px;border-radius:4px;background:#fff;color:#8a0050;'
                f'border:2px dashed #8a0050">{rank}?</div>',
            ),
        )
        for rank, one in enumerate(places, 1)
    ]  # fmt: skip


_BOX = "box-sizing:border-box;height:22px;font:700 12px/18px sans-serif;text-align:center"


def _badge(place: tuple[float, float], text: str, colour: str) -> folium.Marker:
    html = (
        f'<div style="{_BOX};width:22px;border-radius:50%;background:{colour};color:{ink_on(colour)};'
        f'border:2px solid #fff;box-shadow:0 0 0 1px #16241f">{text}</div>'
    )
    icon = folium.DivIcon(icon_size=(22, 22), icon_anchor=(11, 11), class_name="", html=html)
    return folium.Marker((place[1], place[0]), icon=icon, interactive=False)


def ink_on(colour: str) -> str:
    """Gives black or white, whichever is read better on a colour."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "#ffffff"


def swatch(colour: str, text: str = "") -> str:
    """Gives a small patch of a colour with a number in it, as HTML."""
    return (
        f'<span style="display:inline-block;min-width:1.6em;padding:0 .3em;border-radius:.25em;background:{colour};'
        f'color:{ink_on(colour)};border:1px solid #5b6b64;text-align:center;font-weight:700">'
        f"{escape(text) or '&nbsp;'}</span>"
    )
