"""Tables of texts that have a place: their columns, and reading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from earthfield.errors import BrokenArtefact, NotFound

PLACE = "place"
"""The column of points, WKB in longitude and latitude (OGC:CRS84)."""
COLUMNS = ("text", "kind", "id", "name", "licence", "attribution", "url", "language")
"""Columns of text beside `PLACE`."""


@dataclass(frozen=True)
class PlacedTexts:
    """Texts and where they belong."""

    lonlat: NDArray[np.float64]
    """(N, 2): longitude and latitude, degrees."""
    texts: tuple[str, ...]
    """N texts, in the table's order."""

    def __len__(self) -> int:
        return len(self.texts)


def read_texts(path: Path) -> PlacedTexts:
    """Reads a table that `earthfield texts` wrote; rows without a text are left out.

    Raises:
        NotFound: there is no such table.
        BrokenArtefact: it cannot be read as one.
    """
    # Where tables are read pyarrow is installed; a notebook does without.
    import pyarrow as pa
    from pyarrow import parquet

    if not path.is_file():
        raise NotFound(f"there is no table of texts at {path}: write it with `earthfield texts`")
    try:
        table = parquet.read_table(path, columns=[PLACE, "text"])
        points = shapely.from_wkb(table[PLACE].to_numpy(zero_copy_only=False))
        told = table["text"].to_pylist()
    except (pa.ArrowException, shapely.errors.ShapelyError, OSError, KeyError, TypeError) as error:
        raise BrokenArtefact(
            f"{path} cannot be read as a table of texts ({error}): write it again with `earthfield texts`"
        ) from error
    lonlat = np.stack([shapely.get_x(points), shapely.get_y(points)], -1).reshape(-1, 2)
    usable = [bool(text) and bool(np.isfinite(at).all()) for text, at in zip(told, lonlat, strict=True)]
    return PlacedTexts(lonlat[usable], tuple(text for text, use in zip(told, usable, strict=True) if use))
