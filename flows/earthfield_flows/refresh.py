"""The flow `refresh`: stored areas and rolling periods brought up to date with what is new in their catalogues."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from earthfield.errors import EarthfieldError
from earthfield.schedules import RefreshRequest, Schedule
from earthfield.schemas import IndexReport, as_json
from earthfield.storage import write_json
from earthfield_flows.artefacts import show_embed, show_report, show_table
from earthfield_flows.encoder import encoder_of
from earthfield_flows.news import News, RefreshReport, found_new, known, lacking, tell
from earthfield_flows.notify import notify
from earthfield_flows.tasks import FLOW, asked, embed_tiles, index_present, ingest_tiles, plan_area

if TYPE_CHECKING:
    from earthfield.schemas import IngestReport


@flow(name="refresh", **FLOW)
def refresh_flow(request: dict[str, Any]) -> dict[str, Any]:
    """Brings stored schedules up to date: reads only steps that hold something new, makes again only fields whose
    inputs changed, and indexes only these. Where nothing is new, nothing is written.

    A schedule that fails holds up only itself; the run fails once the others are done.

    Args:
        request: fields of `earthfield.schedules.RefreshRequest`; the root is that of the worker where none
            is named.

    Returns:
        The `RefreshReport` as JSON content.

    Raises:
        InvalidInput: the request is wrong.
        NotFound: no such schedule, or its catalogue holds nothing of these periods.
        BrokenArtefact: an item cannot be read, and the schedule does not say to skip such; all else was done.
        Unavailable: a peer or the disk failed, also after retries.
    """
    started = time.monotonic()
    wanted = asked(RefreshRequest, request)
    report, failed = RefreshReport(f"{wanted.instant:%Y-%m-%dT%H:%M:%SZ}"), list[EarthfieldError]()
    for schedule in wanted.schedules:
        try:
            news, ingested = _refresh(schedule, wanted)
            report.schedules.append(news)
            ingested.check_complete()
        except EarthfieldError as error:
            get_run_logger().error("%s: %s", schedule.name, error)
            failed.append(error)
    report.seconds = time.monotonic() - started
    content = as_json(report)
    _show(report, content)
    if failed:
        raise failed[0]
    return content


def _refresh(schedule: Schedule, wanted: RefreshRequest) -> tuple[News, IngestReport]:
    from earthfield_ingest.jobs import summarise

    started, catalog = time.monotonic(), wanted.catalog_root
    request = schedule.request(catalog, wanted.instant, whole=wanted.whole)
    encoder = encoder_of(request)
    plan = plan_area(request.ingest())
    part = lacking(plan)
    before, tiles = known(part), ingest_tiles(part)
    ingested = summarise(part, tiles, seconds=time.monotonic() - started)
    # Every tile: what an earlier run was killed at is made up for, and a tile's windows reach into its neighbours.
    embedded = embed_tiles(request.embed(), plan.tiles, encoder)
    there = [one for one in embedded.fields if not one.absent]
    indexed = index_present(request.embed(), there) if there else IndexReport()
    periods = [str(period) for period in request.valid_periods]
    news = News(schedule.name, periods, len(plan.tiles), found_new(part, before, tiles))
    news = tell(news, tiles, embedded, indexed)
    news.seconds = time.monotonic() - started
    get_run_logger().info("%s", news.text)
    if news.is_new:
        content = {"at": f"{wanted.instant:%Y-%m-%dT%H:%M:%SZ}", **as_json(news)}
        write_json(catalog.report("refresh", schedule.name), content)
        about = {"flow": "refresh", "run": flow_run.name, "run_id": str(flow_run.id or "")}
        notify("new", news.text, {**about, "schedule": schedule.name, "new": content})
    return news, ingested


def _show(report: RefreshReport, content: dict[str, Any]) -> None:
    rows = [
        {
            "schedule": one.schedule, "periods": ", ".join(one.periods),
            "new": ", ".join(f"{news.items} {name}" for name, news in one.sources.items()) or "nothing",
            "tiles ingested": len(one.ingested), "fields made": len(one.fields), "fields kept": one.kept,
            "cells written": one.cells, "waiting": one.waiting, "s": round(one.seconds, 1),
        }
        for one in report.schedules
    ]  # fmt: skip
    show_table("refresh", "What was new", rows)
    show_embed({"fields": [field for one in content["schedules"] for field in one["fields"]]})
    show_report("refresh", content)
