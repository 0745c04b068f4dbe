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
    "and blue. *Three numbers as they are* shows A01, A16 and A09, stretched to what they span here. *How sure it "
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
        """Gives what `field_tiles` takes."""
        quality = (
            {"quality": self.scale.name, "low": self.scale.low, "high": self.scale.high} if self.scale else {}
        )
        return {"style": self.style, "opacity": self.opacity, **quality}

    def as_tiles_beside(self, first: Layer, other: Layer) -> dict[str, Any]:
        """Gives what `field_tiles` takes for a map beside a first one: its colours, where they can be compared."""
        is_of_vectors = self.scale is None
        like = {"like": first.period_id} if is_of_vectors and first.model == other.model else {}
        return {**self.as_tiles(), **like}


def ask_colours(layer: Layer) -> Colours:
    """Lets a person choose colours of a map."""
    chosen = st.radio("Colours", [_PCA, _AXES, _QUALITY], help=_HELP, key="explore-colours")
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


def show_meaning(colours: Colours, layer: Layer, other: Layer | None) -> None:
    """Says under the map what its colours mean, and those of another one beside it."""
    if colours.scale:
        low, high = (
            f"{value:.4g} {colours.scale.unit}".strip() for value in (colours.scale.low, colours.scale.high)
        )
        st.html(
            f'<div class="earthfield-scale" role="img" aria-label="Colours from dark, {low}, to bright, {high}">'
            f"{low}<i></i>{high}</div>"
        )
        st.caption(f"{colours.scale.meaning[:1].upper()}{colours.scale.meaning[1:]}.")
    elif other and other.model != layer.model:
        st.caption("The maps are of two models: their colours do not mean the same.")
    elif other:
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
