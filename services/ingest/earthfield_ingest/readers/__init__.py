"""Readers: a scene's pixels on a grid, one module for each layout that files come in."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from earthfield.sources import Source
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers.grid import Grid
from earthfield_ingest.scene import Scene

__all__ = ["Grid", "SceneReader", "reader_for"]


class SceneReader(Protocol):
    """Reads scenes of one source over one grid, and counts what it decoded."""

    bytes_read: int
    """Decoded bytes so far."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        ...

    def clear(self, scene: Scene) -> NDArray[np.bool_]:
        """Gives where the scene's quality assets say that the surface was seen, (H, W).

        Only asked of sources that declare a quality.

        Raises:
            BrokenArtefact: an asset is missing or cannot be decoded.
            Unavailable: the network fails, also after some tries.
        """
        ...

    def bands(self, scene: Scene) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Gives stored values (B, H, W) and where any band was measured (H, W); errors as in `clear`."""
        ...


def reader_for(source: Source, grid: Grid, fetcher: Fetcher) -> SceneReader:
    """Gives the reader for a source's layout."""
    if source.layout == "raster":
        from earthfield_ingest.readers.raster import RasterReader

        return RasterReader(source, grid, fetcher)
    if source.layout == "series":
        from earthfield_ingest.readers.series import SeriesReader

        return SeriesReader(source, grid, fetcher)
    from earthfield_ingest.readers.footprints import FootprintReader

    return FootprintReader(source, grid, fetcher)
