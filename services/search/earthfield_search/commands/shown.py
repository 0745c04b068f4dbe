"""What the commands of search share: options, tables, and how an answer is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from earthfield.terminal import root_or_default

if TYPE_CHECKING:
    from earthfield.catalog import Catalog

OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder for the files; ROOT/answers when absent.")
]
PeriodOption = Annotated[
    str | None,
    typer.Option("--period", help="2018, 2018-03, 2018-03..2018-09; the newest field's when absent."),
]
SHOWN = 20
"""Rows of a table on a terminal; files hold all of them."""


def catalog_at(root: str | None) -> Catalog:
    """Gives the addresses under the root that was named, or the settings'."""
    from earthfield.catalog import Catalog

    return Catalog(root_or_default(root))


def newest_period(catalog: Catalog, model: str) -> str:
    """Gives the newest period that a model has fields of."""
    from earthfield.field import fields_of

    return str(
        max((one.key.period for one in fields_of(catalog, model)), key=lambda one: (one.end, one.start))
    )


def table_of(title: str, columns: Sequence[str]) -> Table:
    """Gives an empty table; a column that ends in > holds numbers. Its title is printed by `_show`."""
    table = Table(
        title=title, header_style="bold", show_header=any(one.strip(">") for one in columns), box=None
    )
    for column in columns:
        table.add_column(
            column.rstrip(">"), justify="right" if column.endswith(">") else "left", no_wrap=True
        )
    return table


def show_answer(table: Table, files: Sequence[str], words: str | None = None) -> None:
    """Prints an answer: title, table, words, and the files that were written."""
    console = Console()
    # A title inside a table wraps at the table's own width.
    title, caption, table.title, table.caption = table.title, table.caption, None, None
    console.print(title, style="bold", highlight=False)
    console.print(table)
    for line in (caption, words):
        if line:
            console.print(f"\n{line}", highlight=False)
    if files:
        console.print("\nFiles", style="bold")
    for path in files:
        console.print(f"  {path}", soft_wrap=True, highlight=False, markup=False)


def metres_text(distance_m: float) -> str:
    """Writes a distance: metres below ten kilometres."""
    return f"{distance_m:,.0f} m" if distance_m < 10_000 else f"{distance_m / 1000:,.1f} km"


def area_text(bbox: tuple[float, float, float, float] | None, aoi: str | None) -> str | None:
    """Gives `--bbox` or `--aoi` as WKT, as questions take an area; None where neither is named.

    Raises:
        InvalidInput: both are named, or it is no area.
        NotFound: a file is not there.
    """
    from earthfield.area import area_from_bbox, area_from_text
    from earthfield.errors import InvalidInput

    if bbox is not None and aoi is not None:
        raise InvalidInput("give --bbox or --aoi, not both")
    area = area_from_bbox(bbox) if bbox is not None else area_from_text(aoi) if aoi is not None else None
    return None if area is None else str(area.geom.wkt)
