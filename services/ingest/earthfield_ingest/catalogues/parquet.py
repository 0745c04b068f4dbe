"""stac-geoparquet: items as rows of Parquet files, sifted by columns before a row becomes an item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from earthfield.errors import InvalidInput, NotFound
from earthfield.progress import Progress
from earthfield.sources import known_sources
from earthfield_ingest.catalogues.archive import (
    ITEM_ERRORS,
    Extent,
    Findings,
    Question,
    Sieve,
    asset_names,
    known_collections,
)
from earthfield_ingest.catalogues.reading import Reader
from earthfield_ingest.catalogues.shapes import Box, boxes
from earthfield_ingest.fetch.web import Refused
from earthfield_ingest.scene import is_remote

SUFFIXES = (".parquet", ".geoparquet")
"""Names of Parquet files."""
_ROWS = 512
"""Rows that are turned into items at a time."""
_SIFTED_ROWS = 65_536
"""Rows that are sifted at a time."""
_TIMES = ("datetime", "start_datetime", "end_datetime")
_INSTANT = pa.timestamp("us", "UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TASK = "reading the catalogue"


class ParquetArchive:
    """Items in Parquet files; memory stays bounded however many they hold."""

    def __init__(self, address: str, paths: Iterable[str], reader: Reader) -> None:
        """Args: what the user calls it; addresses of its files; what opens them."""
        self.address, self._paths, self._reader = address, sorted(paths), reader

    def find(self, question: Question, *, progress: Progress) -> Findings:
        """See `Archive`."""
        sieve = Sieve(question, remote=is_remote(self._paths[0]))
        seen = _Seen()
        for path in self._paths:
            with _opened(path, self._reader) as file:
                _File(path, file, question).give(sieve, seen, progress)
        # Without an area the footprints themselves are wanted, and every row was looked at.
        return sieve.findings(None if question.area is None else seen.extent())


@dataclass
class _Seen:
    """What sifting saw of the rows of the sources wanted."""

    box: Box | None = None
    """Their common box, degrees."""
    instants: list[datetime] = field(default_factory=list)
    """Earliest and latest times of the parts that were sifted."""

    def add(self, bounds: NDArray[np.float64], times: list[datetime]) -> None:
        """Args: (row, 4) boxes with NaN where a row tells none; some times."""
        if len(bounds) and np.isfinite(bounds).any():
            low, high = np.nanmin(bounds, axis=0), np.nanmax(bounds, axis=0)
            old = self.box or (180.0, 90.0, -180.0, -90.0)
            west, south = min(old[0], float(low[0])), min(old[1], float(low[1]))
            self.box = (west, south, max(old[2], float(high[2])), max(old[3], float(high[3])))
        self.instants += times

    def extent(self) -> Extent:
        """Gives it as an extent."""
        return Extent([shapely.box(*self.box)] if self.box else [], self.instants)


class _File:
    """One Parquet file that is asked a question."""

    def __init__(self, path: str, file: pq.ParquetFile, question: Question) -> None:
        self._path, self._file, self._question = path, file, question
        self._columns = set(file.schema_arrow.names)
        if not {"id", "geometry", "assets"} <= self._columns:
            raise InvalidInput(f"{path} is not stac-geoparquet: it needs the columns id, geometry and assets")

    def give(self, sieve: Sieve, seen: _Seen, progress: Progress) -> None:
        """Gives a sieve the rows that may answer the question, group by group."""
        columns = self._item_columns()
        total = self._file.metadata.num_rows
        done = 0
        for group in range(self._file.num_row_groups):
            wanted = self._sifted(group, sieve, seen)
            if wanted.any():
                start = 0
                for batch in self._file.iter_batches(_ROWS, row_groups=[group], columns=columns):
                    part = wanted[start : start + len(batch)]
                    start += len(batch)
                    if part.any():
                        self._take(batch.filter(pa.array(part)), sieve)
            done += len(wanted)
            progress(_TASK, done, total)

    def _sifted(self, group: int, sieve: Sieve, seen: _Seen) -> NDArray[np.bool_]:
        """Tells for each row of a group whether it may answer the question, from a few columns."""
        place = "bbox" if self._has_boxes() else "geometry"
        columns = [name for name in ("collection", *_TIMES, place) if name in self._columns]
        found = [np.zeros(0, bool)]
        for batch in self._file.iter_batches(_SIFTED_ROWS, row_groups=[group], columns=columns):
            found.append(self._sifted_part(batch, place, sieve, seen))
        return np.concatenate(found)

    def _sifted_part(self, batch: pa.RecordBatch, place: str, sieve: Sieve, seen: _Seen) -> NDArray[np.bool_]:
        question = self._question
        names = _texts(batch, "collection")
        sieve.collections.update({name or "none": 0 for name in names.unique().to_pylist()})
        bounds, times = _bounds(batch, place), _times(batch)
        keep = np.zeros(len(batch), bool)
        unknown = ~_among(names, known_collections())  # such rows may tell themselves what they are
        for source in question.sources:
            mine = _among(names, source.collections) | unknown
            if mine.any():
                seen.add(bounds[mine], _ends(times, mine))
            if question.area is not None and source.cadence != "static":
                mine &= _in_time(times, question.period.start, question.period.end)
            keep |= mine
        return keep if question.area is None else keep & _in_place(bounds, boxes(question.area.geom))

    def _take(self, batch: pa.RecordBatch, sieve: Sieve) -> None:
        """Turns rows into items; where one row breaks the conversion, it alone is named."""
        try:
            items = list(_items(batch))
        except (*ITEM_ERRORS, pa.ArrowException) as error:
            if len(batch) == 1:
                sieve.reject(f"{batch.column('id')[0].as_py()} ({self._path})", f"is no item ({error})")
                return
            for row in range(len(batch)):
                self._take(batch.slice(row, 1), sieve)
            return
        for item in items:
            sieve.take(item, self._path)

    def _has_boxes(self) -> bool:
        kind = self._file.schema_arrow.field("bbox").type if "bbox" in self._columns else None
        return kind is not None and pa.types.is_struct(kind)

    def _item_columns(self) -> list[str]:
        """Lists the columns that make an item: all but other sources' assets and grids' outlines."""
        wanted = asset_names(known_sources().values())
        kind = self._file.schema_arrow.field("assets").type
        keys = [one.name for one in kind] if pa.types.is_struct(kind) else []
        left_out = tuple(f"assets.{key}." for key in keys if key not in wanted)
        kept = tuple(f"assets.{key}." for key in keys if key in wanted)
        paths = [self._file.schema.column(place).path for place in range(len(self._file.schema.names))]
        return [
            path
            for path in paths
            if "proj:geometry" not in path and (path.startswith(kept) or not path.startswith(left_out))
        ]


def _items(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    from stac_geoparquet.arrow import stac_table_to_items

    if "assets" not in batch.schema.names:
        batch = batch.append_column("assets", pa.nulls(len(batch), pa.struct([])))
    for item in stac_table_to_items(pa.Table.from_batches([batch])):
        told = {name: _told(value) for name, value in item.items() if value is not None}
        told["properties"].setdefault("datetime", None)
        yield {"type": "Feature", "stac_version": "1.0.0", "links": [], **told}


def _told(value: Any) -> Any:
    """Leaves out what is null: in a table every row has every column, in an item only what it tells."""
    if isinstance(value, Mapping):
        return {name: _told(one) for name, one in value.items() if one is not None}
    return [_told(one) for one in value] if isinstance(value, list) else value


def _among(names: pa.Array, collections: Iterable[str]) -> NDArray[np.bool_]:
    return np.asarray(pc.is_in(names, value_set=pa.array(list(collections), pa.string())))


def _texts(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name not in batch.schema.names:
        return pa.nulls(len(batch), pa.string())
    return batch.column(name).cast(pa.string())


def _times(batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
    """Gives the earliest and the latest microsecond since 1970 that each row tells, null where it tells none."""
    names = [name for name in _TIMES if name in batch.schema.names]
    told = [batch.column(name).cast(_INSTANT).cast(pa.int64()) for name in names]
    told = told or [pa.nulls(len(batch), pa.int64())]
    return pc.min_element_wise(*told), pc.max_element_wise(*told)


def _ends(times: tuple[pa.Array, pa.Array], mine: NDArray[np.bool_]) -> list[datetime]:
    rows = pa.array(mine)
    ends = (pc.min(times[0].filter(rows)).as_py(), pc.max(times[1].filter(rows)).as_py())
    return [_EPOCH + timedelta(microseconds=end) for end in ends if end is not None]


def _in_time(times: tuple[pa.Array, pa.Array], start: datetime, end: datetime) -> NDArray[np.bool_]:
    """Tells which rows may lie in a period; those that tell no time may, so that they are named as broken."""
    first, last = ((instant - _EPOCH) // timedelta(microseconds=1) for instant in (start, end))
    inside = pc.and_(pc.less(times[0], last), pc.greater_equal(times[1], first))
    return np.asarray(pc.fill_null(inside, True))


def _bounds(batch: pa.RecordBatch, place: str) -> NDArray[np.float64]:
    """Gives (row, 4) west, south, east, north; NaN where a row tells no place."""
    column = batch.column(place)
    if place == "geometry":
        return shapely.bounds(shapely.from_wkb(column.to_numpy(zero_copy_only=False), on_invalid="ignore"))
    parts = [pc.struct_field(column, name) for name in ("xmin", "ymin", "xmax", "ymax")]
    return np.column_stack([np.asarray(pc.fill_null(part.cast(pa.float64()), np.nan)) for part in parts])


def _in_place(bounds: NDArray[np.float64], wanted: Iterable[Box]) -> NDArray[np.bool_]:
    """Tells which boxes meet some of those wanted; one that may cross the antimeridian counts by its latitudes."""
    west, south, east, north = bounds.T
    around = (west > east) | (east - west > 180)
    found = np.asarray(np.isnan(bounds).any(axis=1))
    for box in wanted:
        beside = (west <= box[2]) & (east >= box[0])
        found |= (south <= box[3]) & (north >= box[1]) & (around | beside)
    return found


@contextmanager
def _opened(path: str, reader: Reader) -> Iterator[pq.ParquetFile]:
    """Opens a file of the disk or the network, there by parts; errors of Arrow become ours."""
    try:
        with reader.file(path) as stream, pq.ParquetFile(stream, pre_buffer=is_remote(path)) as file:
            yield file
    except Refused as error:
        kind = NotFound if error.status in (404, 410) else InvalidInput
        raise kind(f"{error}: check the address, and your rights there") from error
    except pa.ArrowInvalid as error:
        raise InvalidInput(
            f"{path} is no Parquet file that can be read ({error}): repair or replace it"
        ) from error
