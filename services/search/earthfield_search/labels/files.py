"""Labels from files: GeoJSON, tables with coordinates, GeoParquet, and whatever GDAL reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound, Unavailable
from earthfield_search.files.geoparquet import read_geoparquet
from earthfield_search.labels.content import Labels
from earthfield_search.labels.rows import LabelColumns, Rows, geojson_rows, in_degrees, labels_of

_TABLES = (".csv", ".tsv", ".txt")
_LON_NAMES = ("lon", "longitude", "lng", "x")
_LAT_NAMES = ("lat", "latitude", "y")


def read_labels(path: Path, columns: LabelColumns | None = None) -> Labels:
    """Reads labels from a file that the user of a command or a notebook names.

    Args:
        path: GeoJSON (.geojson, .json), a table (.csv, .tsv, .txt) with a column each for longitude and latitude,
            GeoParquet (.parquet, .geoparquet), or what pyogrio reads (Shapefile, GeoPackage, FlatGeobuf, ...).
        columns: which columns tell what.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it cannot be read, a column is not there, or rows cannot be used.
        Unavailable: it needs pyogrio, which is not installed.
    """
    columns = columns or LabelColumns()
    if not path.is_file():
        raise NotFound(
            f"there is no file of labels {str(path)!r}: check the path, or `earthfield labels list`"
        )
    ending = path.suffix.lower()
    if ending in (".geojson", ".json"):
        return labels_of(_geojson(path), columns)
    if ending in _TABLES:
        return labels_of(_table(path, columns), columns)
    if ending in (".parquet", ".geoparquet"):
        return labels_of(_geoparquet(path), columns)
    return labels_of(_with_gdal(path, columns), columns)


def _geojson(path: Path) -> Rows:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise InvalidInput(f"{path} cannot be read as GeoJSON ({error}): replace it") from error
    return geojson_rows(content, str(path))


def _table(path: Path, columns: LabelColumns) -> Rows:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            head = stream.readline()
            stream.seek(0)
            mark = max(",;\t", key=head.count)
            lines = csv.DictReader(stream, delimiter=mark)
            names = [str(name) for name in lines.fieldnames or ()]
            told = list(lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path} cannot be read as a table ({error}): save it as CSV in UTF-8") from error
    lon = _coordinate(names, columns.lon, _LON_NAMES, path, "--lon")
    lat = _coordinate(names, columns.lat, _LAT_NAMES, path, "--lat")
    shapes: list[Any] = []
    faults: dict[int, str] = {}
    for row, line in enumerate(told):
        try:
            shapes.append(shapely.Point(float(line[lon] or ""), float(line[lat] or "")))
        except ValueError:
            shapes.append(None)
            faults[row] = f"{line[lon]!r}, {line[lat]!r} are not coordinates"
        if None in line:
            faults[row] = f"it has more than {len(names)} cells"
    kept = {name: [line[name] for line in told] for name in names if name not in (lon, lat)}
    return Rows(in_degrees(shapes, columns.crs), kept, str(path), faults)


def _coordinate(names: list[str], wanted: str, usual: tuple[str, ...], path: Path, option: str) -> str:
    if wanted in names:
        return wanted
    if wanted == usual[0]:
        for name in names:
            if name.strip().lower() in usual:
                return name
    raise InvalidInput(
        f"{path} has no column {wanted!r}: name the one of coordinates with {option}; its columns are: "
        f"{', '.join(map(repr, names)) or 'none'}"
    )


def _geoparquet(path: Path) -> Rows:
    try:
        table = read_geoparquet(path)
    except BrokenArtefact as error:
        # Not an artefact of ours: the file that the user named is not what it should be.
        raise InvalidInput(str(error)) from error
    columns = {name: table.columns[name].to_pylist() for name in table.columns.column_names}
    return Rows(list(shapely.force_2d(table.geometries)), columns, str(path))


def _with_gdal(path: Path, columns: LabelColumns) -> Rows:
    try:
        import pyogrio
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"reading {path.name} needs pyogrio: pip install 'earthfield[ingest]', or save the labels as GeoJSON"
        ) from error
    try:
        meta, _, wkb, values = pyogrio.raw.read(path, force_2d=True, datetime_as_string=True)
        shapes = shapely.from_wkb(wkb)
    except (
        pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, shapely.errors.ShapelyError, TypeError,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        raise InvalidInput(
            f"{path} cannot be read as labels ({reason}): give GeoJSON, CSV, GeoParquet or a GeoPackage"
        ) from error
    crs = meta["crs"] or columns.crs
    if not crs:
        raise InvalidInput(f"{path} tells no coordinate system: name it with --crs, such as EPSG:32631")
    told = {str(name): list(np.asarray(own)) for name, own in zip(meta["fields"], values, strict=True)}
    return Rows(in_degrees(list(shapes), str(crs)), told, str(path))
