"""Reading finished fields."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from rasterio.windows import Window as RasterWindow

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import normalised, values_of
from earthfield.errors import BrokenArtefact, NotFound
from earthfield.field.blocks import bands_of, block_of, keeps_blocks
from earthfield.field.content import EMBEDDING, MANIFEST, QUALITY, SCHEMA, Embedding
from earthfield.field.quality import from_stored
from earthfield.field.raster import BLOCK_PX
from earthfield.grid import Window
from earthfield.timeline import Period


class Field:
    """A finished field, for reading.

    Raises:
        NotFound: there is none.
        BrokenArtefact: its manifest breaks the schema.
    """

    def __init__(self, catalog: Catalog, key: FieldKey) -> None:
        """Opens the field; pixels are read only when asked for."""
        self.key = key
        self.folder = catalog.field(key)
        path = self.folder / MANIFEST
        if not path.is_file():
            raise NotFound(
                f"there is no field {key.id} under {catalog.root}: run `earthfield map` for it first"
            )
        try:
            self.manifest: dict[str, Any] = json.loads(path.read_text())
            if self.manifest["schema"] != SCHEMA:
                raise KeyError("schema")
            self.window = Window(*self.manifest["window"])
            self.embedding = Embedding.of(self.manifest)
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenArtefact(
                f"{path} is not a manifest of {SCHEMA} ({error}): make the field again"
            ) from error

    @property
    def fingerprint(self) -> str:
        """Hash of everything that it was made from."""
        return str(self.manifest["inputs"])

    @property
    def dim(self) -> int:
        """Length of its vectors."""
        return self.embedding.dimensions

    @property
    def bands(self) -> tuple[str, ...]:
        """Name of each dimension."""
        return self.embedding.bands

    @property
    def dtype(self) -> str:
        """Type in which its vectors are stored: int8, float16 or float32."""
        return self.embedding.dtype

    @cached_property
    def area(self) -> Geometry:
        """The part of the tile that it covers, in the tile's CRS."""
        return Geometry(shapely.from_wkt(self.manifest["area"]), f"EPSG:{self.key.tile.epsg}")

    def codes(self, window: Window | None = None) -> NDArray[Any]:
        """Reads vectors as they are stored, (D, h, w), over a window of the zone's grid, by default all of it.

        int8 codes with -128 for no data, or floats with NaN (`dtype` tells); `earthfield.codec.values_of` makes
        either into numbers.
        """
        local = self.key.tile.local(window or self.window)
        row, col = local.y0 // BLOCK_PX, local.x0 // BLOCK_PX
        top, left = row * BLOCK_PX, col * BLOCK_PX
        block = Window(top, top + BLOCK_PX, left, left + BLOCK_PX)
        if keeps_blocks() and local and local in block:
            ys, xs = local.shifted(-top, -left).slices
            return np.array(self.block(0, row, col)[:, ys, xs], order="C")
        return self._read(EMBEDDING, window).astype(self.dtype, copy=False)

    def block(self, level: int, row: int, col: int, bands: tuple[int, ...] = ()) -> NDArray[Any]:
        """Reads a block of the file as it is stored, (D, 256, 256), read-only; kept after `keep_blocks`.

        Args:
            level: 0 for the pixels themselves, 1 and 2 for the overviews.
            row: of the block in the level, from the tile's upper edge.
            col: of the block in the level, from the tile's left edge.
            bands: only these, from 0; all when empty.
        """
        path = self.folder / EMBEDDING
        try:
            if bands:
                return bands_of(path, self.dtype, level, row, col, bands)
            return block_of(path, self.dtype, level, row, col)
        except (rasterio.errors.RasterioError, OSError) as error:
            raise self._broken(EMBEDDING, error) from error

    def vectors(self, window: Window | None = None) -> NDArray[np.float32]:
        """Reads unit vectors (h, w, D), NaN where there is none."""
        return normalised(np.moveaxis(values_of(self.codes(window)), 0, -1))

    def quality(self, window: Window | None = None) -> dict[str, NDArray[Any]]:
        """Reads the quality layers by name, (h, w): counts in uint16 with 65535 for no data; scaled layers, such as
        `agreement`, in float32 with NaN for no data."""
        return from_stored(self._read(QUALITY, window), self.quality_names) if self.quality_names else {}

    def quality_layer(self, name: str, window: Window) -> NDArray[Any] | None:
        """Reads one quality layer, (h, w) as `quality` gives it; None where the field has none of this name."""
        if name not in self.quality_names:
            return None
        stored = self._read(QUALITY, window, band=self.quality_names.index(name) + 1)
        return from_stored(stored[None], [name])[name]

    @cached_property
    def quality_names(self) -> tuple[str, ...]:
        """Names of the quality layers, in the order of the file's bands; none of what was imported without any."""
        if QUALITY not in self.manifest["files"]:
            return ()
        with self._opened(QUALITY) as data:
            return tuple(map(str, data.descriptions))

    def _read(self, name: str, window: Window | None, band: int | None = None) -> NDArray[Any]:
        local = self.key.tile.local(window or self.window)
        view = RasterWindow(local.x0, local.y0, local.shape[1], local.shape[0])
        with self._opened(name) as data:
            try:
                return np.asarray(data.read(band, window=view))
            except rasterio.errors.RasterioError as error:
                raise self._broken(name, error) from error

    def _opened(self, name: str) -> Any:
        try:
            return rasterio.open(self.folder / name)
        except rasterio.errors.RasterioError as error:
            raise self._broken(name, error) from error

    def _broken(self, name: str, error: Exception) -> BrokenArtefact:
        return BrokenArtefact(
            f"{self.folder / name} cannot be read ({error}): make the field again with --overwrite"
        )


def fields_of(catalog: Catalog, model: str, period_id: str | None = None) -> list[Field]:
    """Opens every finished field of a model, of one period or of all.

    Raises:
        NotFound: there is none.
    """
    keys = [key for key in catalog.fields(model) if period_id is None or key.period.id == period_id]
    if not keys:
        have = sorted({f"{key.model} {key.period}" for key in catalog.fields()})
        when = f" for {Period.from_id(period_id)}" if period_id else ""
        raise NotFound(
            f"no field of model {model!r}{when} under {catalog.root}; "
            f"there are: {', '.join(have) or 'none, run `earthfield map` first'}"
        )
    return [Field(catalog, key) for key in keys]


def safe_label(text: str) -> str:
    """Gives a text that can stand in a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("_")
