"""GeoParquet: tables with a shape for each row, in longitude and latitude, written and read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyarrow import parquet
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield.storage import whole_file

GEOMETRY = "geometry"
"""The column of shapes in tables that are written here."""
MEDIA_TYPE = "application/vnd.apache.parquet"
_VERSION = "1.1.0"
_OURS = b"earthfield"


@dataclass(frozen=True)
class GeoTable:
    """Shapes with their properties."""

    geometries: NDArray[Any]
    """(N,) shapely shapes in longitude and latitude, degrees; None where a row has none."""
    columns: pa.Table
    """N rows of properties, without the shapes."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What was told beside the rows when Earthfield wrote it; empty for other people's files."""


def geo_table(
    geometries: NDArray[Any] | Sequence[Any],
    columns: Mapping[str, Any] | pa.Table,
    metadata: Mapping[str, Any] | None = None,
) -> pa.Table:
    """Puts shapes and properties into one Arrow table that is GeoParquet once it is written as Parquet.

    Args:
        geometries: (N,) shapely shapes in longitude and latitude, degrees; a third axis is left out.
        columns: (N,) values by name, arrays or lists; anything that Arrow takes.
        metadata: plain content to keep beside the rows.

    Raises:
        InvalidInput: a column has another length than there are shapes, or is called as these are.

    Source: GeoParquet 1.1.0: WKB in a binary column, with the metadata `geo`; without `crs` it is OGC:CRS84.
    """
    shapes = shapely.force_2d(np.asarray(geometries, object))
    held = columns if isinstance(columns, pa.Table) else pa.table(dict(columns)) if columns else None
    if held is not None and GEOMETRY in held.column_names:
        raise InvalidInput(f"a column cannot be called {GEOMETRY!r}: that one holds the shapes")
    if held is not None and held.num_rows != len(shapes):
        raise InvalidInput(f"{len(shapes)} shapes cannot be put beside {held.num_rows} rows")
    wkb = pa.array(shapely.to_wkb(shapes, byte_order=1), pa.binary())
    table = (
        pa.table({GEOMETRY: wkb})
        if held is None
        else held.append_column(pa.field(GEOMETRY, pa.binary()), wkb)
    )
    told = {b"geo": json.dumps(_about(shapes)).encode()}
    if metadata:
        told[_OURS] = json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()
    return table.replace_schema_metadata(told)


def write_geoparquet(
    path: Path,
    geometries: NDArray[Any] | Sequence[Any],
    columns: Mapping[str, Any] | pa.Table,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Writes shapes and properties as GeoParquet, whole or not at all; arguments and errors as in `geo_table`."""
    table = geo_table(geometries, columns, metadata)
    with whole_file(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")
    return path


def geoparquet_bytes(
    geometries: NDArray[Any] | Sequence[Any],
    columns: Mapping[str, Any] | pa.Table,
    metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """Gives the bytes of a GeoParquet file, for an answer over HTTP; arguments and errors as in `geo_table`."""
    stream = pa.BufferOutputStream()
    parquet.write_table(geo_table(geometries, columns, metadata), stream, compression="zstd")
    return bytes(stream.getvalue().to_pybytes())


def read_geoparquet(path: Path) -> GeoTable:
    """Reads GeoParquet, other people's too; shapes in another CRS are turned into longitude and latitude.

    Raises:
        NotFound: there is no such file.
        BrokenArtefact: it is not GeoParquet, or its shapes cannot be read.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    try:
        table = parquet.read_table(path)
        told = table.schema.metadata or {}
        about = json.loads(told[b"geo"])
        name = about["primary_column"]
        own = about["columns"][name]
        if own["encoding"] != "WKB":
            raise ValueError(f"its shapes are encoded as {own['encoding']}, only WKB is read")
        shapes = shapely.from_wkb(np.array(table[name].to_pylist(), object))
        kept = json.loads(told.get(_OURS, b"{}"))
        shapes = _in_degrees(shapes, own)
    except (
        pa.ArrowException, shapely.errors.ShapelyError, ProjError, OSError, KeyError, TypeError, ValueError,
    ) as error:  # fmt: skip
        reason = f"{error} is missing from its metadata" if isinstance(error, KeyError) else str(error)
        raise BrokenArtefact(
            f"{path} cannot be read as GeoParquet ({reason}): write it again, or give GeoJSON"
        ) from error
    return GeoTable(shapes, table.drop_columns([name]).replace_schema_metadata(None), kept)


def _in_degrees(shapes: NDArray[Any], own: Mapping[str, Any]) -> NDArray[Any]:
    """Turns shapes into degrees; no `crs` is OGC:CRS84 by the format's rule, null one that nobody knows."""
    if "crs" not in own:
        return shapes
    if own["crs"] is None:
        raise ValueError("it does not say in which CRS its shapes are")
    crs = CRS.from_user_input(own["crs"])
    if crs.equals(CRS.from_epsg(4326), ignore_axis_order=True) or crs.to_authority() == ("OGC", "CRS84"):
        return shapes
    turn = Transformer.from_crs(crs, 4326, always_xy=True).transform
    return shapely.transform(shapes, lambda xy: np.stack(turn(xy[:, 0], xy[:, 1]), -1))


def _about(shapes: NDArray[Any]) -> dict[str, Any]:
    there = shapes[~shapely.is_missing(shapes)]
    own: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted({one.geom_type for one in there})}
    filled = there[~shapely.is_empty(there)] if len(there) else there
    if len(filled):
        own["bbox"] = [float(edge) for edge in shapely.total_bounds(filled)]
    return {"version": _VERSION, "primary_column": GEOMETRY, "columns": {GEOMETRY: own}}
