"""The flow `evaluate`: fields scored on labels; what was scored once on the same inputs is not scored again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import CacheKeyFnPolicy

from earthfield.schemas import as_json
from earthfield.storage import hash_of, hash_of_file
from earthfield_flows.artefacts import Row, show_links, show_picture, show_report, show_table
from earthfield_flows.progress import teller, told
from earthfield_flows.tasks import FLOW, RETRIED, asked
from earthfield_flows.watching import watched

if TYPE_CHECKING:
    from earthfield.progress import Progress
    from earthfield_train.evaluation.jobs import EvaluateRequest


def inputs_of(request: EvaluateRequest) -> str | None:
    """Gives the hash of everything that an evaluation follows from, or None where that cannot be told.

    The request, the files of labels, what the fields were made from, the commits of the cubes (for the rivals), and
    our own version.
    """
    from importlib.metadata import version

    from earthfield.cube import Cube
    from earthfield.errors import NotFound
    from earthfield.field import fields_of
    from earthfield.timeline import Period

    files = [path for path in (request.labels, request.parcels) if path is not None]
    # A file of one piece: a shapefile has others beside it.
    if not all(path.is_file() and path.suffix.lower() not in (".shp", ".vrt") for path in files):
        return None
    catalog, period = request.catalog_root, Period.parse(request.period).id
    try:
        fields = [one for model in request.models for one in fields_of(catalog, model, period)]
    except NotFound:
        return None
    tiles = sorted({one.key.tile for one in fields})
    places = [catalog.cube(tile) for tile in tiles]
    return hash_of(
        {
            "request": request.model_dump(mode="json"),
            "files": [hash_of_file(path) for path in files],
            "fields": [[one.key.id, one.fingerprint, one.manifest["files"]] for one in fields],
            "cubes": [Cube(place).snapshot if place.exists() else "" for place in places],
            "version": version("earthfield"),
        }
    )


def _key(context: Any, parameters: dict[str, Any]) -> str | None:
    return inputs_of(parameters["request"])


_CACHED: dict[str, Any] = {
    **RETRIED,
    "cache_policy": CacheKeyFnPolicy(cache_key_fn=_key),
    "persist_result": True,
    # Never pickle: what is read back must be nothing but plain values.
    "result_serializer": "json",
}


@task(task_run_name="evaluate {request.period}", **_CACHED)
def evaluate_one(request: EvaluateRequest, progress: Progress | None) -> dict[str, Any]:
    """Scores fields on labels; gives the report as JSON."""
    from earthfield_train.evaluation.jobs import evaluate_fields

    with watched("evaluate"):
        return as_json(evaluate_fields(request, progress=teller(progress)))


@flow(name="evaluate", **FLOW)
def evaluate_flow(request: dict[str, Any]) -> dict[str, Any]:
    """Scores fields on labels.

    Args:
        request: fields of `earthfield_train.evaluation.jobs.EvaluateRequest`; the root is that of the worker where
            none is named.

    Returns:
        The `EvaluateReport` as JSON content.

    Raises:
        InvalidInput: the request is wrong, or the labels cannot be split for so many labels.
        NotFound: there is no such field, label file or class.
    """
    from pathlib import Path

    from earthfield_train.evaluation.jobs import EvaluateRequest

    wanted = asked(EvaluateRequest, request)
    report = evaluate_one(wanted, told())
    if not Path(report["report"]).is_file():  # remembered, but its files are gone
        report = evaluate_one.with_options(refresh_cache=True)(wanted, told())
    path, picture = Path(report["report"]), Path(report["picture"])
    show_table("scores", f"Balanced accuracy on {report['labels']}", [_row(one) for one in report["scores"]])
    show_picture(f"{path.stem} scores", picture)
    show_links("evaluation", {"report": path, "picture": picture})
    show_report("evaluate", report)
    return report


def _row(score: dict[str, Any]) -> Row:
    return {
        "described by": score["features"], "labels a class": score["shots"], "probe": score["probe"],
        "balanced accuracy": round(score["mean"], 4), "s.e.m.": round(score["sem"], 4),
    }  # fmt: skip
