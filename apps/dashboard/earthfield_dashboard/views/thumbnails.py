"""Small pictures of places, cut from the map's own tiles."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from PIL import Image, ImageDraw

from earthfield.client import Client, Place
from earthfield.errors import EarthfieldError
from earthfield_dashboard.layers import Layer

_ZOOM = 14
_TILE_PX = 256
_SIDE_PX = 48
"""At this zoom some 300 m in Europe."""
_SHOWN_PX = 96
_AT_ONCE = 6


def thumbnails(client: Client, layer: Layer, places: Sequence[Place]) -> list[str]:
    """Gives a picture of each place as a data address, the place in a ring in its middle; empty without one.

    Args:
        client: the search service.
        layer: the map that they are cut from.
        places: longitudes and latitudes.
    """
    corners = [_corner(place) for place in places]
    wanted = sorted({one for corner in corners for one in _tiles_under(corner)})
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        painted = pool.map(lambda one: _tile(client, layer.key, layer.model, layer.period_id, *one), wanted)
        tiles = dict(zip(wanted, painted, strict=True))
    return [_cut(corner, tiles) for corner in corners]


def _corner(place: Place) -> tuple[int, int]:
    """The upper left pixel of a place's picture, in pixels of the whole world at this zoom."""
    side = _TILE_PX * 2**_ZOOM
    x = (place[0] + 180) / 360 * side
    y = (1 - math.asinh(math.tan(math.radians(place[1]))) / math.pi) / 2 * side
    return round(x) - _SIDE_PX // 2, round(y) - _SIDE_PX // 2


def _tiles_under(corner: tuple[int, int]) -> list[tuple[int, int]]:
    (left, top), last = corner, _SIDE_PX - 1
    return [
        (x, y)
        for x in range(left // _TILE_PX, (left + last) // _TILE_PX + 1)
        for y in range(top // _TILE_PX, (top + last) // _TILE_PX + 1)
    ]


@lru_cache(maxsize=512)
def _tile(client: Client, key: str, model: str, period_id: str, x: int, y: int) -> bytes:
    """A tile of a layer; `key` is another one when the layer was made again."""
    try:
        return client.tile(model, period_id, _ZOOM, x, y)
    except EarthfieldError:
        return b""  # a list without a picture is still a list


def _cut(corner: tuple[int, int], tiles: dict[tuple[int, int], bytes]) -> str:
    picture = Image.new("RGB", (_SIDE_PX, _SIDE_PX), "#e8e8e8")
    is_there = False
    for x, y in _tiles_under(corner):
        if painted := tiles[x, y]:
            tile = Image.open(io.BytesIO(painted)).convert("RGBA")
            picture.paste(tile, (x * _TILE_PX - corner[0], y * _TILE_PX - corner[1]), tile)
            is_there = True
    if not is_there:
        return ""
    shown = picture.resize((_SHOWN_PX, _SHOWN_PX), Image.Resampling.NEAREST)
    middle, drawing = _SHOWN_PX // 2, ImageDraw.Draw(shown)
    for radius, colour in ((11, "#000000"), (10, "#ffffff"), (9, "#ffffff"), (8, "#000000")):
        drawing.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), outline=colour)
    stream = io.BytesIO()
    shown.save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
