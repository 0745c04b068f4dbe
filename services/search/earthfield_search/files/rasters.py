"""Rasters of any size as files, written from north to south without ever being held whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from numpy.typing import DTypeLike, NDArray
from rasterio.windows import Window as RasterWindow

from earthfield.grid import Window
from earthfield.storage import scratch_folder, whole_file
from earthfield_search.ground.coverage import Coverage

VIEW_PX = 2400
"""Longest side of a view."""
_CACHE_BYTES = 64 << 20
"""What GDAL may keep in memory; by default it takes a share of the machine."""


@dataclass(frozen=True)
class Raster:
    """A raster that was written."""

    path: Path
    """The cloud-optimised GeoTIFF."""
    view: NDArray[Any]
    """Every so manieth row and column of it, at most 2,400 a side, for pictures."""


def write_strips(
    path: Path,
    coverage: Coverage,
    strips: Iterable[tuple[Window, NDArray[Any]]],
    *,
    dtype: DTypeLike,
    nodata: float,
    name: str,
    colours: Mapping[int, tuple[int, int, int]] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Raster:
    """Writes a layer as a cloud-optimised GeoTIFF from values that come strip by strip.

    Args:
        path: the file.
        coverage: what it covers.
        strips: windows of the zone's grid with their values (h, w), in the order of `coverage.strips()`.
        dtype: type of the values.
        nodata: what stands where no strip lies.
        name: what the values are.
        colours: red, green and blue of each value, for classes.
        tags: what else the file tells.
    """
    height, width = coverage.window.shape
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": np.dtype(dtype).name,
        "nodata": nodata, "crs": f"EPSG:{coverage.epsg}", "transform": coverage.geobox.transform,
        # A row is a block, so that blocks are only ever written whole.
        "tiled": False, "blockysize": 1, "bigtiff": "IF_SAFER",
    }  # fmt: skip
    step = max(1, math.ceil(max(height, width) / VIEW_PX))
    view = np.full((-(-height // step), -(-width // step)), nodata, dtype)
    resampling = "MODE" if np.issubdtype(np.dtype(dtype), np.integer) else "AVERAGE"
    with (
        rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES),
        whole_file(path) as temporary,
        # A folder of its own: a service writes several at once.
        TemporaryDirectory(prefix=".writing-", dir=path.parent) as own,
        scratch_folder(Path(own)) as scratch,
    ):
        with rasterio.open(scratch / "plain.tif", "w", **profile) as data:
            for top, rows in _rows(coverage, strips, dtype, nodata):
                data.write(rows, 1, window=RasterWindow(0, top, width, len(rows)))
                first = -top % step
                view[(top + first) // step :][: len(rows[first::step])] = rows[first::step, ::step]
            data.set_band_description(1, name)
            data.update_tags(**(tags or {}))
            if colours:
                data.write_colormap(1, {value: (*colour, 255) for value, colour in colours.items()})
        rasterio.shutil.copy(
            scratch / "plain.tif", temporary, driver="COG", compress="DEFLATE", predictor="YES",
            overview_resampling=resampling, bigtiff="IF_SAFER",
        )  # fmt: skip
    return Raster(path, view)


def _rows(
    coverage: Coverage, strips: Iterable[tuple[Window, NDArray[Any]]], dtype: DTypeLike, nodata: float
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Puts strips beside each other; yields whole rows of the raster with the number of the first, gaps filled."""
    window, done = coverage.window, coverage.window.y0
    held: list[tuple[Window, NDArray[Any]]] = []

    def filled(until: int) -> Iterator[tuple[int, NDArray[Any]]]:
        nonlocal done
        while done < until:
            band = Window(done, min((done // 256 + 1) * 256, until), window.x0, window.x1)
            rows = np.full(band.shape, nodata, dtype)
            for own, values in held:
                part = own & band
                if part:
                    ys, xs = part.shifted(-own.y0, -own.x0).slices
                    rows[part.shifted(-band.y0, -band.x0).slices] = values[ys, xs]
            yield band.y0 - window.y0, rows
            done = band.y1

    for own, values in strips:
        if held and own.y0 // 256 != held[0][0].y0 // 256:
            yield from filled(held[0][0].y0 // 256 * 256 + 256)
            held.clear()
        held.append((own, values))
    yield from filled(window.y1)
