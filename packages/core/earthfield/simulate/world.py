"""Everything that is fixed before the first satellite passes."""

from __future__ import annotations

from dataclasses import dataclass

from earthfield.simulate.arrays import Floats
from earthfield.simulate.canvas import Canvas, canvas_of
from earthfield.simulate.change import Change, changes_of
from earthfield.simulate.landcover import Land, land_of
from earthfield.simulate.spec import Landscape
from earthfield.simulate.spectra import library
from earthfield.simulate.style import Style, style_of
from earthfield.simulate.surface import Grain, grain_of
from earthfield.simulate.terrain import Terrain, terrain_of
from earthfield.simulate.units import Units, units_of
from earthfield.simulate.weather import Weather, weather_of


@dataclass(frozen=True)
class World:
    """A landscape with its land, its weather and its fate."""

    spec: Landscape
    """What was asked for."""
    canvas: Canvas
    """Its grids."""
    style: Style
    """Its kind of land and climate."""
    terrain: Terrain
    """Its elevation."""
    land: Land
    """Its land cover at the start."""
    change: Change
    """What changes between the years."""
    units: Units
    """Its patches of one kind."""
    weather: Weather
    """Its weather of every day."""
    grain: Grain
    """Its fixed texture."""
    library: dict[str, Floats]
    """Its spectra."""


def world_of(spec: Landscape) -> World:
    """Make the world of a landscape."""
    canvas, style = canvas_of(spec), style_of(spec)
    terrain = terrain_of(spec.seed, style, canvas)
    land = land_of(spec.seed, style, canvas, terrain)
    change = changes_of(spec, canvas, land)
    return World(
        spec=spec,
        canvas=canvas,
        style=style,
        terrain=terrain,
        land=land,
        change=change,
        units=units_of(spec, style, land, change),
        weather=weather_of(spec, style),
        grain=grain_of(spec.seed, canvas),
        library=library(spec.seed),
    )
