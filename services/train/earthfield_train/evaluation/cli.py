"""`earthfield evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from earthfield.terminal import JsonOption, ModelOption, RootOption, bars, root_or_default, show_json

if TYPE_CHECKING:
    from earthfield_train.evaluation.report import EvaluateReport, SplitReport

_TITLES = {
    "parcels": "Balanced accuracy ± s.e.m., whole parcels held out",
    "blocks": "Balanced accuracy ± s.e.m., blocks held out (a parcel may lie on both sides)",
}


def evaluate(
    labels: Annotated[Path, typer.Option("--labels", help="Raster of class codes; 0 and nodata: no label.")],
    period: Annotated[
        str, typer.Option("--period", help="Valid period of the field: 2018, 2018-03..2018-09.")
    ],
    model: ModelOption = "starter",
    shots: Annotated[int, typer.Option("--shots", help="Labels per class to learn from.")] = 10,
    draws: Annotated[int, typer.Option("--draws", help="How often to draw them.")] = 20,
    ignore: Annotated[
        list[int] | None, typer.Option("--ignore", help="A class code to leave out; repeatable.")
    ] = None,
    parcels: Annotated[
        Path | None, typer.Option("--parcels", help="Raster whose connected pixels are the parcels.")
    ] = None,
    block: Annotated[int, typer.Option("--block", help="Side of a block in pixels.")] = 8,
    buffer: Annotated[int, typer.Option("--buffer", help="Pixels between training groups and test.")] = 2,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws.")] = 0,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """How much do a few labels tell? The field beside composites of its own input, and coordinates alone."""
    from earthfield.schemas import checked_request
    from earthfield_train.evaluation.jobs import EvaluateRequest, evaluate_fields

    request = checked_request(
        EvaluateRequest, root=root_or_default(root), labels=labels, period=period, model=model, shots=shots,
        draws=draws, ignore=tuple(ignore or ()), parcels=parcels, block_px=block, buffer_px=buffer, seed=seed,
    )  # fmt: skip
    with bars() as progress:
        report = evaluate_fields(request, progress=progress)
    if as_json:
        show_json(report)
    else:
        _show(report)


def _show(report: EvaluateReport) -> None:
    console = Console()
    pixels = ", ".join(f"{code}: {count:,}" for code, count in report.pixels.items())
    console.print(
        f"[bold]{report.model}, {report.period}[/] on {report.labels}\n{report.shots} labels per class, "
        f"{report.draws} draws; pixels by class {pixels}; {report.dropped_px} labelled pixels left out",
        highlight=False,
    )
    for split in report.splits:
        classes = ", ".join(str(code) for code in split.classes)
        console.print(f"\n[bold]{_TITLES[split.split]}[/]", highlight=False)
        console.print(
            f"classes {classes}; {split.test_px:,.0f} test pixels a draw; guessing gives {split.chance:.3f}",
            highlight=False,
        )
        console.print(_table(report, split))
        for code, why in split.left_out.items():
            console.print(f"class {code} is left out: {why}", highlight=False)
    for split_name, why in report.impossible.items():
        console.print(f"\nno scores for {split_name}: {why}", highlight=False)
    console.print("\nFiles", style="bold")
    for path in (report.report, report.picture):
        console.print(f"  {path}", soft_wrap=True, highlight=False, markup=False)


def _table(report: EvaluateReport, split: SplitReport) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("described by")
    for column in ("numbers", "kNN (k = 3)", "linear"):
        table.add_column(column, justify="right")
    for name, probes in split.scores.items():
        shown = (f"{probes[probe]['mean']:.3f} ± {probes[probe]['sem']:.3f}" for probe in ("knn", "linear"))
        table.add_row(name, str(report.features[name]), *shown)
    return table
