"""The flow `train`: cubes to a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.runtime import flow_run
from prefect.states import Cancelled, State

from earthfield_flows.artefacts import show_links, show_picture, show_report, show_table
from earthfield_flows.progress import teller, told
from earthfield_flows.tasks import FLOW, RETRIED, asked
from earthfield_flows.watching import watched

if TYPE_CHECKING:
    from earthfield.progress import Progress
    from earthfield_train.jobs import TrainReport
    from earthfield_train.request import TrainRequest


@task(task_run_name="train {request.name}", **RETRIED)
def train_one(request: TrainRequest, progress: Progress | None) -> TrainReport:
    """Trains a model; one that is run again goes on from its checkpoint."""
    from earthfield_train.checkpoint import checkpoints
    from earthfield_train.jobs import train_model

    goes_on = _tries() > 1 and bool(checkpoints(request.folder))
    again = {"resume": True, "overwrite": False, "start": None}
    wanted = request.model_copy(update=again) if goes_on else request
    tell, steps = teller(progress), wanted.config.steps
    with watched("train"):
        return train_model(wanted, watch=lambda step, row: tell(f"train {wanted.name}", step, steps))


def _tries() -> int:
    """How often this run has begun; more than once where somebody retried it."""
    return flow_run.run_count or 0


@flow(name="train", **FLOW)
def train_flow(request: dict[str, Any]) -> dict[str, Any] | State[Any]:
    """Trains a model.

    A run that is cancelled keeps a checkpoint: retry it, or ask with `resume`, and it goes on there.

    Args:
        request: fields of `earthfield_train.request.TrainRequest`; the root is that of the worker where none is
            named.

    Returns:
        The `TrainReport` as JSON content.

    Raises:
        InvalidInput: the request is wrong, or a loss was not finite.
        NotFound: no cube holds any of the sources.
        Conflict: the model is there already.
        Unavailable: the disk failed, also after retries.
    """
    from earthfield_train.request import TrainRequest

    report = train_one(asked(TrainRequest, request), told())
    content = asdict(report)
    if report.stopped:
        return Cancelled(message=f"stopped after step {report.steps}, with a checkpoint in {report.path}")
    folder = Path(report.path)
    names = dict.fromkeys([*report.first, *report.last])
    rows = [{"figure": one, "first": report.first.get(one), "last": report.last.get(one)} for one in names]
    show_table("training", f"{report.model}: {report.steps} steps", rows)
    show_picture(f"{report.model} losses", folder / "losses.png")
    show_links("model", {report.model: folder})
    show_report("train", content)
    return content
