"""`earthfield classify` and `earthfield regress`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from earthfield.terminal import AoiOption, BboxOption, JsonOption, ModelOption, RootOption, bars, show_json
from earthfield_search.commands.labels import (
    ColumnOption,
    CrsOption,
    EndColumnOption,
    LatOption,
    LonOption,
    PeriodColumnOption,
    SkipOption,
    StartColumnOption,
)
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
    from earthfield_search.jobs.classify import ClassifyAnswer
    from earthfield_search.jobs.learning import Training
    from earthfield_search.jobs.regress import RegressAnswer
    from earthfield_search.labels import LabelColumns, Labels

_LABELS_HELP = "Name of labels that are kept, or a file: GeoJSON, CSV, GeoParquet, GeoPackage, Shapefile."
LabelsOption = Annotated[str, typer.Option("--labels", metavar="NAME|FILE", help=_LABELS_HELP)]
Method = Literal["linear", "knn", "forest"]
MethodOption = Annotated[
    Method, typer.Option("--method", help="linear, knn (nearest neighbours) or forest (random forest).")
]
PolygonOption = Annotated[
    int, typer.Option("--polygon-px", help="Most pixels of one polygon that are learnt from.")
]
BlockOption = Annotated[
    float | None,
    typer.Option(
        "--block-m",
        help="Side of the blocks that are left out for scores, metres.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of every draw.")]


def classify(
    labels: LabelsOption,
    column: ColumnOption = None,
    method: MethodOption = "linear",
    period: PeriodOption = None,
    model: ModelOption = "starter",
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    each_class: Annotated[
        bool, typer.Option("--each-class", help="Write the probability of every class, a raster each.")
    ] = False,
    polygon_px: PolygonOption = 100,
    block_m: BlockOption = None,
    seed: SeedOption = 0,
    lon: LonOption = "lon",
    lat: LatOption = "lat",
    crs: CrsOption = None,
    period_column: PeriodColumnOption = None,
    start_column: StartColumnOption = None,
    end_column: EndColumnOption = None,
    skip_bad: SkipOption = False,
    out: OutOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which class is every pixel of? Learnt from labels, scored on labels that lie elsewhere.

    Example: earthfield classify --labels fields.geojson --column crop --period 2018
    """
    from earthfield_search.jobs.classify import ClassifyQuestion, classify_fields
    from earthfield_search.labels import LabelColumns

    catalog = catalog_at(root)
    columns = LabelColumns(column, lon, lat, crs, period_column, start_column, end_column, skip_bad)
    name, held = _labels(labels, columns)
    question = ClassifyQuestion(
        model, period or newest_period(catalog, model), name, method, area_text(bbox, aoi), polygon_px,
        block_m, seed, each_class,
    )  # fmt: skip
    with bars() as progress:
        answer = classify_fields(catalog, question, labels=held, folder=out, progress=progress)
    if as_json:
        show_json(answer)
    else:
        show_answer(_class_table(answer), answer.files, _words(answer.training, _class_score(answer)))


def regress(
    labels: LabelsOption,
    column: ColumnOption = None,
    method: MethodOption = "linear",
    period: PeriodOption = None,
    model: ModelOption = "starter",
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    polygon_px: PolygonOption = 100,
    block_m: BlockOption = None,
    seed: SeedOption = 0,
    lon: LonOption = "lon",
    lat: LatOption = "lat",
    crs: CrsOption = None,
    period_column: PeriodColumnOption = None,
    start_column: StartColumnOption = None,
    end_column: EndColumnOption = None,
    skip_bad: SkipOption = False,
    out: OutOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """How much is there at every pixel? Learnt from numbers at labels, scored on labels that lie elsewhere.

    Example: earthfield regress --labels plots.csv --column biomass --period 2018
    """
    from earthfield_search.jobs.regress import RegressQuestion, regress_fields
    from earthfield_search.labels import LabelColumns

    catalog = catalog_at(root)
    columns = LabelColumns(column, lon, lat, crs, period_column, start_column, end_column, skip_bad)
    name, held = _labels(labels, columns)
    question = RegressQuestion(
        model, period or newest_period(catalog, model), name, method, area_text(bbox, aoi), polygon_px,
        block_m, seed,
    )  # fmt: skip
    with bars() as progress:
        answer = regress_fields(catalog, question, labels=held, folder=out, progress=progress)
    if as_json:
        show_json(answer)
    else:
        show_answer(_number_table(answer), answer.files, _words(answer.training, _number_score(answer)))


def _labels(text: str, columns: LabelColumns) -> tuple[str, Labels | None]:
    """Tells a name from a file: a file has an ending or a folder, or is there."""
    from earthfield_search.labels import read_labels

    path = Path(text)
    if path.is_file() or path.suffix or len(path.parts) > 1:
        return "", read_labels(path, columns)
    return text, None


def _class_table(answer: ClassifyAnswer) -> Table:
    score = answer.score
    table = table_of(
        f"{len(answer.classes)} classes of {answer.model}, {answer.period}, {len(answer.tiles)} "
        f"{'tile' if len(answer.tiles) == 1 else 'tiles'}, {answer.method}",
        ["class", "", "value>", "labels>", "found>", "hectares>", "share>", "sure>"],
    )
    for number, one in enumerate(answer.classes):
        found = f"{score.recall[number]:.0%}" if score.recall else "-"
        sure = "-" if one.probability is None else f"{one.probability:.0%}"
        table.add_row(
            one.name, f"[{one.colour}]██[/]", str(one.value), f"{one.labels:,}", found, f"{one.hectares:,.2f}",
            f"{one.share:.1%}", sure,
        )  # fmt: skip
    return table


def _class_score(answer: ClassifyAnswer) -> str:
    score = answer.score
    if score.balanced_accuracy is None:
        return f"No score: {score.why_not}."
    return (
        f"Balanced accuracy {score.balanced_accuracy:.1%} +- {score.sem:.1%}: {score.pixels:,} labelled pixels, "
        f"each told without its block of {score.block_m:,.0f} m and {score.rim_m:g} m around it. {answer.caution}"
    )


def _number_table(answer: RegressAnswer) -> Table:
    table = table_of(
        f"{answer.column} of {answer.model}, {answer.period}, {len(answer.tiles)} "
        f"{'tile' if len(answer.tiles) == 1 else 'tiles'}, {answer.method}",
        ["", "least>", "mean>", "largest>", "std>"],
    )
    table.add_row("labels", f"{answer.label_smallest:,.4g}", "", f"{answer.label_largest:,.4g}", "")
    table.add_row(
        f"{answer.pixels:,} pixels", f"{answer.smallest:,.4g}", f"{answer.mean:,.4g}", f"{answer.largest:,.4g}",
        f"{answer.std:,.4g}",
    )  # fmt: skip
    return table


def _number_score(answer: RegressAnswer) -> str:
    score = answer.score
    if score.rmse is None:
        return f"No score: {score.why_not}."
    return (
        f"R2 {score.r2:.2f}, RMSE {score.rmse:.4g} +- {score.rmse_sem:.2g}, MAE {score.mae:.4g}: {score.pixels:,} "
        f"labelled pixels, each told without its block of {score.block_m:,.0f} m and {score.rim_m:g} m around it. "
        f"{answer.beyond:.1%} of all pixels lie beyond the labels. {answer.caution}"
    )


def _words(training: Training, score: str) -> str:
    left = training.labels - training.used
    told = [score, f"Learnt from {training.pixels:,} pixels of {training.used:,} labels."]
    if left:
        told.append(
            f"{left:,} labels gave nothing: {training.outside} outside of every field, {training.not_in_time} not "
            f"in time, {training.no_data} without data; the report names them."
        )
    if training.contradicting_px:
        told.append(f"{training.contradicting_px:,} pixels with labels of several classes were left out.")
    if training.skipped_rows:
        told.append(f"{len(training.skipped_rows):,} rows could not be used; the report names them.")
    return "\n".join(told)
