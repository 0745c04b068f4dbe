"""What tiles of fields are painted with: how a layer shall look becomes colours that fit from tile to tile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import Field, QualityLayer, layer_of
from earthfield.kept import Kept
from earthfield.timeline import Period
from earthfield_search.api import palette as palettes
from earthfield_search.api.mosaic import sample
from earthfield_search.api.palette import Paint, QualityPaint, Ramp, RampName, limits_of, quality_values
from earthfield_search.api.shelf import Layer, Shelf
from earthfield_search.api.tiling import Tiler
from earthfield_search.ground.places import locate

TileStyle = Literal["pca", "axes", "similarity", "quality"]
_SAMPLED = 32
_THINNED = 8


@dataclass(frozen=True)
class Look:
    """How a layer shall look."""

    style: TileStyle = "pca"
    """Principal axes, three bands, the cosine to a place, or a quality layer."""
    place: tuple[float, float] | None = None
    """Longitude and latitude, for `similarity`."""
    quality: str | None = None
    """Name of the quality layer, for `quality`."""
    ramp: RampName = "viridis"
    """Colours of numbers."""
    low: float | None = None
    """What the first colour means; found where absent."""
    high: float | None = None
    """What the last colour means; found where absent."""
    like: str | None = None
    """Id of the model's period whose colours are taken, for `pca` and `axes`; those of the layer itself where
    absent."""

    def __post_init__(self) -> None:
        """Raises InvalidInput where something is missing, or the limits are the wrong way round."""
        if self.style == "similarity" and self.place is None:
            raise InvalidInput("the style similarity needs lon and lat, the place to be compared with")
        if self.style == "quality" and self.quality is None:
            raise InvalidInput(
                "the style quality needs layer, the name of a quality layer: the TileJSON lists them"
            )
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise InvalidInput(f"low is {self.low:g} and high is {self.high:g}: low must be the smaller one")


@dataclass(frozen=True)
class Scale:
    """What the colours of a look mean."""

    meaning: str
    """What the numbers are; empty where colours mean no numbers."""
    unit: str
    """Their unit; empty for pure numbers."""
    ramp: Ramp
    """Their colours."""


class Easel:
    """The open fields, colours for each layer and look, and the tiler."""

    def __init__(self, catalog: Catalog, shelf: Shelf) -> None:
        """Paints fields of one catalogue."""
        self.shelf = shelf
        self.tiler = Tiler()
        self._catalog = catalog
        self._samples: Kept[NDArray[np.float32]] = Kept(256 << 20, size_of=lambda one: one.nbytes)
        self._paints: Kept[Paint] = Kept(64, size_of=lambda _: 1)

    def paint(self, layer: Layer, look: Look) -> Paint:
        """Gives how a layer is painted.

        Raises:
            NotFound: no field holds the place, has such a quality layer, or is of the period to be coloured like.
            InvalidInput: the vectors are too short for the style.
        """
        shown, own = self.pattern(layer, look), replace(look, like=None)
        return self._paints.get((shown, own), lambda: self._paint(shown, own))

    def pattern(self, layer: Layer, look: Look) -> Layer:
        """Gives the layer whose colours a look takes: the layer itself, or its model's of another period.

        Raises:
            NotFound: there is none of that period.
            InvalidInput: its vectors are of another length.
        """
        if look.like is None:
            return layer
        found = self.shelf.layer(layer.model, Period.from_id(look.like))
        if found.fields[0].dim != layer.fields[0].dim:
            raise InvalidInput(
                f"the vectors of {found.period} are of another length than those of {layer.period}"
            )
        return found

    def scale(self, layer: Layer, look: Look) -> Scale | None:
        """Gives what the colours mean, None where they mean no numbers; errors as `paint`."""
        paint = self.paint(layer, look)
        if isinstance(paint, QualityPaint):
            told: QualityLayer = layer_of(paint.name)
            return Scale(told.meaning, told.unit, paint.ramp)
        if look.style == "similarity" and isinstance(paint, palettes.Palette):
            return Scale(
                "cosine to the place", "", Ramp(float(paint.low[0]), float(paint.high[0]), look.ramp)
            )
        return None

    def _paint(self, layer: Layer, look: Look) -> Paint:
        if look.style == "quality":
            return _quality(layer, look)
        vectors = self._samples.get(layer, lambda: sample(_some(layer)))
        if look.style == "pca":
            return palettes.principal(vectors)
        if look.style == "axes":
            return palettes.three_bands(vectors)
        assert look.place is not None
        query = locate(self._catalog, layer.model, *look.place, layer.period).vector
        return palettes.likeness(vectors, query, low=look.low, high=look.high, ramp=look.ramp)


def quality_names(layer: Layer) -> list[str]:
    """Lists the quality layers of a layer, as some of its fields have them."""
    return list(dict.fromkeys(name for one in _some(layer) for name in one.quality_names))


def _quality(layer: Layer, look: Look) -> QualityPaint:
    assert look.quality is not None
    found = [quality_values(one, look.quality, one.window) for one in _some(layer)]
    known = [one[::_THINNED, ::_THINNED].ravel() for one in found if one is not None]
    if not known:
        names = ", ".join(quality_names(layer)) or "none"
        raise NotFound(
            f"{layer.model} {layer.period} has no quality layer {look.quality[:64]!r}; there are: {names}"
        )
    low, high = limits_of(np.concatenate(known))
    limits = low if look.low is None else look.low, high if look.high is None else look.high
    return QualityPaint(look.quality, Ramp(*limits, look.ramp))


def _some(layer: Layer) -> tuple[Field, ...]:
    return layer.fields[:: -(-len(layer.fields) // _SAMPLED)]
