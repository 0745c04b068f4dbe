"""Pictures and map tiles of the search service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from earthfield.client.addresses import Place, at, part, period_part
from earthfield.client.connection import Connection
from earthfield.errors import InvalidInput


@dataclass(frozen=True)
class Heat:
    """A picture of how alike every pixel is to a place."""

    png: bytes
    """The picture, RGBA in Web Mercator; it lies where `Client.bounds` says."""
    low: float
    """Cosine of the darkest colour."""
    high: float
    """Cosine of the brightest colour."""


class Pictures:
    """What a client shows on maps."""

    _to: Connection

    def bounds(self, model: str, period: str) -> dict[str, Any]:
        """Tells where the picture of a model and period lies, degrees."""
        return self._to.json("GET", f"/fields/{part(model)}/{period_part(period)}/bounds")

    def picture(self, model: str, period: str, *, style: str = "pca") -> bytes:
        """Gives the fields of a model and period in colour, a PNG."""
        path = f"/fields/{part(model)}/{period_part(period)}/picture.png"
        return self._to.ask("GET", path, params={"style": style}).content

    def heat(self, model: str, period: str, place: Place) -> Heat:
        """Gives a picture of how alike every pixel is to a place."""
        answer = self._to.ask("GET", "/similarity/map.png", params=at(model, period, place))
        return Heat(
            answer.content, float(answer.headers["X-Score-Low"]), float(answer.headers["X-Score-High"])
        )

    def tile_set(
        self, model: str, period: str, *, style: str = "pca", place: Place | None = None, **look: Any
    ) -> dict[str, Any]:
        """Describes the tiles of a model and period as TileJSON, with what their colours mean.

        Args:
            model: name of a model.
            period: a valid period.
            style: `pca`, `axes`, `similarity` to a place, or `quality`.
            place: the place, for `similarity`.
            look: `layer` for `quality`, one of those that the answer lists; for numbers `palette`, `low`, `high`;
                for `pca` and `axes` `like`, the id of a period of the model whose colours are taken.
        """
        path = f"/tiles/{part(model)}/{period_part(period)}"
        return self._to.json("GET", path, params=_styled(style, place) | look)

    def tile(
        self,
        model: str,
        period: str,
        z: int,
        x: int,
        y: int,
        *,
        style: str = "pca",
        place: Place | None = None,
        **look: Any,
    ) -> bytes:
        """Gives a map tile (XYZ), a PNG of 256 x 256 px.

        Args:
            model: name of a model.
            period: a valid period.
            z: zoom.
            x: column from the west.
            y: row from the north.
            style: as in `tile_set`.
            place: as in `tile_set`.
            look: as in `tile_set`.
        """
        path = f"/tiles/{part(model)}/{period_part(period)}/{z:d}/{x:d}/{y:d}.png"
        return self._to.ask("GET", path, params=_styled(style, place) | look).content

    def answer_tile_set(self, href: str, **style: Any) -> dict[str, Any]:
        """Describes the tiles of a raster of an answer as TileJSON, with what its colours mean.

        Args:
            href: link of the answer's GeoTIFF, as the service gave it.
            style: `palette` ("viridis", "cividis", "magma", "gray"), `low` and `high`, for numbers.
        """
        return self._to.json("GET", f"{self._answer(href)}/tiles", params=style)

    def answer_tile(self, href: str, z: int, x: int, y: int, **style: Any) -> bytes:
        """Gives a map tile (XYZ) of a raster of an answer, a PNG of 256 x 256 px; as `answer_tile_set`."""
        path = f"{self._answer(href)}/tiles/{z:d}/{x:d}/{y:d}.png"
        return self._to.ask("GET", path, params=style).content

    def _answer(self, href: str) -> str:
        """Gives a link of the service as a path below its address."""
        asked = urlsplit(href)
        if asked.scheme or asked.netloc or "/answers/" not in asked.path:
            raise InvalidInput(f"{href[:80]!r} is not a link of an answer: take `href` of one of its `links`")
        return asked.path.removeprefix(urlsplit(self._to.url).path)


def _styled(style: str, place: Place | None) -> dict[str, Any]:
    return {"style": style} | ({"lon": place[0], "lat": place[1]} if place else {})
