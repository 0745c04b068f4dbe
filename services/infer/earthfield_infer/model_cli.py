"""Commands: `earthfield model list`, `show`, `export`, `import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earthfield.terminal import JsonOption, RootOption, root_or_default, show_json

if TYPE_CHECKING:
    from rich.console import Console

    from earthfield_infer.models import ModelFacts

model = typer.Typer(no_args_is_help=True, add_completion=False)

NameArgument = Annotated[str, typer.Argument(help="Name of a model, as `earthfield model list` shows it.")]


@model.callback()
def _model() -> None:
    """Models: list them, look into one, carry one to another machine."""


@model.command("list")
def list_models(root: RootOption = None, json: JsonOption = False) -> None:
    """List the models under the root and the ones that come with Earthfield.

    Example: earthfield model list
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from earthfield.catalog import Catalog
    from earthfield_infer import models

    found = models.list_models(Catalog(root_or_default(root)))
    if json:
        show_json({"models": [asdict(one) for one in found]})
        return
    table = Table("model", "parameters", "steps", "MB", "folder")
    for one in found:
        known = ["" if figure is None else f"{figure:,}" for figure in (one.parameters, one.steps)]
        where = "comes with Earthfield" if one.bundled else one.path
        table.add_row(one.name, *known, f"{one.bytes / 1e6:.1f}", where)
    Console().print(table)


@model.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="Name of a model, or of a preset: tiny, small, base, large.")],
    preset: Annotated[
        bool, typer.Option("--preset", help="Show the preset, also where a model has its name.")
    ] = False,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Show a model: card, sources, size, cost, losses and health; or a preset before anything is trained.

    FLOPs are those of a year as the paper has it (65 Sentinel-2, 17 Sentinel-1, 21 Landsat frames).

    Examples:

    earthfield model show starter

    earthfield model show large --preset
    """
    from earthfield.catalog import Catalog
    from earthfield_infer.models import facts_named

    facts = facts_named(name, Catalog(root_or_default(root)), preset=preset)
    if json:
        show_json(facts)
        return
    _show(facts)


@model.command("export")
def export(
    name: NameArgument,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder to write; it must be new or empty.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
    triton: Annotated[
        Path | None,
        typer.Option(
            "--triton", metavar="DIR", help="Write a version into this Triton model repository instead."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="With --triton: where the server computes: auto, cpu or gpu.")
    ] = "auto",
    instances: Annotated[
        int, typer.Option("--instances", min=1, help="With --triton: copies that compute side by side.")
    ] = 1,
    batch: Annotated[
        int,
        typer.Option(
            "--batch",
            min=1,
            help="With --triton: windows that may share a pass; 1 keeps every vector the same.",
        ),
    ] = 1,
    precision: Annotated[
        str, typer.Option("--precision", help="With --triton: in what the server computes: float32 or bf16.")
    ] = "float32",
    load: Annotated[
        str | None,
        typer.Option(
            "--load", metavar="ADDRESS", help="With --triton: have the server at grpc://host:port load it."
        ),
    ] = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Copy a model into a folder with checksums, or write it as a version that NVIDIA Triton serves.

    The checkpoint that training goes on from is left out. `sha256sum -c SHA256SUMS` checks the copy anywhere.

    Examples:

    earthfield model export starter /media/stick/starter

    earthfield model export starter --triton triton-models --load grpc://127.0.0.1:8001
    """
    from earthfield.errors import InvalidInput

    if (folder is None) == (triton is None):
        raise InvalidInput("name one folder to write: DIR for a copy, or --triton DIR for a model repository")
    if triton is not None:
        _export_triton(name, triton, (device, instances, batch, precision), load=load, root=root, json=json)
        return
    if load is not None:
        raise InvalidInput("--load goes with --triton: a server loads from a model repository")
    assert folder is not None
    from earthfield.catalog import Catalog
    from earthfield_infer.transfer import export_model

    report = export_model(name, Catalog(root_or_default(root)), folder, overwrite=overwrite)
    if json:
        show_json(report)
        return
    _told(f"exported {report.model} to {report.path}: {len(report.files)} files, {report.bytes / 1e6:.1f} MB")


def _export_triton(
    name: str,
    repository: Path,
    how: tuple[str, int, int, str],
    *,
    load: str | None,
    root: str | None,
    json: bool,
) -> None:
    from earthfield.catalog import Catalog
    from earthfield_infer.loading import load_version
    from earthfield_infer.repository import ServingOptions, export_repository

    options = ServingOptions(*how)  # type: ignore[arg-type]
    report = export_repository(name, Catalog(root_or_default(root)), repository, options=options)
    if load is not None:
        for address in load.split(","):
            load_version(report.model, address, fingerprint=report.fingerprint)
    if json:
        show_json(report)
        return
    what = "wrote" if report.written else "there already is"
    _told(f"{what} version {report.version} of {report.model}: {report.path}")
    if load is not None:
        _told(f"{load} has loaded it")


@model.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `model export` wrote.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model of this name, its checkpoint too.")
    ] = False,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Take an exported model over under its own name, after its checksums and weights were checked.

    Example: earthfield model import /media/stick/starter
    """
    from earthfield.catalog import Catalog
    from earthfield_infer.transfer import import_model

    report = import_model(folder, Catalog(root_or_default(root)), overwrite=overwrite)
    if json:
        show_json(report)
        return
    _told(f"imported {report.model} to {report.path}: {len(report.files)} files, {report.bytes / 1e6:.1f} MB")


def _show(facts: ModelFacts) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    if facts.card:
        console.print(Markdown(facts.card))
        console.print()
    _show_cost(facts, console)
    _show_sources(facts, console)
    _show_metrics(facts, console)
    console.print(f"text network: {'yes' if facts.text else 'no'}")
    if facts.fingerprint is not None:
        console.print(
            f"fingerprint: {facts.fingerprint}\nfolder: {facts.path}", soft_wrap=True, highlight=False
        )


def _show_cost(facts: ModelFacts, console: Console) -> None:
    from rich.table import Table

    cost = facts.cost
    title = f"{facts.name}: {cost.parameters:,} parameters, {cost.weights_mb:,.1f} MB of weights in float32"
    table = Table("part", "parameters", "GFLOP per 128 px", title=title)
    for part, count in cost.parameters_by_part.items():
        flops = cost.gflops_by_part.get(part)
        table.add_row(part, f"{count:,}", "" if flops is None else f"{flops:,.1f}")
    table.add_row("all", f"{cost.parameters:,}", f"{cost.gflops:,.1f}", style="bold")
    console.print(table)
    frames = " + ".join(f"{count} {name}" for name, count in cost.frames.items())
    console.print(f"{cost.gflops_per_km2:,.1f} GFLOP per km2 for a year of {frames} frames", soft_wrap=True)


def _show_sources(facts: ModelFacts, console: Console) -> None:
    from rich.table import Table

    table = Table("source", "band", "scale", "offset", "transform", "mean", "std", title="Sources")
    trained = facts.fingerprint is not None
    for source in facts.config["sources"]:
        for place, band in enumerate(source["bands"]):
            figures = [f"{band['mean']:.4f}", f"{band['std']:.4f}"] if trained else ["", ""]
            name = source["name"] if place == 0 else ""
            declared = [band["name"], f"{band['scale']:g}", f"{band['offset']:g}", band["transform"]]
            table.add_row(name, *declared, *figures)
    console.print(table)


def _show_metrics(facts: ModelFacts, console: Console) -> None:
    from rich.table import Table

    first, last = (facts.metrics.get(side) or {} for side in ("first", "last"))
    if last:
        table = Table("figure", "first steps", "last steps", title="Training")
        for name, value in last.items():
            table.add_row(name, f"{first[name]:.4f}" if name in first else "", f"{value:.4f}")
        console.print(table)
    if health := facts.metrics.get("health"):
        told = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in health.items())
        console.print(f"health: {told}", soft_wrap=True)


def _told(sentence: str) -> None:
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(sentence)
