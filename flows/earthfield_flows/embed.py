"""The flow `embed`: cubes to fields, tile by tile."""

from __future__ import annotations

from typing import Any

from prefect import flow

from earthfield.schemas import EmbedRequest, as_json
from earthfield_flows.artefacts import show_embed, show_report
from earthfield_flows.encoder import encoder_of
from earthfield_flows.tasks import FLOW, asked, embed_tiles


@flow(name="embed", **FLOW)
def embed_flow(request: dict[str, Any]) -> dict[str, Any]:
    """Makes fields.

    Args:
        request: fields of `earthfield.schemas.EmbedRequest`; the root is that of the worker where none is named.

    Returns:
        The `EmbedReport` as JSON content.

    Raises:
        InvalidInput: the request is wrong.
        NotFound: no such model, no cube under the area, or nothing in the period in any tile.
        Unavailable: the encoder or the disk failed, also after retries.
    """
    from earthfield_infer.wanted import tiles_of

    wanted = asked(EmbedRequest, request)
    report = embed_tiles(wanted, tiles_of(wanted), encoder_of(wanted))
    told = as_json(report)
    show_embed(told)
    show_report("embed", told)
    _ = report.present  # raises where no tile has a field
    return told
