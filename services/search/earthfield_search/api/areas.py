"""What is there: fields, models, and the catalogue that new ones can be made from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import pystac
import shapely
from fastapi import APIRouter, Query, Request

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import NotFound, Unavailable
from earthfield.field import Field
from earthfield_search.api.deps import PERIOD, Served, period_of
from earthfield_search.api.shelf import Shelf

router = APIRouter()


@router.get("/areas")
def areas(
    request: Request,
    catalog: Served,
    model: Annotated[str | None, Query(description="Only of this model.")] = None,
    period: Annotated[str | None, Query(description=f"Only of this one. {PERIOD}")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="How many at most.")] = 1000,
    offset: Annotated[int, Query(ge=0, le=10**9, description="How many to leave out first.")] = 0,
) -> dict[str, Any]:
    """Lists finished fields, page by page: the link `next` is there while there are more."""
    shelf: Shelf = request.app.state.shelf
    only = (checked_name(model) if model else None, None, period_of(period) if period else None)
    keys = list(catalog.fields(*only))
    page = [_area(field) for field in shelf.opened(keys[offset : offset + limit])]
    asked = {name: value for name, value in (("model", model), ("period", period)) if value}
    links = []
    for rel, start, is_there in (
        ("next", offset + limit, offset + limit < len(keys)),
        ("prev", max(0, offset - limit), offset > 0),
    ):
        if is_there:
            query = urlencode({**asked, "limit": limit, "offset": start})
            links.append({"rel": rel, "href": f"{request.scope.get('root_path', '')}/areas?{query}"})
    return {"areas": page, "total": len(keys), "links": links}


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
        "links": {
            "picture": f"{base}/picture.png",
            "bounds": f"{base}/bounds",
            "tiles": f"/tiles/{key.model}/{key.period.id}",
        },
    }


@router.get("/models")
def models(request: Request, catalog: Served) -> dict[str, Any]:
    """Lists the models under the root, those that come with Earthfield, and those that fields were made with.

    `dim` and `fingerprint` are those of the fields; without any, what the model's own files tell. `texts` tells
    whether the model can be asked in words.
    """
    shelf: Shelf = request.app.state.shelf
    found = {path.parent.name: _blank(path) for path in _configs(catalog)}
    keys = list(catalog.fields())
    for key in keys:
        told = found.setdefault(key.model, _blank(None))
        told["fields"] += 1
        told["periods"].add(str(key.period))
    # One field tells for all: an index, and every question, refuses to mix two makers under one name.
    for field in shelf.opened(list({key.model: key for key in keys}.values())):
        found[field.key.model] |= {
            "dim": field.dim,
            "fingerprint": str(field.manifest["model"]["fingerprint"]),
        }
    listed = [
        {"name": name, **told, "periods": sorted(told["periods"])} for name, told in sorted(found.items())
    ]
    return {"models": listed}


def _blank(config: Path | None) -> dict[str, Any]:
    told = json.loads(config.read_text()) if config else {}
    return {
        "periods": set(),
        "fields": 0,
        "dim": told.get("dim"),
        "fingerprint": None,
        "texts": bool(told.get("text")),
    }


def _configs(catalog: Catalog) -> Iterable[Path]:
    # Only descriptions are read here: the search service knows no torch, so it opens no model.
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
