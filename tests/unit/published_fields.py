"""Files as others publish embeddings, made for tests: AlphaEarth's layout, BetaEarth's, and loose rasters."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geom import Geometry

from earthfield.codec import BANDS, NODATA, normalised, quantise
from earthfield.grid import Tile, Window, geobox_of

TILE = Tile.parse("32631_0048_0549")
WINDOW = Window(-562_968, -562_928, 50_112, 50_160)
"""40 x 48 px of the tile; cells of 8 px start at its corner."""
WIDE = Window(-562_968, -562_928, 50_120, 50_200)
"""40 x 80 px over the border of two tiles."""
BORDER = 50_176
"""First column of the next tile."""
BUCKET = "s3://us-west-2.example.org/tge-labs/aef/v1/annual"


def random_codes(
    shape: tuple[int, int], *, seed: int = 0, dim: int = 64, gap: bool = True
) -> NDArray[np.int8]:
    """Codes (D, h, w) of random unit vectors; the north-western corner has no data."""
    vectors = normalised(np.random.default_rng(seed).normal(size=(*shape, dim)))
    codes = np.moveaxis(quantise(vectors), -1, 0).copy()
    if gap:
        codes[:, :3, :5] = NODATA
    return codes


def write_raster(
    path: Path,
    numbers: NDArray[Any],
    window: Window,
    *,
    epsg: int = TILE.epsg,
    south_up: bool = False,
    nodata: float | None = NODATA,
    bands: Sequence[str] | None = BANDS,
    transform: Affine | None = None,
    crs: str | None = None,
    block: int = 32,
) -> Path:
    """Writes numbers (D, h, w) that stand north-up over a window of a zone's grid."""
    transform = transform or geobox_of(epsg, window).transform
    if south_up:
        numbers = numbers[:, ::-1]
        transform = transform * Affine.translation(0, numbers.shape[1]) * Affine.scale(1, -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    dim, height, width = numbers.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=dim, height=height, width=width, dtype=str(numbers.dtype), nodata=nodata,
        crs=crs or f"EPSG:{epsg}", transform=transform, tiled=True, blockxsize=block, blockysize=block,
        compress="zstd", interleave="pixel", sparse_ok=True,
    ) as data:  # fmt: skip
        data.write(numbers)
        if bands is not None and len(bands) == dim:
            data.descriptions = tuple(bands)
    return path


@dataclass(frozen=True)
class Published:
    """One file of AlphaEarth's layout."""

    name: str
    """`<year>/<zone>/<name>.tiff`."""
    year: int
    epsg: int
    window: Window
    """What the index says that it covers."""


def zone_name(epsg: int) -> str:
    """`31N` for 32631."""
    return f"{epsg % 100}{'N' if epsg < 32700 else 'S'}"


def publish(
    folder: Path,
    codes: NDArray[np.int8],
    window: Window,
    *,
    year: int = 2023,
    epsg: int = TILE.epsg,
    name: str = "x0",
    south_up: bool = True,
    **options: Any,
) -> Published:
    """Writes a file where AlphaEarth's layout has it."""
    path = f"{year}/{zone_name(epsg)}/{name}.tiff"
    write_raster(folder / path, codes, window, epsg=epsg, south_up=south_up, **options)
    return Published(path, year, epsg, window)


def write_index(path: Path, files: Sequence[Published], *, prefix: str = f"{BUCKET}/") -> Path:
    """Writes the index, as CSV or GeoParquet by its ending, with the published columns."""
    rows = [_row(one, prefix) for one in files]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["WKT", *[name for name in rows[0] if name != "geometry"]])
            writer.writeheader()
            for row in rows:
                shape = shapely.from_wkb(row.pop("geometry"))
                writer.writerow({"WKT": shape.wkt, **row})
        return path
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Polygon"]}},
    }
    table = pa.table(columns).replace_schema_metadata({"geo": json.dumps(geo)})
    pq.write_table(table, path)
    return path


def _row(one: Published, prefix: str) -> dict[str, Any]:
    box = geobox_of(one.epsg, one.window)
    outline = Geometry(box.extent.geom, f"EPSG:{one.epsg}").to_crs("EPSG:4326").geom
    west, south, east, north = outline.bounds
    utm = box.extent.boundingbox
    return {
        "geometry": shapely.to_wkb(outline), "crs": f"EPSG:{one.epsg}", "year": one.year,
        "utm_zone": zone_name(one.epsg), "utm_west": utm.left, "utm_south": utm.bottom, "utm_east": utm.right,
        "utm_north": utm.top, "wgs84_west": west, "wgs84_south": south, "wgs84_east": east, "wgs84_north": north,
        "path": f"{prefix}{one.name}",
    }  # fmt: skip


def bbox_of(window: Window, epsg: int = TILE.epsg) -> tuple[float, float, float, float]:
    """The box in degrees that just holds a window."""
    bounds = geobox_of(epsg, window).extent.to_crs("EPSG:4326").boundingbox
    return bounds.left, bounds.bottom, bounds.right, bounds.top


def real_codes(data: Path) -> NDArray[np.int8]:
    """The codes (64, 1440) of the real AlphaEarth vectors beside the repository."""
    rows = []
    for path in sorted((data / "aef_points").glob("*.csv")):
        with path.open(newline="") as file:
            rows += [[float(row[band]) for band in BANDS] for row in csv.DictReader(file)]
    return quantise(np.array(rows, np.float64)).T
