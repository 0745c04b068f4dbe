"""Artefacts: what Prefect shows of a run beside its states: tables, links, pictures and the whole report."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from earthfield_flows.engine import is_private

log = logging.getLogger(__name__)

Row = dict[str, Any]

_MOST_ROWS = 500
_MOST_PICTURES = 4
_PICTURE_PX = 384
_MOST_REPORT_BYTES = 200_000


def show_report(flow: str, report: Mapping[str, Any]) -> None:
    """Keeps the report of a run as JSON, where others can read it from the server."""
    text = json.dumps(report, ensure_ascii=False, indent=1, default=str)
    if len(text) > _MOST_REPORT_BYTES:
        text = f"{text[:_MOST_REPORT_BYTES]}\n... ({len(text)} characters in all)"
    _shown("markdown", f"{flow}-report", markdown=f"```json\n{text}\n```", description=f"Report of {flow}")


def show_ingest(report: Mapping[str, Any]) -> None:
    """Shows what became of scenes, tile by tile; takes an `IngestReport` as JSON."""
    rows = [
        {
            "tile": tile, "source": source, "found": one["found"], "used": one["used"], "read now": one["read"],
            "5-day steps": one["steps"], "clear": f"{one['clear_share']:.0%}", "waiting": one["waiting"],
        }
        for tile, sources in report["tiles"].items()
        for source, one in sources.items()
    ]  # fmt: skip
    show_table("scenes", "Scenes", rows)


def show_embed(report: Mapping[str, Any]) -> None:
    """Shows fields, links to their folders and pictures of what was written; takes an `EmbedReport` as JSON."""
    fields = report["fields"]
    show_table("fields", "Fields", [_field_row(one) for one in fields])
    there = [one for one in fields if not one["absent"]]
    show_links("field-files", {f"{one['tile']} {one['period']}": Path(one["path"]) for one in there})
    for one in [one for one in there if one["written"]][:_MOST_PICTURES]:
        show_picture(f"{one['tile']} {one['period']}", Path(one["path"]) / "preview.png")


def _field_row(one: Mapping[str, Any]) -> Row:
    told = one["absent"] or ("written" if one["written"] else "was there")
    frames = sum(one["frames"].values())
    return {"tile": one["tile"], "period": one["period"], "pixels": one["pixels"], "frames": frames, "": told}


def show_index(report: Mapping[str, Any]) -> None:
    """Shows what the index holds; takes an `IndexReport` as JSON."""
    told = {name: report[name] for name in ("fields", "cells", "written", "table")}
    show_table("cells", "Cells of the index", [told])


def show_table(key: str, title: str, rows: Sequence[Row]) -> None:
    """Shows a table; of a long one its beginning."""
    more = f", {len(rows) - _MOST_ROWS} rows more in the report" if len(rows) > _MOST_ROWS else ""
    if rows:
        _shown("table", key, table=list(rows[:_MOST_ROWS]), description=f"{title}{more}")


def show_links(key: str, files: Mapping[str, Path]) -> None:
    """Lists files and folders of the root by what they hold."""
    lines = [f"- [{name}]({path.absolute().as_uri()})" for name, path in list(files.items())[:_MOST_ROWS]]
    if lines:
        _shown("markdown", key, markdown="\n".join(lines), description="Where it lies")


def show_picture(title: str, path: Path) -> None:
    """Shows a picture, small and as part of the artefact: a browser elsewhere cannot read our disk."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            picture.thumbnail((_PICTURE_PX, _PICTURE_PX))
            stream = io.BytesIO()
            picture.save(stream, format="PNG", optimize=True)
    except (OSError, UnidentifiedImageError) as error:
        log.warning("the picture %s is not shown (%s)", path, error)
        return
    told = base64.b64encode(stream.getvalue()).decode()
    _shown("image", f"picture-{title}", image_url=f"data:image/png;base64,{told}", description=title)


def _shown(kind: str, key: str, **content: Any) -> None:
    """Makes an artefact where a server keeps the run; one that cannot be made is let go."""
    if is_private():
        return
    import httpx
    from prefect import artifacts
    from prefect.exceptions import PrefectException

    make: Callable[..., Any] = getattr(artifacts, f"create_{kind}_artifact")
    try:
        make(key=re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-"), **content)
    except (PrefectException, httpx.HTTPError) as error:
        log.warning("%s was not kept as an artefact (%s); the run goes on", key, error)
