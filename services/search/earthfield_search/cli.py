"""`earthfield index`, `search`, `cluster`, `change` and `serve`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from earthfield.errors import InvalidInput
from earthfield.terminal import JsonOption, ModelOption, RootOption, bars, root_or_default, show_json

if TYPE_CHECKING:
    from earthfield.catalog import Catalog
    from earthfield_search.jobs.change import ChangeAnswer
    from earthfield_search.jobs.cluster import ClusterAnswer
    from earthfield_search.jobs.similar import SimilarAnswer

OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder for the files; ROOT/answers when absent.")
]
PeriodOption = Annotated[
    str | None,
    typer.Option("--period", help="2018, 2018-03, 2018-03..2018-09; the newest field's when absent."),
]
_SHOWN = 20


def index(
    model: ModelOption = "starter",
    cell_px: Annotated[
        int, typer.Option("--cell-px", help="Side of a cell in pixels: 1, 2, 4, 8, .. 128.")
    ] = 8,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put every field of a model into the vector index; what is there already is left alone."""
    from earthfield.schemas import IndexRequest, checked_request
    from earthfield_search.jobs.index import index_fields

    request = checked_request(IndexRequest, root=root_or_default(root), model=model, cell_px=cell_px)
    with bars() as progress:
        report = index_fields(request, progress=progress)
    if as_json:
        show_json(report)
        return
    table = _table(f"Index of {model}", ["", ">"])
    table.add_row("fields", str(report.fields))
    table.add_row("cells", f"{report.cells:,}")
    table.add_row("written now", f"{report.written:,}" if report.written else "nothing: all of it was there")
    table.add_row("seconds", f"{report.seconds:.1f}")
    _show(table, [report.table])


def search(
    at: Annotated[
        tuple[float, float], typer.Option("--at", metavar="LON LAT", help="The place, in degrees.")
    ],
    k: Annotated[int, typer.Option("-k", help="How many places.")] = 20,
    model: ModelOption = "starter",
    period: PeriodOption = None,
    apart: Annotated[
        float, typer.Option("--apart", metavar="METRES", help="Smallest distance between two answers.")
    ] = 0.0,
    out: OutOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """What looks like this place? A table, a GeoJSON of the best, and a map of every pixel's likeness."""
    from earthfield_search.jobs.similar import SimilarQuestion, find_similar, write_similar

    catalog = _catalog(root)
    question = SimilarQuestion(model, at[0], at[1], period, k, apart)
    answer = find_similar(catalog, question)
    with bars() as progress:
        files = [str(path) for path in write_similar(catalog, answer, folder=out, progress=progress)]
    if as_json:
        content = dataclasses.asdict(answer)
        content.pop("vector")
        show_json({**content, "files": files})
    else:
        _show(_similar_table(answer), files)


def cluster(
    k: Annotated[int, typer.Option("-k", help="How many clusters.")] = 5,
    period: PeriodOption = None,
    model: ModelOption = "starter",
    seed: Annotated[int, typer.Option("--seed", help="Of k-means.")] = 0,
    out: OutOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """What belongs together? Every pixel in one of k classes, found without labels."""
    from earthfield_search.jobs.cluster import ClusterQuestion, cluster_fields

    catalog = _catalog(root)
    question = ClusterQuestion(model, period or _newest(catalog, model), k, seed)
    with bars() as progress:
        answer = cluster_fields(catalog, question, folder=out, progress=progress)
    if as_json:
        show_json(answer)
    else:
        _show(_cluster_table(answer), answer.files)


def change(
    periods: Annotated[
        tuple[str, str], typer.Option("--periods", metavar="BEFORE AFTER", help="Two periods to compare.")
    ],
    model: ModelOption = "starter",
    rule: Annotated[str, typer.Option("--rule", help="How the threshold is found: mad or otsu.")] = "mad",
    sigmas: Annotated[float, typer.Option("--sigmas", help="For mad: robust sigmas above the median.")] = 4.0,
    threshold: Annotated[float | None, typer.Option("--threshold", help="A distance to use instead.")] = None,
    min_pixels: Annotated[int, typer.Option("--min-pixels", help="Smallest patch.")] = 5,
    out: OutOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """What has changed between two periods? Distances of every pixel, and the patches that stand out."""
    from earthfield_search.jobs.change import ChangeQuestion, detect_change

    catalog = _catalog(root)
    if rule not in ("mad", "otsu"):
        raise InvalidInput(f"--rule {rule!r} is unknown; take mad or otsu")
    chosen = "otsu" if rule == "otsu" else "mad"
    question = ChangeQuestion(model, *periods, chosen, sigmas, threshold, min_pixels)  # type: ignore[arg-type]
    with bars() as progress:
        answer = detect_change(catalog, question, folder=out, progress=progress)
    if as_json:
        show_json(answer)
    else:
        _show(_change_table(answer), answer.files, _change_words(answer))


def serve(
    host: Annotated[
        str | None,
        typer.Option("--host", help="Address to listen on; that of EARTHFIELD_SEARCH_URL when absent."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port to listen on; 8801 when absent.")
    ] = None,
    root: RootOption = None,
) -> None:
    """Serve fields, pictures and similarity over HTTP until stopped."""
    from earthfield.settings import Settings
    from earthfield_search.api.server import serve as serve_search

    serve_search(Settings(root=root_or_default(root)), host=host, port=port)


def _catalog(root: str | None) -> Catalog:
    from earthfield.catalog import Catalog

    return Catalog(root_or_default(root))


def _newest(catalog: Catalog, model: str) -> str:
    """Gives the newest period that a model has fields of."""
    from earthfield.field import fields_of

    return str(
        max((one.key.period for one in fields_of(catalog, model)), key=lambda one: (one.end, one.start))
    )


def _similar_table(answer: SimilarAnswer) -> Table:
    own = "its pixel" if answer.is_pixel else "its cell (the pixel has no data)"
    table = _table(
        f"What looks like {answer.lon:.5f} {answer.lat:.5f}? {answer.model}, {answer.period}, "
        f"{answer.num_cells:,} cells compared with {own}",
        ["rank>", "score>", "purity>", "lon>", "lat>", "away>", "best pixel>", "tile"],
    )
    for hit in answer.hits[:_SHOWN]:
        table.add_row(
            str(hit.rank), f"{hit.score:.3f}", f"{hit.purity:.3f}", f"{hit.pixel_lon:.5f}", f"{hit.pixel_lat:.5f}",
            _metres(hit.distance_m), f"{hit.pixel_score:.3f}", hit.tile,
        )  # fmt: skip
    if len(answer.hits) > _SHOWN:
        table.caption = f"and {len(answer.hits) - _SHOWN} more in the GeoJSON"
    return table


def _cluster_table(answer: ClusterAnswer) -> Table:
    table = _table(
        f"{answer.k} clusters of {answer.model}, {answer.period}, {len(answer.tiles)} "
        f"{'tile' if len(answer.tiles) == 1 else 'tiles'}",
        ["cluster>", "", "pixels>", "hectares>", "share>"],
    )
    for one in answer.clusters:
        swatch = f"[{one.colour}]██[/]"
        table.add_row(str(one.cluster), swatch, f"{one.pixels:,}", f"{one.hectares:,.2f}", f"{one.share:.1%}")
    return table


def _change_table(answer: ChangeAnswer) -> Table:
    table = _table(
        f"What changed from {answer.before} to {answer.after}? {answer.model}",
        ["patch>", "hectares>", "mean distance>", "max>", "lon>", "lat>"],
    )
    for one in answer.patches[:_SHOWN]:
        table.add_row(
            str(one.patch), f"{one.hectares:.2f}", f"{one.mean_distance:.3f}", f"{one.max_distance:.3f}",
            f"{one.lon:.5f}", f"{one.lat:.5f}",
        )  # fmt: skip
    if answer.num_patches > _SHOWN:
        table.caption = f"and {answer.num_patches - _SHOWN} more in the GeoJSON"
    return table


def _change_words(answer: ChangeAnswer) -> str:
    words = (
        f"{answer.changed_hectares:,.2f} ha ({answer.share:.1%}) in {answer.num_patches} patches lie above "
        f"{answer.threshold:.4f} ({answer.rule}); the median distance is {answer.median:.4f}. {answer.caution}"
    )
    if answer.left_out:
        words += f" Left out, with one period only: {', '.join(answer.left_out)}."
    return words


def _table(title: str, columns: Sequence[str]) -> Table:
    """Gives an empty table; a column that ends in > holds numbers. Its title is printed by `_show`."""
    table = Table(
        title=title, header_style="bold", show_header=any(one.strip(">") for one in columns), box=None
    )
    for column in columns:
        table.add_column(
            column.rstrip(">"), justify="right" if column.endswith(">") else "left", no_wrap=True
        )
    return table


def _show(table: Table, files: Sequence[str], words: str | None = None) -> None:
    console = Console()
    # A title inside a table wraps at the table's own width.
    title, caption, table.title, table.caption = table.title, table.caption, None, None
    console.print(title, style="bold", highlight=False)
    console.print(table)
    for line in (caption, words):
        if line:
            console.print(f"\n{line}", highlight=False)
    console.print("\nFiles", style="bold")
    for path in files:
        console.print(f"  {path}", soft_wrap=True, highlight=False, markup=False)


def _metres(distance_m: float) -> str:
    return f"{distance_m:,.0f} m" if distance_m < 10_000 else f"{distance_m / 1000:,.1f} km"
