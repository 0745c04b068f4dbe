"""Command: `earthfield ingest`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from earthfield.terminal import (
    AoiOption,
    BboxOption,
    JsonOption,
    PeriodsOption,
    RootOption,
    bars,
    cube_root_or_default,
    show_json,
)

if TYPE_CHECKING:
    from earthfield.schemas import IngestReport, IngestRequest
    from earthfield_ingest.estimate import Estimate


def ingest(
    catalog: Annotated[
        str,
        typer.Option(
            help="Folder, file or URL of a static STAC catalogue, a stac-geoparquet file, the URL of a STAC API, "
            "or the name of a provider: planetary-computer, earth-search, cdse."
        ),
    ],
    period: PeriodsOption,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    support: Annotated[str | None, typer.Option(help="Period of the inputs, if wider than --period.")] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(help="Sources to read (`earthfield sources`); repeatable, or by commas."),
    ] = None,
    root: RootOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Tell items, pixels, bytes, disk and time, and fetch nothing."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Go on where the area is so large that it would be asked.")
    ] = False,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|local|none",
            help="Dask scheduler that spreads the tiles: its address, `local` for one of our own, `none` for this "
            "process alone (`local` where several tiles have much to read and there are more than two cores).",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER|HOST",
            help="Where items may lead to beyond the catalogue's own folder and host; repeatable.",
        ),
    ] = None,
    coregister: Annotated[
        bool,
        typer.Option(
            "--coregister", help="Shift each acquisition onto the tile's reference, by up to 3 pixels."
        ),
    ] = False,
    skip_unreadable: Annotated[
        bool,
        typer.Option(
            "--skip-unreadable",
            help="Make a 5-day step without its unreadable items instead of leaving it for a later run.",
        ),
    ] = False,
    tiles: Annotated[bool, typer.Option("--tiles", help="Show a table for every tile too.")] = False,
    json: JsonOption = False,
) -> None:
    """Bring scenes of a STAC catalogue into aligned cubes, one per 10 km tile.

    Without --bbox or --aoi it takes all that a static catalogue covers. What a cube holds already is not read
    again, so the same command goes on after a stop and brings in what is new.

    Examples:

    earthfield ingest --catalog landscape --period 2023

    earthfield ingest --catalog earth-search --period 2018-03..2018-09 --aoi fields.gpkg:parcels --dry-run

    earthfield ingest --catalog planetary-computer --period 2023 --aoi osm:relation/54413
    --sources sentinel-2-l2a,sentinel-1-rtc --dask tcp://10.0.0.5:8786

    earthfield ingest --catalog scenes.parquet --allow /archive --allow data.example.org --period 2020 --yes
    """
    from earthfield.schemas import INPUT_SOURCES, IngestRequest, checked_request
    from earthfield_ingest import jobs
    from earthfield_ingest.estimate import estimate

    names = [name for text in sources or () for name in text.replace(",", " ").split()]
    request = checked_request(
        IngestRequest,
        root=cube_root_or_default(root),
        catalog=catalog,
        periods=tuple(period),
        bbox=bbox,
        aoi=aoi,
        support=support,
        sources=tuple(names) or INPUT_SOURCES,
        skip_unreadable=skip_unreadable,
        allow=tuple(allow or ()),
        dask=dask,
        coregister=coregister,
    )
    with bars() as progress:
        plan = jobs.plan(request, progress=progress)
        expected = estimate(plan)
    if dry_run:
        _show_estimate(expected, json=json, with_tiles=tiles)
        return
    _agree(expected, willing=yes or dask not in (None, "none"))
    with bars() as progress:
        report = jobs.ingest(request, made=plan, progress=progress)
    if json:
        show_json(report)
    else:
        _show(report, request, with_tiles=tiles)
    report.check_complete()


def _agree(expected: Estimate, *, willing: bool) -> None:
    """Asks before much is fetched; where nobody can answer, the command says how to go on.

    Raises:
        InvalidInput: the area is large and nobody agreed.
    """
    from earthfield.errors import InvalidInput

    reason = expected.too_large
    if not reason or willing:
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        typer.confirm(f"{reason}: go on?", abort=True, err=True)
        return
    raise InvalidInput(
        f"the area is large: {reason}: add --yes to go on, name a scheduler with --dask, or look with --dry-run"
    )


def _show_estimate(expected: Estimate, *, json: bool, with_tiles: bool) -> None:
    from earthfield_ingest.estimate import MAX_TILES

    if json:
        show_json({**asdict(expected), "total": asdict(expected.total), "too_large": expected.too_large})
        return
    from rich.console import Console

    from earthfield_ingest.tables import estimate_tables

    console, num = Console(), len(expected.tiles)
    console.print(estimate_tables(expected, with_tiles=with_tiles or 1 < num <= MAX_TILES))
    for text in expected.broken:
        console.print(f"left out: {text}", markup=False)
    console.print(f"{num} tile{'s' * (num != 1)}; nothing was fetched", soft_wrap=True)
    if expected.too_large:
        console.print(f"without --yes or --dask this would be asked: {expected.too_large}", soft_wrap=True)


def _show(report: IngestReport, request: IngestRequest, *, with_tiles: bool) -> None:
    from rich.console import Console

    from earthfield_ingest.tables import report_tables, time_text

    console = Console()
    console.print(report_tables(report, request.span, width=console.width, with_tiles=with_tiles))
    for text in (*report.broken, *report.unreadable, *report.unanswered):
        console.print(f"left out: {text}", markup=False, soft_wrap=True)
    num, place = len(report.tiles), request.root / "cubes"
    console.print(
        f"{num} tile{'s' * (num != 1)} in {place}, {time_text(report.seconds)}", markup=False, soft_wrap=True
    )
