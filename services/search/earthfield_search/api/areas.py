"""What is there: fields, models, and the catalogue that new ones can be made from."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pystac
import shapely
from fastapi import APIRouter, Request

from earthfield.catalog import Catalog
from earthfield.errors import NotFound, Unavailable
from earthfield.field import Field
from earthfield_search.api.deps import Served

router = APIRouter()


@router.get("/health")
def health(catalog: Served) -> dict[str, Any]:
    """Tells that the service answers, and which root it serves."""
    return {"status": "ok", "root": str(catalog.root)}


@router.get("/areas")
def areas(catalog: Served) -> dict[str, Any]:
    """Lists every finished field."""
    return {"areas": [_area(Field(catalog, key)) for key in catalog.fields()]}


def _area(field: Field) -> dict[str, Any]:
    key = field.key
    outline = field.area.to_crs("EPSG:4326").geom
    base = f"/fields/{key.model}/{key.period.id}"
    return {
        "model": key.model,
        "period": str(key.period),
        "period_id": key.period.id,
        "tile": key.tile.id,
        "bounds": list(outline.bounds),
        "geometry": shapely.geometry.mapping(outline),
        "pixels": field.manifest.get("pixels"),
        "fingerprint": field.fingerprint,
        "links": {"picture": f"{base}/picture.png", "bounds": f"{base}/bounds"},
    }


@router.get("/models")
def models(catalog: Served) -> dict[str, Any]:
    """Lists the models under the root, those that come with Earthfield, and those that fields were made with."""
    periods: dict[str, set[str]] = {path.parent.name: set() for path in _configs(catalog)}
    for key in catalog.fields():
        periods.setdefault(key.model, set()).add(str(key.period))
    return {"models": [{"name": name, "periods": sorted(found)} for name, found in sorted(periods.items())]}


def _configs(catalog: Catalog) -> Iterable[Path]:
    # Only names are read here: the search service knows no torch, so it opens no model.
    for folder in (catalog.model("any").parent, Path(str(files("earthfield_model") / "pretrained"))):
        yield from folder.glob("*/config.json")


@router.get("/catalog")
def scenes(request: Request) -> dict[str, Any]:
    """Tells where and when the installation's own STAC catalogue holds scenes.

    The catalogue is the one of the settings; a request cannot name another.

    Raises:
        NotFound: none is set, or it is an API, whose extent is the world.
        Unavailable: it cannot be read.
    """
    href: str = request.app.state.catalog_href
    if not href or "://" in href:
        raise NotFound(
            "no folder of scenes is set: start with EARTHFIELD_CATALOG=FOLDER or `earthfield up --catalog FOLDER`"
        )
    path = Path(href) / "catalog.json" if Path(href).is_dir() else Path(href)
    try:
        root = pystac.Catalog.from_file(str(path))
        children = [child for child in root.get_children() if isinstance(child, pystac.Collection)]
    except (OSError, pystac.STACError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(
            f"the catalogue {href} cannot be read ({error}): check EARTHFIELD_CATALOG"
        ) from error
    boxes = [box for child in children for box in child.extent.spatial.bboxes if len(box) == 4]
    instants = [
        instant
        for child in children
        for interval in child.extent.temporal.intervals
        for instant in interval
        if instant is not None
    ]
    return {
        "href": href,
        "title": root.title or root.id,
        "collections": [child.id for child in children],
        "bbox": _around(boxes),
        "interval": [min(instants).isoformat(), max(instants).isoformat()] if instants else None,
    }


def _around(boxes: list[Any]) -> list[float] | None:
    if not boxes:
        return None
    west, south, east, north = zip(*boxes, strict=True)
    return [min(west), min(south), max(east), max(north)]
