"""`earthfield labels`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from earthfield.terminal import JsonOption, RootOption, show_json
from earthfield_search.commands.shown import SHOWN, catalog_at, table_of

if TYPE_CHECKING:
    from earthfield_search.labels import LabelSet

labels = typer.Typer(
    no_args_is_help=True, help="Labels: points and polygons with a class or a number, kept under a name."
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the labels.")]
ColumnOption = Annotated[
    str | None,
    typer.Option(
        "--column", help="Column of the class or number; where absent label, class, value, or the only one."
    ),
]
LonOption = Annotated[str, typer.Option("--lon", help="Column of longitude (x) in a table.")]
LatOption = Annotated[str, typer.Option("--lat", help="Column of latitude (y) in a table.")]
CrsOption = Annotated[
    str | None,
    typer.Option("--crs", help="Coordinate system of a table, or of a file that tells none, as EPSG:32631."),
]
PeriodColumnOption = Annotated[
    str | None,
    typer.Option("--period-column", help="Column that tells when a label holds: 2018, 2018-06-15."),
]
StartColumnOption = Annotated[
    str | None, typer.Option("--start-column", help="Column of the first day that a label holds.")
]
EndColumnOption = Annotated[
    str | None, typer.Option("--end-column", help="Column of the last day that a label holds.")
]
SkipOption = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used; they are counted and named.")
]


@labels.command(
    epilog="Example: earthfield labels add crops fields.geojson --column crop --period-column year"
)
def add(
    name: NameArgument,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="GeoJSON, CSV, GeoParquet, GeoPackage, Shapefile, FlatGeobuf."),
    ],
    column: ColumnOption = None,
    lon: LonOption = "lon",
    lat: LatOption = "lat",
    crs: CrsOption = None,
    period_column: PeriodColumnOption = None,
    start_column: StartColumnOption = None,
    end_column: EndColumnOption = None,
    skip_bad: SkipOption = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of labels of this name.")
    ] = False,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the labels of a file under a name."""
    from earthfield.errors import Conflict
    from earthfield_search.labels import LabelColumns, read_labels, save_labels

    catalog = catalog_at(root)
    if catalog.labels(name).exists() and not replace:
        raise Conflict(f"labels {name!r} are there already: add --replace, or take another name")
    columns = LabelColumns(column, lon, lat, crs, period_column, start_column, end_column, skip_bad)
    held = read_labels(file, columns)
    found = save_labels(catalog, name, held)
    if as_json:
        show_json({**_plain(found), "skipped": list(held.skipped)})
    else:
        _show(found)
        for line in held.skipped[:SHOWN]:
            Console(stderr=True).print(f"left out: {line}", style="yellow", highlight=False, markup=False)


@labels.command("list", epilog="Example: earthfield labels list --json")
def list_(root: RootOption = None, as_json: JsonOption = False) -> None:
    """List the labels that are kept."""
    from earthfield_search.labels import list_labels

    found = list_labels(catalog_at(root))
    if as_json:
        show_json({"labels": [_plain(one) for one in found]})
        return
    table = table_of("Labels", ["name", "labels>", "points>", "dated>", "holds", "column"])
    for one in found:
        holds = f"{len(one.classes)} classes" if one.classes else _range(one)
        table.add_row(one.name, f"{one.labels:,}", f"{one.points:,}", f"{one.dated:,}", holds, one.column)
    _print(table)


@labels.command(epilog="Example: earthfield labels show crops")
def show(name: NameArgument, root: RootOption = None, as_json: JsonOption = False) -> None:
    """Tell what some labels hold."""
    from earthfield_search.labels import load_labels
    from earthfield_search.labels.kept import described

    found = described(name, load_labels(catalog_at(root), name))
    if as_json:
        show_json(_plain(found))
    else:
        _show(found)


@labels.command(epilog="Example: earthfield labels remove crops")
def remove(name: NameArgument, root: RootOption = None, as_json: JsonOption = False) -> None:
    """Remove labels that are kept."""
    from earthfield_search.labels import remove_labels

    remove_labels(catalog_at(root), name)
    if as_json:
        show_json({"removed": name})
    else:
        Console().print(f"removed the labels {name}", highlight=False)


def _plain(found: LabelSet) -> dict[str, object]:
    import dataclasses

    return dataclasses.asdict(found)


def _show(found: LabelSet) -> None:
    west, south, east, north = found.bounds
    kinds = f"{found.points:,} points, {found.labels - found.points:,} polygons, {found.dated:,} with dates"
    where = f"W S E N {west:.4f} {south:.4f} {east:.4f} {north:.4f}"
    table = table_of(f"Labels {found.name}: {kinds}, {where}", [f"{found.column or 'class'}", "labels>"])
    for name, count in list(found.classes.items())[:SHOWN]:
        table.add_row(name, f"{count:,}")
    if len(found.classes) > SHOWN:
        table.add_row(f"and {len(found.classes) - SHOWN} more", "")
    if not found.classes:
        table.add_row(_range(found), f"{found.labels:,}")
    _print(table)


def _range(found: LabelSet) -> str:
    if found.smallest is None or found.largest is None:
        return "more than 255 classes"
    return f"numbers {found.smallest:g} .. {found.largest:g}"


def _print(table: Table) -> None:
    console = Console()
    title, table.title = table.title, None
    console.print(title, style="bold", highlight=False)
    console.print(table)
