"""The field in colour, and how alike every pixel is to one place, as pictures for a web map."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput
from earthfield.field import Field, fields_of
from earthfield.timeline import Period
from earthfield_analysis.project import fit_axes, pca_rgb
from earthfield_search.api.deps import ModelInPath, PeriodInPath, Served
from earthfield_search.api.mosaic import degrees_of, mercator_grid, paint, sample

Style = Literal["pca", "axes"]
_AXES = (1, 16, 9)
"""Bands shown as red, green and blue by `axes`, as in Earth Engine's tutorial."""

PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "A picture."}}
"""How routes that give pictures answer, for the description of the service."""

router = APIRouter()


class HeatMap(NamedTuple):
    """A heat map and what its colours mean."""

    png: bytes
    """The picture."""
    low: float
    """Cosine of the darkest colour."""
    high: float
    """Cosine of the brightest colour."""


class Painter:
    """Paints pictures, and keeps the last ones; a field that was made again is painted again."""

    def __init__(self, catalog: Catalog) -> None:
        """Paints fields of one catalogue."""
        self._catalog = catalog
        self._field = lru_cache(maxsize=24)(self._paint_field)
        self._heat = lru_cache(maxsize=24)(self._paint_heat)

    def field(self, model: str, period: Period, style: Style) -> bytes:
        """Gives the fields of a model and period in colour, a PNG in Web Mercator."""
        return self._field(model, period.id, style, stamp_of(fields_of(self._catalog, model, period.id)))

    def heat(self, model: str, period: Period, vector: NDArray[np.float32]) -> HeatMap:
        """Gives the cosine of every pixel to a vector, viridis, on the same grid as `field`."""
        stamp = stamp_of(fields_of(self._catalog, model, period.id))
        return self._heat(model, period.id, vector.tobytes(), stamp)

    def _paint_field(self, model: str, period_id: str, style: Style, stamp: str) -> bytes:
        fields = fields_of(self._catalog, model, period_id)
        vectors = sample(fields)
        if style == "pca":
            axes = fit_axes(vectors)
            return _png(paint(fields, mercator_grid(fields), lambda strip: pca_rgb(strip, axes)))
        if vectors.shape[1] <= max(_AXES):
            raise InvalidInput(
                f"vectors of {model} have {vectors.shape[1]} numbers, too few for bands {_AXES}: take the style pca"
            )
        low, high = np.percentile(vectors[:, _AXES], (2, 98), axis=0)
        return _png(
            paint(fields, mercator_grid(fields), lambda strip: _stretched(strip[..., _AXES], low, high))
        )

    def _paint_heat(self, model: str, period_id: str, vector: bytes, stamp: str) -> HeatMap:
        fields = fields_of(self._catalog, model, period_id)
        query = np.frombuffer(vector, np.float32)
        low, high = float(np.percentile(sample(fields) @ query, 5)), 1.0
        return HeatMap(
            _png(paint(fields, mercator_grid(fields), lambda strip: _heated(strip @ query, low, high))),
            low,
            high,
        )


def stamp_of(fields: Sequence[Field]) -> str:
    """Gives a text that changes when one of the fields does."""
    return "/".join(f"{one.key.tile.id}:{one.fingerprint}:{one.manifest['window']}" for one in fields)


def _stretched(values: NDArray[np.float32], low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.uint8]:
    share = np.clip((values - low) / np.maximum(high - low, 1e-6), 0, 1)
    missing = np.isnan(share).any(axis=-1, keepdims=True)
    colours = np.where(missing, 0, np.rint(np.nan_to_num(share) * 255))
    return np.concatenate([colours, np.where(missing, 0, 255)], axis=-1).astype(np.uint8)


def _heated(scores: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    share = (scores - low) / max(high - low, 1e-6)
    colours = colormaps["viridis"](np.nan_to_num(share).clip(0, 1), bytes=True)
    colours[np.isnan(scores)] = 0
    return np.asarray(colours, np.uint8)


def _png(picture: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture, "RGBA").save(stream, "PNG", compress_level=4)
    return stream.getvalue()


@router.get("/fields/{model}/{period}/bounds")
def bounds(catalog: Served, model: ModelInPath, period: PeriodInPath) -> dict[str, Any]:
    """Tells where the picture of a model and period lies, in degrees."""
    fields = fields_of(catalog, model, period.id)
    grid = mercator_grid(fields)
    west, south, east, north = degrees_of(grid)
    return {
        "model": model,
        "period": str(period),
        "period_id": period.id,
        "bounds": [west, south, east, north],
        "shape": list(grid.shape),
        "tiles": [one.key.tile.id for one in fields],
    }


@router.get("/fields/{model}/{period}/picture.png", response_class=Response, responses=PNG)
def picture(
    request: Request,
    model: ModelInPath,
    period: PeriodInPath,
    style: Annotated[Style, Query(description="Principal axes, or three bands as they are.")] = "pca",
) -> Response:
    """Gives the fields of a model and period in colour, RGBA in EPSG:3857."""
    painter: Painter = request.app.state.painter
    return Response(painter.field(model, period, style), media_type="image/png")
