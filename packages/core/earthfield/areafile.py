"""Areas in vector files: Shapefiles (zipped too), GeoPackages and their like, in any coordinate system."""

from __future__ import annotations

import logging
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely.geometry.base import BaseGeometry

from earthfield.errors import InvalidInput, NotFound, Unavailable

log = logging.getLogger(__name__)

SUFFIXES = (".shp", ".gpkg", ".zip", ".fgb")
"""Files that are read here; a GeoPackage may name one layer after a colon, a zip holds the others."""

_LAYER = re.compile(r"^(?P<path>.+\.gpkg):(?P<layer>[^/\\]+)$", re.IGNORECASE)
_EDGE_M = 1000.0
"""Edges are cut to this length before they are reprojected: a straight line of one CRS is a curve in another."""


def is_vector_file(text: str) -> bool:
    """Tells whether a text names a file that is read here, by its ending."""
    return bool(_LAYER.match(text)) or text.lower().endswith(SUFFIXES)


def polygons_in_file(text: str) -> BaseGeometry:
    """Gives the union of all polygons of a file's layers, in longitude and latitude.

    Args:
        text: path of the file; `fields.gpkg:parcels` names one layer.

    Raises:
        NotFound: there is no such file or layer.
        InvalidInput: it cannot be read, tells no coordinate system, or holds no polygon.
        Unavailable: the library that reads it is not installed.
    """
    whole = Path(text).is_file()
    match = None if whole else _LAYER.match(text)
    path, layer = (Path(match["path"]), match["layer"]) if match else (Path(text), None)
    if not path.is_file():
        raise NotFound(f"the area file {str(path)!r} does not exist: check --aoi")
    found, other = [], Counter[str]()
    for source in _sources(path):
        for shapes in _layers(source, layer):
            kinds = [str(shape.geom_type) for shape in shapes]
            found += [shape for shape, kind in zip(shapes, kinds, strict=True) if kind.endswith("Polygon")]
            other.update(kind for kind in kinds if not kind.endswith("Polygon"))
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(other.items()))
    if not found:
        raise InvalidInput(
            f"the area file {text!r} holds no polygon, only {told or 'empty layers'}: give one with polygons"
        )
    if other:
        log.warning("of the area file %s only the polygons count; left aside: %s", text, told)
    return shapely.union_all([shapely.make_valid(shape) for shape in found])


def in_degrees(shapes: NDArray[Any], crs: str) -> list[BaseGeometry]:
    """Reprojects shapes to longitude and latitude; those across the antimeridian are cut there.

    Raises:
        InvalidInput: some lie outside of where the coordinate system is defined.
    """
    own = CRS.from_user_input(crs)
    change = Transformer.from_crs(own, "EPSG:4326", always_xy=True)
    edge = 0.01 if own.is_geographic else _EDGE_M / own.axis_info[0].unit_conversion_factor
    fine = shapely.segmentize(shapes, edge)
    turned = shapely.transform(fine, lambda xy: np.stack(change.transform(xy[:, 0], xy[:, 1]), axis=-1))
    if not np.isfinite(shapely.get_coordinates(turned)).all():
        raise InvalidInput(f"the area leaves the place where its coordinate system {own.name} is defined")
    return [_cut_at_antimeridian(shape) for shape in turned]


def _cut_at_antimeridian(shape: BaseGeometry) -> BaseGeometry:
    parts = []
    for part in shapely.get_parts(shape):
        line = shapely.get_coordinates(part)[:, 0]
        # Edges are short here, so a jump of half the globe is the change of sign at 180 degrees.
        if part.geom_type == "Polygon" and (np.abs(np.diff(line)) > 180).any():
            part = shapely.transform(part, lambda xy: xy + [[360.0, 0.0]] * (xy[:, :1] < 0))
            beyond = shapely.box(180, -90, 540, 90)
            east = shapely.transform(part.intersection(beyond), lambda xy: xy - [360.0, 0.0])
            part = shapely.union(part.intersection(shapely.box(-180, -90, 180, 90)), east)
        parts.append(part)
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def _sources(path: Path) -> Iterator[str]:
    """What GDAL opens: the file itself, or the vector files inside a zip, wherever they lie in it."""
    if path.suffix.lower() != ".zip":
        yield str(path)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith((".shp", ".gpkg", ".fgb"))]
    except zipfile.BadZipFile as error:
        raise InvalidInput(f"the area file {str(path)!r} is not a readable zip ({error})") from error
    if not names:
        raise InvalidInput(f"the area file {str(path)!r} holds no .shp, .gpkg or .fgb: zip one of these")
    yield from (f"/vsizip/{path.resolve()}/{name}" for name in names)


def _layers(source: str, wanted: str | None) -> Iterator[Sequence[BaseGeometry]]:
    pyogrio = _pyogrio()
    try:
        names = [str(name) for name, kind in pyogrio.list_layers(source) if kind]
        if wanted is not None and wanted not in names:
            have = ", ".join(names) or "none"
            raise NotFound(f"{source} has no layer {wanted!r}; its layers with shapes are: {have}")
        for name in names if wanted is None else [wanted]:
            meta, _, wkb, _ = pyogrio.raw.read(source, layer=name, columns=[], force_2d=True)
            shapes = shapely.from_wkb([one for one in wkb if one is not None])
            shapes = shapes[~shapely.is_empty(shapes)]
            if len(shapes) and not meta["crs"]:
                raise InvalidInput(
                    f"{source}, layer {name}, tells no coordinate system (a Shapefile keeps it in its .prj): "
                    "add it, or save the area as GeoJSON in longitude and latitude"
                )
            yield in_degrees(shapes, meta["crs"]) if len(shapes) else []
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        shapely.errors.ShapelyError,
    ) as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(f"the area file {source!r} cannot be read ({reason}): replace it") from error


def _pyogrio() -> Any:
    try:
        import pyogrio
    except ModuleNotFoundError as error:
        raise Unavailable(
            "reading Shapefiles and GeoPackages needs pyogrio: pip install 'earthfield[ingest]', "
            "or save the area as GeoJSON"
        ) from error
    return pyogrio
