"""Tiles of a zone joined into sheets of 8,192 px, aligned as the published files are, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rasterio
from rasterio.shutil import copy as copy_raster

from earthfield.errors import InvalidInput
from earthfield.field import cog_options, safe_label
from earthfield.grid import SHEET_PX, TILE_PX, Tile, Window
from earthfield.progress import Progress, silent
from earthfield.storage import hash_of_file, scratch_folder, whole_file, write_json
from earthfield.timeline import Period
from earthfield_infer.fields.choose import Part, same_kind
from earthfield_infer.fields.pyramid import Pyramid

SCHEMA = "earthfield-sheet/1"
_CACHE_BYTES = 192 * 1024 * 1024
"""Memory that GDAL may keep blocks in; by default it takes a share of the machine's."""


@dataclass(frozen=True, order=True)
class Sheet:
    """A square of tiles of a zone, on a lattice fixed to the zone's origin, and a period."""

    epsg: int
    """UTM zone as an EPSG code."""
    col: int
    """Sheets east of the zone's origin."""
    row: int
    """Sheets north of the zone's origin."""
    period: Period
    """Valid period."""
    side: int = SHEET_PX
    """Its side in pixels."""

    @classmethod
    def of(cls, tile: Tile, period: Period, side: int = SHEET_PX) -> Sheet:
        """Gives the sheet that holds a tile."""
        tiles = side // TILE_PX
        return cls(tile.epsg, tile.col // tiles, tile.row // tiles, period, side)

    @property
    def window(self) -> Window:
        """Its pixels in the zone's grid."""
        y1, x0 = -self.row * self.side, self.col * self.side
        return Window(y1 - self.side, y1, x0, x0 + self.side)


@dataclass
class SheetReport:
    """One sheet."""

    path: str
    """The cloud-optimised GeoTIFF; beside it lies `<name>.json`, which names the fields in it."""
    epsg: int
    """Its zone."""
    period: str
    """Its valid period."""
    tiles: int
    """Tiles in it."""
    pixels: int
    """Pixels with a vector."""
    bytes: int
    """Size of the file."""


def mosaic(
    parts: Sequence[Part], folder: Path, *, side: int = SHEET_PX, progress: Progress = silent
) -> list[SheetReport]:
    """Joins fields into sheets, a file for each sheet and period.

    Pixels are those of the fields, number by number. Overviews are means of full-resolution vectors, renormalised,
    halving down to one pixel as the published files have them. Memory does not grow with the sheet.

    Args:
        parts: what to join, of one model.
        folder: where to write; it is made.
        side: side of a sheet in pixels, a power of two times a tile's.
        progress: told of each tile.

    Raises:
        InvalidInput: another side, or fields of different versions of a model.
        Unavailable: the disk is full.
    """
    num_tiles, rest = divmod(side, TILE_PX)
    if rest or num_tiles < 1 or num_tiles & (num_tiles - 1) or side > SHEET_PX:
        raise InvalidInput(f"sheets of {side} px cannot be made: take 1024, 2048, 4096 or {SHEET_PX}")
    same_kind(parts)
    sheets: dict[Sheet, list[Part]] = {}
    for part in parts:
        sheets.setdefault(Sheet.of(part.key.tile, part.key.period, side), []).append(part)
    reports, done = [], 0
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        for sheet, held in sorted(sheets.items()):
            reports.append(_write(sheet, held, folder, progress, (done, len(parts))))
            done += len(held)
    progress("mosaic", len(parts), len(parts))
    return reports


def _write(
    sheet: Sheet, parts: Sequence[Part], folder: Path, progress: Progress, done: tuple[int, int]
) -> SheetReport:
    dtype, key = parts[0].embedding.dtype, parts[0].key
    path = folder / safe_label(
        f"{key.model}_{sheet.epsg}_{sheet.col:02d}_{sheet.row:03d}_{sheet.period.id}.tif"
    )
    with whole_file(path) as temporary, scratch_folder(folder) as scratch:
        with Pyramid(scratch / "plain.tif", sheet.epsg, sheet.window, parts[0].embedding) as pyramid:
            for count, part in enumerate(parts):
                progress("mosaic", done[0] + count, done[1])
                pyramid.add(part)
        copy_raster(scratch / "plain.tif", temporary, **cog_options(dtype))
    fields = [{"field": part.key.id, "inputs": part.inputs} for part in parts]
    size = path.stat().st_size
    told = {"schema": SCHEMA, "fields": fields, "sha256": hash_of_file(path), "bytes": size}
    write_json(path.with_suffix(".json"), told)
    return SheetReport(str(path), sheet.epsg, str(sheet.period), len(parts), pyramid.num_pixels, size)
