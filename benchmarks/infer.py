"""Measures embedding: s/km2, FLOPs, share of the matmul peak, memory; in process and on servers in one run.

Every case runs in a process of its own, one after the other, over the same cubes: the ratios count. FLOPs are those
of `earthfield_model.flops` for every call of the encoder, halo and halves included, so the share of the peak is of
what was computed and s/km2 is of what was asked for. Data are SIMULATED: a landscape of one year, copied into as
many tiles as are named; or cubes named with --data. Random weights cost what trained ones do (--preset).
Run: `python benchmarks/infer.py --periods 1 12 --tiles 1 4 16`, beside a server `--encoder local grpc://127.0.0.1:8001`,
on a GPU `--preset base --precision bf16 --repeat 2`. Figures go to docs/experiments.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from train import device_name, peak_tflops

from earthfield.catalog import Catalog
from earthfield.frames import Frames
from earthfield.grid import Tile
from earthfield.ports import Encoder
from earthfield.schemas import INPUT_SOURCES, EmbedRequest, IngestRequest, checked_request
from earthfield.timeline import Period

ALIGN_PX = 16


class Counted:
    """An encoder that remembers what it was asked, by frames, size and number of periods."""

    def __init__(self, encoder: Encoder) -> None:
        """Takes an encoder."""
        self._encoder = encoder
        self.calls: Counter[tuple[tuple[tuple[str, int], ...], int, int]] = Counter()
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode(self, frames: Frames, periods: Sequence[Period]) -> NDArray[np.float32]:
        """Asks the encoder."""
        height, width = next(iter(frames.values())).shape
        counts = tuple(sorted((name, len(one.acquired)) for name, one in frames.items()))
        # FLOPs are counted for squares; a window cut at the data's edge counts as the square of its area.
        side = max(round((height * width) ** 0.5 / ALIGN_PX), 1) * ALIGN_PX
        self.calls[counts, side, len(periods)] += 1
        started = time.perf_counter()
        try:
            return self._encoder.encode(frames, periods)
        finally:
            self.seconds += time.perf_counter() - started


def prepared(folder: Path, size: int, tiles: int) -> Path:
    """Makes cubes of a simulated landscape and copies them into the tiles beside it."""
    from earthfield.simulate import Landscape, simulate
    from earthfield_ingest.jobs import ingest

    root = folder / "root"
    simulate(folder / "scenes", Landscape(size_px=(size, size)))
    ingest(checked_request(IngestRequest, root=root, catalog=str(folder / "scenes"), periods=("2022",)))
    first = Catalog(root).cube_tiles()[0]
    for number in range(1, tiles):
        # Two tiles apart, so that none reads its neighbour.
        tile = Tile(first.epsg, first.col + 2 * (number % 4), first.row + 2 * (number // 4))
        shutil.copytree(root / "cubes" / first.id, root / "cubes" / tile.id)
    return root


def with_random_weights(root: Path, preset: str) -> str:
    """Puts a model with random weights into a root; gives its name."""
    from earthfield.sources import source_named
    from earthfield_model.alphaearth import AlphaEarth
    from earthfield_model.config import SourceConfig, model_config
    from earthfield_model.widths import widths_named

    name, sources = f"random-{preset}", [SourceConfig.of(source_named(one)) for one in INPUT_SOURCES]
    torch.manual_seed(0)
    model = AlphaEarth(model_config(name, sources, widths_named(preset)))
    model.save_pretrained(Catalog(root).model(name))
    return name


def periods_of(year: str, count: int) -> dict[str, Any]:
    """Gives the whole time as one period, or its first months, made from the same frames."""
    if count == 1:
        return {"periods": (year,)}
    start = Period.parse(year).start
    months = [
        f"{start.year + (start.month - 1 + n) // 12}-{(start.month - 1 + n) % 12 + 1:02d}"
        for n in range(count)
    ]
    return {"periods": tuple(months), "support": year}


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Measures one case in this process."""
    from earthfield_infer.jobs import embed_tile
    from earthfield_infer.local import connect_encoder
    from earthfield_infer.wanted import tiles_of

    request = checked_request(
        EmbedRequest, root=Path(case["root"]), model=case["model"], encoder=case["encoder"], overwrite=True,
        agreement=case["agreement"], precision=case["precision"], **periods_of(case["period"], case["periods"]),
    )  # fmt: skip
    encoder = connect_encoder(
        request.catalog_root, request.model, request.encoder, precision=request.precision
    )
    before, pace = _resident_bytes(), []
    for _ in range(case["repeat"]):
        counted, wall, cpu = Counted(encoder), time.perf_counter(), time.process_time()
        reports = [embed_tile(request, part, encoder=counted) for part in tiles_of(request)[: case["tiles"]]]  # type: ignore[arg-type]
        pace.append((time.perf_counter() - wall, time.process_time() - cpu))
    memory = _resident_bytes()
    wall, cpu = min(pace)
    fields = [one for report in reports for one in report.fields]
    km2 = sum(one.pixels for one in fields) * 1e-4 / case["periods"]
    flops = flops_of_calls(counted, request)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    peak = peak_tflops(device, torch.bfloat16 if request.precision == "bf16" else torch.float32)
    frames = sum(fields[0].frames.values())
    return {
        **case, "device": device_name(device), "km2": km2, "frames": frames, "calls": counted.calls.total(),
        "wall_s": wall, "cpu_s": cpu, "encode_s": counted.seconds,
        "s_per_km2": wall / km2, "gflop_per_km2": flops / 1e9 / km2,
        "gflops": flops / 1e9 / wall, "peak_gflops": peak * 1e3, "share_of_peak": flops / 1e12 / wall / peak,
        "memory_before_gb": before / 1e9, "memory_gb": memory / 1e9,
        "server_gb": server_bytes(case["server_pid"]) / 1e9,
        "gpu_gb": torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0,
    }  # fmt: skip


def flops_of_calls(counted: Counted, request: EmbedRequest) -> float:
    """Adds up what all calls computed."""
    from earthfield_model.encoder import load_encoder, model_folder
    from earthfield_model.flops import flop_table

    config = load_encoder(model_folder(request.model, request.catalog_root)).model.config
    return float(
        sum(
            number * flop_table(config, num_frames=dict(frames), size_px=side, num_periods=periods).total
            for (frames, side, periods), number in counted.calls.items()
        )
    )


def server_bytes(pid: int) -> int:
    """Gives the highest memory of a server and of the processes that it started; 0 where none is named."""
    if not pid:
        return 0
    parents = {int(one.name): _status(one, "PPid") for one in Path("/proc").iterdir() if one.name.isdigit()}
    family, grown = {pid}, True
    while grown:
        more = {one for one, parent in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    return sum(_status(Path("/proc") / str(one), "VmHWM") for one in family) * 1024


def _status(process: Path, name: str) -> int:
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def _resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def cases(asked: argparse.Namespace, root: Path, model: str) -> Iterator[dict[str, Any]]:
    """Yields every combination that was asked for."""
    agreements = {"both": (False, True), "on": (True,), "off": (False,)}[asked.agreement]
    for tiles, agreement, periods, encoder in product(asked.tiles, agreements, asked.periods, asked.encoder):
        yield {
            "root": str(root), "model": model, "encoder": encoder, "tiles": tiles, "periods": periods,
            "agreement": agreement, "period": asked.period, "repeat": asked.repeat,
            "precision": asked.precision if encoder == "local" else "float32",
            "server_pid": asked.server_pid if encoder != "local" else 0,
        }  # fmt: skip


def show(found: list[dict[str, Any]], data: str) -> None:
    """Prints the table; ratios are to the first row of the same tiles and agreement."""
    first = found[0]
    table = Table(
        "encoder", "tiles", "periods", "agreement", "calls", "wall s", "CPU s", "encode s", "s/km2", "ratio",
        "GFLOP/km2",        "GFLOP/s", "share", "GB before", "GB", "server GB",
        title=f"{first['model']} {first['precision']}, {first['frames']} frames, {first['device']}, {data}",
    )  # fmt: skip
    for one in found:
        alike = next(
            base for base in found if all(base[name] == one[name] for name in ("tiles", "agreement"))
        )
        table.add_row(
            one["encoder"], str(one["tiles"]), str(one["periods"]), "yes" if one["agreement"] else "no",
            str(one["calls"]), f"{one['wall_s']:.1f}", f"{one['cpu_s']:.1f}", f"{one['encode_s']:.1f}",
            f"{one['s_per_km2']:.2f}",
            f"{one['s_per_km2'] / alike['s_per_km2']:.2f}", f"{one['gflop_per_km2']:.0f}", f"{one['gflops']:.1f}",
            f"{one['share_of_peak']:.1%}", f"{one['memory_before_gb']:.2f}", f"{one['memory_gb']:.2f}",
            f"{one['server_gb']:.2f}",
        )  # fmt: skip
    Console(width=160).print(table)


def main() -> None:
    """Measures every case that was named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="starter")
    parser.add_argument("--preset", help="random weights of a preset instead of a model")
    parser.add_argument("--encoder", nargs="+", default=["local"], help="local, or addresses of servers")
    parser.add_argument(
        "--periods", nargs="+", type=int, default=[1], help="1: the whole time; 12: its months"
    )
    parser.add_argument("--tiles", nargs="+", type=int, default=[1])
    parser.add_argument("--agreement", choices=["both", "on", "off"], default="both")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    parser.add_argument("--repeat", type=int, default=1, help="the best of so many counts")
    parser.add_argument("--data", type=Path, help="root with cubes; a simulated landscape when absent")
    parser.add_argument("--period", default="2022", help="when the frames were taken")
    parser.add_argument("--size", type=int, default=256, help="side of that landscape, 10 m pixels")
    parser.add_argument("--server-pid", type=int, default=0, help="process of the server, for its memory")
    parser.add_argument("--json", action="store_true", help="one JSON line per case instead of a table")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(measure(json.loads(asked.only))))
        return
    with tempfile.TemporaryDirectory() as folder:
        # Fields and random weights never go into the root that was named.
        root = Path(folder) / "root"
        if asked.data:
            shutil.copytree(asked.data / "cubes", root / "cubes")
        else:
            root = prepared(Path(folder), asked.size, max(asked.tiles))
        model = with_random_weights(root, asked.preset) if asked.preset else asked.model
        found = []
        for case in cases(asked, root, model):
            words = [sys.executable, __file__, "--only", json.dumps(case)]
            told = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            found.append(json.loads(told.stdout.splitlines()[-1]))
            if asked.json:
                print(json.dumps(found[-1]), flush=True)
    if not asked.json:
        show(found, str(asked.data) if asked.data else f"SIMULATED {asked.size} px a tile")


if __name__ == "__main__":
    main()
