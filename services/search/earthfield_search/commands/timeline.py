"""`earthfield timeline`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from earthfield.terminal import JsonOption, ModelOption, RootOption, bars, show_json
from earthfield_search.commands.shown import OutOption, catalog_at, show_answer, table_of

if TYPE_CHECKING:
    from earthfield_search.timelines.asked import TimelineAnswer


def timeline(
    at: Annotated[
        tuple[float, float], typer.Option("--at", metavar="LON LAT", help="The place, in degrees.")
    ],
    reference: Annotated[
        list[str] | None,
        typer.Option("--reference", metavar="NAME=LON,LAT", help="Another place; repeatable."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", help="Kept labels: each class is a reference (`earthfield labels`)."),
    ] = None,
    period: Annotated[
        list[str] | None,
        typer.Option("--period", help="Only this period; repeatable [all that hold the place]."),
    ] = None,
    model: ModelOption = "starter",
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="Rate below which a period counts as changed.")
    ] = 0.01,
    calibrate: Annotated[
        bool, typer.Option("--calibrate/--no-calibrate", help="Tell how likely a distance is by chance.")
    ] = True,
    out: OutOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """How did a place change? Its likeness to references in every period, and its distance to the period before.

    Example:

        earthfield timeline --at 3.0228 50.8178 --reference forest=3.021,50.815
    """
    from earthfield_search.jobs.temporal import timeline_of
    from earthfield_search.timelines.asked import Reference, TimelineQuestion
    from earthfield_search.timelines.written import write_timeline

    catalog = catalog_at(root)
    question = TimelineQuestion(
        model, at[0], at[1], tuple(Reference.parse(one) for one in reference or ()), labels, tuple(period or ()),
        false_alarms, calibrate,
    )  # fmt: skip
    with bars() as progress:
        answer = write_timeline(catalog, timeline_of(catalog, question, progress=progress), folder=out)
    if as_json:
        show_json(answer)
    else:
        show_answer(_table(answer), answer.files, _words(answer))


def _table(answer: TimelineAnswer) -> Table:
    sources = sorted({name for one in answer.moments for name in one.clear})
    table = table_of(
        f"{answer.lon:.5f} {answer.lat:.5f} through time, {answer.model}",
        ["period", *(f"{name}>" for name in answer.references), "distance>", "false alarm>", "clear>"],
    )
    for one in answer.moments:
        clear = "+".join("-" if (count := one.clear.get(name)) is None else str(count) for name in sources)
        table.add_row(
            one.period, *(_figure(one.similarity[name]) for name in answer.references), _figure(one.distance),
            "" if one.false_alarm is None else f"{one.false_alarm:.2g}", clear,
        )  # fmt: skip
    table.caption = (
        "Cosine to each reference; 1 - cosine to the last period before that does not overlap; clear frames of "
        f"{' + '.join(sources) or 'no source'}."
    )
    return table


def _words(answer: TimelineAnswer) -> str:
    judged = any(one.false_alarm is not None for one in answer.moments)
    words = (
        f"Changed at a false-alarm rate of {answer.false_alarms:g}: {', '.join(answer.changed) or 'never'}."
    )
    lines = [words] if judged else ["No distance could be calibrated."]
    lines += [f"{one.period}: {one.note}." for one in answer.moments if one.note]
    return " ".join([*lines, *(f"{note}." for note in answer.notes)])


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
