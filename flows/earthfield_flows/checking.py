"""What a request for a map is checked for before anything is started, and the plan that comes of it.

Whoever mistyped something is told within seconds; the run takes the plan over, so that nothing is looked up twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from earthfield.errors import NotFound, Unavailable
from earthfield.progress import Progress, silent
from earthfield.storage import make_folder

if TYPE_CHECKING:
    from earthfield.schemas import IngestRequest, MapRequest
    from earthfield_ingest.plan import Plan

_PLANNED: ContextVar[Plan | None] = ContextVar("planned", default=None)


def check(request: MapRequest, *, progress: Progress = silent) -> Plan | None:
    """Makes sure that a map can be begun: that there are the model and the scenes, and a root that can be written.

    It reads metadata only, and makes the root's folder where all is well.

    Args:
        request: what is asked for.
        progress: told while the catalogue is searched.

    Returns:
        The plan; None where a server did not answer just now: the run asks again, as often as it is worth.

    Raises:
        NotFound: no such model or catalogue, or nothing in the period.
        InvalidInput: the catalogue is not STAC, the area lies outside of it, the encoder has no good address, or
            the root cannot be written.
        Conflict: the name is that of fields that were imported.
        BrokenArtefact: the catalogue leads in a circle.
    """
    _check_model(request)
    from earthfield_ingest.plan import plan

    try:
        found = plan(request.ingest(), progress=progress)
    except Unavailable:
        found = None
    make_folder(request.catalog_root.folder)
    return found


@contextmanager
def planned(plan: Plan | None) -> Iterator[None]:
    """Has flows that run in this process, inside the block, take this plan for its request."""
    token = _PLANNED.set(plan)
    try:
        yield
    finally:
        _PLANNED.reset(token)


def plan_for(request: IngestRequest) -> Plan | None:
    """Gives the plan that was made before for just this request, None where there is none."""
    plan = _PLANNED.get()
    return plan if plan is not None and plan.request == request else None


def _check_model(request: MapRequest) -> None:
    """Makes sure that there is the model without loading it; what is not plainly there is asked for as runs do."""
    from earthfield_model.folders import model_folder

    if request.encoder is None:
        try:
            model_folder(request.model, request.catalog_root)
        except NotFound:
            pass  # another package may offer it
        else:
            return
    from earthfield_flows.encoder import encoder_of

    try:
        encoder_of(request)
    except Unavailable:
        return
