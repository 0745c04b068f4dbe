"""The flow `ingest`: scenes of a catalogue to cubes, tile by tile."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow

from earthfield.schemas import IngestRequest, as_json
from earthfield_flows.artefacts import show_ingest, show_report
from earthfield_flows.tasks import FLOW, asked, ingest_tiles, plan_area


@flow(name="ingest", **FLOW)
def ingest_flow(request: dict[str, Any]) -> dict[str, Any]:
    """Brings scenes into cubes.

    Args:
        request: fields of `earthfield.schemas.IngestRequest`; the root is that of the worker where none is named.

    Returns:
        The `IngestReport` as JSON content.

    Raises:
        InvalidInput: the request is wrong.
        NotFound: nothing in the area or period.
        BrokenArtefact: an item cannot be read, and the request does not say to skip such.
        Unavailable: a peer or the disk failed, also after retries.
    """
    from earthfield_ingest.jobs import summarise

    started = time.monotonic()
    plan = plan_area(asked(IngestRequest, request))
    report = summarise(plan, ingest_tiles(plan), seconds=time.monotonic() - started)
    told = as_json(report)
    show_ingest(told)
    show_report("ingest", told)
    report.check_complete()
    return told
