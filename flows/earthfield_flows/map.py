"""The main job as a flow: scenes of a catalogue to cubes, fields and cells, tile by tile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from earthfield.catalog import Catalog, FieldKey
from earthfield.errors import Unavailable
from earthfield.grid import Tile, TileWindow
from earthfield.ports import Encoder
from earthfield.progress import Progress, silent
from earthfield.schemas import (
    EmbedReport,
    EmbedRequest,
    IndexReport,
    MapReport,
    MapRequest,
    as_json,
    checked_request,
)
from earthfield.storage import hash_of, write_json
from earthfield.timeline import Period
from earthfield_infer.jobs import embed_tile
from earthfield_infer.local import connect_encoder
from earthfield_ingest.jobs import Plan, TileReport, ingest_tile, plan, summarise
from earthfield_search.jobs.index import index_field

_PROGRESS: ContextVar[Progress] = ContextVar("progress", default=silent)


@contextmanager
def telling(progress: Progress) -> Iterator[None]:
    """Has flows that run in this process tell how far they are."""
    token = _PROGRESS.set(progress)
    try:
        yield
    finally:
        _PROGRESS.reset(token)


def _is_transient(task: Any, run: Any, state: Any) -> bool:
    """Only what may be there next time is tried again; a wrong request never is."""
    return isinstance(state.result(raise_on_failure=False), Unavailable)


_RETRIED: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [2, 10, 30],
    "retry_condition_fn": _is_transient,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


@task(task_run_name="plan", **_RETRIED)
def plan_area(request: MapRequest) -> Plan:
    """Finds the items and the tiles."""
    return plan(request.ingest())


@task(task_run_name="ingest {part.tile.id}", **_RETRIED)
def ingest_one(the_plan: Plan, part: TileWindow, progress: Progress) -> TileReport:
    """Brings one tile's scenes into its cube."""
    return ingest_tile(the_plan, part, progress=progress)


@task(task_run_name="embed {part.tile.id}", **_RETRIED)
def embed_one(request: EmbedRequest, part: TileWindow, encoder: Encoder, progress: Progress) -> EmbedReport:
    """Makes the fields of one tile."""
    return embed_tile(request, part, encoder=encoder, progress=progress)


@task(task_run_name="index {key.tile.id} {key.period}", **_RETRIED)
def index_one(catalog: Catalog, key: FieldKey) -> IndexReport:
    """Puts the cells of one field into the index."""
    return index_field(catalog, key)


@flow(name="map", validate_parameters=False, task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]
def map_flow(request: dict[str, Any]) -> dict[str, Any]:
    """Runs the main job.

    Args:
        request: fields of `earthfield.schemas.MapRequest`.

    Returns:
        The `MapReport` as JSON content.

    Raises:
        InvalidInput: the request is wrong.
        NotFound: nothing in the area or period.
        BrokenArtefact: an item cannot be read, and the request does not say to skip such.
        Unavailable: a peer or the disk failed, also after retries.
    """
    started, progress = time.monotonic(), _PROGRESS.get()
    wanted = checked_request(MapRequest, **request)
    # Before any scene is read: a wrong model name should cost nothing.
    encoder = connect_encoder(wanted.catalog_root, wanted.model, wanted.encoder, precision=wanted.precision)
    the_plan = plan_area(wanted)
    running = [ingest_one.submit(the_plan, part, progress) for part in the_plan.tiles]
    tiles = [one.result() for one in running]
    ingested = summarise(the_plan, tiles, seconds=time.monotonic() - started)
    ingested.check_complete()
    embedded = EmbedReport()
    for part in the_plan.tiles:
        embedded = embedded.merge(embed_one(wanted.embed(), part, encoder, progress))
    indexed = IndexReport()
    for one in embedded.present:
        key = FieldKey(one.model, Tile.parse(one.tile), Period.parse(one.period))
        indexed = indexed.merge(index_one(wanted.catalog_root, key))
    report = MapReport(ingested, embedded, indexed, time.monotonic() - started)
    _keep(wanted, report)
    return as_json(report)


def _keep(request: MapRequest, report: MapReport) -> None:
    """Keeps the report of a run that made something; one that found all there leaves the root as it was."""
    is_new = (
        report.ingest.items_read or report.index.written or any(one.written for one in report.embed.fields)
    )
    if is_new:
        name = hash_of(request.model_dump(mode="json", exclude={"root"}))[:16]
        content = {"request": request.model_dump(mode="json"), "report": as_json(report)}
        write_json(request.catalog_root.report("map", name), content)
