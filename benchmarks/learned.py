"""Measures what a short training learns, on simulated land whose truth is known: figures beside what must hold.

Trains `tiny` through the library for some CPU minutes (making ready and the first fit count, the timing of a step
does not), then embeds landscapes that it never saw:

1. few labels: 10 a class and a ridge probe in the block protocol, land cover and crops of the first year; fields
   against monthly composites of the same pixels on the same draws, means over landscapes;
2. change without labels: 1 - cos of a pixel's vectors of both years. Changed are pixels with an abrupt change
   (built, clear cut, new water, burnt), unchanged those without any, other crops among them; what begins slowly
   (planted, abandoned, dieback) counts as neither and has a figure of its own;
3. few frames: cosine of the fields of the first year to those made from a third of each source's frames;
4. time: a ridge probe tells March to May from September to November on pixels that it did not see: of the same
   place, where one year's weather and the period asked for help it, and of other places, where `local` names
   seasons by the hemisphere; again with frames whose instants were shuffled, or are all the same.

Run: `python benchmarks/learned.py`, or with `--data ROOT... --held-out ROOT... --truth FOLDER...`; `--model NAME`
measures trained models. Figures go to docs/experiments.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from known_truth import INSTANTS, NUM_SHOTS, SEASON_NAMES, Measured, held_out_places, measure, other_places
from rich.console import Console
from rich.table import Table

from earthfield.catalog import Catalog
from earthfield.schemas import INPUT_SOURCES, IngestRequest, checked_request
from earthfield.simulate.classes import COLLECTION as COVER
from earthfield.simulate.many import LandscapeSet, simulate_set
from earthfield_analysis.probes import PROBES
from earthfield_ingest.jobs import ingest
from earthfield_model.encoder import ModelEncoder, load_encoder, model_folder
from earthfield_train.checkpoint import checkpoints, model_of
from earthfield_train.jobs import TrainRequest, train_model
from earthfield_train.prepare import prepared

AUC, COSINE, SEASONS = 0.85, 0.9, 0.9
"""What must hold."""
WARM_STEPS, TIMED_STEPS = 4, 6


# ---- training ----


def trained(request: TrainRequest, minutes: float, points: int) -> tuple[dict[str, Any], list[Path]]:
    """Trains for some CPU minutes; gives what it took, and the checkpoints on the way."""
    started = time.process_time()
    with prepared(request) as ready:
        ready_s = time.process_time() - started
        for _ in range(WARM_STEPS):
            ready.trainer.train_step()
        started = time.process_time()
        for _ in range(TIMED_STEPS):
            ready.trainer.train_step()
        pace_s = (time.process_time() - started) / TIMED_STEPS
    # Its plots are memory that the training itself needs.
    del ready
    steps = max(int((minutes * 60 - ready_s) / pace_s), 1)
    kept = (f"run.checkpoint_every={-(-steps // points)}", f"run.keep={points + 1}")
    started = time.process_time()
    report = train_model(request.model_copy(update={"steps": steps, "settings": (*request.settings, *kept)}))
    told = {
        "steps": report.steps, "CPU minutes": (time.process_time() - started) / 60, "seconds a step": pace_s,
        "plots": report.plots, "settings": list(request.settings),
    }  # fmt: skip
    return told, checkpoints(request.folder)[points - 1 : 0 : -1]


def simulated(folder: Path, num: int, side: int) -> tuple[list[Path], list[Path]]:
    """Makes landscapes all over the Earth; gives their roots and their catalogues."""
    report = simulate_set(folder / "scenes", LandscapeSet(num=num, size_px=(side, side)))
    roots, catalogues = [], []
    for one in report.members:
        catalogue, root = folder / "scenes" / one.name, folder / "roots" / one.name
        first = int(one.landscape["start_year"])
        periods = (str(first), str(first + 1))
        for scenes, sources in ((catalogue, INPUT_SOURCES), (catalogue / "truth", (COVER,))):
            asked = {"root": root, "catalog": str(scenes), "periods": periods, "sources": sources}
            ingest(checked_request(IngestRequest, **asked))
        roots.append(root)
        catalogues.append(catalogue)
    return roots, catalogues


def opened(name: str, catalog: Catalog) -> ModelEncoder:
    """Opens a model by name, or a checkpoint of one by its file."""
    if name.endswith(".safetensors"):
        return ModelEncoder(model_of(Path(name)))
    return load_encoder(model_folder(name, catalog))


# ---- what is told ----


def rows_of(figures: Mapping[str, float]) -> Iterator[tuple[str, float, str, bool]]:
    """Yields figure, value, what must hold, and whether it does."""
    for labels in ("landcover", "crop"):
        for probe in PROBES:
            name = f"few labels, {labels}, {probe}"
            if f"{name}, fields" in figures:
                value, rival = figures[f"{name}, fields"], figures[f"{name}, composites"]
                yield f"{name}, n={NUM_SHOTS}", value, f">= {rival:.3f} of composites", value >= rival
    for name, least in (("change, abrupt, fields", AUC), ("sparse, mean", COSINE)):
        yield name, figures[name], f">= {least}", figures[name] >= least
    for names in SEASON_NAMES:
        true, *ablated = (figures[f"time, {names}, {instants}"] for instants in INSTANTS)
        yield f"time, {names} seasons", true, f">= {SEASONS}", true >= SEASONS
        for instants, value in zip(list(INSTANTS)[1:], ablated, strict=True):
            yield f"  instants {instants}", value, f"< {true:.3f}", value < true


def show(found: Sequence[Measured], told: Mapping[str, Any]) -> None:
    """Prints a table for each model, what else was measured below it."""
    console = Console(width=120, highlight=False)
    if told:
        console.print(", ".join(f"{name} {value}" for name, value in told.items()), soft_wrap=True)
    for one in found:
        table = Table("figure", "value", "must hold", "", title=f"{one.model}: {len(one.places)} places")
        for name, value, must, holds in rows_of(one.figures):
            table.add_row(name, f"{value:.3f}", must, "yes" if holds else "NO")
        console.print(table)
        beside = [
            f"{name} {value:.3f}" for name, value in one.figures.items() if name[:6] in ("change", "sparse")
        ]
        console.print("; ".join(beside), soft_wrap=True)
        for line in one.skipped:
            console.print(f"left out: {line}", soft_wrap=True)


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="roots with cubes to train on")
    parser.add_argument("--held-out", type=Path, nargs="+", default=[], help="roots to measure on")
    parser.add_argument(
        "--truth", type=Path, nargs="+", default=[], help="their catalogues, in the same order"
    )
    parser.add_argument("--minutes", type=float, default=20, help="CPU time of the training; 0: one step")
    parser.add_argument(
        "--points", type=int, default=1, help="how often on the way to measure, the end included"
    )
    parser.add_argument(
        "--model", nargs="+", default=[], help="measure models, below --root or bundled, or checkpoint files"
    )
    parser.add_argument(
        "--root", type=Path, help="where the model goes or lies; a temporary folder when absent"
    )
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], help="override, as in training"
    )
    parser.add_argument(
        "--simulate", type=int, default=12, help="landscapes where no data are named; 3 held out"
    )
    parser.add_argument("--size", type=int, default=128, help="their side, 10 m pixels")
    parser.add_argument(
        "--middle", type=int, default=1024, help="measure only the middle of places, side in px"
    )
    parser.add_argument("--probe-places", type=int, default=16, help="roots of --data that teach seasons")
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")
    return parser.parse_args()


def main() -> None:
    """Trains unless a model is named, measures, and prints."""
    asked = arguments()
    if threads := int(os.environ.get("EARTHFIELD_THREADS", "0")):
        torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        root = asked.root or Path(folder) / "root"
        if not asked.held_out:
            roots, catalogues = simulated(Path(folder), asked.simulate, asked.size)
            asked.data, asked.held_out, asked.truth = roots[:-3], roots[-3:], catalogues[-3:]
        held_out = [one.middle(asked.middle) for one in held_out_places(asked.held_out, asked.truth)]
        others = list(other_places(asked.data[: asked.probe_places]))
        told: dict[str, Any] = {}
        models: dict[str, ModelEncoder] = {}
        for name in asked.model:
            models[name] = opened(name, Catalog(root))
        if not models:
            request = TrainRequest(
                root=root, name="learned", data=tuple(asked.data), settings=tuple(asked.settings), overwrite=True
            )  # fmt: skip
            told, on_the_way = trained(request, asked.minutes, asked.points)
            models |= {f"learned, {one.stem}": ModelEncoder(model_of(one)) for one in on_the_way}
            models[f"learned, {told['steps']} steps"] = load_encoder(request.folder)
        found = [measure(encoder, name, held_out, others) for name, encoder in models.items()]
    if asked.json:
        rows = {one.model: list(rows_of(one.figures)) for one in found}
        print(json.dumps({"training": told, "measured": [asdict(one) for one in found], "table": rows}))
    else:
        show(found, told)


if __name__ == "__main__":
    main()
