"""Command: `earthfield texts`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earthfield.terminal import (
    AoiOption,
    BboxOption,
    JsonOption,
    RootOption,
    bars,
    root_or_default,
    show_json,
)

if TYPE_CHECKING:
    from odc.geo.geom import Geometry

    from earthfield_ingest.texts.records import TextsReport


def texts(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Lists of Wikipedia articles (JSON), Darwin Core archives (zip), map features or notes (GeoJSON)."
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the table.")] = "texts",
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    overpass: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask this Overpass server for the area's features as well."),
    ] = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Gather texts that have a place, with their licences, into a GeoParquet table.

    Everything is counted; records whose licence forbids commercial use are left out.

    \b
      earthfield texts articles.json occurrences.zip --name flanders
      earthfield texts --overpass https://overpass-api.de/api/interpreter --bbox 3.0 50.8 3.1 50.9
    """
    from earthfield_ingest.texts.jobs import make_texts

    with bars() as progress:
        report = make_texts(
            root_or_default(root),
            name,
            inputs or [],
            area=_area(bbox, aoi),
            overpass=overpass,
            progress=progress,
        )
    if json:
        show_json(report)
    else:
        _show(report)


def _area(bbox: tuple[float, float, float, float] | None, aoi: str | None) -> Geometry | None:
    from earthfield.area import area_from_bbox, area_from_text
    from earthfield.errors import InvalidInput

    if bbox is not None and aoi is not None:
        raise InvalidInput("give either --bbox or --aoi, not both")
    if bbox is not None:
        return area_from_bbox(bbox)
    return area_from_text(aoi) if aoi is not None else None


def _show(report: TextsReport) -> None:
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.kinds.items()))
    licences = ", ".join(f"{count} {licence}" for licence, count in sorted(report.licences.items()))
    console.print(f"{report.kept} of {report.found} texts kept: {kinds}", markup=False)
    console.print(f"licences: {licences}", markup=False)
    for reason, count in sorted(report.dropped.items()):
        console.print(f"left out: {count} {reason}", markup=False)
    console.print(f"{report.path}, {report.seconds:.1f} s", markup=False)
