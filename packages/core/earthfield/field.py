"""Embedding fields: the files of one, written whole and read back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from PIL import Image
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as RasterWindow

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import BANDS, DIM, NODATA, dequantise, halved, normalised
from earthfield.errors import BrokenArtefact, NotFound
from earthfield.fielditem import field_item
from earthfield.grid import TILE_PX, Window
from earthfield.storage import hash_of_file, make_folder, scratch_folder, whole_file, write_json, writing
from earthfield.timeline import Period

SCHEMA = "earthfield-field/1"
QUALITY_NODATA = 65535
_BLOCK_PX = 256
_OVERVIEWS = 2


@dataclass(frozen=True)
class FieldContent:
    """What is written for one field; arrays cover `window`, the files the whole tile."""

    key: FieldKey
    """Which field."""
    window: Window
    """Pixels in the zone's grid that the arrays hold."""
    codes: NDArray[np.int8]
    """(64, h, w) codes, -128 where there is no vector."""
    quality: Mapping[str, NDArray[np.uint16]]
    """Layers by name, (h, w); 65535 where there is no data."""
    preview: NDArray[np.uint8]
    """(h, w, 4) RGBA picture."""
    manifest: Mapping[str, Any]
    """What it was made from; the hashes of the files are added."""


def write_field(catalog: Catalog, content: FieldContent) -> Path:
    """Writes the files of a field; the manifest comes last, and without it the field is not there.

    Nothing in the files depends on the time of writing, so equal content gives equal bytes.

    Raises:
        Unavailable: the disk is full.
        InvalidInput: the root cannot be written.
    """
    folder = make_folder(catalog.field(content.key))
    with writing(folder):
        (folder / "manifest.json").unlink(missing_ok=True)
    with whole_file(folder / "embedding.tif") as path:
        _write_embedding(path, content)
    with whole_file(folder / "quality.tif") as path:
        _write_quality(path, content)
    with whole_file(folder / "preview.png") as path:
        Image.fromarray(content.preview, "RGBA").save(path)
    hashes = {
        name: {"sha256": hash_of_file(folder / name), "bytes": (folder / name).stat().st_size}
        for name in ("embedding.tif", "quality.tif", "preview.png")
    }
    manifest = {"schema": SCHEMA, **content.manifest, "files": hashes}
    write_json(folder / "item.json", field_item(content.key, manifest))
    write_json(folder / "manifest.json", manifest)
    return folder


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
        path = self.folder / "manifest.json"
        if not path.is_file():
            raise NotFound(
                f"there is no field {key.id} under {catalog.root}: run `earthfield map` for it first"
            )
        try:
            self.manifest: dict[str, Any] = json.loads(path.read_text())
            if self.manifest["schema"] != SCHEMA:
                raise KeyError("schema")
            self.window = Window(*self.manifest["window"])
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenArtefact(
                f"{path} is not a manifest of {SCHEMA} ({error}): make the field again"
            ) from error

    @property
    def fingerprint(self) -> str:
        """Hash of everything that it was made from."""
        return str(self.manifest["inputs"])

    @cached_property
    def area(self) -> Geometry:
        """The part of the tile that it covers, in the tile's CRS."""
        return Geometry(shapely.from_wkt(self.manifest["area"]), f"EPSG:{self.key.tile.epsg}")

    def codes(self, window: Window | None = None) -> NDArray[np.int8]:
        """Reads the codes (64, h, w) of a window of the zone's grid, by default all that it covers."""
        return self._read("embedding.tif", window)

    def vectors(self, window: Window | None = None) -> NDArray[np.float32]:
        """Reads unit vectors (h, w, 64), NaN where there is none."""
        return normalised(np.moveaxis(dequantise(self.codes(window)), 0, -1))

    def quality(self, window: Window | None = None) -> dict[str, NDArray[np.uint16]]:
        """Reads the quality layers by name, (h, w)."""
        with rasterio.open(self.folder / "quality.tif") as data:
            names = data.descriptions
        return dict(zip(names, self._read("quality.tif", window), strict=True))

    def _read(self, name: str, window: Window | None) -> NDArray[Any]:
        view = _view(self.key.tile.local(window or self.window))
        try:
            with rasterio.open(self.folder / name) as data:
                return data.read(window=view)
        except rasterio.errors.RasterioError as error:
            raise BrokenArtefact(
                f"{self.folder / name} cannot be read ({error}): make the field again with --overwrite"
            ) from error


def _profile(content: FieldContent, *, shrink: int, count: int, dtype: str, nodata: int) -> dict[str, Any]:
    geobox = content.key.tile.geobox.zoom_out(shrink)
    return {
        "driver": "GTiff", "width": TILE_PX // shrink, "height": TILE_PX // shrink, "count": count, "dtype": dtype,
        "nodata": nodata, "crs": str(geobox.crs), "transform": geobox.transform, "tiled": True,
        "blockxsize": _BLOCK_PX, "blockysize": _BLOCK_PX, "interleave": "pixel", "sparse_ok": True,
    }  # fmt: skip


def _write_embedding(path: Path, content: FieldContent) -> None:
    codes, region = _aligned(content)
    with scratch_folder(path.parent) as scratch:
        # GDAL takes overviews that exist already; a chain of .ovr files gives it ours, because its own
        # resampling would average codes, and codes must never be averaged.
        name = "plain.tif"
        for level in range(_OVERVIEWS + 1):
            profile = _profile(content, shrink=2**level, count=DIM, dtype="int8", nodata=NODATA)
            with rasterio.open(scratch / name, "w", **profile) as data:
                blocks, view = _on_blocks(codes, region, shrink=2**level, nodata=NODATA)
                data.write(blocks, window=view)
                data.descriptions = BANDS
            if level < _OVERVIEWS:
                codes, name = halved(codes), f"{name}.ovr"
        copy_raster(
            scratch / "plain.tif", path, driver="COG", compress="ZSTD", level=9, predictor="2",
            blocksize=_BLOCK_PX, overviews="FORCE_USE_EXISTING", overview_compress="ZSTD", sparse_ok="TRUE",
            bigtiff="IF_SAFER",
        )  # fmt: skip


def _aligned(content: FieldContent) -> tuple[NDArray[np.int8], Window]:
    """Pads codes with no data to a region of the tile whose sides every overview divides."""
    step, window = 2**_OVERVIEWS, content.key.tile.local(content.window)
    region = Window(
        window.y0 // step * step, -(-window.y1 // step) * step,
        window.x0 // step * step, -(-window.x1 // step) * step,
    )  # fmt: skip
    codes = np.full((DIM, *region.shape), NODATA, np.int8)
    ys, xs = window.shifted(-region.y0, -region.x0).slices
    codes[:, ys, xs] = content.codes
    return codes, region


def _on_blocks(
    layers: NDArray[Any], region: Window, *, shrink: int = 1, nodata: int
) -> tuple[NDArray[Any], RasterWindow]:
    """Pads layers of a region with no data to whole blocks of the file.

    Part of a block must never be written: when its cache runs full, GDAL fills the rest with zeros.
    """
    y, x = region.y0 // shrink, region.x0 // shrink
    rows, cols = layers.shape[1:]
    top, left = y // _BLOCK_PX * _BLOCK_PX, x // _BLOCK_PX * _BLOCK_PX
    height, width = (
        -(-(y + rows - top) // _BLOCK_PX) * _BLOCK_PX,
        -(-(x + cols - left) // _BLOCK_PX) * _BLOCK_PX,
    )
    blocks = np.full((len(layers), height, width), nodata, layers.dtype)
    blocks[:, y - top : y - top + rows, x - left : x - left + cols] = layers
    return blocks, RasterWindow(left, top, width, height)


def _view(window: Window) -> RasterWindow:
    return RasterWindow(window.x0, window.y0, window.shape[1], window.shape[0])


def _write_quality(path: Path, content: FieldContent) -> None:
    layers = np.stack(list(content.quality.values()))
    profile = _profile(content, shrink=1, count=len(layers), dtype="uint16", nodata=QUALITY_NODATA)
    with scratch_folder(path.parent) as scratch:
        with rasterio.open(scratch / "plain.tif", "w", **profile) as data:
            region = content.key.tile.local(content.window)
            blocks, view = _on_blocks(layers, region, nodata=QUALITY_NODATA)
            data.write(blocks, window=view)
            data.descriptions = tuple(content.quality)
        copy_raster(
            scratch / "plain.tif", path, driver="COG", compress="ZSTD", predictor="2", blocksize=_BLOCK_PX,
            overviews="NONE", sparse_ok="TRUE",
        )  # fmt: skip


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
