"""Fields as GeoTIFFs in another type, cut to what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from earthfield.codec import stored
from earthfield.field import safe_label, write_vectors
from earthfield.progress import Progress, silent
from earthfield.storage import whole_file
from earthfield_infer.fields.choose import Part


def to_tiffs(parts: Sequence[Part], dtype: str, folder: Path, *, progress: Progress = silent) -> list[Path]:
    """Writes a cloud-optimised GeoTIFF for each field, of its whole tile as `embedding.tif` is.

    Where the type stays the same the stored numbers are copied; else vectors are renormalised and coded.

    Raises:
        Unavailable: the disk is full.
    """
    paths = []
    for done, part in enumerate(parts):
        progress("convert", done, len(parts))
        key, embedding = part.key, part.embedding
        path = folder / safe_label(f"{key.model}_{key.tile.id}_{key.period.id}_{dtype}.tif")
        codes = (
            part.codes(part.window) if dtype == embedding.dtype else stored(part.vectors(part.window), dtype)
        )
        with whole_file(path) as temporary:
            write_vectors(temporary, key.tile, part.window, codes, embedding.bands)
        paths.append(path)
    progress("convert", len(parts), len(parts))
    return paths
