"""Classes of kept labels as areas: where something of a class was labelled."""

from __future__ import annotations

import numpy as np
import shapely
from odc.geo.geom import Geometry
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from earthfield.catalog import Catalog
from earthfield.errors import NotFound
from earthfield.grid import PIXEL_M, zone_of
from earthfield_search.asking.question import class_of

_SHOWN = 12


def labelled_shapes(catalog: Catalog, label: str, *, owner: str = "", around_px: float = 0.5) -> Geometry:
    """Gives the polygons of a class, and squares around its points, EPSG:4326.

    Args:
        catalog: where labels are kept.
        label: `SET:CLASS`.
        owner: whose labels.
        around_px: half the side of a point's square, pixels; 0.5 holds the centre of the point's own pixel.

    Raises:
        NotFound: there is no such set, or no such class in it.
    """
    from earthfield_search.labels import load_labels

    name, value = class_of(label)
    labels = load_labels(catalog, name, owner=owner)
    values = np.array(labels.classes(most=None))
    chosen = np.asarray(labels.geometries, object)[values == value]
    if not len(chosen):
        have = sorted(set(values.tolist()))
        more = f" and {len(have) - _SHOWN} more" if len(have) > _SHOWN else ""
        raise NotFound(
            f"the labels {name!r} hold no class {value!r}; they hold {', '.join(have[:_SHOWN])}{more}"
        )
    parts = [
        _square(part, around_px) if isinstance(part, shapely.Point) else part
        for one in chosen
        for part in shapely.get_parts(one)
    ]
    return Geometry(shapely.union_all([shapely.make_valid(one) for one in parts]), "EPSG:4326")


def _square(point: BaseGeometry, around_px: float) -> BaseGeometry:
    """The square of the zone's grid around a point."""
    lon, lat = shapely.get_coordinates(point)[0]
    epsg = zone_of(lon, lat)
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    side = around_px * PIXEL_M
    back = Transformer.from_crs(epsg, 4326, always_xy=True).transform
    return shapely.transform(
        shapely.box(x - side, y - side, x + side, y + side), lambda xy: np.stack(back(*xy.T), -1)
    )
