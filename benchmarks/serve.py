"""Measures the search service under load: many clients at once, one worker process, every kind of question.

Run: `python benchmarks/serve.py --root ROOT` starts a service over a root with fields and an index; with
`--url URL` one that runs already is asked. `--rewrite MODEL` writes the index again and again meanwhile. Figures go
to docs/experiments.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

SHARES = {"similarity": 30, "tile": 30, "embedding": 20, "areas": 10, "embeddings": 5, "models": 5}
"""How many of a hundred requests ask for what."""


@dataclass
class Load:
    """What a load of requests met."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Time of each answer, by kind of question."""
    failures: Counter[str] = field(default_factory=Counter)
    """What went wrong, by kind, status and message."""
    wall_s: float = 0.0
    """How long it took."""

    @property
    def num(self) -> int:
        """How many requests were answered."""
        return sum(map(len, self.seconds.values()))

    def percentile_ms(self, share: float, kind: str | None = None) -> float:
        """Gives the time within which a share (0..100) of answers came, milliseconds."""
        chosen = self.seconds[kind] if kind else [one for times in self.seconds.values() for one in times]
        return float(np.percentile(chosen, share)) * 1e3 if chosen else math.nan


@contextlib.contextmanager
def running_service(root: Path, **environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Runs a service over a root in one worker process; gives its address and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    settings = {"EARTHFIELD_ROOT": str(root), "EARTHFIELD_SEARCH_URL": url, "EARTHFIELD_API_RATE": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "earthfield_search.api.server"],
        env={**os.environ, **settings, **environment},
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/ready", trust_env=False).is_success:
                    break
            if process.poll() is not None:
                raise RuntimeError(f"the service ended with {process.returncode}")
            time.sleep(0.1)
        yield url, process
    finally:
        process.terminate()
        process.wait(20)


async def put_load(url: str, *, clients: int, seconds: float, at_least: int = 0, key: str = "") -> Load:
    """Lets many clients ask one service without a pause, and notes every answer that is not the one expected.

    Where fewer than `at_least` have come after these seconds and none was wrong, they go on until as many have.
    """
    found = Load()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(
        base_url=url, limits=limits, timeout=300, headers=headers, trust_env=False
    ) as http:
        areas = (await http.get("/areas")).json()["areas"]
        if not areas:
            raise RuntimeError("the service has no fields to ask about")
        started = time.perf_counter()
        until = started + seconds
        await asyncio.gather(
            *(_client(http, areas, random.Random(seed), until, at_least, found) for seed in range(clients))
        )
        found.wall_s = time.perf_counter() - started
    return found


async def _client(
    http: httpx.AsyncClient, areas: list[Any], rng: random.Random, until: float, at_least: int, found: Load
) -> None:
    kinds, weights = list(SHARES), list(SHARES.values())
    while time.perf_counter() < until or (found.num < at_least and not found.failures):
        kind, area = rng.choices(kinds, weights)[0], rng.choice(areas)
        begun = time.perf_counter()
        try:
            answer = await _asked(http, kind, area, rng)
        except httpx.HTTPError as error:
            found.failures[f"{kind}: {error!r}"] += 1
            continue
        if answer.status_code == 200 and _is_whole(kind, answer):
            found.seconds[kind].append(time.perf_counter() - begun)
        else:
            found.failures[f"{kind}: {answer.status_code} {answer.text[:150]}"] += 1


def _asked(http: httpx.AsyncClient, kind: str, area: Any, rng: random.Random) -> Any:
    west, south, east, north = area["bounds"]

    def place() -> tuple[float, float]:
        return rng.uniform(west, east) * 0.8 + (west + east) * 0.1, rng.uniform(south, north) * 0.8 + (
            south + north
        ) * 0.1

    layer = {"model": area["model"], "period": area["period_id"]}
    lon, lat = place()
    if kind == "similarity":
        return http.post("/similarity", json={**layer, "lon": lon, "lat": lat, "k": 10})
    if kind == "embedding":
        return http.get("/embeddings", params={**layer, "lon": lon, "lat": lat})
    if kind == "embeddings":
        return http.post("/embeddings", json={**layer, "points": [place() for _ in range(10)]})
    if kind == "tile":
        z = rng.choice((12, 13, 14, 15))
        x = int((lon + 180) / 360 * 2**z)
        y = int((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**z)
        style = rng.choice(("pca", "axes"))
        return http.get(
            f"/tiles/{area['model']}/{area['period_id']}/{z}/{x}/{y}.png", params={"style": style}
        )
    return http.get(f"/{kind}")


def _is_whole(kind: str, answer: httpx.Response) -> bool:
    if kind == "tile":
        return answer.content.startswith(b"\x89PNG") and answer.content.endswith(b"IEND\xaeB`\x82")
    content = answer.json()
    if kind == "similarity":
        return len(content["features"]) == 10
    return bool(content)


class Writer(threading.Thread):
    """Puts the cells of fields in place of themselves again and again, as if the fields had changed."""

    def __init__(self, root: Path, model: str) -> None:
        """Reads every field of a model once; `start` begins to write."""
        from earthfield.catalog import Catalog
        from earthfield.field import fields_of
        from earthfield_search.cells.opening import open_index
        from earthfield_search.cells.rows import cells_of

        super().__init__(daemon=True)
        self.written = 0
        self.error: Exception | None = None
        self._stop_asked = threading.Event()
        self._cells = [(one, cells_of(one)) for one in fields_of(Catalog(root), model)]
        self._index = open_index(Catalog(root), model)

    def run(self) -> None:
        """Writes until it is told to stop."""
        try:
            while not self._stop_asked.is_set():
                field, rows = self._cells[self.written % len(self._cells)]
                place = rows.schema.get_field_index("fingerprint")
                stamps = [f"{field.fingerprint}-{self.written}"] * rows.num_rows
                stamped = rows.set_column(place, rows.schema.field(place), [stamps])
                self._index.replace(stamped, tile=field.key.tile.id, period=field.key.period.id)
                self.written += 1
        except Exception as error:  # noqa: BLE001 - the thread's border: whoever ends it is told
            self.error = error

    def end(self) -> int:
        """Stops it; gives how often it wrote."""
        self._stop_asked.set()
        self.join(120)
        if self.error is not None:
            raise self.error
        return self.written


def main() -> None:
    """Puts a load on a service and tells what it met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, help="root of a service to start")
    parser.add_argument("--url", help="address of a service that runs already")
    parser.add_argument("--key", default="", help="its key")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--rewrite", metavar="MODEL", help="make the index of this model again and again meanwhile"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    if bool(asked.root) == bool(asked.url):
        parser.error("give either --root or --url")
    written, peak = 0, 0.0
    with contextlib.ExitStack() as stack:
        url, process = asked.url, None
        writer = Writer(asked.root, asked.rewrite) if asked.rewrite else None
        if asked.root:
            url, process = stack.enter_context(running_service(asked.root))
        if writer:
            writer.start()
        found = asyncio.run(put_load(url, clients=asked.clients, seconds=asked.seconds, key=asked.key))
        written = writer.end() if writer else 0
        if process is not None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = int(status.split("VmHWM:")[1].split()[0]) / 1e6
    _tell(found, asked.clients, peak, written, as_json=asked.json)
    sys.exit(1 if found.failures else 0)


def _tell(found: Load, clients: int, peak_gb: float, rewritten: int, *, as_json: bool) -> None:
    kinds = [*sorted(found.seconds), None]
    rows = [
        (kind or "all", found.num if kind is None else len(found.seconds[kind]),
         *(found.percentile_ms(share, kind) for share in (50, 95, 99)))
        for kind in kinds
    ]  # fmt: skip
    if as_json:
        told = [dict(zip(("kind", "num", "p50_ms", "p95_ms", "p99_ms"), row, strict=True)) for row in rows]
        about = {"clients": clients, "seconds": found.wall_s, "failures": dict(found.failures)}
        print(json.dumps({**about, "peak_gb": peak_gb, "rewritten": rewritten, "kinds": told}, indent=1))
        return
    title = f"{clients} clients, {found.wall_s:.0f} s, {found.num / found.wall_s:.0f} answers a second"
    table = Table("question", "answers", "p50 ms", "p95 ms", "p99 ms", title=title)
    for kind, num, *times in rows:
        table.add_row(kind, str(num), *(f"{one:.0f}" for one in times))
    Console().print(table)
    Console().print(
        f"failures: {sum(found.failures.values())}; peak memory {peak_gb:.2f} GB; index written {rewritten}x"
    )
    for words, num in found.failures.most_common(10):
        Console().print(f"  {num} x {words}", markup=False)


if __name__ == "__main__":
    main()
