"""Measures ingest beside odc-stac with xarray doing the same job, and beside rasterio only reading the same bytes.

Everything in one run, each contender in a process of its own, warm page cache: the ratios count, these
machines are noisy. Run: `python benchmarks/ingest.py` (60 days), `--days 365` for the whole year,
`--tiles 1 4 16` for the cost of a tile as the area grows. Figures go to docs/experiments.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import shapely
from odc.geo.geom import Geometry
from rich.console import Console
from rich.table import Table
from tile_year import SENSORS, make_tile_year

from earthfield.grid import TILE_PX, Tile

FIRST = (32631, 48, 549)


def block_of(count: int) -> list[Tile]:
    """Gives a square block of tiles of one zone."""
    epsg, col, row = FIRST
    side = round(count**0.5)
    return [Tile(epsg, col + x, row + y) for y in range(side) for x in range(side)][:count]


def area_of(tiles: list[Tile]) -> str:
    """Gives the area of whole tiles as WKT, a hair smaller."""
    boxes = [tile.geobox.boundingbox for tile in tiles]
    shape = shapely.union_all([shapely.box(b.left, b.bottom, b.right, b.top) for b in boxes]).buffer(-2)
    zone = f"EPSG:{tiles[0].epsg}"
    return Geometry(shapely.segmentize(shape, 500), zone).to_crs("EPSG:4326").geom.wkt


def ours(catalog: Path, root: Path, tiles: list[Tile], dask: str) -> int:
    """Ingests with Earthfield; gives the pixels of the bands that were read."""
    from earthfield.schemas import IngestRequest, checked_request
    from earthfield_ingest.jobs import ingest

    request = checked_request(
        IngestRequest, root=root, catalog=str(catalog), periods=("2022",), aoi=area_of(tiles), dask=dask
    )
    report = ingest(request)
    report.check_complete()
    return sum(one.used for one in report.sources.values())


def baseline(catalog: Path, root: Path, tiles: list[Tile], _: str) -> int:
    """The same job by odc-stac and xarray: load, mask, the median of every 5 days, Zarr."""
    import odc.stac
    import pystac

    items = list(pystac.Catalog.from_file(str(catalog / "catalog.json")).get_items(recursive=True))
    for sensor in SENSORS:
        mine = [item for item in items if item.collection_id == sensor.collection]
        quality = [sensor.quality[0]] if sensor.quality else []
        for tile in tiles:
            cube = odc.stac.load(
                mine,
                bands=[*sensor.bands, *quality],
                geobox=tile.geobox,
                chunks={"time": 1, "x": TILE_PX, "y": TILE_PX},
            )
            if sensor.quality:
                key, clear, _hidden = sensor.quality
                cube = cube.drop_vars(key).where(cube[key] == clear)
            steps = cube.resample(time="5D").median().chunk({"time": 8, "x": 256, "y": 256})
            steps.drop_encoding().to_zarr(root / f"{tile.id}_{sensor.collection}.zarr", mode="w")
    return len(items)


def raw(catalog: Path, _root: Path, _tiles: list[Tile], _: str) -> int:
    """Only reads the bytes that ingest has to read, whole files, with two threads."""
    import rasterio

    def read(path: Path) -> None:
        with rasterio.open(path) as file:
            file.read(1)

    files = sorted(catalog.glob("*/*_*/*.tif"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(read, files))
    return len(files)


OTHERS: dict[str, Callable[..., int]] = {"rasterio": raw, "odc-stac": baseline}


def _child(job: Callable[..., int], arguments: tuple[Any, ...], answer: Any) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    items = job(*arguments)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu += children.ru_utime + children.ru_stime
    answer.put((items, wall, cpu, max(peak, children.ru_maxrss / 1e6)))


def measured(job: Callable[..., int], *arguments: Any) -> tuple[int, float, float, float]:
    """Runs a job in a fresh process; gives items, wall and CPU seconds, and the peak GB of its largest process."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    child = context.Process(target=_child, args=(job, arguments, answer))
    child.start()
    result = answer.get()
    child.join()
    return result


def main() -> None:
    """Measures what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=60, help="length of the period from 2022-01-01")
    parser.add_argument("--tiles", type=int, nargs="+", default=[1], help="1, 4, 9 or 16")
    parser.add_argument("--dask", default="none", help="none, local, or the address of a scheduler")
    parser.add_argument("--beside", nargs="*", choices=list(OTHERS), default=list(OTHERS), help="the others")
    asked = parser.parse_args()
    table = Table("what", "tiles", "items", "wall s", "CPU s", "Mpx/s", "s a tile", "peak GB of a process")
    for count in asked.tiles:
        with tempfile.TemporaryDirectory() as folder:
            tiles, catalog = block_of(count), Path(folder) / "catalogue"
            mpx = make_tile_year(catalog, tiles, days=asked.days) / 1e6
            jobs = {**{name: OTHERS[name] for name in asked.beside}, "earthfield": ours}
            for name, job in jobs.items():
                root = Path(folder) / f"root-{name}"
                items, wall, cpu, peak = measured(job, catalog, root, tiles, asked.dask)
                table.add_row(
                    name, str(count), str(items), f"{wall:.1f}", f"{cpu:.1f}", f"{mpx / wall:.1f}",
                    f"{wall / count:.2f}", f"{peak:.2f}",
                )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
