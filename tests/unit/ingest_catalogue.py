"""A tiny static STAC catalogue on disk, for the tests of the ingest service."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from rasterio.transform import Affine

from earthfield.grid import PIXEL_M, Window, geobox_of

EPSG = 32631
PLACE = Window(-562_960, -562_928, 50_160, 50_192)
"""32 x 32 px in Belgium, across the border of tiles 48 and 49."""
BANDS = ("B04", "B08")


class TinyCatalogue:
    """Writes items with constant or given pixels, and the catalogue files above them."""

    def __init__(self, folder: Path, collection: str = "sentinel-2-l2a") -> None:
        self.folder = folder
        self._collection = collection
        self._ids: list[str] = []

    def add(
        self,
        name: str,
        when: str,
        *,
        value: int = 1000,
        scl: int | NDArray[np.uint8] = 4,
        window: Window = PLACE,
        bands: tuple[str, ...] = BANDS,
        **properties: Any,
    ) -> Path:
        """Writes one item; `scl` is a class, or an array at 20 m. Gives its folder."""
        place = self.folder / self._collection / name
        place.mkdir(parents=True)
        rows, cols = window.shape
        assets = {}
        for key in bands:
            write_tif(place / f"{key}.tif", np.full((rows, cols), value, np.uint16), window, nodata=0)
            assets[key] = {"href": f"./{key}.tif", "type": "image/tiff"}
        if self._collection == "sentinel-2-l2a":
            classes = np.full((rows // 2, cols // 2), scl, np.uint8)
            write_tif(place / "SCL.tif", classes, window, nodata=0, factor=2)
            assets["SCL"] = {"href": "./SCL.tif", "type": "image/tiff"}
        footprint = footprint_of(window)
        item = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": name,
            "collection": self._collection,
            "geometry": shapely.geometry.mapping(footprint),
            "bbox": list(footprint.bounds),
            "properties": {"datetime": datetime.fromisoformat(when).isoformat() + "Z", **properties},
            "assets": assets,
            "links": [],
        }
        (place / f"{name}.json").write_text(json.dumps(item))
        self._ids.append(name)
        self._save()
        return place

    def _save(self) -> None:
        collection = {
            "type": "Collection", "stac_version": "1.0.0", "id": self._collection, "description": "test",
            "license": "proprietary",
            "extent": {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}},
            "links": [{"rel": "item", "href": f"./{name}/{name}.json"} for name in self._ids],
        }  # fmt: skip
        (self.folder / self._collection / "collection.json").write_text(json.dumps(collection))
        children = sorted(path.parent.name for path in self.folder.glob("*/collection.json"))
        catalog = {
            "type": "Catalog", "stac_version": "1.0.0", "id": "tiny", "description": "test",
            "links": [{"rel": "child", "href": f"./{name}/collection.json"} for name in children],
        }  # fmt: skip
        (self.folder / "catalog.json").write_text(json.dumps(catalog))


def footprint_of(window: Window) -> shapely.Polygon:
    """Gives a window's outline in degrees."""
    return geobox_of(EPSG, window).extent.to_crs("EPSG:4326").geom


def area_text(window: Window) -> str:
    """Gives a window as WKT in degrees, shrunk by a hair so that it holds exactly its pixels' centres."""
    box = geobox_of(EPSG, window).boundingbox
    inner = shapely.box(box.left + 2, box.bottom + 2, box.right - 2, box.top - 2)
    return Geometry(inner, f"EPSG:{EPSG}").to_crs("EPSG:4326").geom.wkt


def write_tif(
    path: Path,
    data: NDArray[Any],
    window: Window,
    *,
    nodata: float | None,
    factor: int = 1,
    crs: int | None = EPSG,
) -> None:
    """Writes a GeoTIFF whose pixels are `factor` x 10 m, from the corner of a window."""
    side = PIXEL_M * factor
    transform = Affine(side, 0, window.x0 * PIXEL_M, 0, -side, -window.y0 * PIXEL_M)
    rows, cols = data.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=rows, width=cols, count=1, dtype=data.dtype, nodata=nodata,
        crs=None if crs is None else f"EPSG:{crs}", transform=transform, compress="deflate",
    ) as file:  # fmt: skip
        file.write(data, 1)
