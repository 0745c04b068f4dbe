"""The main job as a flow: scenes of a catalogue to cubes, fields and cells, tile by tile."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow

from earthfield.schemas import MapReport, MapRequest, as_json
from earthfield.storage import hash_of, write_json
from earthfield_flows.artefacts import show_embed, show_index, show_ingest, show_report
from earthfield_flows.encoder import encoder_of
from earthfield_flows.tasks import FLOW, asked, embed_tiles, index_present, ingest_tiles, plan_area


@flow(name="map", **FLOW)
def map_flow(request: dict[str, Any]) -> dict[str, Any]:
    """Runs the main job.

    Args:
        request: fields of `earthfield.schemas.MapRequest`; the root is that of the worker where none is named.

    Returns:
        The `MapReport` as JSON content.

    Raises:
        InvalidInput: the request is wrong.
        NotFound: nothing in the area or period.
        BrokenArtefact: an item cannot be read, and the request does not say to skip such.
        Unavailable: a peer or the disk failed, also after retries.
    """
    from earthfield_ingest.jobs import summarise

    started = time.monotonic()
    wanted = asked(MapRequest, request)
    # Before any scene is read: a wrong model name should cost nothing.
    encoder = encoder_of(wanted)
    plan = plan_area(wanted.ingest())
    ingested = summarise(plan, ingest_tiles(plan), seconds=time.monotonic() - started)
    ingested.check_complete()
    embedded = embed_tiles(wanted.embed(), plan.tiles, encoder)
    indexed = index_present(wanted.embed(), embedded.present)
    report = MapReport(ingested, embedded, indexed, time.monotonic() - started)
    _keep(wanted, report)
    told = as_json(report)
    show_ingest(told["ingest"])
    show_embed(told["embed"])
    show_index(told["index"])
    show_report("map", told)
    return told


def _keep(request: MapRequest, report: MapReport) -> None:
    """Keeps the report of a run that made something; one that found all there leaves the root as it was."""
    is_new = (
        report.ingest.items_read or report.index.written or any(one.written for one in report.embed.fields)
    )
    if is_new:
        name = hash_of(request.model_dump(mode="json", exclude={"root"}))[:16]
        content = {"request": request.model_dump(mode="json"), "report": as_json(report)}
        write_json(request.catalog_root.report("map", name), content)
