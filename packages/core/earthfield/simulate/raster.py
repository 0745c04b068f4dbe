"""Writes one band as a Cloud Optimized GeoTIFF, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import rasterio

from earthfield.simulate.canvas import Canvas
from earthfield.simulate.scene import Asset

OVERVIEW_FROM_PX = 512
"""Rasters with a longer side get overviews; smaller ones are valid COGs as plain tiled GeoTIFFs."""


def write_cog(path: Path, asset: Asset, canvas: Canvas) -> int:
    """Write an asset's values and return the number of bytes.

    The file appears under its name only when it is complete. The same values always give the same bytes.
    """
    rows, cols = asset.values.shape
    profile = {
        "height": rows,
        "width": cols,
        "count": 1,
        "dtype": asset.values.dtype.name,
        "crs": f"EPSG:{canvas.epsg}",
        "transform": canvas.transform_at(asset.gsd_m),
        "nodata": asset.nodata,
        "compress": "deflate",
    }
    partial = path.with_suffix(".tif.part")
    with rasterio.open(partial, "w", **profile, **_layout(asset)) as file:
        file.write(asset.values, 1)
    partial.replace(path)
    return path.stat().st_size


def _layout(asset: Asset) -> dict[str, object]:
    """Driver and options: the COG driver where overviews are of use."""
    floats = asset.values.dtype.kind == "f"
    longest = max(asset.values.shape)
    if longest > OVERVIEW_FROM_PX:
        resampling = "nearest" if asset.classes else "average"
        return {
            "driver": "COG",
            "blocksize": 512,
            "overview_resampling": resampling,
            "predictor": "floating_point" if floats else "standard",
            "level": 3,
            "bigtiff": "if_safer",
        }
    block = 128 if longest <= 128 else 256
    predictor = 3 if floats else 2
    return {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": block,
        "blockysize": block,
        "predictor": predictor,
        "zlevel": 3,
    }
