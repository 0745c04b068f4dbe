"""Commands: `earthfield ingest` and `earthfield cube`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earthfield.terminal import (
    AoiOption,
    BboxOption,
    JsonOption,
    PeriodsOption,
    RootOption,
    bars,
    root_or_default,
    show_json,
)

if TYPE_CHECKING:
    from earthfield.schemas import IngestReport, SourceReport

cube = typer.Typer(no_args_is_help=True)


def ingest(
    catalog: Annotated[
        str, typer.Option(help="Folder, file or URL of a static STAC catalogue, or a STAC API.")
    ],
    period: PeriodsOption,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    support: Annotated[str | None, typer.Option(help="Period of the inputs, if wider than --period.")] = None,
    sources: Annotated[
        list[str] | None, typer.Option(help="Sources to read; repeatable, or by commas.")
    ] = None,
    root: RootOption = None,
    skip_unreadable: Annotated[
        bool,
        typer.Option("--skip-unreadable", help="Leave unreadable items out, counted, instead of stopping."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Bring scenes of a STAC catalogue into aligned cubes, one per 10 km tile."""
    from earthfield.schemas import INPUT_SOURCES, IngestRequest, checked_request
    from earthfield_ingest import jobs

    names = [name for text in sources or () for name in text.replace(",", " ").split()]
    request = checked_request(
        IngestRequest,
        root=root_or_default(root),
        catalog=catalog,
        periods=tuple(period),
        bbox=bbox,
        aoi=aoi,
        support=support,
        sources=tuple(names) or INPUT_SOURCES,
        skip_unreadable=skip_unreadable,
    )
    with bars() as progress:
        report = jobs.ingest(request, progress=progress)
    if json:
        show_json(report)
    else:
        _show(report, request.root)
    report.check_complete()


@cube.callback()
def _cube() -> None:
    """Look at what cubes hold."""


@cube.command()
def info(root: RootOption = None, json: JsonOption = False) -> None:
    """List the cubes with their sources, steps and a timeline."""
    from rich.console import Console
    from rich.table import Table

    from earthfield.catalog import Catalog
    from earthfield.errors import NotFound
    from earthfield_ingest.timeline import held

    place = Catalog(root_or_default(root))
    found = [one for tile in place.cube_tiles() for one in held(place.cube(tile))]
    if not found:
        raise NotFound(f"there is no cube under {place.root}: run `earthfield ingest` first")
    if json:
        show_json({"cubes": [asdict(one) for one in found]})
        return
    for tile, rows in groupby(found, key=lambda one: one.tile):
        table = Table(
            "source", "steps", "items", "first", "last", "steps a month", title=tile, title_justify="left"
        )
        for one in rows:
            table.add_row(one.source, str(one.steps), str(one.items), one.first, one.last, one.bars)
        Console().print(table)


def _show(report: IngestReport, root: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("source", "found", "used", "read now", "steps", "clear", "left out")
    for name, one in report.sources.items():
        counts = (str(count) for count in (one.found, one.used, one.read, one.steps))
        table.add_row(name, *counts, f"{one.clear_share:.0%}", _reasons(one))
    console = Console()
    console.print(table)
    for text in report.unreadable:
        console.print(f"left out: {text}", markup=False)
    console.print(
        f"{len(report.tiles)} tile{'s' * (len(report.tiles) != 1)} in {root / 'cubes'}, {report.seconds:.1f} s"
    )


def _reasons(one: SourceReport) -> str:
    return "\n".join(f"{count} {reason}" for reason, count in one.dropped.items())
