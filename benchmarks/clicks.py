"""Measures what a person waits for at a map: the first layer, a click on "similar", its heat map, a step closer.

Run: `python benchmarks/clicks.py --root ROOT` over a root with fields of whole tiles and an index. Tiles are
asked for as a browser does, six at a time, at the zoom at which one tile of 10 km fills a window of 1280 x 720 px.
Figures go to docs/experiments.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table
from serve import running_service

WINDOW_PX = (1280, 720)
AT_ONCE = 6
"""Requests that a browser has open to one host."""


class Watch:
    """How long each kind of wait took, and what it cost the service, which says more on a busy machine."""

    def __init__(self, pid: int) -> None:
        """Nothing was waited for yet; `pid` is the service's process."""
        self.seconds: dict[str, list[float]] = {}
        self.cpu_s: dict[str, list[float]] = {}
        self._stat = Path(f"/proc/{pid}/stat")

    def used_s(self) -> float:
        """Gives the processor time of the service so far."""
        fields = self._stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @contextlib.contextmanager
    def over(self, name: str) -> Iterator[None]:
        """Notes how long something takes."""
        begun, used = time.perf_counter(), self.used_s()
        yield
        self.seconds.setdefault(name, []).append(time.perf_counter() - begun)
        self.cpu_s.setdefault(name, []).append(self.used_s() - used)


def tiles_in(place: tuple[float, float], z: int) -> list[tuple[int, int, int]]:
    """Gives the map tiles of a window around a place, longitude and latitude."""
    x = (place[0] + 180) / 360 * 2**z
    y = (1 - math.asinh(math.tan(math.radians(place[1]))) / math.pi) / 2 * 2**z
    wide, high = (side / 256 / 2 for side in WINDOW_PX)
    return [
        (z, col, row)
        for row in range(int(y - high), int(y + high) + 1)
        for col in range(int(x - wide), int(x + wide) + 1)
    ]


async def layer(http: httpx.AsyncClient, address: str, tiles: list[tuple[int, int, int]]) -> None:
    """Fetches map tiles as a browser does."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def fetch(z: int, x: int, y: int) -> None:
        async with turn:
            (await http.get(address.format(z=z, x=x, y=y))).raise_for_status()

    await asyncio.gather(*(fetch(*one) for one in tiles))


async def visit(url: str, watch: Watch, *, times: int) -> None:
    """Looks at one tile's layers and asks what is similar, as a person would."""
    async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as http:
        areas = (await http.get("/areas")).json()["areas"]
        rng, first = random.Random(1), areas[0]
        west, south, east, north = first["bounds"]
        middle = ((west + east) / 2, (south + north) / 2)
        z = round(math.log2(WINDOW_PX[0] / 256 * 360 / (east - west) / 2))
        path = f"/tiles/{first['model']}/{first['period_id']}"

        async def shown(name: str, place: tuple[float, float], z: int, **style: Any) -> None:
            with watch.over(name):
                told = (await http.get(path, params=style)).json()
                await layer(http, told["tiles"][0], tiles_in(place, z))

        def somewhere() -> tuple[float, float]:
            share = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)
            return west + (east - west) * share[0], south + (north - south) * share[1]

        async def clicked(name: str) -> tuple[float, float]:
            lon, lat = somewhere()
            question = {
                "model": first["model"],
                "period": first["period_id"],
                "lon": lon,
                "lat": lat,
                "k": 20,
            }
            with watch.over(name):
                (await http.post("/similarity", json=question)).raise_for_status()
            return lon, lat

        await shown(f"first layer, zoom {z}", middle, z, style="pca")
        place = await clicked("first click on similar")
        await shown("first heat map", middle, z, style="similarity", lon=place[0], lat=place[1])
        for _ in range(times):
            place = await clicked("click on similar")
            await shown("heat map", middle, z, style="similarity", lon=place[0], lat=place[1])
            await shown("two steps closer", place, z + 2, style="pca")
        await shown("another palette", middle, z, style="axes")


def main() -> None:
    """Tells how long a person waits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="root of the service to start")
    parser.add_argument("--times", type=int, default=15, help="how many clicks")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    with running_service(asked.root) as (url, process):
        watch = Watch(process.pid)
        asyncio.run(visit(url, watch, times=asked.times))
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak_gb = int(status.split("VmHWM:")[1].split()[0]) / 1e6
    if asked.json:
        print(json.dumps({"seconds": watch.seconds, "cpu_s": watch.cpu_s, "peak_gb": peak_gb}, indent=1))
        return
    title = f"peak memory {peak_gb:.2f} GB, load of the machine {os.getloadavg()[0]:.1f}"
    table = Table("what", "times", "p50 ms", "p95 ms", "most ms", "processor p50 ms", title=title)
    for name, seconds in watch.seconds.items():
        times_ms = [float(np.percentile(seconds, share)) * 1e3 for share in (50, 95, 100)]
        times_ms.append(float(np.percentile(watch.cpu_s[name], 50)) * 1e3)
        table.add_row(name, str(len(seconds)), *(f"{one:.0f}" for one in times_ms))
    Console().print(table)


if __name__ == "__main__":
    main()
