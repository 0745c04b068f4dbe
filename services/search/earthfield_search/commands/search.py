"""`earthfield search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earthfield.terminal import JsonOption, ModelOption, RootOption, bars, show_json
from earthfield_search.commands.pairs import PairsCommand, pairs_of
from earthfield_search.commands.shown import OutOption, area_text, catalog_at, show_answer

if TYPE_CHECKING:
    from earthfield.catalog import Catalog
    from earthfield_search.jobs.similar import SimilarQuestion

_LIKE, _WHERE, _HOW, _KEPT = "What to look for", "Where to look", "How many, and how", "Saved searches"

AtOption = Annotated[
    list[str] | None,
    typer.Option(
        "--at", metavar="LON LAT", help="A place that looks like it; repeatable.", rich_help_panel=_LIKE
    ),
]
PolygonOption = Annotated[
    str | None,
    typer.Option(
        "--polygon", help="An area that looks like it: a file, WKT or GeoJSON.", rich_help_panel=_LIKE
    ),
]
VectorOption = Annotated[
    Path | None, typer.Option("--vector", help="A JSON file: the numbers of a vector.", rich_help_panel=_LIKE)
]
TextOption = Annotated[
    str | None,
    typer.Option("--text", help="Words, for models that were trained with texts.", rich_help_panel=_LIKE),
]
LikeLabelOption = Annotated[
    str | None,
    typer.Option("--label", metavar="SET:CLASS", help="What is labelled so.", rich_help_panel=_LIKE),
]
NotAtOption = Annotated[
    list[str] | None,
    typer.Option("--not-at", metavar="LON LAT", help="A place unlike it; repeatable.", rich_help_panel=_LIKE),
]
PeriodOption = Annotated[
    str | None,
    typer.Option(
        "--period",
        help="When it looks like it; the newest field's period when absent.",
        rich_help_panel=_LIKE,
    ),
]
BboxOption = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option("--bbox", metavar="W S E N", help="Only in this box, in degrees.", rich_help_panel=_WHERE),
]
AoiOption = Annotated[
    str | None,
    typer.Option(
        "--aoi", help="Only in this area: a file, WKT, GeoJSON or osm:relation/54413.", rich_help_panel=_WHERE
    ),
]
InOption = Annotated[
    list[str] | None,
    typer.Option(
        "--in", metavar="PERIOD", help="Period to look in, if not the examples' own; repeatable.",
        rich_help_panel=_WHERE,
    ),
]  # fmt: skip
TileOption = Annotated[
    list[str] | None,
    typer.Option("--tile", metavar="TILE", help="Only in this tile; repeatable.", rich_help_panel=_WHERE),
]
PurityOption = Annotated[
    float,
    typer.Option("--purity", help="Least agreement of a cell's pixels, 0..1.", rich_help_panel=_WHERE),
]
WithinLabelOption = Annotated[
    str | None,
    typer.Option(
        "--labelled", metavar="SET:CLASS", help="Only where this was labelled.", rich_help_panel=_WHERE
    ),
]


search = typer.Typer(add_completion=False, rich_markup_mode="rich")


@search.command(cls=PairsCommand)
def _search(
    at: AtOption = None,
    polygon: PolygonOption = None,
    vector: VectorOption = None,
    text: TextOption = None,
    label: LikeLabelOption = None,
    not_at: NotAtOption = None,
    model: ModelOption = "starter",
    period: PeriodOption = None,
    in_periods: InOption = None,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    tile: TileOption = None,
    purity: PurityOption = 0.0,
    labelled: WithinLabelOption = None,
    k: Annotated[
        int | None,
        typer.Option("-k", help="How many places [20; all of them with --above].", rich_help_panel=_HOW),
    ] = None,
    above: Annotated[
        float | None,
        typer.Option("--above", metavar="COSINE", help="Everything above.", rich_help_panel=_HOW),
    ] = None,
    apart: Annotated[
        float,
        typer.Option(
            "--apart",
            metavar="METRES",
            help="Smallest distance between answers, and to examples.",
            rich_help_panel=_HOW,
        ),
    ] = 0.0,
    diverse: Annotated[
        float,
        typer.Option(
            "--diverse", help="0: the most alike; to 0.99: unlike one another.", rich_help_panel=_HOW
        ),
    ] = 0.0,
    limit: Annotated[
        int | None, typer.Option("--limit", help="Most places of a page.", rich_help_panel=_HOW)
    ] = None,
    offset: Annotated[
        int, typer.Option("--offset", help="Leave out that many of the best.", rich_help_panel=_HOW)
    ] = 0,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Tell the quality of each, and its scenes.", rich_help_panel=_HOW),
    ] = False,
    save: Annotated[
        str | None, typer.Option("--save", metavar="NAME", help="Keep this search.", rich_help_panel=_KEPT)
    ] = None,
    again: Annotated[
        str | None,
        typer.Option("--again", metavar="NAME", help="Ask it again: what is new?", rich_help_panel=_KEPT),
    ] = None,
    saved: Annotated[bool, typer.Option("--saved", help="List what is kept.", rich_help_panel=_KEPT)] = False,
    forget: Annotated[
        str | None, typer.Option("--forget", metavar="NAME", help="Remove one.", rich_help_panel=_KEPT)
    ] = None,
    maps: Annotated[
        bool, typer.Option("--map/--no-map", help="Compare every pixel too: a GeoTIFF and a PNG.")
    ] = True,
    geoparquet: Annotated[
        bool, typer.Option("--geoparquet", help="Write the places as GeoParquet too.")
    ] = False,
    out: OutOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Where does it look like this? A table, a GeoJSON of the places, and a map of every pixel's likeness.

    earthfield search --at 3.05 50.84

    earthfield search --at 3.05 50.84 --at 3.06 50.85 --not-at 3.07 50.84 -k 50 --apart 200

    earthfield search --polygon field.geojson --period 2018 --in 2020 --bbox 3.0 50.8 3.2 50.9

    earthfield search --text "rice paddies" --above 0.2 --save rice

    earthfield search --again rice
    """
    from earthfield_search.jobs.similar import Like, SimilarQuestion, Within

    catalog = catalog_at(root)
    if saved or forget is not None or again is not None:
        _kept(catalog, forget, again, as_json=as_json)
        return
    like = Like(
        at=pairs_of("--at", at), polygon=area_text(None, polygon), vector=_numbers(vector), text=text, label=label,
        not_at=pairs_of("--not-at", not_at),
    )  # fmt: skip
    within = Within(tuple(in_periods or ()), area_text(bbox, aoi), tuple(tile or ()), purity, labelled)
    question = SimilarQuestion(model, like, period, within, k, above, apart, diverse, explain, offset, limit)
    _ask(catalog, question, out=out, maps=maps, geoparquet=geoparquet, save=save, as_json=as_json)


def _ask(
    catalog: Catalog, question: SimilarQuestion, *, out: Path | None, maps: bool, geoparquet: bool,
    save: str | None, as_json: bool,
) -> None:  # fmt: skip
    from earthfield_search.asking.saved import save_search
    from earthfield_search.commands.found import table_of_answer, words_of
    from earthfield_search.jobs.similar import find_similar, write_similar

    answer = find_similar(catalog, question)
    files = [] if save is None else [str(save_search(catalog, save, answer))]
    with bars() as progress:
        written = write_similar(
            catalog, answer, folder=out, maps=maps, geoparquet=geoparquet, progress=progress
        )
    files += [str(path) for path in written]
    if as_json:
        show_json({**answer.content(), "seconds": answer.seconds, "files": files})
    else:
        show_answer(table_of_answer(answer), files, words_of(answer))


def _kept(catalog: Catalog, forget: str | None, again: str | None, *, as_json: bool) -> None:
    """What is done with saved searches; the list of them is shown where nothing is asked again."""
    from earthfield_search.asking.saved import forget_search, load_search, search_again, search_names
    from earthfield_search.commands.found import show_again, show_saved

    if forget is not None:
        forget_search(catalog, forget)
    if again is not None:
        show_again(again, search_again(catalog, again), as_json=as_json)
    else:
        show_saved([load_search(catalog, name) for name in search_names(catalog)], as_json=as_json)


def _numbers(path: Path | None) -> tuple[float, ...]:
    """Reads a vector: a JSON list of numbers, or an object that has one as `vector` or `embedding`."""
    import json

    from earthfield.errors import InvalidInput, NotFound

    if path is None:
        return ()
    if not path.is_file():
        raise NotFound(f"there is no file {path}: check --vector")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            content = content.get("vector", content.get("embedding"))
        return tuple(float(value) for value in content)
    except (ValueError, TypeError, OSError) as error:
        raise InvalidInput(f"{path} is not a JSON list of numbers ({error}): check --vector") from error
