"""`earthfield evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from earthfield.terminal import JsonOption, RootOption, bars, root_or_default, show_json

if TYPE_CHECKING:
    from earthfield_analysis.probes import Probe
    from earthfield_train.evaluation.report import EvaluateReport

_PROTOCOLS = {
    "block": "{grid} x {grid} blocks dealt into {folds} folds, {buffer_px} px around test blocks never trained on",
    "parcels": "whole parcels held out, test at least {buffer_px} px away from training parcels",
    "random": "pixels at random",
}
_PROBES: dict[Probe, str] = {"knn": "kNN", "ridge": "ridge"}


def evaluate(
    labels: Annotated[
        Path,
        typer.Option(
            "--labels",
            help="Raster of class codes (0 and nodata: no label), or polygons (GeoJSON, GeoPackage).",
        ),
    ],
    period: Annotated[
        str, typer.Option("--period", help="Valid period of the fields: 2018, 2018-03..2018-09.")
    ],
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Name of a model [starter]; repeatable, to compare.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="Column of the polygons that holds the class.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", help="Classes to tell apart, as 11,13,60 [all that can be drawn]."),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", help="A class to leave out; repeatable.")
    ] = None,
    shots: Annotated[
        str, typer.Option("--shots", help="Labels per class; max is half of the smallest class.")
    ] = "1,10,max",
    protocol: Annotated[
        str, typer.Option("--protocol", help="block, parcels, or random (which measures interpolation).")
    ] = "block",
    draws: Annotated[int, typer.Option("--draws", help="How often to deal and draw anew.")] = 20,
    grid: Annotated[int, typer.Option("--grid", help="Blocks along each side of the place.")] = 4,
    folds: Annotated[int, typer.Option("--folds", help="Parts that the blocks are dealt into.")] = 4,
    buffer: Annotated[
        int | None, typer.Option("--buffer", help="Pixels between training and test [4; parcels: 2].")
    ] = None,
    parcels: Annotated[
        Path | None, typer.Option("--parcels", help="Raster whose connected pixels are the parcels.")
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Score composites and the like as well.")
    ] = True,
    seed: Annotated[int, typer.Option("--seed", help="Of deals, draws and random patches.")] = 0,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """How much do a few labels tell? Fields beside composites, harmonics and coordinates of the same place."""
    from earthfield.schemas import checked_request
    from earthfield_train.evaluation.jobs import EvaluateRequest, evaluate_fields

    request = checked_request(
        EvaluateRequest, root=root_or_default(root), labels=labels, label_column=label_column, period=period,
        models=tuple(model or ("starter",)), protocol=protocol, classes=_listed(classes),
        ignore=tuple(ignore or ()), shots=tuple(int(one) if one.isdecimal() else one for one in _listed(shots)),
        draws=draws, grid=grid,
        folds=folds, buffer_px=buffer, parcels=parcels, baselines=baselines, seed=seed,
    )  # fmt: skip
    with bars() as progress:
        report = evaluate_fields(request, progress=progress)
    if as_json:
        show_json(report)
    else:
        _show(report)


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(one.strip() for one in (text or "").split(",") if one.strip())


def _show(report: EvaluateReport) -> None:
    console = Console(highlight=False)
    classes = ", ".join(f"{one.name} ({one.pixels:,} px)" for one in report.classes)
    console.print(f"[bold]{', '.join(report.models)}, {report.period}[/] on {report.labels}")
    console.print(f"classes {classes}; guessing gives {100 * report.chance:.1f} %")
    console.print(
        f"{_PROTOCOLS[report.protocol].format(**report.rules)}; {report.rules['draws']} draws, "
        f"{report.splits} splits, {report.test_px:,.0f} test px each"
    )
    for one in report.shots:
        if one.fewest < one.labels:
            console.print(
                f"n = {one.shots} means {one.labels} labels a class; where a fold leaves fewer outside, fewer were "
                f"drawn: {one.mean:.1f} on average, {one.fewest} at least"
            )
    if report.partial_splits:
        console.print(
            f"in {report.partial_splits} of {report.splits} splits the test lacks a class: the others are averaged"
        )
    for name, why in report.left_out.items():
        console.print(f"class {name} is left out: {why}")
    if report.dropped_px:
        console.print(f"{report.dropped_px:,} labelled px are left out: no data, or beyond the limit")
    for warning in report.warnings:
        console.print(f"[bold red]Warning:[/] {warning}.")
    console.print()
    console.print(_table(report))
    if report.margins:
        console.print()
        console.print(_margins(report))
    console.print(f"\n[bold]Files[/] ({report.seconds:.0f} s)")
    for path in (report.report, report.picture):
        console.print(f"  {path}", soft_wrap=True, markup=False)


def _table(report: EvaluateReport) -> Table:
    """Rows are descriptions, columns labels per class and probe; the best of a column is bold."""
    table = _plain("Balanced accuracy ± s.e.m., %; * best of its column")
    table.add_column("described by")
    columns = [(one, probe) for one in report.shots for probe in _PROBES]
    for one, probe in columns:
        shown = one.shots if one.shots != "max" else f"{one.labels}"
        table.add_column(f"n={shown}\n{_PROBES[probe]}", justify="right", no_wrap=True)
    cells = {(one.features, one.shots, one.probe): one for one in report.scores}
    best = {
        (shots.shots, probe): max(cells[name, shots.shots, probe].mean for name in report.features)
        for shots, probe in columns
    }
    for name in report.features:
        row = []
        for shots, probe in columns:
            score = cells[name, shots.shots, probe]
            is_best = score.mean == best[shots.shots, probe]
            text = f"{100 * score.mean:.1f}±{100 * score.sem:.1f}{'*' if is_best else ' '}"
            row.append(Text(text, style="bold green" if is_best else ""))
        style = "bold" if report.kinds[name] == "field" else ""
        table.add_row(Text(name, style=style), *row)
    return table


def _plain(title: str) -> Table:
    return Table(
        box=None, header_style="bold", title=title, title_justify="left", title_style="bold", pad_edge=False,
        padding=(0, 1, 0, 0),
    )  # fmt: skip


def _margins(report: EvaluateReport) -> Table:
    table = _plain("Error of the field against that of the best classical description, better probe of each")
    for column in ("field", "n", "field %", "best classical", "its %", "error −", "AEF's"):
        table.add_column(column, justify="left" if column in ("field", "best classical") else "right")
    for one in report.margins:
        reached = one.paper is not None and one.error_reduction >= one.paper
        table.add_row(
            one.field, one.shots, f"{100 * one.accuracy:.1f}", f"{one.rival} ({_PROBES[one.rival_probe]})",
            f"{100 * one.rival_accuracy:.1f}",
            Text(f"{100 * one.error_reduction:.1f} %", style="bold green" if reached else ""),
            "" if one.paper is None else f"{100 * one.paper:.1f} %",
        )  # fmt: skip
    return table
