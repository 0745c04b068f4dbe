"""A made-up year of acquisitions over whole tiles, as COGs in a static STAC catalogue, for `benchmarks/ingest.py`.

Simulated: smooth textures with noise and blobs of cloud, deflate with predictor, 512 px blocks. Every
acquisition of a sensor is a hard link to one of a few scenes, so that a year takes seconds to make; what is
read is as much as in a real one.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine
from scipy.ndimage import gaussian_filter

from earthfield.grid import PIXEL_M, TILE_PX, Tile, geobox_of

UNIQUE = 6
YEAR = datetime(2022, 1, 1, 10, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Sensor:
    """What one sensor adds to the year."""

    collection: str
    """STAC collection."""
    bands: tuple[str, ...]
    """Asset keys."""
    every_days: float
    """Days between acquisitions."""
    dtype: str
    """Type of the pixels."""
    quality: tuple[str, int, int] | None
    """Asset key, clear value and cloudy value of the quality asset."""


SENSORS = (
    Sensor(
        "sentinel-2-l2a", ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"), 2.5, "uint16",
        ("SCL", 4, 9),
    ),
    Sensor("sentinel-1-rtc", ("vv", "vh"), 6.0, "float32", None),
    Sensor(
        "landsat-c2-l2", ("blue", "green", "red", "nir08", "swir16", "swir22", "lwir11"), 8.0, "uint16",
        ("qa_pixel", 21824, 22280),
    ),
)  # fmt: skip


def make_tile_year(folder: Path, tiles: list[Tile], *, days: int) -> int:
    """Writes the catalogue.

    Args:
        folder: where to.
        tiles: tiles of one zone; each has its own items.
        days: length of the period, from 2022-01-01.

    Returns:
        Pixels of all assets together, each band counted.
    """
    pixels = 0
    for sensor in SENSORS:
        made = _scenes(folder / sensor.collection, sensor)
        names = []
        for tile in tiles:
            for number in range(int(days / sensor.every_days)):
                when = YEAR + timedelta(days=number * sensor.every_days)
                names.append(_item(folder / sensor.collection, sensor, tile, when, made[number % UNIQUE]))
                pixels += TILE_PX * TILE_PX * (len(sensor.bands) + (sensor.quality is not None))
        _collection(folder, sensor, names)
    links = [{"rel": "child", "href": f"./{one.collection}/collection.json"} for one in SENSORS]
    (folder / "catalog.json").write_text(
        json.dumps(
            {
                "type": "Catalog",
                "stac_version": "1.0.0",
                "id": "tile-year",
                "description": "Simulated",
                "links": links,
            }
        )
    )
    return pixels


def _scenes(folder: Path, sensor: Sensor) -> list[dict[str, NDArray[Any]]]:
    """Makes the pixels of a few scenes; clouds cover from none to nearly all."""
    rng = np.random.default_rng(7)
    shape = (TILE_PX, TILE_PX)
    land = gaussian_filter(rng.random(shape, dtype=np.float32), 5)
    land = (land - land.min()) / (land.max() - land.min())
    found = []
    for number in range(UNIQUE):
        cloud = gaussian_filter(rng.random(shape, dtype=np.float32), 24)
        cloudy = cloud > np.quantile(cloud, 1 - number / UNIQUE)
        scene = {}
        for place, band in enumerate(sensor.bands):
            value = 600 + 2600 * land * (1 + 0.1 * place) + rng.normal(0, 40, shape)
            if sensor.dtype == "float32":
                value = value / 1e4 * rng.gamma(4, 0.25, shape)
            scene[band] = (
                np.where(cloudy, 8000, value).astype(sensor.dtype)
                if sensor.quality
                else value.astype(sensor.dtype)
            )
        if sensor.quality:
            key, clear, hidden = sensor.quality
            scene[key] = np.where(cloudy, hidden, clear).astype(np.uint8 if clear < 256 else np.uint16)
        found.append(scene)
    return found


def _item(folder: Path, sensor: Sensor, tile: Tile, when: datetime, scene: dict[str, NDArray[Any]]) -> str:
    name = f"{sensor.collection}_{tile.id}_{when:%Y%m%dT%H%M%S}"
    place = folder / name
    place.mkdir(parents=True)
    box = geobox_of(tile.epsg, tile.window)
    footprint = box.extent.to_crs("EPSG:4326").geom
    for key, data in scene.items():
        kept = folder / f".{tile.id}_{id(scene)}_{key}.tif"
        if not kept.exists():
            _write(kept, data, tile)
        os.link(kept, place / f"{key}.tif")
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": sensor.collection,
        "geometry": shapely.geometry.mapping(footprint), "bbox": list(footprint.bounds),
        "properties": {
            "datetime": when.isoformat().replace("+00:00", "Z"), "proj:epsg": tile.epsg,
            "s2:processing_baseline": "03.00", "platform": "simulated",
        },
        "assets": {key: {"href": f"./{key}.tif", "type": "image/tiff; application=geotiff"} for key in scene},
        "links": [],
    }  # fmt: skip
    (place / f"{name}.json").write_text(json.dumps(item))
    return name


def _write(path: Path, data: NDArray[Any], tile: Tile) -> None:
    left, top = tile.window.x0 * PIXEL_M, -tile.window.y0 * PIXEL_M
    with rasterio.open(
        path, "w", driver="COG", height=TILE_PX, width=TILE_PX, count=1, dtype=data.dtype, crs=f"EPSG:{tile.epsg}",
        transform=Affine(PIXEL_M, 0, left, 0, -PIXEL_M, top), blocksize=512, compress="deflate",
        predictor="YES", overviews="NONE", nodata=None if data.dtype.kind == "f" else 0,
    ) as file:  # fmt: skip
        file.write(data, 1)


def _collection(folder: Path, sensor: Sensor, names: list[str]) -> None:
    content = {
        "type": "Collection", "stac_version": "1.0.0", "id": sensor.collection, "description": "Simulated",
        "license": "proprietary",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [{"rel": "item", "href": f"./{name}/{name}.json"} for name in names],
    }  # fmt: skip
    (folder / sensor.collection / "collection.json").write_text(json.dumps(content))
