"""Answers as files: GeoTIFF, GeoJSON and names that follow from the question."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from earthfield.catalog import Catalog
from earthfield.field import safe_label
from earthfield.storage import whole_file
from earthfield_search.ground.coverage import Coverage


def answer_path(catalog: Catalog, folder: Path | None, name: str) -> Path:
    """Gives the address of an answer's file, in `folder` where one is named."""
    path = catalog.answer(name)
    return path if folder is None else folder / path.name


def answer_name(*parts: Any) -> str:
    """Joins the parts of a question to a name that can stand in an address."""
    # Three bytes of room each for a suffix and an ending.
    return "_".join(safe_label(str(part)) for part in parts)[:200]


def degrees_label(lon: float, lat: float) -> str:
    """Gives a point's part of a name, to about a metre."""
    return f"{lon:.5f}_{lat:.5f}"


def write_raster(
    path: Path,
    layer: NDArray[Any],
    coverage: Coverage,
    *,
    nodata: float,
    name: str,
    colours: Mapping[int, tuple[int, int, int]] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Path:
    """Writes one layer (H, W) as a cloud-optimised GeoTIFF with its meaning in the tags."""
    height, width = layer.shape
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": layer.dtype.name,
        "nodata": nodata, "crs": f"EPSG:{coverage.epsg}", "transform": coverage.geobox.transform,
    }  # fmt: skip
    resampling = "MODE" if np.issubdtype(layer.dtype, np.integer) else "AVERAGE"
    with MemoryFile() as memory:
        with memory.open(**profile) as data:
            data.write(layer, 1)
            data.set_band_description(1, name)
            data.update_tags(**(tags or {}))
            if colours:
                data.write_colormap(1, {value: (*colour, 255) for value, colour in colours.items()})
        with memory.open() as data, whole_file(path) as temporary:
            rasterio.shutil.copy(
                data,
                temporary,
                driver="COG",
                compress="DEFLATE",
                predictor="YES",
                overview_resampling=resampling,
            )
    return path


def write_geojson(path: Path, features: Iterable[Mapping[str, Any]], **members: Any) -> Path:
    """Writes features in longitude and latitude; more members stand beside them."""
    content = {"type": "FeatureCollection", **members, "features": list(features)}
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    return path


def point(lon: float, lat: float, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Gives a GeoJSON point."""
    place = {"type": "Point", "coordinates": [round(lon, 7), round(lat, 7)]}
    return {"type": "Feature", "geometry": place, "properties": dict(properties)}


def texts(paths: Sequence[Path]) -> list[str]:
    """Gives paths as text, for reports."""
    return [str(path) for path in paths]
