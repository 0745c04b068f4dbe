"""Tables: reports and estimates as a terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from earthfield.schemas import IngestReport, SourceReport
from earthfield.timeline import Period, step_of
from earthfield_ingest.estimate import Estimate, SourceEstimate
from earthfield_ingest.timeline import Track, drawn


def report_tables(report: IngestReport, span: Period, *, width: int, with_tiles: bool) -> RenderableType:
    """Gives a report: a table of the sources, one for each tile on wish, and what each 5-day step shows.

    Args:
        report: what an ingest did.
        span: the period it was asked for.
        width: characters that a line may have.
        with_tiles: whether every tile is shown too.
    """
    shown: list[RenderableType] = [_sources("", report.sources)]
    if with_tiles:
        shown += [_sources(tile, rows) for tile, rows in report.tiles.items()]
    tracks = [Track(name, _by_step(one, span)) for name, one in report.sources.items()]
    tracks = [one for one in tracks if one.shares]
    if tracks:
        shown += ["Clear share of each 5-day step:", Text("\n".join(drawn(tracks, span.steps, width=width)))]
    return Group(*shown)


def estimate_tables(estimate: Estimate, *, with_tiles: bool) -> RenderableType:
    """Gives an estimate: a row for each source, and on wish a table for each tile in which anything lies."""
    tables = [_expected("all tiles" if with_tiles else "", {**estimate.sources, "all": estimate.total})]
    if with_tiles:
        held = {
            tile: rows for tile, rows in estimate.tiles.items() if any(one.items for one in rows.values())
        }
        tables = [*(_expected(tile, rows) for tile, rows in held.items()), *tables]
    return Group(*tables)


def size_text(num_bytes: float) -> str:
    """Gives a size in words, in powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"


def time_text(seconds: float) -> str:
    """Gives a duration in words."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _sources(title: str, rows: Mapping[str, SourceReport]) -> RenderableType:
    waits = any(one.waiting for one in rows.values())
    names = ["source", "found", "used", "read", "waiting", "steps", "clear", "decoded", "time"]
    table = _table([name for name in names if waits or name != "waiting"], title=title)
    reasons = []
    for name, one in rows.items():
        counts = (one.found, one.used, one.read, *([one.waiting] if waits else []), one.steps)
        work = (f"{one.clear_share:.0%}", size_text(one.bytes_read), time_text(one.seconds))
        table.add_row(name, *map(str, counts), *work)
        reasons += [f"{name} leaves out {count}: {reason}" for reason, count in one.dropped.items()]
    return Group(table, Text("\n".join(["", *reasons, ""]), style="dim") if reasons else Text())


def _expected(title: str, rows: Mapping[str, SourceEstimate]) -> Table:
    flawed = any(one.unusable for one in rows.values())
    names = ["source", "items", "there", "unusable", "to read", "steps", "pixels", "fetch", "disk", "time"]
    table = _table([name for name in names if flawed or name != "unusable"], title=title)
    for name, one in rows.items():
        counts = (one.items, one.there, *([one.unusable] if flawed else []), one.to_read, one.steps)
        sizes = (f"{one.pixels / 1e6:,.1f} M", size_text(one.bytes), size_text(one.disk_bytes))
        table.add_row(name, *map(str, counts), *sizes, time_text(one.seconds))
    return table


def _table(names: Sequence[str], title: str) -> Table:
    """Makes a table of numbers whose first column is a name, narrow enough for 80 characters."""
    table = Table(
        box=None, title=title or None, title_justify="left", title_style="bold", padding=(0, 2, 0, 0)
    )
    for place, name in enumerate(names):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    return table


def _by_step(one: SourceReport, span: Period) -> dict[int, float]:
    days = {
        datetime.fromisoformat(day).replace(tzinfo=UTC): share for day, share in one.clear_by_step.items()
    }
    return {step_of(day): share for day, share in days.items() if step_of(day) in span.steps}
