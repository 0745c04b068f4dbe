"""Cloud-optimised GeoTIFFs of a tile, with overviews of our own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as RasterWindow

from earthfield.codec import NODATA, shrunk
from earthfield.field.content import FieldContent
from earthfield.field.quality import QUALITY_NODATA, layer_of, to_stored
from earthfield.grid import TILE_PX, Tile, Window
from earthfield.storage import scratch_folder

BLOCK_PX = 256
OVERVIEWS = 2
_PREDICTORS = {"int8": "2", "float16": "3", "float32": "3"}


def write_embedding(path: Path, content: FieldContent) -> None:
    """Writes the vectors of a field."""
    write_vectors(path, content.key.tile, content.window, content.codes, content.embedding.bands)


def write_vectors(path: Path, tile: Tile, window: Window, codes: NDArray[Any], bands: Sequence[str]) -> None:
    """Writes a cloud-optimised GeoTIFF of a whole tile with two overviews; use it inside `storage.whole_file`.

    Half floats become a TIFF of 16 bits that GDAL reads as float32: before 3.11 it has no type for them.

    Args:
        path: the file.
        tile: the tile that it covers.
        window: pixels of the zone's grid that `codes` holds, inside the tile; absent blocks take no space.
        codes: (D, h, w) as `earthfield.codec.stored` gives them.
        bands: name of each dimension.
    """
    dtype = str(codes.dtype)
    nodata, file_dtype = nodata_of(dtype), file_dtype_of(dtype)
    codes, region = _aligned(codes, tile.local(window))
    with scratch_folder(path.parent) as scratch:
        # GDAL takes overviews that exist already; a chain of .ovr files gives it ours, because its own
        # resampling would average codes, and codes must never be averaged.
        for level in range(OVERVIEWS + 1):
            profile = _profile(tile, 2**level, len(codes), file_dtype, nodata)
            with rasterio.open(scratch / f"plain.tif{'.ovr' * level}", "w", **profile) as data:
                pixels = shrunk(codes, 2**level) if level else codes
                blocks, view = _on_blocks(pixels, region, shrink=2**level, nodata=nodata)
                data.write(blocks.astype(file_dtype, copy=False), window=view)
                data.descriptions = tuple(bands)
        copy_raster(scratch / "plain.tif", path, **cog_options(dtype))


def nodata_of(dtype: str) -> float:
    """Gives what stands for no vector: -128 in int8, NaN in floats."""
    return NODATA if dtype == "int8" else float("nan")


def file_dtype_of(dtype: str) -> str:
    """Gives the type that GDAL is told: half floats are float32 to it, of 16 bits."""
    return "int8" if dtype == "int8" else "float32"


def cog_options(dtype: str) -> dict[str, Any]:
    """Gives the options of GDAL's COG driver for vectors with overviews that exist already."""
    options = {
        "driver": "COG", "compress": "ZSTD", "level": 9, "predictor": _PREDICTORS[dtype], "blocksize": BLOCK_PX,
        "overviews": "FORCE_USE_EXISTING", "overview_compress": "ZSTD", "sparse_ok": "TRUE",
        "bigtiff": "IF_SAFER",
    }  # fmt: skip
    if _gdal_version() >= (3, 11):
        # Each band's block compressed alone, beside the others': 4 % smaller, three bands read 30 times faster.
        options |= {"interleave": "TILE"}
    elif dtype == "int8":
        # Codes of all bands pixel by pixel have few matches, and short ones: looking hard for them makes files that
        # are larger (4 to 6 %) and take two to four times as long to decompress.
        options |= {"level": 1}
    return options | ({"nbits": 16} if dtype == "float16" else {})


def _gdal_version() -> tuple[int, ...]:
    return tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])


def write_quality(path: Path, content: FieldContent) -> None:
    """Writes the quality layers as uint16 bands that tell their name, unit, scale and offset."""
    names = tuple(content.quality)
    layers = np.stack([to_stored(name, values) for name, values in content.quality.items()])
    profile = _profile(content.key.tile, 1, len(layers), "uint16", QUALITY_NODATA)
    with scratch_folder(path.parent) as scratch:
        with rasterio.open(scratch / "plain.tif", "w", **profile) as data:
            region = content.key.tile.local(content.window)
            blocks, view = _on_blocks(layers, region, nodata=QUALITY_NODATA)
            data.write(blocks, window=view)
            data.descriptions = names
            _tell_scales(data, names)
        copy_raster(
            scratch / "plain.tif", path, driver="COG", compress="ZSTD", predictor="2", blocksize=BLOCK_PX,
            overviews="NONE", sparse_ok="TRUE",
        )  # fmt: skip


def _tell_scales(data: Any, names: Sequence[str]) -> None:
    layers = [layer_of(name) for name in names]
    if not any(
        layer.is_scaled or name.startswith("days_") for name, layer in zip(names, layers, strict=True)
    ):
        return  # plain counts need none, and fields of counts keep their bytes
    data.scales = tuple(layer.scale for layer in layers)
    data.offsets = tuple(layer.offset for layer in layers)
    data.units = tuple(layer.unit for layer in layers)
    for place, layer in enumerate(layers, start=1):
        if layer.meaning:
            data.update_tags(place, meaning=layer.meaning)


def _profile(tile: Tile, shrink: int, count: int, dtype: str, nodata: float) -> dict[str, Any]:
    geobox = tile.geobox.zoom_out(shrink)
    return {
        "driver": "GTiff", "width": TILE_PX // shrink, "height": TILE_PX // shrink, "count": count, "dtype": dtype,
        "nodata": nodata, "crs": str(geobox.crs), "transform": geobox.transform, "tiled": True,
        "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "interleave": "pixel", "sparse_ok": True,
        "bigtiff": "IF_SAFER",
    }  # fmt: skip


def _aligned(codes: NDArray[Any], window: Window) -> tuple[NDArray[Any], Window]:
    """Pads vectors with no data to a region of the tile whose sides every overview divides."""
    step = 2**OVERVIEWS
    region = Window(
        window.y0 // step * step, -(-window.y1 // step) * step,
        window.x0 // step * step, -(-window.x1 // step) * step,
    )  # fmt: skip
    padded = np.full((len(codes), *region.shape), nodata_of(str(codes.dtype)), codes.dtype)
    ys, xs = window.shifted(-region.y0, -region.x0).slices
    padded[:, ys, xs] = codes
    return padded, region


def _on_blocks(
    layers: NDArray[Any], region: Window, *, shrink: int = 1, nodata: float
) -> tuple[NDArray[Any], RasterWindow]:
    """Pads layers of a region with no data to whole blocks of the file.

    Part of a block must never be written: when its cache runs full, GDAL fills the rest with zeros.
    """
    y, x = region.y0 // shrink, region.x0 // shrink
    rows, cols = layers.shape[1:]
    top, left = y // BLOCK_PX * BLOCK_PX, x // BLOCK_PX * BLOCK_PX
    height, width = (
        -(-(y + rows - top) // BLOCK_PX) * BLOCK_PX,
        -(-(x + cols - left) // BLOCK_PX) * BLOCK_PX,
    )
    blocks = np.full((len(layers), height, width), nodata, layers.dtype)
    blocks[:, y - top : y - top + rows, x - left : x - left + cols] = layers
    return blocks, RasterWindow(left, top, width, height)
