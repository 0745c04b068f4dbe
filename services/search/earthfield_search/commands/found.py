"""How places that were found, and saved searches, are shown on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from earthfield.terminal import show_json
from earthfield_search.commands.shown import SHOWN, metres_text, show_answer, table_of

if TYPE_CHECKING:
    from earthfield_search.asking.hits import Hit
    from earthfield_search.asking.saved import Again, SavedSearch
    from earthfield_search.jobs.similar import SimilarAnswer


def table_of_answer(
    answer: SimilarAnswer, *, marks: Mapping[str, str] | None = None, marked: str = ""
) -> Table:
    """Gives the places of an answer as a table.

    Args:
        answer: what was found.
        marks: a word to put beside cells.
        marked: the column of these words.
    """
    own = "; the pixel asked about has no data: its cell is compared" if _without_pixel(answer) else ""
    several = len(answer.periods) > 1
    columns = ["rank>", "score>", "purity>", "lon>", "lat>", "away>", "pixel>", "tile"]
    table = table_of(
        f"What looks like {answer.title}? {answer.model}, {_when(answer)}, "
        f"{answer.num_cells:,} cells compared{own}",
        [*columns, *(["period"] if several else []), *([marked] if marked else [])],
    )
    for hit in answer.hits[:SHOWN]:
        away = "" if hit.distance_m is None else metres_text(hit.distance_m)
        cells = [
            str(hit.rank), f"{hit.score:.3f}", f"{hit.purity:.3f}", f"{hit.pixel_lon:.5f}", f"{hit.pixel_lat:.5f}",
            away, f"{hit.pixel_score:.3f}", hit.tile,
        ]  # fmt: skip
        cells += [hit.period] if several else []
        table.add_row(*cells, *([(marks or {}).get(hit.cell, "")] if marked else []))
    if len(answer.hits) > SHOWN:
        table.caption = f"and {len(answer.hits) - SHOWN:,} more in the GeoJSON"
    return table


def words_of(answer: SimilarAnswer) -> str:
    """Gives what stands below the table: how many there are, what to bear in mind, what lies behind the hits."""
    lines = []
    if answer.question.above is not None or answer.num_found > len(answer.hits):
        most = "" if answer.is_complete else "at least "
        lines.append(f"{most}{answer.num_found:,} places found, {len(answer.hits):,} of them in this answer")
    if answer.num_found > answer.question.offset + len(answer.hits):
        lines.append(f"the next ones: --offset {answer.question.offset + len(answer.hits)}")
    lines += answer.cautions
    lines += [_explained(hit) for hit in answer.hits[:SHOWN] if hit.explained]
    return "\n".join(lines)


def show_again(name: str, again: Again, *, as_json: bool) -> None:
    """Shows what a saved search finds now, and what of it is new."""
    answer = again.answer
    if as_json:
        show_json(
            {**answer.content(), "name": name, "since": again.since, "new": again.new, "gone": again.gone}
        )
        return
    table = table_of_answer(answer, marks=dict.fromkeys(again.new, "new"), marked="new?")
    words = f"{len(again.new)} new since {again.since}, {len(again.gone)} gone"
    show_answer(table, [], words)


def show_saved(found: Sequence[SavedSearch], *, as_json: bool) -> None:
    """Lists saved searches."""
    if as_json:
        names = ("name", "title", "period", "saved", "asked")
        content = [{name: getattr(one, name) for name in names} | {"hits": len(one.cells)} for one in found]
        show_json({"searches": content})
        return
    table = table_of(
        f"{len(found)} saved {'search' if len(found) == 1 else 'searches'}",
        ["name", "looks for", "model", "found>", "asked last"],
    )
    for one in found:
        table.add_row(one.name, one.title, one.question.model, str(len(one.cells)), one.asked)
    Console().print(table)


def _when(answer: SimilarAnswer) -> str:
    if answer.periods == [answer.period]:
        return answer.period
    return f"as in {answer.period}, looked for in {', '.join(answer.periods)}"


def _without_pixel(answer: SimilarAnswer) -> bool:
    return any(not one.is_pixel for one in answer.asked)


def _explained(hit: Hit) -> str:
    told = hit.explained
    assert told is not None
    quality = ", ".join(f"{name} {value}" for name, value in told.quality.items() if value is not None)
    seen = [
        f"{source}: {len(scenes)} scenes, {scenes[0].acquired[:10]} to {scenes[-1].acquired[:10]}"
        for source, scenes in told.scenes.items()
        if scenes
    ]
    return "\n  ".join([f"{hit.rank}: {quality}", *seen, *([told.note] if told.note else [])])
