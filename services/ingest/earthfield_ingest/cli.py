"""Commands: `earthfield ingest` and `earthfield cube`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from earthfield.schemas import IngestReport, SourceReport

cube = typer.Typer(help="Look at what cubes hold.", no_args_is_help=True)

Root = Annotated[
    Path | None, typer.Option("--root", help="Folder that holds every artefact [EARTHFIELD_ROOT].")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON report on stdout instead of a table.")]


def ingest(
    catalog: Annotated[
        str, typer.Option(help="Folder, file or URL of a static STAC catalogue, or a STAC API.")
    ],
    period: Annotated[
        list[str], typer.Option(help="2018, 2018-03, 2018-03..2018-09, 2018-03-01/2018-09-15.")
    ],
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            metavar="W S E N", help="Area as a box in degrees; the whole of a static catalogue if absent."
        ),
    ] = None,
    aoi: Annotated[str | None, typer.Option(help="Area as a GeoJSON file or WKT, in degrees.")] = None,
    support: Annotated[
        str | None, typer.Option(help="Period of the inputs, where wider than --period.")
    ] = None,
    sources: Annotated[
        list[str] | None, typer.Option(help="Sources to read; repeat or separate by commas.")
    ] = None,
    root: Root = None,
    skip_unreadable: Annotated[
        bool,
        typer.Option("--skip-unreadable", help="Leave unreadable items out, counted, instead of stopping."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Bring scenes of a STAC catalogue into aligned cubes, one per 10 km tile."""
    from earthfield.schemas import INPUT_SOURCES, IngestRequest, checked_request
    from earthfield.settings import Settings
    from earthfield.terminal import bars, show_json
    from earthfield_ingest import jobs

    names = [name for text in sources or () for name in text.replace(",", " ").split()]
    request = checked_request(
        IngestRequest,
        root=root or Settings().root,
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


@cube.command()
def info(root: Root = None, json: AsJson = False) -> None:
    """List the cubes with their sources, steps and a timeline."""
    from rich.console import Console
    from rich.table import Table

    from earthfield.catalog import Catalog
    from earthfield.errors import NotFound
    from earthfield.settings import Settings
    from earthfield.terminal import show_json
    from earthfield_ingest.timeline import held

    place = Catalog(root or Settings().root)
    found = [one for tile in place.cube_tiles() for one in held(place.cube(tile))]
    if not found:
        raise NotFound(f"there is no cube under {place.root}: run `earthfield ingest` first")
    if json:
        show_json(found)
        return
    table = Table("tile", "source", "steps", "items", "first", "last", "steps a month")
    for one in found:
        table.add_row(one.tile, one.source, str(one.steps), str(one.items), one.first, one.last, one.bars)
    Console().print(table)


def _show(report: IngestReport, root: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("source", "found", "used", "read now", "steps", "clear", "left out")
    for name, one in report.sources.items():
        table.add_row(
            name,
            str(one.found),
            str(one.used),
            str(one.read),
            str(one.steps),
            f"{one.clear_share:.0%}",
            _reasons(one),
        )
    console = Console()
    console.print(table)
    for text in report.unreadable:
        console.print(f"left out: {text}", markup=False)
    console.print(f"{len(report.tiles)} tiles in {root / 'cubes'}, {report.seconds:.1f} s")


def _reasons(one: SourceReport) -> str:
    return "\n".join(f"{count} {reason}" for reason, count in one.dropped.items())
