"""`earthfield train` and `earthfield evaluate`."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earthfield.terminal import JsonOption, RootOption, root_or_default, show_json
from earthfield_train.evaluation.cli import evaluate

if TYPE_CHECKING:
    from earthfield_train.dryrun import DryRunReport
    from earthfield_train.jobs import TrainReport, TrainRequest

__all__ = ["evaluate", "train"]


def train(
    name: Annotated[
        str | None, typer.Option(help="Name of the model to make; the preset's when absent.")
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="Configuration to start from: nano, tiny (2 CPU cores), small, base, large (GPUs)."
        ),
    ] = "tiny",
    data: Annotated[
        list[Path] | None,
        typer.Option(help="A root whose cubes to train on; repeatable; --root when absent."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", "--start", help="Start from the weights of this model of the same preset."),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="pretrain: the four losses (default); emulate: match the fields of --teacher; texts: teach "
            "the model of --from the texts of the data, and leave its fields as they are."
        ),
    ] = None,
    teachers: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher",
            metavar="PATH[:PERIOD]",
            help="Published fields to match: an AlphaEarth raster, a folder of them, or ROOT/fields/MODEL; "
            "repeatable. PERIOD is needed where no year stands in the names.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; the preset's when absent.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override such as optim.learning_rate=1e-3; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    previous: Annotated[
        bool, typer.Option("--previous", help="With --resume: from the checkpoint before the last.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train anew over what is there.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Time a few steps, tell what all would take, write nothing.")
    ] = False,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on cubes: models/NAME with weights, config, metrics, a card and a picture of the losses.

    Step by step in reports/train/NAME.jsonl and, for TensorBoard, in reports/train/NAME/. Ctrl-C or SIGTERM ends
    the step, writes a checkpoint and stops; --resume goes on exactly there.

    Examples:

      earthfield train --preset tiny --dry-run

      earthfield train --name mine --steps 500 --set optim.learning_rate=1e-3

      earthfield train --name mine --steps 500 --set optim.learning_rate=1e-3 --resume

      earthfield train --name finer --from starter --data land-a --data land-b

      earthfield train --name student --objective emulate --teacher aef/2024 --data land-a

      earthfield train --name starter --objective texts --from starter --data land-a --steps 40 --set batch=64

      torchrun --nproc-per-node 4 --no-python earthfield train --preset small --set run.distributed=ddp
    """
    import torch

    from earthfield.schemas import checked_request
    from earthfield.settings import Settings
    from earthfield_train.jobs import TrainRequest, dry_run_model

    if threads := Settings().threads:
        torch.set_num_threads(threads)
    request = checked_request(
        TrainRequest,
        root=root_or_default(root),
        name=name or preset,
        preset=preset,
        data=tuple(data or ()),
        start=start,
        steps=steps,
        teachers=tuple(teachers or ()),
        settings=(*([f"objective={objective}"] if objective else []), *(settings or ())),
        resume=resume,
        previous=previous,
        overwrite=overwrite,
    )
    # Under torchrun every process runs this command; the first one talks.
    talks = os.environ.get("RANK", "0") == "0"
    if dry_run:
        told = dry_run_model(request)
        if talks:
            show_json(told) if as_json else _show_dry_run(told)
        return
    report = _trained(request, talks)
    if talks:
        show_json(report) if as_json else _show(report)
    if report.stopped:
        raise typer.Exit(128 + report.stopped)


def _trained(request: TrainRequest, talks: bool) -> TrainReport:
    from earthfield.progress import silent
    from earthfield_train.jobs import train_model
    from earthfield_train.journal import unwatched
    from earthfield_train.live import watching

    with watching(request.config.steps) if talks else nullcontext((unwatched, silent)) as (watch, progress):
        return train_model(request, watch=watch, progress=progress)


def _show(report: TrainReport) -> None:
    from rich.console import Console
    from rich.table import Table

    from earthfield_train.pictures import LOSSES

    console = Console(soft_wrap=True)
    if report.stopped:
        console.print(
            f"stopped by a signal after step {report.steps}, with a checkpoint in {report.path}: "
            "add --resume to the same command to go on from there",
            highlight=False,
        )
        return
    table = Table("figure", "first", "last", title=f"{report.model}: {report.steps} steps")
    apart = [one for one in report.last if one.startswith(("l1/", "ce/"))]
    for name in [*(one for one in LOSSES if one in report.last), *apart]:
        table.add_row(name, *(_figure(side.get(name)) for side in (report.first, report.last)))
    for name, value in report.health.items():
        table.add_row(name.replace("_", " "), "", f"{value:.3f}")
    console.print(table)
    console.print(
        f"{report.parameters:,} parameters, {report.steps_done} steps in {report.seconds:.0f} s: {report.path}"
    )


def _show_dry_run(report: DryRunReport) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, title=f"{report.model}: what the training would take")
    for name, text in {
        "parameters": f"{report.parameters:,}",
        "sources": ", ".join(report.sources),
        "land": f"{report.plots} plots, {report.square_km:.2f} km2",
        "steps": f"{report.steps:,}, {report.samples:,} samples",
        "device": report.device,
        "time": f"{report.first_fit_minutes:.1f} min of first fit, {report.seconds_a_step:.2f} s a step, "
        f"{report.hours:.1f} h in all",
        "memory": f"{report.peak_gb:.1f} GB at its highest, {report.weights_gb:.2f} GB of it for weights and "
        f"optimiser; decoded plots may come to take {report.plots_gb:.1f} GB",
    }.items():
        table.add_row(name, text)
    Console().print(table)


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:.4f}"
