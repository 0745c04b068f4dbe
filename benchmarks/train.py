"""Measures training: samples/s of the whole loop and of the loader alone, FLOPs, share of the measured matmul peak.

Everything in one run, each preset in a process of its own (for its memory): the ratios count. FLOPs are counted
on real batches, forward and backward, attention as matrix products; what is computed twice to save memory does
not count. Data: a simulated landscape, or cubes named with --data.
Run: `python benchmarks/train.py`, on a GPU `--presets base --set batch=64 --set accumulate=1`. Figures go to
docs/experiments.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

COUNTED_SAMPLES = 2
HELD_BACK = 2**41
"""Numbers of batches that no training draws."""


def land(folder: Path, size: int) -> Path:
    """Makes cubes of a simulated landscape."""
    from earthfield.schemas import IngestRequest, checked_request
    from earthfield.simulate import Landscape, simulate
    from earthfield_ingest.jobs import ingest

    simulate(folder / "scenes", Landscape(size_px=(size, size)))
    request = checked_request(
        IngestRequest, root=folder / "root", catalog=str(folder / "scenes"), periods=("2022", "2023")
    )
    ingest(request)
    return folder / "root"


def peak_tflops(device: torch.device, dtype: torch.dtype) -> float:
    """Gives the best of several products of square matrices, large enough to be bound by computing alone."""
    size = 8192 if device.type == "cuda" else 2048
    x = torch.randn(size, size, device=device).to(dtype)
    for _ in range(3):
        x @ x
    best = min(timed(lambda: x @ x, device) for _ in range(10))
    return 2 * size**3 / best / 1e12


def timed(job: Callable[[], Any], device: torch.device) -> float:
    """Gives seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    job()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def flops_per_sample(trainer: Any) -> float:
    """Counts a forward and backward pass over a few samples that training will not see."""
    engine, config = trainer.engine, trainer.objective.model.config
    batch = trainer.samples.batch(HELD_BACK, COUNTED_SAMPLES, config)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        engine.backward(batch, 0, share=1.0, last=True)
    trainer.optimizer.zero_grad(set_to_none=True)
    return counter.get_total_flops() / COUNTED_SAMPLES


def measure(preset: str, root: Path, steps: int, settings: list[str]) -> dict[str, Any]:
    """Measures one preset."""
    from earthfield_train.config import train_config
    from earthfield_train.jobs import TrainRequest
    from earthfield_train.prepare import prepared

    request = TrainRequest(root=root, name="bench", preset=preset, settings=tuple(settings))
    plain = request.model_copy(
        update={
            "settings": (*settings, "run.compile=false", "run.checkpointing=false", "run.distributed=none")
        }
    )
    alone = request.model_copy(update={"settings": (*settings, "run.distributed=none")})
    config = train_config(preset, settings=alone.settings)
    with prepared(alone) as ready:
        trainer = ready.trainer
        device = trainer.engine.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        loader = trainer.batches(count(HELD_BACK))
        next(loader)
        num_batches = steps * config.accumulate
        loading = timed(lambda: list(islice(loader, num_batches)), device)
        loader.close()
        for _ in range(3):
            trainer.train_step()
        pace = [trainer.train_step()["seconds"] for _ in range(steps)]
        # Before FLOPs are counted, which takes more memory than training does.
        memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else _resident_bytes()
    with prepared(plain) as ready:
        flops = flops_per_sample(ready.trainer)
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    peak = peak_tflops(device, dtype)
    speed = config.batch / float(np.median(pace))
    return {
        "preset": preset, "device": device_name(device), "precision": config.precision,
        "parameters": trainer.objective.model.num_parameters, "batch": config.batch,
        "accumulate": config.accumulate,
        "samples_per_second": speed, "loader_samples_per_second": num_batches * trainer.part_size / loading,
        "gflop_per_sample": flops / 1e9, "tflops": speed * flops / 1e12, "peak_tflops": peak,
        "share_of_peak": speed * flops / 1e12 / peak, "peak_gb": memory / 1e9,
    }  # fmt: skip


def device_name(device: torch.device) -> str:
    """Says what was measured on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def show(found: list[dict[str, Any]]) -> None:
    """Prints the table."""
    table = Table(
        "preset", "parameters", "batch", "samples/s", "loader alone", "GFLOP/sample", "TFLOP/s", "matmul peak",
        "share", "peak GB", title=found[0]["device"],
    )  # fmt: skip
    for one in found:
        table.add_row(
            f"{one['preset']} {one['precision']}", f"{one['parameters']:,}",
            f"{one['batch']} / {one['accumulate']}",
            f"{one['samples_per_second']:.2f}", f"{one['loader_samples_per_second']:.1f}",
            f"{one['gflop_per_sample']:.1f}", f"{one['tflops']:.3f}", f"{one['peak_tflops']:.3f}",
            f"{one['share_of_peak']:.1%}", f"{one['peak_gb']:.2f}",
        )  # fmt: skip
    Console(width=140).print(table)


def main() -> None:
    """Measures every preset that was named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--presets", nargs="+", default=["tiny"])
    parser.add_argument("--data", type=Path, help="root with cubes; a simulated landscape when absent")
    parser.add_argument("--size", type=int, default=256, help="side of that landscape, 10 m pixels")
    parser.add_argument("--steps", type=int, default=10, help="timed steps")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], help="override, as in training"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line per preset instead of a table")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        if threads := int(os.environ.get("EARTHFIELD_THREADS", "0")):
            torch.set_num_threads(threads)
        print(json.dumps(measure(asked.only, asked.data, asked.steps, asked.settings)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = asked.data or land(Path(folder), asked.size)
        settings = [part for one in asked.settings for part in ("--set", one)]
        found = []
        for preset in asked.presets:
            told = subprocess.run(
                [sys.executable, __file__, "--only", preset, "--data", str(root), "--steps", str(asked.steps),
                 *settings],
                stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
            found.append(json.loads(told.stdout.splitlines()[-1]))
    for one in found if asked.json else []:
        print(json.dumps(one))
    if not asked.json:
        show(found)


if __name__ == "__main__":
    main()
