"""Timelines as files: a table and a picture of lines."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

from earthfield.catalog import Catalog
from earthfield.storage import whole_file
from earthfield_search.files.answers import answer_name, answer_path, degrees_label
from earthfield_search.timelines.asked import TimelineAnswer


def write_timeline(catalog: Catalog, answer: TimelineAnswer, *, folder: Path | None = None) -> TimelineAnswer:
    """Writes a timeline as CSV and as PNG; gives the answer with their addresses."""
    from earthfield_search.files.pictures import draw_lines

    name = answer_name("timeline", answer.model, degrees_label(answer.lon, answer.lat))
    table, picture = (answer_path(catalog, folder, f"{name}.{ending}") for ending in ("csv", "png"))
    with whole_file(table) as temporary:
        temporary.write_text(_csv(answer))
    lines = {
        one: [
            float("nan") if (value := moment.similarity[one]) is None else value for moment in answer.moments
        ]
        for one in answer.references
    }
    draw_lines(
        picture, [one.period for one in answer.moments], lines, meaning="cosine to each reference",
        title=f"{answer.lon:.5f} {answer.lat:.5f} through time, {answer.model}",
        marked=[one.period in answer.changed for one in answer.moments],
        marked_as=f"changed (false alarms {answer.false_alarms:g})",
    )  # fmt: skip
    return dataclasses.replace(answer, files=[str(table), str(picture)])


def _csv(answer: TimelineAnswer) -> str:
    sources = sorted({name for one in answer.moments for name in one.clear})
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(
        ["period", "tile", "is_pixel", *(f"like_{name}" for name in answer.references), "before", "distance",
         "false_alarm", *(f"clear_{name}" for name in sources), "agreement", "note"]
    )  # fmt: skip
    for one in answer.moments:
        cells = [
            one.period, one.tile, one.is_pixel, *(one.similarity[name] for name in answer.references), one.before,
            one.distance, one.false_alarm, *(one.clear.get(name) for name in sources), one.agreement, one.note,
        ]  # fmt: skip
        rows.writerow(
            ["" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells]
        )
    return stream.getvalue()
