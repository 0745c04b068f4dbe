"""Tasks that flows are made of: a service's job each, tried again by the kind of its error, a slot at a time.

Services are imported inside the tasks: a worker needs only those of its own pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from earthfield import traces
from earthfield.errors import Unavailable
from earthfield.grid import PIXEL_M
from earthfield.progress import Progress
from earthfield.schemas import (
    EmbedReport,
    EmbedRequest,
    FieldReport,
    IndexReport,
    IndexRequest,
    IngestRequest,
    Request,
    checked_request,
)
from earthfield_flows.checking import plan_for
from earthfield_flows.limits import held, limits_of
from earthfield_flows.notify import tell_failed
from earthfield_flows.progress import teller, told
from earthfield_flows.watching import SERVICE, tell_over, watched

if TYPE_CHECKING:
    from earthfield.catalog import FieldKey
    from earthfield.grid import TileWindow
    from earthfield.ports import Encoder
    from earthfield_ingest.jobs import Plan, TileReport

R = TypeVar("R", bound=Request)

_TILES_AT_A_TIME = 2


def is_transient(task: Any, run: Any, state: Any) -> bool:
    """Only what may be there next time is tried again; a wrong request never is."""
    return isinstance(state.result(raise_on_failure=False), Unavailable)


RETRIED: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [2, 10, 30],
    "retry_condition_fn": is_transient,
    # The jobs compare hashes of their inputs with what lies on the disk; a second memory could only be wrong.
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
"""Settings of every task."""

FLOW: dict[str, Any] = {
    "validate_parameters": False,
    "task_runner": ThreadPoolTaskRunner(max_workers=_TILES_AT_A_TIME),  # type: ignore[arg-type]
    "on_completion": [tell_over],
    "on_failure": [tell_failed, tell_over],
    "on_crashed": [tell_failed, tell_over],
}
"""Settings of every flow."""


def asked(kind: type[R], request: Mapping[str, Any]) -> R:
    """Makes the request of a flow, over this machine's root where it names none.

    Raises:
        InvalidInput: one sentence that names the field and what is wrong.
    """
    from earthfield.settings import Settings

    traces.name_service(SERVICE)
    root = {} if request.get("root") else {"root": Settings().root}
    return checked_request(kind, **{**request, **root})


@contextmanager
def spread(dask: str | None) -> Iterator[bool]:
    """Has tasks that are submitted inside the block run on Dask, where a request asks for that.

    Args:
        dask: address of a scheduler, or `local` for one of our own; None or `none` for threads of this process.

    Yields:
        Whether it is Dask.
    """
    context = FlowRunContext.get()
    if dask in (None, "none") or context is None:
        yield False
        return
    from prefect_dask import DaskTaskRunner

    workers = {"cluster_kwargs": {"threads_per_worker": 1, "dashboard_address": None}}
    runner: Any = DaskTaskRunner(**(workers if dask == "local" else {"address": dask}))
    with runner, context.model_copy(update={"task_runner": runner}):
        yield True


@task(task_run_name="plan", **RETRIED)
def plan_area(request: IngestRequest) -> Plan:
    """Finds the items and the tiles."""
    from earthfield_ingest.jobs import plan

    with watched("plan"):
        return plan_for(request) or plan(request)


@task(task_run_name="ingest {part.tile.id}", **RETRIED)
def ingest_one(plan: Plan, part: TileWindow, progress: Progress | None) -> TileReport:
    """Brings one tile's scenes into its cube."""
    from earthfield_ingest.jobs import ingest_tile

    with held(limits_of(part.tile, plan.request.catalog)), watched("ingest", part.tile.id) as work:
        report = ingest_tile(plan, part, progress=teller(progress))
        work.is_new = bool(report.snapshot)
        work.km2 = report.area_px * (PIXEL_M / 1000) ** 2 if work.is_new else 0.0
        return report


@task(task_run_name="embed {part.tile.id}", **RETRIED)
def embed_one(
    request: EmbedRequest, part: TileWindow, encoder: Encoder | None, progress: Progress | None
) -> EmbedReport:
    """Makes the fields of one tile."""
    from earthfield_infer.jobs import embed_tile

    with held(limits_of(part.tile)), watched("embed", part.tile.id) as work:
        report = embed_tile(request, part, encoder=encoder, progress=teller(progress))
        work.km2 = report.km2
        work.is_new = work.km2 > 0
        return report


@task(task_run_name="index {request.model}", **RETRIED)
def index_some(
    request: IndexRequest, keys: Sequence[FieldKey] | None, progress: Progress | None
) -> IndexReport:
    """Puts the cells of fields into the index; of every field of the model where none are named."""
    from earthfield_search.jobs.index import index_fields

    with watched("index") as work:
        report = index_fields(request, keys, progress=teller(progress))
        work.is_new = bool(report.written)
        return report


def ingest_tiles(plan: Plan) -> list[TileReport]:
    """Ingests a plan's tiles side by side."""
    with spread(plan.request.dask) as is_far:
        progress = None if is_far else told()
        # Quoted, or Prefect looks through every item for results of other tasks; Dask would unpack quotes.
        plans = [plan.only(part) for part in plan.tiles]
        given = plans if is_far else [cast("Plan", quote(one)) for one in plans]
        running = [
            ingest_one.submit(own, part, progress) for own, part in zip(given, plan.tiles, strict=True)
        ]
        return [one.result() for one in running]


def embed_tiles(request: EmbedRequest, parts: Iterable[TileWindow], encoder: Encoder) -> EmbedReport:
    """Makes the fields of tiles, one after the other: an encoder takes every core."""
    report = EmbedReport()
    for part in parts:
        report = report.merge(embed_one(request, part, encoder, told()))
    return report


def index_present(request: EmbedRequest, fields: Iterable[FieldReport]) -> IndexReport:
    """Puts the cells of the fields that an embedding found or made into the index."""
    from earthfield.catalog import FieldKey
    from earthfield.grid import Tile
    from earthfield.timeline import Period

    keys = [FieldKey(one.model, Tile.parse(one.tile), Period.parse(one.period)) for one in fields]
    return index_some(checked_request(IndexRequest, root=request.root, model=request.model), keys, told())
