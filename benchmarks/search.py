"""Measures the index beside numpy, faiss and bare LanceDB: recall, p50, build time and memory under every filter.

Vectors are SIMULATED: unit vectors of 64 numbers in 1,000 clusters; each tile has 50 of them in shares of its
own, so that a place's vectors lie together as they do on real land, which is what makes approximate search lose
neighbours under a filter. Rows lie as the indexer writes them: tiles of 128 x 128 cells in five years. Every way is
asked the same questions in turn, in one process, so the ratios count, whatever else the machine does. Recall@10 is
the share of the exact ten (float32 over the stored float16 vectors) that was found.

Run: `python benchmarks/search.py --rows 1000000 10000000 --json figures.json`; `--keep FOLDER` leaves the table for
the next run. Ten million rows take 6 GB of memory, most of it numpy's and faiss's. Figures: docs/experiments.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from simulated_cells import CELL_PX, DIM, MODEL, SIDE, YEARS, Land, unit

from earthfield.area import area_from_bbox
from earthfield.catalog import Catalog
from earthfield_search.cells.filters import Filter
from earthfield_search.cells.index import CellIndex, Cells
from earthfield_search.cells.opening import create_index, open_index

TOP = 10
TILES_A_COMMIT = 6


@dataclass
class Build:
    """What making the index took."""

    rows: int
    """Rows of the table."""
    write_s: float = 0.0
    """Writing them, without making them up."""
    tune_s: float = 0.0
    """Finding parts, writing indexes."""
    tune_cpu_s: float = 0.0
    """The same in time of all cores."""
    peak_mb: int = 0
    """Most memory of the process until then."""
    table_mb: float = 0.0
    """On disk, without indexes."""
    indexes_mb: float = 0.0
    """Indexes on disk."""


def build(folder: Path, land: Land) -> Build:
    """Writes the table and its indexes, as `earthfield index` does."""
    told = Build(land.rows)
    index = create_index(Catalog(folder), MODEL, dim=DIM)
    gathered: list[Cells] = []
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float16, (land.rows, DIM))
    at = 0

    def write() -> None:
        began = time.monotonic()
        index.replace_all(gathered)
        told.write_s += time.monotonic() - began
        gathered.clear()

    for one in land.cells():
        vectors[at : at + one.rows.num_rows] = values_of(one.rows)
        at += one.rows.num_rows
        gathered.append(one)
        if len(gathered) == TILES_A_COMMIT * len(YEARS):
            write()
    write()
    began, cpu = time.monotonic(), time.process_time()
    index.tune()
    told.tune_s, told.tune_cpu_s = time.monotonic() - began, time.process_time() - cpu
    told.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    table = Path(str(index.path))
    sizes = {path: path.stat().st_size for path in table.rglob("*") if path.is_file()}
    told.indexes_mb = sum(size for path, size in sizes.items() if "_indices" in path.parts) / 1e6
    told.table_mb = sum(sizes.values()) / 1e6 - told.indexes_mb
    (folder / "build.json").write_text(json.dumps(asdict(told)))
    return told


def values_of(rows: pa.Table) -> NDArray[np.float16]:
    """Gives the vectors of rows."""
    return np.asarray(rows["vector"].combine_chunks().flatten()).reshape(rows.num_rows, DIM)


@dataclass
class Figure:
    """How one way answered under one filter."""

    rows: int
    """Rows of the table."""
    filter: str
    """Which filter."""
    share: float
    """Share of the rows that pass."""
    way: str
    """Who answered."""
    p50_ms: float
    """Median of a question."""
    p90_ms: float
    """Of ten, nine were quicker."""
    recall: float
    """Share of the exact ten."""
    ratio: float = field(default=0.0)
    """p50 to that of whom it is compared with."""


Ask = Callable[[NDArray[np.float32]], "NDArray[np.int64]"]


class Ways:
    """Everybody who answers, over the same rows."""

    def __init__(self, folder: Path, land: Land, index: CellIndex) -> None:
        """Loads the vectors for numpy and builds faiss's inverted file."""
        import faiss

        self.land, self.index, self.faiss = land, index, faiss
        stored = np.load(folder / "vectors.npy", mmap_mode="r")
        self.vectors = np.empty(stored.shape, np.float32)
        for at in range(0, len(stored), 500_000):
            self.vectors[at : at + 500_000] = unit(np.asarray(stored[at : at + 500_000], np.float32))
        self.numbers = {tile.id: number for number, tile in enumerate(land.tiles)}
        self.years = {year.id: number for number, year in enumerate(YEARS)}
        self.corners = np.array([(one.window.y0, one.window.x0) for one in land.tiles]) // CELL_PX
        parts = max(16, round(np.sqrt(land.rows) / 3))
        quantiser = faiss.IndexFlatIP(DIM)
        self.inverted = faiss.IndexIVFScalarQuantizer(
            quantiser, DIM, parts, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        began = time.monotonic()
        self.inverted.train(self.vectors[:: max(1, land.rows // (64 * parts))])
        for at in range(0, land.rows, 500_000):
            self.inverted.add(self.vectors[at : at + 500_000])
        self.inverted.nprobe = 16
        self.faiss_s = time.monotonic() - began

    def number(self, found: pa.Table) -> NDArray[np.int64]:
        """Gives the rows' numbers in the order in which they were written."""
        tile = np.array([self.numbers[one] for one in found["tile"].to_pylist()], np.int64)
        year = np.array([self.years[one] for one in found["period"].to_pylist()], np.int64)
        y, x = (
            found["row"].to_numpy() - self.corners[tile, 0],
            found["col"].to_numpy() - self.corners[tile, 1],
        )
        return np.asarray((tile * len(YEARS) + year) * SIDE * SIDE + y * SIDE + x)

    def all(self, where: Filter, passing: NDArray[np.int64] | None) -> dict[str, Ask]:
        """Gives the ways to answer under a filter, by name."""
        table, text = self.index._table, where.expression()
        bare = (lambda query: query.where(text, prefilter=True)) if text else (lambda query: query)

        def lance(q: NDArray[np.float32], *, exact: bool) -> NDArray[np.int64]:
            query = bare(table.search(q, vector_column_name="vector").distance_type("cosine").limit(TOP))
            return self.number((query.bypass_vector_index() if exact else query).to_arrow())

        def by_numpy(q: NDArray[np.float32]) -> NDArray[np.int64]:
            scores = (self.vectors if passing is None else self.vectors[passing]) @ q
            best = np.argpartition(-scores, TOP)[:TOP]
            return best if passing is None else passing[best]

        ways: dict[str, Ask] = {
            "numpy, exact": by_numpy,
            "faiss IVF fp16, 16 of its parts": self._by_faiss(passing),
            "bare LanceDB, the same index": lambda q: lance(q, exact=False),
            "bare LanceDB, exact": lambda q: lance(q, exact=True),
            "ours": lambda q: self.number(self.index.nearest(q, k=TOP, where=where)),
            "ours, exact": lambda q: self.number(self.index.nearest(q, k=TOP, where=where, exact=True)),
        }
        if passing is None:
            ways["faiss flat, exact"] = lambda q: self.faiss.knn(
                q[None], self.vectors, TOP, metric=self.faiss.METRIC_INNER_PRODUCT
            )[1][0]
        return ways

    def _by_faiss(self, passing: NDArray[np.int64] | None) -> Ask:
        if passing is None:
            return lambda q: self.inverted.search(q[None], TOP)[1][0]
        bits = np.zeros(self.land.rows, bool)
        bits[passing] = True
        packed = np.packbits(bits, bitorder="little")
        chosen = self.faiss.SearchParametersIVF(sel=self.faiss.IDSelectorBitmap(packed), nprobe=16)
        return lambda q: self.inverted.search(q[None], TOP, params=chosen)[1][0]


def filters_of(land: Land, index: CellIndex) -> dict[str, Filter]:
    """Gives the filters that the issue names."""
    lon, lat = (
        np.concatenate([batch[name].to_numpy() for batch in index.cells(Filter(periods=(YEARS[0],)), [name])])
        for name in ("lon", "lat")
    )
    middle = land.tiles[len(land.tiles) // 2].geobox.extent.to_crs("EPSG:4326").boundingbox
    x, y = (middle.left + middle.right) / 2, (middle.bottom + middle.top) / 2
    wide, high = 0.05 * np.ptp(lon), 0.05 * np.ptp(lat)
    box = area_from_bbox((x - wide, y - high, x + wide, y + high))
    year, tile = YEARS[2], land.tiles[len(land.tiles) // 2]
    return {
        "none": Filter(),
        "year": Filter(periods=(year,)),
        "bbox 1 %": Filter(area=box),
        "tile": Filter(tiles=(tile,)),
        "year and bbox": Filter(periods=(year,), area=box),
    }


def measure(folder: Path, land: Land, num_queries: int) -> tuple[list[Figure], dict[str, Any]]:
    """Asks everybody under every filter."""
    index = open_index(Catalog(folder), MODEL)
    ways = Ways(folder, land, index)
    rng = np.random.default_rng(5)
    picks = rng.choice(land.rows, num_queries, replace=False)
    queries = unit(ways.vectors[picks] + 0.02 * rng.standard_normal((num_queries, DIM), np.float32))
    figures: list[Figure] = []
    for name, where in filters_of(land, index).items():
        passing = None
        if where.expression() is not None:
            found = [
                ways.number(pa.Table.from_batches([one]))
                for one in index.cells(where, ["tile", "period", "row", "col"])
            ]
            passing = np.sort(np.concatenate(found))
        figures += under(name, ways, where, passing, queries)
    return figures, {
        "faiss_ivf_build_s": ways.faiss_s,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def under(
    name: str, ways: Ways, where: Filter, passing: NDArray[np.int64] | None, queries: NDArray[np.float32]
) -> list[Figure]:
    """Asks everybody in turn under one filter."""
    every = ways.all(where, passing)
    took: dict[str, list[float]] = {way: [] for way in every}
    hits = dict.fromkeys(every, 0)
    for ask in every.values():
        ask(queries[0])
    for number, query in enumerate(queries):
        best = every["numpy, exact"](query)
        least = (ways.vectors[best] @ query).min() - 1e-6
        for way, ask in every.items():
            if way == "bare LanceDB, exact" and number >= 5:
                continue
            began = time.perf_counter()
            found = ask(query)
            took[way].append(time.perf_counter() - began)
            found = found[found >= 0]
            hits[way] += int((ways.vectors[np.unique(found)] @ query >= least).sum())
    share = 1.0 if passing is None else len(passing) / ways.land.rows
    told = [
        Figure(
            ways.land.rows, name, share, way, float(np.median(seconds) * 1e3),
            float(np.quantile(seconds, 0.9) * 1e3), hits[way] / TOP / len(seconds),
        )
        for way, seconds in took.items()
    ]  # fmt: skip
    by_way = {one.way: one for one in told}
    for ours, other in (("ours", "bare LanceDB, the same index"), ("ours, exact", "numpy, exact")):
        by_way[ours].ratio = by_way[ours].p50_ms / by_way[other].p50_ms
    return told


def show(builds: list[Build], figures: list[Figure]) -> None:
    """Prints the tables."""
    console = Console(width=120)
    console.print("SIMULATED vectors; ratios: ours to bare LanceDB, ours exact to numpy")
    table = Table(
        "rows", "write s", "index s", "index CPU s", "peak MB", "table MB", "indexes MB", title="Building"
    )
    for one in builds:
        table.add_row(
            f"{one.rows:,}", f"{one.write_s:.1f}", f"{one.tune_s:.1f}", f"{one.tune_cpu_s:.1f}", str(one.peak_mb),
            f"{one.table_mb:.0f}", f"{one.indexes_mb:.0f}",
        )  # fmt: skip
    console.print(table)
    table = Table(
        "rows", "filter", "passes", "way", "p50 ms", "p90 ms", "recall@10", "ratio", title="Asking for ten"
    )
    for figure in figures:
        table.add_row(
            f"{figure.rows:,}", figure.filter, f"{figure.share:.2%}", figure.way, f"{figure.p50_ms:.1f}",
            f"{figure.p90_ms:.1f}", f"{figure.recall:.3f}", f"{figure.ratio:.2f}" if figure.ratio else "",
        )  # fmt: skip
    console.print(table)


def main() -> None:
    """Builds, asks, tells."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--keep", type=Path, help="folder in which tables stay for the next run")
    parser.add_argument("--json", type=Path, help="where figures go as JSON")
    given = parser.parse_args()
    os.environ.setdefault("RUST_LOG", "error")
    builds, figures, told = [], [], {}
    parent = given.keep or Path(tempfile.mkdtemp(prefix="earthfield-search-"))
    try:
        for rows in given.rows:
            folder = parent / str(rows)
            folder.mkdir(parents=True, exist_ok=True)
            made = folder / "build.json"
            builds.append(
                Build(**json.loads(made.read_text())) if made.exists() else build(folder, Land(rows))
            )
            found, more = measure(folder, Land(rows), given.queries)
            figures += found
            told[str(rows)] = more
    finally:
        if given.keep is None:
            shutil.rmtree(parent)
    show(builds, figures)
    if given.json:
        content = {"simulated": True, "builds": builds, "figures": figures, "more": told}
        given.json.write_text(json.dumps(content, default=asdict, indent=1))


if __name__ == "__main__":
    main()
