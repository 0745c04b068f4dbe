"""`earthfield change`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from earthfield.errors import InvalidInput
from earthfield.terminal import AoiOption, BboxOption, JsonOption, ModelOption, RootOption, bars, show_json
from earthfield_search.commands.shown import SHOWN, OutOption, area_text, catalog_at, show_answer, table_of

if TYPE_CHECKING:
    from earthfield_search.changes.asked import ChangeAnswer


def change(
    periods: Annotated[
        tuple[str, str], typer.Option("--periods", metavar="BEFORE AFTER", help="Two periods to compare.")
    ],
    model: ModelOption = "starter",
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="Share of unchanged pixels that may be flagged.")
    ] = 0.01,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule", help="calibrated, mad or otsu [calibrated where fields have agreement, else mad]."
        ),
    ] = None,
    season: Annotated[
        str | None,
        typer.Option(
            "--season", help="remove or keep what all land has in common [remove where calibrated]."
        ),
    ] = None,
    sigmas: Annotated[float, typer.Option("--sigmas", help="For mad: robust sigmas above the median.")] = 4.0,
    threshold: Annotated[float | None, typer.Option("--threshold", help="A distance to use instead.")] = None,
    min_pixels: Annotated[int, typer.Option("--min-pixels", help="Smallest patch.")] = 5,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    out: OutOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """What has changed between two periods? Every pixel's distance, how likely it is by chance, and patches.

    Example:

        earthfield change --periods 2018 2019 --false-alarms 0.01
    """
    from earthfield_search.changes.asked import RULES, ChangeQuestion
    from earthfield_search.jobs.change import detect_change

    catalog = catalog_at(root)
    chosen = next((one for one in RULES if one == rule), None)
    if rule is not None and chosen is None:
        raise InvalidInput(f"--rule {rule!r} is unknown; take calibrated, mad or otsu")
    if season not in (None, "remove", "keep"):
        raise InvalidInput(f"--season {season!r} is unknown; take remove or keep")
    question = ChangeQuestion(
        model, *periods, chosen, sigmas, threshold, min_pixels, false_alarms,
        season, area_text(bbox, aoi),  # type: ignore[arg-type]
    )  # fmt: skip
    with bars() as progress:
        answer = detect_change(catalog, question, folder=out, progress=progress)
    if as_json:
        show_json(answer)
    else:
        show_answer(_change_table(answer), answer.files, _change_words(answer))


def _change_table(answer: ChangeAnswer) -> Table:
    calibrated = answer.false_alarms is not None
    table = table_of(
        f"What changed from {answer.before} to {answer.after}? {answer.model}",
        [
            "patch>",
            "hectares>",
            "mean distance>",
            "max>",
            *(["false alarm>"] if calibrated else []),
            "lon>",
            "lat>",
        ],
    )
    for one in answer.patches[:SHOWN]:
        chance = [f"{one.false_alarm:.1g}"] if one.false_alarm is not None else []
        table.add_row(
            str(one.patch), f"{one.hectares:.2f}", f"{one.mean_distance:.3f}", f"{one.max_distance:.3f}", *chance,
            f"{one.lon:.5f}", f"{one.lat:.5f}",
        )  # fmt: skip
    if answer.num_patches > SHOWN:
        table.caption = f"and {answer.num_patches - SHOWN} more in the GeoJSON"
    return table


def _change_words(answer: ChangeAnswer) -> str:
    words = (
        f"{answer.changed_hectares:,.2f} of {answer.hectares:,.2f} ha ({answer.share:.1%}) changed, in "
        f"{answer.num_patches} patches"
    )
    if answer.false_alarms is not None:
        words += (
            f", at a false-alarm rate of {answer.false_alarms:g} for a pixel: {answer.flagged_pixels:,} pixels are "
            f"flagged, {answer.false_hectares:,.2f} ha at most would be if nothing had changed. {answer.caution}"
        )
        removed = max((one.season_removed for one in answer.calibrations), default=0.0)
        if answer.season == "remove":
            words += f" The season took {removed:.3f} off the median distance, now {answer.median:.3f}."
    else:
        words += (
            f", that lie above {answer.threshold:.4f} ({answer.rule}); the median distance is {answer.median:.4f}. "
            f"{answer.caution}"
        )
    if answer.unjudged_pixels:
        words += f" {answer.unjudged_pixels:,} pixels were not judged: too few frames to tell their noise."
    if answer.left_out:
        words += f" Left out, with one period only: {', '.join(answer.left_out)}."
    return words
