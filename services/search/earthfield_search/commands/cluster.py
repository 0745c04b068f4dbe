"""`earthfield cluster`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from earthfield.errors import InvalidInput
from earthfield.terminal import AoiOption, BboxOption, JsonOption, ModelOption, RootOption, bars, show_json
from earthfield_search.commands.shown import (
    OutOption,
    PeriodOption,
    area_text,
    catalog_at,
    newest_period,
    show_answer,
    table_of,
)

if TYPE_CHECKING:
    from earthfield.catalog import Catalog
    from earthfield_search.clusters.earlier import KeptClusters
    from earthfield_search.jobs.cluster import ClusterAnswer, ClusterQuestion


def cluster(
    k: Annotated[int, typer.Option("-k", help="How many clusters, for kmeans.")] = 5,
    period: PeriodOption = None,
    model: ModelOption = "starter",
    method: Annotated[
        str,
        typer.Option("--method", help="kmeans, or hdbscan: as many as are dense, and noise between them."),
    ] = "kmeans",
    min_share: Annotated[
        float, typer.Option("--min-share", help="For hdbscan, least share of the land that is a cluster.")
    ] = 0.01,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            metavar="JSON",
            help="Earlier answer whose numbers and colours are kept [the newest alike].",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Number clusters anew, along the first principal axis.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample and the starts.")] = 0,
    outlines: Annotated[
        bool, typer.Option("--outlines", help="Write outlines as GeoJSON too, of at most 8 million pixels.")
    ] = False,
    out: OutOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """What belongs together? Every pixel in a class, found without labels.

    Numbers and colours stay those of the newest answer of the same model, method and k.

    Example:

        earthfield cluster -k 8 --period 2018 --bbox 3.1 50.8 3.2 50.9
    """
    from earthfield_search.jobs.cluster import METHODS, ClusterQuestion, cluster_fields

    catalog = catalog_at(root)
    chosen = next((one for one in METHODS if one == method), None)
    if chosen is None:
        raise InvalidInput(f"--method {method!r} is unknown; take kmeans or hdbscan")
    if like is not None and fresh:
        raise InvalidInput("give --like or --fresh, not both")
    question = ClusterQuestion(
        model,
        period or newest_period(catalog, model),
        k,
        seed,
        chosen,
        min_share,
        area_text(bbox, aoi),
        outlines,
    )
    earlier = None if fresh else _earlier(catalog, question, like, out)
    with bars() as progress:
        answer = cluster_fields(catalog, question, like=earlier, folder=out, progress=progress)
    if as_json:
        show_json(answer)
    else:
        show_answer(_cluster_table(answer), answer.files, _cluster_words(answer, outlines))


def _earlier(
    catalog: Catalog, question: ClusterQuestion, like: Path | None, out: Path | None
) -> KeptClusters | None:
    """Gives the answer whose numbers are kept: the one that was named, or the newest beside which this one lies."""
    from earthfield.field import fields_of
    from earthfield.timeline import Period
    from earthfield_search.clusters.earlier import newest_clusters, read_clusters

    if like is not None:
        return read_clusters(like)
    held = fields_of(catalog, question.model, Period.parse(question.period).id)
    maker = str(held[0].manifest["model"]["fingerprint"])
    return newest_clusters(out or catalog.answers, question, question.model, maker)


def _cluster_table(answer: ClusterAnswer) -> Table:
    from earthfield_analysis.cluster import NOISE

    table = table_of(
        f"{answer.k} clusters of {answer.model}, {answer.period}, {len(answer.tiles)} "
        f"{'tile' if len(answer.tiles) == 1 else 'tiles'}",
        ["cluster>", "", "pixels>", "hectares>", "share>", *(["cosine to earlier>"] if answer.like else [])],
    )
    for one in answer.clusters:
        swatch = f"[{one.colour}]██[/]"
        name = "noise" if one.cluster == NOISE else str(one.cluster)
        cells = [name, swatch, f"{one.pixels:,}", f"{one.hectares:,.2f}", f"{one.share:.1%}"]
        if answer.like:
            cells.append("new" if one.kept is None else f"{one.kept:.3f}")
        table.add_row(*cells)
    return table


def _cluster_words(answer: ClusterAnswer, wanted: bool) -> str | None:
    said = []
    if wanted and not answer.outlined:
        said.append(
            "No outlines were written, the area has too many pixels: name a part with --bbox or --aoi."
        )
    if answer.method == "hdbscan":
        said.append(f"{answer.noise:.1%} of the land is noise: no cluster is near enough.")
    if answer.like is not None:
        said.append(
            f"Numbers and colours are those of {answer.like}, as far as clusters are the same: a low cosine is "
            "another one that took a number which was left."
        )
    return " ".join(said) or None
