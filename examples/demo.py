"""The demo: a simulated landscape becomes a searchable map. A second `make demo` does only what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path("earthfield-demo")
LANDSCAPE, ROOT = HERE / "landscape", HERE / "data"
YEARS = ("2022", "2023")
SIZE_PX = 256
SEED = 7
console = Console()


class Command:
    """One command of `earthfield`: run, shown, timed."""

    def __init__(self, title: str, *args: str) -> None:
        """Runs it; a failure ends the demo with the command's own exit code."""
        console.print(f"[bold]{title}[/]\n  [dim]earthfield {' '.join(args)}[/]", highlight=False)
        started = time.monotonic()
        program = str(Path(sys.executable).with_name("earthfield"))
        done = subprocess.run([program, *args, "--json"], stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise SystemExit(done.returncode)
        self.seconds = time.monotonic() - started
        self.report: dict[str, Any] = json.loads(done.stdout)


def main() -> None:
    """Runs the commands one after another and says what was made, and where."""
    started = time.monotonic()
    simulated = Command(
        "A simulated landscape: satellite scenes, truth and texts",
        "simulate", str(LANDSCAPE), "--size", str(SIZE_PX), "--seed", str(SEED), "--start-year", YEARS[0],
    )  # fmt: skip
    root = ("--root", str(ROOT))
    years = [word for year in YEARS for word in ("--period", year)]
    mapped = Command(
        "The main job: scenes to a searchable map", "map", "--catalog", str(LANDSCAPE), *years, *root
    )
    lon, lat = middle()
    answers = {
        "similar places": Command(
            "What looks like the middle of the landscape?",
            "search", "--at", f"{lon:.5f}", f"{lat:.5f}", "-k", "20", "--period", YEARS[1], *root,
        ),
        "clusters": Command("What belongs together?", "cluster", "-k", "5", "--period", YEARS[1], *root),
        "change": Command("What has changed?", "change", "--periods", *YEARS, *root),
    }  # fmt: skip
    console.print(summary(simulated, mapped, answers))
    console.print(f"in {time.monotonic() - started:.0f} s. Now open it in a browser:", highlight=False)
    console.print(
        f"  .venv/bin/earthfield up --root {ROOT} --catalog {LANDSCAPE}", style="bold", highlight=False
    )


def summary(simulated: Command, mapped: Command, answers: dict[str, Command]) -> Table:
    """Gives the closing table."""
    num_vectors = sum(one["pixels"] for one in mapped.report["embed"]["fields"])
    num_scenes = sum(simulated.report["num_scenes"].values())
    table = Table("what", "how much", "s", title="Made from simulated satellite scenes")
    table.add_column("where", overflow="fold")
    table.add_row("scenes (simulated)", f"{num_scenes}", f"{simulated.seconds:.0f}", str(LANDSCAPE))
    table.add_row(
        "embedding fields", f"{num_vectors:,} vectors", f"{mapped.seconds:.0f}", str(ROOT / "fields")
    )
    table.add_row("vector index", f"{mapped.report['index']['cells']:,} cells", "", str(ROOT / "index"))
    for name, answer in answers.items():
        files = [Path(path) for path in answer.report["files"]]
        where = "\n".join([f"{files[0].parent}/", *(f"  {file.name}" for file in files)])
        table.add_row(name, f"{len(files)} files", f"{answer.seconds:.0f}", where)
    return table


def middle() -> tuple[float, float]:
    """Gives the middle of the simulated landscape, from its STAC extent."""
    collection = json.loads((LANDSCAPE / "sentinel-2-l2a" / "collection.json").read_text())
    west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
    return (west + east) / 2, (south + north) / 2


if __name__ == "__main__":
    main()
