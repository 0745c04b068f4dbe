"""Measures the main job by stage on a simulated landscape: seconds, memory, seconds per square kilometre.

Run: `make bench`, or `python benchmarks/main_job.py --size 256`. Figures go to docs/experiments.md.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from earthfield.schemas import EmbedRequest, IndexRequest, IngestRequest, checked_request
from earthfield.simulate import Landscape, simulate
from earthfield_infer.jobs import embed
from earthfield_ingest.jobs import ingest
from earthfield_search.jobs.index import index_fields


def timed(stage: str, job: Callable[[], Any], table: Table, km2: float) -> None:
    """Runs one stage and adds a row: wall and CPU seconds, seconds per km2, highest memory so far."""
    wall, cpu = time.perf_counter(), time.process_time()
    job()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    table.add_row(stage, f"{wall:.1f}", f"{cpu:.1f}", f"{wall / km2:.2f}", f"{peak_gb:.2f}")


def main() -> None:
    """Measures each stage twice: the second time nothing is left to do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="side of the landscape, 10 m pixels")
    parser.add_argument("--model", default="starter")
    size, model = (lambda a: (a.size, a.model))(parser.parse_args())
    km2 = (size / 100) ** 2
    table = Table("stage", "wall s", "CPU s", "s/km2", "peak GB", title=f"{size} px, {km2:.1f} km2, one year")
    with tempfile.TemporaryDirectory() as folder:
        land, root = Path(folder) / "land", Path(folder) / "root"
        common = {"root": root, "periods": ("2022",)}
        wanted = checked_request(IngestRequest, catalog=str(land), **common)
        timed(
            "simulate two years",
            lambda: simulate(land, Landscape(size_px=(size, size), start_year=2022)),
            table,
            km2,
        )
        for run in ("", " again"):
            timed(f"ingest{run}", lambda: ingest(wanted), table, km2)
            timed(
                f"embed{run}", lambda: embed(checked_request(EmbedRequest, model=model, **common)), table, km2
            )
            timed(f"index{run}", lambda: index_fields(IndexRequest(root=root, model=model)), table, km2)
    Console().print(table)


if __name__ == "__main__":
    main()
