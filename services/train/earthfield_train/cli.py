"""`earthfield train` and `earthfield evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earthfield.terminal import JsonOption, RootOption, root_or_default, show_json
from earthfield_train.evaluation.cli import evaluate

if TYPE_CHECKING:
    from earthfield_train.jobs import TrainReport
    from earthfield_train.trainer import Watch

__all__ = ["evaluate", "train"]

_SHOWN = ("loss", "reconstruction", "uniformity", "consistency")


def train(
    name: Annotated[
        str | None, typer.Option(help="Name of the model to make; the preset's when absent.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Configuration to start from: tiny or nano.")] = "tiny",
    data: Annotated[
        list[Path] | None,
        typer.Option(help="A root whose cubes to train on; repeatable; --root when absent."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Start from the weights of this model of the same preset.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override such as optim.learning_rate=1e-3; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train anew over what is there.")] = False,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model on cubes: models/NAME with weights, config, metrics and a card."""
    import torch

    from earthfield.schemas import checked_request
    from earthfield.settings import Settings
    from earthfield_train.jobs import TrainRequest, train_model

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
        settings=tuple(settings or ()),
        resume=resume,
        overwrite=overwrite,
    )
    with _watching(request.config.steps) as watch:
        report = train_model(request, watch=watch)
    if as_json:
        show_json(report)
    else:
        _show(report)


@contextmanager
def _watching(steps: int) -> Iterator[Watch]:
    """Gives a watch that shows a bar with running means on a terminal, and a line now and then elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    running: dict[str, float] = {}
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console, transient=True) as shown:
        task = shown.add_task("", total=steps, visible=sys.stderr.isatty())

        def watch(step: int, row: dict[str, float]) -> None:
            for name in (*_SHOWN, "seconds"):
                running[name] = 0.95 * running.get(name, row[name]) + 0.05 * row[name]
            text = "  ".join(f"{name} {value:.3f}" for name, value in running.items())
            health = {key[7:]: value for key, value in row.items() if key.startswith("health/")}
            shown.update(task, completed=step, description=text)
            if health:
                tail = "  ".join(f"{key} {value:.3f}" for key, value in health.items())
                console.print(f"step {step}/{steps}  {text}  | {tail}", soft_wrap=True)

        yield watch


def _show(report: TrainReport) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "first", "last", title=f"{report.model}: {report.steps} steps")
    for name in [*_SHOWN, *(one for one in report.last if one.startswith("l1/"))]:
        table.add_row(name, *(_figure(side.get(name)) for side in (report.first, report.last)))
    for name, value in report.health.items():
        table.add_row(name.replace("_", " "), "", f"{value:.3f}")
    console = Console()
    console.print(table)
    console.print(
        f"{report.parameters:,} parameters, {report.steps_done} steps in {report.seconds:.0f} s: {report.path}"
    )


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:.4f}"
