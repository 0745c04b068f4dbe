"""Maps that ask no other host for anything: the board itself, what is laid over it, what is drawn on it."""

from earthfield_dashboard.maps.board import Touched, ask_streets, show_map, touched_on
from earthfield_dashboard.maps.drawing import (
    answer_tiles,
    box_layer,
    field_tiles,
    geometry_layer,
    hits_layer,
    outline_layer,
    place_layer,
    points_layer,
)

__all__ = [
    "Touched",
    "answer_tiles",
    "ask_streets",
    "box_layer",
    "field_tiles",
    "geometry_layer",
    "hits_layer",
    "outline_layer",
    "place_layer",
    "points_layer",
    "show_map",
    "touched_on",
]
