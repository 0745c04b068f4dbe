"""What the colours of a map stand for: widest differences, three numbers as they are, or how sure the map is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from earthfield_dashboard.layers import Layer
from earthfield_dashboard.session import search, told

_PCA, _AXES, _QUALITY = "Widest differences", "Three numbers as they are", "How sure it is"
_STYLES = {_PCA: "pca", _AXES: "axes", _QUALITY: "quality"}
_HELP = (
    "*Widest differences* puts the three directions in which this map's 64 numbers differ most into red, green "
    "and blue. *Three numbers as they are* shows A01, A16 and A09, which mean the same in every map. *How sure it "
    "is* shows what the map was made from."
)


@dataclass(frozen=True)
class Scale:
    """What the colours of a quality layer mean."""

    name: str
    """Name of the layer."""
    meaning: str
    """What its numbers say."""
    unit: str
    """Their unit; empty for pure numbers."""
    low: float
    """Number of the darkest colour."""
    high: float
    """Number of the brightest."""


@dataclass(frozen=True)
class Colours:
    """How a map is coloured."""

    style: str
    """Style of the tiles."""
    opacity: float = 1.0
    """0 to 1."""
    scale: Scale | None = None
    """Of the quality, for that style."""

    def as_tiles(self) -> dict[str, Any]:
        """Gives what `field_tiles` takes; two maps with the same colours can be compared."""
        quality = (
            {"quality": self.scale.name, "low": self.scale.low, "high": self.scale.high} if self.scale else {}
        )
        return {"style": self.style, "opacity": self.opacity, **quality}


def ask_colours(layer: Layer, *, is_compared: bool) -> Colours:
    """Lets a person choose colours.

    Args:
        layer: the map.
        is_compared: whether another map lies beside it; then colours that mean the same in both come first.
    """
    names = [_AXES, _PCA, _QUALITY] if is_compared else [_PCA, _AXES, _QUALITY]
    chosen = st.radio("Colours", names, help=_HELP, key=f"explore-colours-{is_compared}")
    scale = _ask_quality(layer) if chosen == _QUALITY else None
    opacity = st.slider("Opacity of the map, %", 0, 100, 100, step=5) / 100
    return Colours(_STYLES[_PCA if chosen == _QUALITY and scale is None else chosen], opacity, scale)


def _ask_quality(layer: Layer) -> Scale | None:
    with told():
        known = _quality_names(layer.key, layer.model, layer.period_id)
        if known:
            name = st.selectbox("Of what", known, format_func=_worded, key="explore-quality")
            return _scale(layer.key, layer.model, layer.period_id, name)
        st.info("Nothing is known of this map's quality: it was taken in without its `quality.tif`.")
    return None


@st.cache_data(show_spinner=False, max_entries=64, ttl=3600)
def _quality_names(_key: str, model: str, period_id: str) -> list[str]:
    found = search().tile_set(model, period_id, style="axes")["quality"]
    return sorted(found, key=lambda one: (one != "agreement", one))


@st.cache_data(show_spinner=False, max_entries=256, ttl=3600)
def _scale(_key: str, model: str, period_id: str, name: str) -> Scale:
    found = search().tile_set(model, period_id, style="quality", layer=name)
    return Scale(name, found["meaning"], found["unit"], found["low"], found["high"])


def show_meaning(colours: Colours, *, is_compared: bool) -> None:
    """Says under the map what its colours mean."""
    if colours.scale:
        low, high = (
            f"{value:.4g} {colours.scale.unit}".strip() for value in (colours.scale.low, colours.scale.high)
        )
        st.html(
            f'<div class="earthfield-scale" role="img" aria-label="Colours from dark, {low}, to bright, {high}">'
            f"{low}<i></i>{high}</div>"
        )
        st.caption(f"{colours.scale.meaning[:1].upper()}{colours.scale.meaning[1:]}.")
    elif is_compared and colours.style == "pca":
        st.caption(
            "The colours of the two maps do not mean the same: take *Three numbers as they are* for that."
        )
    elif is_compared:
        st.caption(
            "Like colours mean alike land on both sides. Drag the line, or move it with the arrow keys."
        )


def _worded(name: str) -> str:
    """Gives the name of a quality layer as people say it."""
    if name == "agreement":
        return "Agreement of two halves of the pictures"
    kind, _, source = name.partition("_")
    words = {"clear": "Clear pictures", "days": "Days to the nearest clear picture"}
    return f"{words[kind]}, {source}" if kind in words else name
