"""Measures exact answers over every pixel: in memory, from files on disk, and k-means; beside what others do.

Everything that is compared runs in turns in one run, and the best of the turns counts, because a machine is rarely
alone: the ratios count. Data are SIMULATED: random codes in memory; on disk one tile of smooth random vectors,
copied into a sheet of tiles, read from the system's cache. Peak memory is that of a process of its own.
Run: `python benchmarks/pixels.py`, parts of it by `--parts memory disk kmeans`. Figures go to docs/experiments.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import dequantise, normalised, stored
from earthfield.field import Field, FieldContent, fields_of, write_field
from earthfield.grid import TILE_PX, Tile, geobox_of
from earthfield.timeline import Period
from earthfield_analysis import exact
from earthfield_analysis.kmeans import kmeans

DIM = 64
CHUNK = 262_144


def main() -> None:
    """Runs the parts that were asked for, and shows and writes what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pixels", type=int, default=10_000_000, help="in memory")
    parser.add_argument("--float-pixels", type=int, default=2_500_000, help="of these as float32, scaled")
    parser.add_argument("--sheet-px", type=int, default=4096, help="side of the sheet on disk")
    parser.add_argument("--vectors", type=int, default=1_000_000, help="for k-means")
    parser.add_argument("--seeds", type=int, default=4, help="of k-means")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(case_of(*args.case)))
        return
    found = {part: PARTS[part](args) for part in args.parts}
    if args.json:
        args.json.write_text(json.dumps({"threads": args.threads, **found}, indent=1) + "\n")


# ---- in memory ----


def memory(args: argparse.Namespace) -> dict[str, Any]:
    """Compares all codes in memory with one vector."""
    rng = np.random.default_rng(0)
    codes = rng.integers(-60, 60, (DIM, args.pixels), dtype=np.int8)
    query = rng.standard_normal(DIM).astype(np.float32)
    query /= np.linalg.norm(query)
    lengths = exact.lengths_of(codes)
    few = dequantise(np.ascontiguousarray(codes[:, : args.float_pixels].T))
    scale = args.pixels / len(few)
    threads, out = args.threads, np.empty(args.pixels, np.float32)
    pool = ThreadPoolExecutor(threads)
    words = np.array_split(codes.reshape(-1).view(np.int64), threads)
    cases: dict[str, tuple[Callable[[], Any], float]] = {
        "reading the bytes": (lambda: sum(pool.map(total_of, words)), 1),
        "ours, sum of |q| q t, top 100": (
            lambda: exact.best(codes, query, k=100, cosine=False, threads=threads), 1
        ),
        "ours, cosine, top 100": (lambda: exact.best(codes, query, k=100, threads=threads), 1),
        "ours, cosine with kept lengths, top 100": (
            lambda: exact.best(codes, query, k=100, lengths=lengths, threads=threads), 1
        ),
        "ours, cosine of every pixel": (lambda: exact.scores(codes, query, out=out, threads=threads), 1),
        "numpy by chunks, top 100": (lambda: by_chunks(codes, query), 1),
        "float32 matvec (4x the bytes), top 100": (lambda: best_of(few @ query), scale),
    }  # fmt: skip
    try:
        import faiss

        faiss.omp_set_num_threads(threads)
        index = faiss.IndexFlatIP(DIM)
        index.add(few)
        cases["faiss flat (4x the bytes), top 100"] = (lambda: index.search(query[None], 100), scale)
    except ImportError:
        Console(stderr=True).print("faiss is not installed: left out")
    took = in_turns({name: run for name, (run, _) in cases.items()}, args.turns)
    took = {name: seconds * cases[name][1] for name, seconds in took.items()}
    reading = took["reading the bytes"]
    table = Table("what", "ms", "GB/s", "rate / reading", title=f"{args.pixels:,} x {DIM} int8 in memory")
    for name, seconds in took.items():
        table.add_row(
            name, f"{seconds * 1e3:,.0f}", f"{codes.nbytes / seconds / 1e9:.1f}", f"{reading / seconds:.2f}"
        )
    Console().print(table)
    return {"pixels": args.pixels, "seconds": took}


@numba.njit(nogil=True)
def total_of(words):  # type: ignore[no-untyped-def]
    """Adds up numbers, at the speed of memory."""
    total = 0
    for i in range(len(words)):
        total += words[i]
    return total


def by_chunks(codes: NDArray[np.int8], query: NDArray[np.float32]) -> NDArray[np.intp]:
    """Decodes and multiplies some pixels at a time."""
    found = np.empty(codes.shape[1], np.float32)
    for start in range(0, codes.shape[1], CHUNK):
        x = codes[:, start : start + CHUNK].astype(np.float32)
        found[start : start + CHUNK] = query @ (x * np.abs(x))
    return best_of(found)


def best_of(found: NDArray[np.float32]) -> NDArray[np.intp]:
    """The hundred largest."""
    return np.argpartition(found, -100)[-100:]


# ---- from disk ----


def disk(args: argparse.Namespace) -> dict[str, Any]:
    """Compares a sheet on disk with one vector; every case in a process of its own, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        bytes_on_disk = write_sheet(Path(folder), args.sheet_px // TILE_PX)
        took: dict[str, dict[str, float]] = {}
        for _ in range(max(2, args.turns // 4)):
            for name in CASES:
                said = subprocess.run(
                    [sys.executable, __file__, "--case", folder, name], capture_output=True, text=True, check=True,
                    env={**os.environ, "EARTHFIELD_THREADS": str(args.threads)},
                )  # fmt: skip
                one = json.loads(said.stdout)
                if name not in took or one["seconds"] < took[name]["seconds"]:
                    took[name] = one
    side = args.sheet_px // TILE_PX * TILE_PX
    decoding = took["decoding"]["seconds"]
    table = Table(
        "what", "s", "Mpx/s", "time / decoding", "peak GB",
        title=f"{side:,} x {side:,} x {DIM} int8 from {bytes_on_disk / 1e9:.2f} GB of COGs",
    )  # fmt: skip
    for name, one in took.items():
        table.add_row(
            name, f"{one['seconds']:.2f}", f"{side**2 / one['seconds'] / 1e6:.1f}",
            f"{one['seconds'] / decoding:.2f}", f"{one['peak_gb']:.2f}",
        )  # fmt: skip
    Console().print(table)
    return {"side_px": side, "bytes": bytes_on_disk, "cases": took}


def write_sheet(root: Path, side: int) -> int:
    """Writes a tile and copies it into a square of tiles; gives the bytes of all embeddings."""
    rng = np.random.default_rng(0)
    grid = rng.standard_normal((TILE_PX // 16, TILE_PX // 16, DIM)).astype(np.float32)
    smooth = np.stack([ndimage.zoom(grid[..., d], 16, order=1) for d in range(DIM)], axis=-1)
    smooth += 0.1 * rng.standard_normal(smooth.shape, dtype=np.float32)
    codes = stored(normalised(smooth))
    catalog, first = Catalog(root), Tile(32631, 48, 549)
    for col in range(side):
        for row in range(side):
            tile = Tile(first.epsg, first.col + col, first.row + row)
            key = FieldKey("simulated", tile, Period.parse("2018"))
            if tile == first:
                manifest = {
                    "window": window_of(tile), "inputs": "a", "pixels": TILE_PX**2, "sources": {},
                    "area": geobox_of(tile.epsg, tile.window).extent.wkt,
                    "model": {"name": "simulated", "fingerprint": "f"},
                }  # fmt: skip
                picture = np.zeros((TILE_PX, TILE_PX, 4), np.uint8)
                source = write_field(catalog, FieldContent(key, tile.window, codes, {}, picture, manifest))
                continue
            shutil.copytree(source, catalog.field(key))
            told = json.loads((source / "manifest.json").read_text())
            told["window"] = window_of(tile)
            (catalog.field(key) / "manifest.json").write_text(json.dumps(told))
    return sum(path.stat().st_size for path in root.glob("fields/*/*/*/embedding.tif"))


def window_of(tile: Tile) -> list[int]:
    """The tile's window as a manifest has it."""
    return [tile.window.y0, tile.window.y1, tile.window.x0, tile.window.x1]


def case_of(root: str, name: str) -> dict[str, float]:
    """Answers one question of a sheet, and tells what it took; what is compiled is compiled before."""
    fields = fields_of(Catalog(root), "simulated")
    query = np.random.default_rng(1).standard_normal(DIM)
    CASES[name](fields[:1], query, Path(root))
    started = time.perf_counter()
    CASES[name](fields, query, Path(root))
    seconds = time.perf_counter() - started
    # Not the process's usage, which remembers what its parent held.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"seconds": seconds, "peak_gb": int(status["VmHWM"].split()[0]) * 1024 / 1e9}


def decoding(fields: list[Field], query: NDArray[Any], root: Path) -> None:
    """Reads every block, and nothing else."""
    from earthfield_search.ground.coverage import coverages
    from earthfield_search.ground.pixels import worked

    for coverage in coverages(fields):
        for _ in worked(coverage, lambda block: None):
            pass


def top(fields: list[Field], query: NDArray[Any], root: Path) -> None:
    """Finds the best pixels."""
    from earthfield_search.ground.pixels import best_pixels

    best_pixels(fields, query, k=100)


def mapped(fields: list[Field], query: NDArray[Any], root: Path) -> None:
    """Writes the cosine of every pixel."""
    from earthfield_search.ground.coverage import coverages
    from earthfield_search.ground.pixels import similarity_raster

    for coverage in coverages(fields):
        similarity_raster(root / "map.tif", coverage, query)


def clustered(fields: list[Field], query: NDArray[Any], root: Path) -> None:
    """Finds ten clusters and writes the class of every pixel."""
    from earthfield_search.jobs.cluster import ClusterQuestion, cluster_fields

    if len(fields) > 1:
        cluster_fields(Catalog(root), ClusterQuestion("simulated", "2018", 10))


CASES: dict[str, Callable[[list[Field], NDArray[Any], Path], None]] = {
    "decoding": decoding, "top 100": top, "similarity map": mapped, "10 clusters": clustered,
}  # fmt: skip


# ---- k-means ----


def means(args: argparse.Namespace) -> dict[str, Any]:
    """Finds ten clusters of unit vectors, beside scikit-learn."""
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(0)
    kinds = normalised(rng.standard_normal((200, DIM)))
    vectors = np.empty((args.vectors, DIM), np.float32)
    for start in range(0, args.vectors, 100_000):
        count = min(100_000, args.vectors - start)
        near = kinds[rng.integers(0, len(kinds), count)] + 0.09 * rng.standard_normal((count, DIM))
        vectors[start : start + count] = normalised(near)
    kmeans(vectors[:60_000], 10, starts=1)
    seconds: dict[str, list[float]] = {"ours": [], "scikit-learn": []}
    inertia: dict[str, list[float]] = {"ours": [], "scikit-learn": []}
    processor: dict[str, list[float]] = {"ours": [], "scikit-learn": []}
    for seed in range(args.seeds):
        for name, run in (
            ("ours", lambda seed: kmeans(vectors, 10, seed=seed, threads=args.threads).inertia),
            ("scikit-learn", lambda seed: KMeans(10, n_init=1, random_state=seed).fit(vectors).inertia_),
        ):
            started, own = time.perf_counter(), time.process_time()
            inertia[name].append(run(seed) / args.vectors)
            seconds[name].append(time.perf_counter() - started)
            processor[name].append(time.process_time() - own)
    table = Table(
        "k-means", "best s", "mean s", "processor s", "inertia", "spread",
        title=f"k = 10 of {args.vectors:,} x {DIM}, {args.seeds} seeds",
    )  # fmt: skip
    for name in seconds:
        table.add_row(
            name, f"{min(seconds[name]):.2f}", f"{np.mean(seconds[name]):.2f}", f"{np.mean(processor[name]):.2f}",
            f"{np.mean(inertia[name]):.5f}", f"{np.std(inertia[name]):.5f}",
        )  # fmt: skip
    Console().print(table)
    return {"vectors": args.vectors, "seconds": seconds, "processor_seconds": processor, "inertia": inertia}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "memory": memory, "disk": disk, "kmeans": means,
}  # fmt: skip


def in_turns(cases: dict[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """Times every case once a turn, after one that does not count; gives the best of each."""
    took = dict.fromkeys(cases, np.inf)
    for turn in range(turns + 1):
        for name, run in cases.items():
            started = time.perf_counter()
            run()
            if turn:
                took[name] = min(took[name], time.perf_counter() - started)
    return took


if __name__ == "__main__":
    main()
