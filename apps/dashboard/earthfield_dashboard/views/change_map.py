"""The maps of *Change*: patches over how far the land moved, or both periods beside one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import folium
import streamlit as st

from earthfield_dashboard.layers import Bounds, Layer
from earthfield_dashboard.maps import Touched, answer_tiles, field_tiles, geometry_layer, show_map, touched_on
from earthfield_dashboard.views.change_found import Found, Patch, look_at
from earthfield_dashboard.views.within import TOOLS, area_of, map_name, take_drawn
from earthfield_dashboard.words import hectares

_OPACITY = 90
_CHANGE, _BOTH = "What changed", "Before and after"
_CASING = {"color": "#111111", "weight": 4.5, "fill": False}
_LINE = {"color": "#ffffff", "weight": 2, "fill": False}
_NUM_RANKS = 25
_NUM_OUTLINES = 400
"""Outlines on a map at most: more make it slow, and are dots."""
_AROUND = 1.5
"""Of a patch's size is shown beside it on each side."""
_LEAST_DEGREES = 0.0008


def show_change_map(before: Layer, after: Layer, found: Found | None) -> None:
    """Takes what was drawn and clicked on the map, and shows it."""
    shown = st.segmented_control(
        "On the map", [_CHANGE, _BOTH], default=_CHANGE if found else _BOTH,
        key=f"change-shown-{found is not None}",
    )  # fmt: skip
    opacity = st.session_state.get("change-opacity", _OPACITY) / 100
    chosen = found.chosen if found else None
    bounds = _around(chosen) if chosen else before.bounds
    name = f"{map_name('change')}-{before.key}-{after.key}-{chosen.number if chosen else 'all'}"
    if shown == _BOTH or found is None:
        name += "-both"
    _take(found, touched_on(name))
    if shown == _BOTH or found is None:
        _both(before, after, found, bounds, name=name, opacity=opacity)
    else:
        over = [field_tiles(before, style="axes", opacity=0.25)]
        over += [
            answer_tiles(one["href"], opacity=opacity, low=0, high=found.farthest) for one in found.rasters
        ]
        show_map(name, bounds, over=[*over, *_outlines(found)], tools=TOOLS)
        _scale(found.farthest)
    st.slider("Opacity, %", 0, 100, _OPACITY, step=5, key="change-opacity")


def _both(
    before: Layer, after: Layer, found: Found | None, bounds: Bounds, *, name: str, opacity: float
) -> None:
    """Shows both periods, divided by a line: the same three numbers of each vector as red, green and blue."""
    left = field_tiles(before, style="axes", opacity=opacity, side="left")
    right = field_tiles(after, style="axes", opacity=opacity, side="right", like=before.period_id)
    show_map(name, bounds, over=[left, right, *_outlines(found)], tools=TOOLS)
    st.caption(
        f"Left of the line **before**, {before.period}; right of it **after**, {after.period}. Move the line, with "
        "the mouse or the arrow keys. A colour means the same on both sides, and a season moves them all: what "
        "changed is what is outlined, not every other colour."
    )


def _take(found: Found | None, touched: Touched) -> None:
    if touched.drawn:
        take_drawn("change", touched.drawn)
        st.rerun()
    patch = found.patch_at(touched.clicked) if found and touched.clicked else None
    if found and patch and patch != found.chosen:
        look_at(patch)
        st.rerun()


def _outlines(found: Found | None) -> list[Any]:
    """Draws the area, the patches with their rank, and the one that is looked at above all."""
    area = area_of("change")
    over: list[Any] = [geometry_layer(area, told="Only here")] if area else []
    if found is None:
        return over
    # White on black is seen on dark and on bright colours.
    over += [_patch_layer(found.patches[:_NUM_OUTLINES], one) for one in (_CASING, _LINE)]
    over += [_rank(one) for one in reversed(found.patches[:_NUM_RANKS])]
    if found.chosen:
        over.append(geometry_layer(found.chosen.outline, told=f"Patch {found.chosen.number}"))
    return over


def _patch_layer(patches: Sequence[Patch], style: Mapping[str, Any]) -> folium.GeoJson:
    features = [
        {
            "type": "Feature",
            "geometry": dict(one.outline),
            "properties": {"patch": one.number, "size": hectares(one.hectares)},
        }
        for one in patches
    ]
    return folium.GeoJson(
        {"type": "FeatureCollection", "features": features}, style_function=lambda _: dict(style),
        tooltip=folium.GeoJsonTooltip(["patch", "size"], aliases=["Patch", "Size"]) if features else None,
    )  # fmt: skip


def _rank(patch: Patch) -> folium.Marker:
    lon, lat = patch.place
    icon = folium.DivIcon(
        icon_size=(22, 22), icon_anchor=(11, 11), html=str(patch.number), class_name="earthfield-rank"
    )
    return folium.Marker((lat, lon), icon=icon, tooltip=f"Patch {patch.number}, {hectares(patch.hectares)}")


def _scale(farthest: float) -> None:
    st.html(
        f'<div class="earthfield-scale" role="img" aria-label="Dark: the same; bright: {farthest:.2f} apart">'
        f"the same<i></i>{farthest:.2f} apart</div>"
    )
    st.caption("White lines: patches that count as changed, with their rank. Click one to look at it.")


def _around(patch: Patch) -> Bounds:
    west, south, east, north = patch.bounds
    margin = max((east - west) * _AROUND, (north - south) * _AROUND, _LEAST_DEGREES)
    return west - margin, south - margin * 0.6, east + margin, north + margin * 0.6
