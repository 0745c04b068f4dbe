"""The demo: a simulated landscape becomes a searchable map. Run it with `make demo`; a second run does only what is missing."""

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
console = Console()


def earthfield(title: str, *args: str) -> tuple[dict[str, Any], float]:
    """Runs one command of `earthfield`, shows it, and gives its report and seconds."""
    console.print(f"[bold]{title}[/]\n  [dim]earthfield {' '.join(args)}[/]", highlight=False)
    started = time.monotonic()
    command = [str(Path(sys.executable).with_name("earthfield")), *args, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout), time.monotonic() - started


def main() -> None:
    """Runs the commands one after another and says what was made, and where."""
    started = time.monotonic()
    root = ("--root", str(ROOT))
    simulated, simulate_s = earthfield(
        "A simulated landscape: satellite scenes, truth and texts", "simulate", str(LANDSCAPE), "--size", str(SIZE_PX),
        "--start-year", YEARS[0],
    )  # fmt: skip
    periods = [word for year in YEARS for word in ("--period", year)]
    mapped, map_s = earthfield(
        "The main job: scenes to a searchable map", "map", "--catalog", str(LANDSCAPE), *periods, *root
    )
    lon, lat = centre()
    similar, search_s = earthfield(
        "What looks like the middle of the landscape?",
        "search", "--at", f"{lon:.5f}", f"{lat:.5f}", "-k", "20", "--period", YEARS[1], *root,
    )  # fmt: skip
    clusters, cluster_s = earthfield(
        "What belongs together?", "cluster", "-k", "5", "--period", YEARS[1], *root
    )
    change, change_s = earthfield("What has changed?", "change", "--periods", *YEARS, *root)

    scenes = mapped["ingest"]["sources"]
    table = Table("what", "how much", "where", "s", title="Made from simulated satellite scenes")
    table.add_row(
        "simulated scenes",
        str(sum(one["found"] for one in scenes.values())),
        str(LANDSCAPE),
        f"{simulate_s:.0f}",
    )
    table.add_row(
        "embedding fields",
        f"{sum(one['pixels'] for one in mapped['embed']['fields']):,} vectors",
        str(ROOT / "fields"),
        f"{map_s:.0f}",
    )
    table.add_row("vector index", f"{mapped['index']['cells']:,} cells", str(ROOT / "index"), "")
    for name, report, seconds in (
        ("similar places", similar, search_s),
        ("clusters", clusters, cluster_s),
        ("change", change, change_s),
    ):
        table.add_row(name, "", "\n".join(report["files"]), f"{seconds:.0f}")
    console.print(table)
    console.print(f"in {time.monotonic() - started:.0f} s. Open the map in a browser:", highlight=False)
    console.print(
        f"  .venv/bin/earthfield up --root {ROOT} --catalog {LANDSCAPE}", style="bold", highlight=False
    )


def centre() -> tuple[float, float]:
    """Gives the middle of the simulated landscape, from its STAC extent."""
    collection = json.loads((LANDSCAPE / "sentinel-2-l2a" / "collection.json").read_text())
    west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
    return (west + east) / 2, (south + north) / 2


if __name__ == "__main__":
    main()
