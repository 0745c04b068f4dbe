"""The index of AlphaEarth's published files, as CSV or GeoParquet: which files hold some tiles of some years."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from earthfield.errors import InvalidInput, NotFound
from earthfield.grid import PIXEL_M, Tile, Window
from earthfield.storage import writing
from earthfield_infer.importing.reach import Reach, is_remote

_PARQUET = (".parquet", ".geoparquet")
_BOUNDS = ("utm_west", "utm_south", "utm_east", "utm_north")
_NEEDED = ("path", "year", *_BOUNDS)
_ZONE = re.compile(r"^\s*(\d{1,2})\s*([NS])\s*$", re.IGNORECASE)
_ROWS = 65_536
_BLOCK_BYTES = 8_000_000


@dataclass(frozen=True, order=True)
class Entry:
    """A row of the index: one file."""

    path: str
    """Where the index says that it lies."""
    epsg: int
    """Its zone."""
    year: int
    """The year that its vectors summarise."""
    window: Window
    """Pixels of the zone's grid that it covers, rounded outwards."""


@dataclass
class Entries:
    """What an index tells of some tiles."""

    found: dict[tuple[Tile, int], list[Entry]] = field(default_factory=dict)
    """By tile and year the files of the tile's own zone that touch it, sorted."""
    num_rows: int = 0
    """Rows of the index."""
    num_broken: int = 0
    """Rows without a path, a year, a zone or bounds that can be read."""
    years: set[int] = field(default_factory=set)
    """Every year that the index names."""

    @property
    def files(self) -> list[Entry]:
        """Every file that was found, sorted."""
        return sorted({entry for entries in self.found.values() for entry in entries})


def find_entries(address: str, reach: Reach, tiles: Collection[Tile], years: Sequence[int]) -> Entries:
    """Reads an index piece by piece, and keeps the files that touch some tiles in their own zone.

    Neighbouring zones' files overlap; a tile takes none but its own zone's, so that no pixel is resampled.

    Args:
        address: the index, a path or a web address; GeoParquet where it ends in .parquet or .geoparquet, else CSV.
        reach: what may be read.
        tiles: which tiles.
        years: which years.

    Raises:
        NotFound: there is no such index.
        InvalidInput: it has not the published columns.
        Unavailable: its server does not answer.
    """
    wanted = {tile.epsg: [one for one in sorted(tiles) if one.epsg == tile.epsg] for tile in tiles}
    entries = Entries()
    with _at_hand(address, reach) as path:
        for batch in _batches(path, address):
            _sift(batch, wanted, years, entries)
    for files in entries.found.values():
        files.sort()
    return entries


@contextmanager
def _at_hand(address: str, reach: Reach) -> Iterator[Path]:
    if not is_remote(address):
        path = Path(address)
        if not path.is_file():
            raise NotFound(f"there is no index {address}: fetch aef_index.parquet, or name where it lies")
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="earthfield-") as folder:
        path = Path(folder) / "index"
        with writing(path):
            reach.fetch(address, path)
        yield path


def _batches(path: Path, address: str) -> Iterator[pa.RecordBatch]:
    try:
        if address.lower().partition("?")[0].endswith(_PARQUET):
            with pq.ParquetFile(path) as file:
                columns = _columns(file.schema_arrow.names, address)
                yield from file.iter_batches(_ROWS, columns=columns)
            return
        with path.open("rb") as head:
            names = [one.strip().strip('"') for one in head.readline(65_536).decode("utf-8-sig").split(",")]
        columns = _columns(names, address)
        yield from pcsv.open_csv(
            path,
            read_options=pcsv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pcsv.ParseOptions(newlines_in_values=False),
            convert_options=pcsv.ConvertOptions(
                include_columns=columns, column_types=dict.fromkeys(columns, pa.string())
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:
        raise InvalidInput(f"the index {address} cannot be read ({error}): fetch it again") from error


def _columns(names: Sequence[str], address: str) -> list[str]:
    zone = next((one for one in ("crs", "utm_zone") if one in names), None)
    missing = [one for one in _NEEDED if one not in names] + ([] if zone else ["crs"])
    if zone is None or missing:
        raise InvalidInput(
            f"{address} is no index of AlphaEarth's files: it lacks {', '.join(missing)}; name the published "
            "aef_index.parquet or aef_index.csv"
        )
    return [*_NEEDED, zone]


def _sift(
    batch: pa.RecordBatch, wanted: Mapping[int, Sequence[Tile]], years: Sequence[int], entries: Entries
) -> None:
    entries.num_rows += batch.num_rows
    year = _numbers(batch, "year")
    bounds = np.stack([_numbers(batch, name) for name in _BOUNDS], axis=1)
    zones, epsg = _zones(batch), np.full(batch.num_rows, -1, np.int64)
    for text in set(zones.tolist()):
        epsg[zones == text] = _epsg(text)
    paths = batch.column("path")
    whole = (
        np.isfinite(year) & np.isfinite(bounds).all(axis=1) & (epsg > 0) & paths.is_valid().to_numpy(False)
    )
    entries.num_broken += int((~whole).sum())
    entries.years |= {int(one) for one in np.unique(year[whole])}
    for row in np.flatnonzero(whole & np.isin(year, years) & np.isin(epsg, list(wanted))):
        zone = int(epsg[row])
        entry = Entry(str(paths[int(row)].as_py()), zone, int(year[row]), _window(bounds[row]))
        for tile in wanted[zone]:
            if tile.window & entry.window:
                entries.found.setdefault((tile, entry.year), []).append(entry)


def _numbers(batch: pa.RecordBatch, name: str) -> NDArray[np.float64]:
    column = batch.column(name)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array([_number(one) for one in column.to_pylist()], np.float64)
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _number(text: str | None) -> float:
    try:
        return float(text) if text else float("nan")
    except ValueError:
        return float("nan")


def _zones(batch: pa.RecordBatch) -> NDArray[np.str_]:
    name = "crs" if "crs" in batch.schema.names else "utm_zone"
    return np.array([str(one) for one in batch.column(name).to_pylist()] or [], dtype=str)


def _epsg(text: str) -> int:
    """Reads `EPSG:32631` or `31N`; -1 where it is no UTM zone."""
    if match := _ZONE.match(text):
        zone = int(match[1])
        return (32600 if match[2].upper() == "N" else 32700) + zone if 1 <= zone <= 60 else -1
    code = text.strip().upper().removeprefix("EPSG:")
    number = int(code) if code.isdigit() else -1
    return number if 32601 <= number <= 32660 or 32701 <= number <= 32760 else -1


def _window(bounds: NDArray[np.float64]) -> Window:
    """Turns metres into pixels; an index of south-up files may have south and north the other way round."""
    (west, east), (south, north) = sorted(bounds[[0, 2]]), sorted(bounds[[1, 3]])
    return Window(
        int(np.floor(-north / PIXEL_M)), int(np.ceil(-south / PIXEL_M)),
        int(np.floor(west / PIXEL_M)), int(np.ceil(east / PIXEL_M)),
    )  # fmt: skip
