"""What is seen of a task and of a run: ids in its log, a span in its trace, figures for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from earthfield import traces
from earthfield.errors import EarthfieldError
from earthfield.log import about
from earthfield_flows.measures import FAILED, MADE, THERE, tell_run, tell_stage

UNFORESEEN = "Unforeseen"
"""Kind of an error that is none of ours."""
SERVICE = "earthfield-flows"


@dataclass
class Work:
    """A piece of work; whoever does it says what came of it."""

    km2: float = 0.0
    """What was made."""
    is_new: bool = True
    """Whether anything was; otherwise it was all there before."""


@contextmanager
def watched(stage: str, tile: str = "") -> Iterator[Work]:
    """Watches a piece of work of a run.

    Args:
        stage: what is done: plan, ingest, embed, index, train, evaluate.
        tile: where, for work on one tile.

    Yields:
        What is told of it in the end.
    """
    from prefect.runtime import flow_run, task_run

    run, work, began = str(flow_run.id or ""), Work(), time.monotonic()
    traces.name_service(SERVICE)
    with (
        about(run=run, flow=flow_run.flow_name, run_name=flow_run.name, task=task_run.name, tile=tile),
        traces.span(
            stage,
            parent=traces.of_run(run) if run else None,
            earthfield__tile=tile or None,
            earthfield__run=run or None,
        ),
    ):
        try:
            yield work
        except BaseException as error:
            tell_stage(stage, FAILED, seconds=time.monotonic() - began, kind=kind_of(error))
            raise
    outcome = MADE if work.is_new else THERE
    tell_stage(stage, outcome, seconds=time.monotonic() - began, km2=work.km2)


def kind_of(error: BaseException) -> str:
    """Names the kind of an error: one of `earthfield.errors`, `Cancelled`, or `UNFORESEEN`."""
    if isinstance(error, EarthfieldError):
        return type(error).__name__
    return UNFORESEEN if isinstance(error, Exception) else "Cancelled"


def tell_over(flow: Any, flow_run: Any, state: Any) -> None:
    """Tells of a run that is over; a hook of every flow."""
    ended = state.timestamp.timestamp()
    began = flow_run.start_time.timestamp() if flow_run.start_time else ended
    name = state.type.value.lower()
    tell_run(flow.name, name, seconds=max(0.0, ended - began))
    traces.name_service(SERVICE)
    traces.keep_run(
        str(flow_run.id), flow.name, began_s=began, ended_s=ended,
        error="" if state.is_completed() else (state.message or state.name or name),
        **{"earthfield.run": str(flow_run.id), "earthfield.run_name": flow_run.name, "earthfield.state": name},
    )  # fmt: skip
