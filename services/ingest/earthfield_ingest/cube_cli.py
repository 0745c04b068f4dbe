"""Commands: `earthfield cube info`, `earthfield cube preview`, `earthfield cube tidy`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earthfield.terminal import JsonOption, RootOption, bars, cube_root_or_default, show_json

if TYPE_CHECKING:
    from earthfield.catalog import Catalog
    from earthfield.grid import Tile
    from earthfield.timeline import Period
    from earthfield_ingest.preview import Preview

cube = typer.Typer(no_args_is_help=True)

TileOption = Annotated[
    str | None, typer.Option("--tile", metavar="ID", help="One tile, such as 32631_0048_0549; else all.")
]


@cube.callback()
def _cube() -> None:
    """Look at what cubes hold, and tidy them up."""


@cube.command()
def info(tile: TileOption = None, root: RootOption = None, json: JsonOption = False) -> None:
    """List the cubes with their sources, steps and a timeline of months; with --tile also how clear they are.

    Examples:

    earthfield cube info

    earthfield cube info --tile 32631_0048_0549
    """
    from rich.console import Console
    from rich.table import Table

    from earthfield_ingest.timeline import held

    place = _catalog(root)
    tiles = _tiles(place, tile)
    found = [one for each in tiles for one in held(place.cube(each), with_clear=tile is not None)]
    if json:
        show_json({"cubes": [asdict(one) for one in found]})
        return
    for name, rows in groupby(found, key=lambda one: one.tile):
        clear = ("clear",) if tile is not None else ()
        table = Table(
            "source",
            "steps",
            "items",
            "first",
            "last",
            *clear,
            "steps a month",
            title=name,
            title_justify="left",
        )
        for one in rows:
            share = (f"{one.clear_share or 0.0:.0%}",) if clear else ()
            table.add_row(one.source, str(one.steps), str(one.items), one.first, one.last, *share, one.bars)
        Console().print(table)


@cube.command()
def preview(
    tile: TileOption = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", help="Sources to show (all that are there); repeatable.")
    ] = None,
    period: Annotated[
        str | None, typer.Option(help="2018, 2018-03, 2018-03..2018-09 or 2018-03-01/2018-09-15 (all).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File of the picture [answers/preview-<tile>.png under the root].")
    ] = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Draw every 5-day step of a tile, its gaps too: in the terminal as a line, and as a picture of quick-looks.

    Examples:

    earthfield cube preview

    earthfield cube preview --tile 32631_0048_0549 --source sentinel-2-l2a --period 2018-04..2018-09
    --out spring.png
    """
    from earthfield.errors import InvalidInput
    from earthfield.timeline import Period

    place = _catalog(root)
    tiles = _tiles(place, tile)
    if out is not None and len(tiles) > 1:
        raise InvalidInput(
            f"--out names one file, but there are {len(tiles)} tiles ({_listed(tiles)}): add --tile"
        )
    if out is not None and out.suffix.lower() != ".png":
        raise InvalidInput(f"--out {out} must end in .png: that is what is written")
    span = Period.parse(period) if period else None
    made = []
    with bars() as progress:
        for done, one in enumerate(tiles):
            made.append(_preview(place, one, tuple(source or ()), span, out))
            progress("preview", done + 1, len(tiles))
    if json:
        show_json({"previews": [one.as_json() for one in made]})
        return
    _show(made)


@cube.command()
def tidy(
    tile: TileOption = None,
    older_than: Annotated[
        float, typer.Option(metavar="DAYS", help="Age that leftovers must have; more than any ingest takes.")
    ] = 1.0,
    forget_history: Annotated[
        bool, typer.Option("--forget-history", help="Drop earlier commits too; what cubes show stays.")
    ] = False,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Remove what killed ingests left behind in cubes; what they show does not change.

    Examples:

    earthfield cube tidy

    earthfield cube tidy --older-than 30 --forget-history
    """
    from datetime import timedelta

    from rich.console import Console

    from earthfield_ingest import repository
    from earthfield_ingest.tables import size_text

    place, age = _catalog(root), timedelta(days=older_than)
    found = [
        repository.tidy(place.cube(one), older_than=age, keep_history=not forget_history)
        for one in _tiles(place, tile)
    ]
    if json:
        show_json({"cubes": [asdict(one) for one in found]})
        return
    for one in found:
        told = f"{one.objects} files, {size_text(one.bytes)}, {one.commits} commits removed"
        Console().print(f"{one.tile}: {told}", soft_wrap=True)


def _catalog(root: str | None) -> Catalog:
    from earthfield.catalog import Catalog

    return Catalog(cube_root_or_default(root))


def _tiles(place: Catalog, name: str | None) -> list[Tile]:
    """Gives the tile that was named, or all that have a cube.

    Raises:
        NotFound: there is none.
    """
    from earthfield.errors import NotFound
    from earthfield.grid import Tile

    have = place.cube_tiles()
    if not have:
        raise NotFound(f"there is no cube under {place.root}: run `earthfield ingest` first")
    if name is None:
        return have
    wanted = Tile.parse(name)
    if wanted not in have:
        raise NotFound(f"there is no cube of tile {name} under {place.root}; there are: {_listed(have)}")
    return [wanted]


def _listed(tiles: Sequence[Tile]) -> str:
    more = f" and {len(tiles) - 5} more" if len(tiles) > 5 else ""
    return ", ".join(tile.id for tile in tiles[:5]) + more


def _preview(
    place: Catalog, tile: Tile, sources: tuple[str, ...], period: Period | None, out: Path | None
) -> Preview:
    from earthfield.cube import Cube
    from earthfield.places import Bucket
    from earthfield_ingest.preview import make_preview

    if out is None and isinstance(place.root, Bucket):
        from earthfield.errors import InvalidInput

        raise InvalidInput(
            f"the root {place.root} is a bucket and takes no picture: say where with --out and --tile"
        )
    path = out or place.answer(f"preview-{tile.id}.png")
    return make_preview(path, Cube(place.cube(tile)), sources=sources, period=period)


def _show(made: Sequence[Preview]) -> None:
    from rich.console import Console
    from rich.text import Text

    from earthfield_ingest.timeline import drawn

    console = Console()
    for one in made:
        console.print(f"[bold]{one.tile}[/]")
        console.print(Text("\n".join(drawn(one.tracks, one.steps, width=console.width))))
        console.print(f"picture: {one.path}", markup=False, soft_wrap=True)
