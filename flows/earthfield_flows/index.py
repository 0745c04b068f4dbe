"""The flow `index`: fields to cells of the vector index."""

from __future__ import annotations

from typing import Any

from prefect import flow

from earthfield.schemas import IndexRequest, as_json
from earthfield_flows.artefacts import show_index, show_report
from earthfield_flows.progress import told
from earthfield_flows.tasks import FLOW, asked, index_some


@flow(name="index", **FLOW)
def index_flow(request: dict[str, Any]) -> dict[str, Any]:
    """Puts every field of a model into the index.

    Args:
        request: fields of `earthfield.schemas.IndexRequest`; the root is that of the worker where none is named.

    Returns:
        The `IndexReport` as JSON content.

    Raises:
        InvalidInput: the request is wrong.
        NotFound: the model has no field.
        Unavailable: the disk is full, also after retries.
    """
    report = as_json(index_some(asked(IndexRequest, request), None, told()))
    show_index(report)
    show_report("index", report)
    return report
