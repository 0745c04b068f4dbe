"""Small pictures of places, cut from the map's own tiles, each under an address of its own.

A list of places is on the screen before its pictures are, and a browser asks for those that it shows.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from urllib.parse import quote, urlencode

from PIL import Image, ImageDraw
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from earthfield.client import Client, Place
from earthfield.errors import EarthfieldError, NotFound
from earthfield.storage import hash_of
from earthfield_dashboard.layers import Layer

_ZOOM = 14
_TILE_PX = 256
_SIDE_PX = 48
"""At this zoom some 300 m in Europe."""
_SHOWN_PX = 96
_KEPT_S = 86_400
_MOST_LAT = 85


def thumbnail_address(layer: Layer, place: Place) -> str:
    """Gives where a browser finds the picture of a place.

    Args:
        layer: the map that it is cut from.
        place: longitude and latitude.
    """
    query = {"lon": f"{place[0]:.6f}", "lat": f"{place[1]:.6f}", "v": hash_of(layer.stamp)[:8]}
    return f"/service/places/{quote(layer.model)}/{layer.period_id}.png?{urlencode(query)}"


def thumbnail_route(client: Client) -> Route:
    """Gives the route that answers at such an address: the map around a place, which is in a ring in its middle.

    Args:
        client: the search service.
    """

    async def picture(request: Request) -> Response:
        try:
            lon, lat = (float(request.query_params[name]) for name in ("lon", "lat"))
        except (KeyError, ValueError):
            return JSONResponse({"message": "give lon and lat, degrees"}, 422)
        if not (abs(lon) <= 180 and abs(lat) <= _MOST_LAT):
            return JSONResponse({"message": f"lon within 180 and lat within {_MOST_LAT} degrees"}, 422)
        layer = request.path_params["model"], request.path_params["period"]
        version = request.query_params.get("v", "")
        try:
            content = await run_in_threadpool(_cut, client, layer, version, _corner((lon, lat)))
        except EarthfieldError as error:
            return JSONResponse({"message": str(error)}, 404 if isinstance(error, NotFound) else 503)
        return Response(
            content, media_type="image/png", headers={"Cache-Control": f"private, max-age={_KEPT_S}"}
        )

    return Route("/service/places/{model}/{period}.png", picture)


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
def _tile(client: Client, layer: tuple[str, str], version: str, x: int, y: int) -> bytes:
    """A tile of a layer; `version` is another one when the layer was made again."""
    return client.tile(*layer, _ZOOM, x, y)


def _cut(client: Client, layer: tuple[str, str], version: str, corner: tuple[int, int]) -> bytes:
    picture = Image.new("RGB", (_SIDE_PX, _SIDE_PX), "#e8e8e8")
    for x, y in _tiles_under(corner):
        tile = Image.open(io.BytesIO(_tile(client, layer, version, x % 2**_ZOOM, y))).convert("RGBA")
        picture.paste(tile, (x * _TILE_PX - corner[0], y * _TILE_PX - corner[1]), tile)
    shown = picture.resize((_SHOWN_PX, _SHOWN_PX), Image.Resampling.NEAREST)
    middle, drawing = _SHOWN_PX // 2, ImageDraw.Draw(shown)
    for radius, colour in ((11, "#000000"), (10, "#ffffff"), (9, "#ffffff"), (8, "#000000")):
        drawing.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), outline=colour)
    stream = io.BytesIO()
    shown.save(stream, "PNG")
    return stream.getvalue()
