"""Fields into other formats: the choice between them, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from earthfield.codec import DTYPES
from earthfield.errors import InvalidInput
from earthfield.progress import Progress, silent
from earthfield_infer.fields.choose import Part

FORMATS = (*DTYPES, "zarr", "cells")


@dataclass(frozen=True)
class ConvertRequest:
    """What fields are turned into.

    Raises:
        InvalidInput: no such format or type.
    """

    to: str
    """int8, float16 or float32 for GeoTIFFs; zarr; cells."""
    dtype: str = "int8"
    """Type of vectors in a Zarr store."""
    cell_px: int = 8
    """Side of a cell in pixels."""
    out: Path | None = None
    """A folder for GeoTIFFs, else the store or the file itself."""

    def __post_init__(self) -> None:
        if self.to not in FORMATS:
            raise InvalidInput(f"--to {self.to!r} is not a format: take {', '.join(FORMATS)}")
        if self.dtype not in DTYPES:
            raise InvalidInput(f"--dtype {self.dtype!r} is not a type for vectors: take {', '.join(DTYPES)}")
        if self.to == "cells" and self.out is not None and self.out.suffix not in ("", ".parquet"):
            raise InvalidInput(f"--out {self.out} is no .parquet file: cells are written as GeoParquet")


@dataclass
class ConvertReport:
    """What was written."""

    paths: list[str] = field(default_factory=list)
    """Files, or the store."""
    fields: int = 0
    """Fields that went in."""
    cells: int = 0
    """Rows of a table of cells."""
    bytes: int = 0
    """Size of all of it."""


def run_convert(
    parts: Sequence[Part], request: ConvertRequest, folder: Path, *, progress: Progress = silent
) -> ConvertReport:
    """Turns fields into another format.

    Args:
        parts: what to convert, of one model.
        request: into what, and where.
        folder: where to write where the request does not say.
        progress: told of each field.

    Raises:
        InvalidInput: cells that do not nest in tiles, or fields of different versions of a model in one file.
        Conflict: a Zarr store of that name is there.
        Unavailable: the disk is full.
    """
    cells, name = 0, parts[0].key.model
    if request.to in DTYPES:
        from earthfield_infer.fields.tiffs import to_tiffs

        paths = to_tiffs(parts, request.to, request.out or folder, progress=progress)
    elif request.to == "zarr":
        from earthfield_infer.fields.zarrs import to_zarr

        out = request.out or folder / f"{name}.zarr"
        paths = [to_zarr(parts, request.dtype, out, progress=progress)]
    else:
        from earthfield_infer.fields.cells import to_cells

        out = request.out or folder / f"{name}_cells.parquet"
        paths = [out if out.suffix else out / f"{name}_cells.parquet"]
        cells = to_cells(parts, paths[0], cell_px=request.cell_px, progress=progress)
    size = sum(_size(path) for path in paths)
    return ConvertReport([str(path) for path in paths], len(parts), cells, size)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
