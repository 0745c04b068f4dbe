"""The table: records written as GeoParquet, a batch at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import shapely

from earthfield.storage import whole_file
from earthfield.texttable import COLUMNS, PLACE
from earthfield_ingest.texts.records import Record

_BATCH = 65_536


def write_table(path: Path, records: Iterable[Record]) -> int:
    """Writes records as GeoParquet 1.1, whole or not at all; memory holds one batch of them.

    The column `place` holds points as WKB in longitude and latitude (OGC:CRS84); the others are text.

    Returns:
        How many there are; without any no file is written.

    Raises:
        Unavailable: the disk is full.
        InvalidInput: the place cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [pa.field(PLACE, pa.binary(), nullable=False), *((name, pa.string()) for name in COLUMNS)]
    )
    batches = _batches(records)
    first = next(batches, None)
    if first is None:
        return 0
    count, bounds = 0, [math.inf, math.inf, -math.inf, -math.inf]
    with (
        whole_file(path) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for batch in chain([first], batches):
            count += len(batch)
            points = shapely.points([one.lon for one in batch], [one.lat for one in batch])
            west, south, east, north = shapely.total_bounds(points)
            bounds = [
                min(bounds[0], west), min(bounds[1], south), max(bounds[2], east), max(bounds[3], north)
            ]  # fmt: skip
            columns: list[Any] = [list(shapely.to_wkb(points))]
            columns += [[getattr(one, name) for one in batch] for name in COLUMNS]
            writer.write_batch(pa.record_batch(columns, schema=schema))
        writer.add_key_value_metadata({"geo": json.dumps(_geo([float(edge) for edge in bounds]))})
    return count


def _geo(bounds: list[float]) -> dict[str, Any]:
    """The `geo` metadata; a column without `crs` is in OGC:CRS84."""
    place = {"encoding": "WKB", "geometry_types": ["Point"], "bbox": bounds}
    return {"version": "1.1.0", "primary_column": PLACE, "columns": {PLACE: place}}


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    several = iter(records)
    while batch := list(islice(several, _BATCH)):
        yield batch
