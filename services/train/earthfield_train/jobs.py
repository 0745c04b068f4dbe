"""The training job: cubes in, a model's folder out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version

import torch

from earthfield.errors import Conflict, InvalidInput
from earthfield.progress import Progress, silent
from earthfield.sources import Source
from earthfield.storage import whole_file, write_json
from earthfield_model.alphaearth import CONFIG_FILE, WEIGHTS_FILE, AlphaEarth
from earthfield_train.card import card_of, metrics_of
from earthfield_train.checkpoint import checkpoints
from earthfield_train.dryrun import FIRST_FIT_TIMED, DryRunReport, dry_run
from earthfield_train.journal import Journal, Watch, read_log, unwatched
from earthfield_train.pictures import PICTURE_FILE, draw_losses
from earthfield_train.prepare import Prepared, prepared
from earthfield_train.processes import whole
from earthfield_train.request import TrainRequest

__all__ = ["TrainReport", "TrainRequest", "dry_run_model", "train_model"]

logger = logging.getLogger(__name__)

TRAIN_FILE, CARD_FILE, METRICS_FILE = "train.json", "card.md", "metrics.json"


@dataclass
class TrainReport:
    """What a training run did."""

    model: str
    """Name of the model."""
    path: str
    """Its folder."""
    steps: int
    """Steps that it has behind it."""
    steps_done: int
    """Steps done in this run."""
    parameters: int
    """Learned figures."""
    plots: int
    """Pieces of land that samples were drawn from."""
    fingerprint: str = ""
    """Hash of config and weights; empty where the run was stopped."""
    stopped: int = 0
    """Signal that stopped it before the last step; 0 where it is done."""
    first: dict[str, float] = field(default_factory=dict)
    """Mean figures of the first steps."""
    last: dict[str, float] = field(default_factory=dict)
    """Mean figures of the last steps."""
    health: dict[str, float] = field(default_factory=dict)
    """Health of the embeddings at the end."""
    seconds: float = 0.0
    """Wall time of this run."""


def train_model(
    request: TrainRequest,
    *,
    watch: Watch = unwatched,
    progress: Progress = silent,
    sources: Mapping[str, Source] | None = None,
) -> TrainReport:
    """Trains a model and writes its folder: config, weights, train.json, metrics.json, card and picture.

    Under torchrun every process calls this; the first one writes, all give the same report.

    Args:
        request: what to train, on what.
        watch: told after every step, in the first process.
        progress: told how far the first fit is, before the first step.
        sources: declared sources by name; all known ones when absent.

    Raises:
        NotFound: no cube holds any of the sources; or nothing to resume from.
        Conflict: the model is there already, or the checkpoint is of other settings.
        BrokenArtefact: the checkpoint cannot be read, or is of another version.
        InvalidInput: settings do not fit together, or a loss was not finite.
    """
    started = time.perf_counter()
    _check_place(request)
    with prepared(request, sources, progress=progress) as ready:
        trainer, first = ready.trainer, ready.processes.is_first
        if first:
            _write_settings(request, ready)
        resumed_at = trainer.step
        journal = Journal(request.log, events=request.log.with_suffix("")) if first else None
        stopped = trainer.run(request.folder, journal, watch if first else unwatched)
        model = _whole_model(trainer.objective.model)
        report = TrainReport(
            model=request.name, path=str(request.folder), steps=trainer.step, stopped=stopped,
            steps_done=trainer.step - resumed_at, parameters=model.num_parameters, plots=len(ready.plots),
        )  # fmt: skip
        if first and not stopped:
            _write(request, model, ready, report)
        report.seconds = round(time.perf_counter() - started, 2)
        if first:
            write_json(request.catalog_root.report("train", request.name), asdict(report))
            logger.info("trained %s: %d steps in %.0f s", request.name, report.steps_done, report.seconds)
        return ready.processes.from_first(report)


def dry_run_model(request: TrainRequest, *, sources: Mapping[str, Source] | None = None) -> DryRunReport:
    """Tells what a training would take and writes nothing; errors as in `train_model`."""
    batches = request.config.first_fit
    timed = min(batches, FIRST_FIT_TIMED)
    few = {"resume": False, "settings": (*request.settings, f"first_fit={timed}")}
    with prepared(request.model_copy(update=few), sources) as ready:
        return dry_run(ready.trainer, ready.plots, first_fit_s=ready.first_fit_s * batches / max(timed, 1))


def _check_place(request: TrainRequest) -> None:
    """Refuses to write over what is there, and clears it where that is asked for."""
    if request.resume and (request.overwrite or request.start):
        raise InvalidInput("give --resume alone: it goes on from the run's own checkpoint")
    if request.previous and not request.resume:
        raise InvalidInput("--previous chooses a checkpoint to go on from: give it with --resume")
    held = checkpoints(request.folder)
    there = [WEIGHTS_FILE] * (request.folder / WEIGHTS_FILE).is_file() + [one.name for one in held[:1]]
    if there and not request.resume and not request.overwrite:
        raise Conflict(
            f"{request.folder} holds {' and '.join(there)} already: add --resume, --overwrite or another --name"
        )
    if request.overwrite:
        for one in held:
            one.unlink(missing_ok=True)


def _whole_model(model: AlphaEarth) -> AlphaEarth:
    """Gives the model on the CPU, put together from all processes."""
    weights = {name: whole(one) for name, one in model.state_dict().items()}
    with torch.random.fork_rng(devices=[]):
        found = AlphaEarth(model.config)
    found.load_state_dict(weights)
    return found


def _write_settings(request: TrainRequest, ready: Prepared) -> None:
    """Writes the resolved configuration beside the weights to come."""
    content = {
        "schema": "earthfield-train/1",
        "config": asdict(request.config),
        "processes": ready.processes.count,
        "roots": sorted({one.root.name for one in ready.plots}),
        "start": request.start,
        "teachers": list(request.teachers),
        "versions": {name: version(name) for name in ("earthfield", "torch")},
    }
    write_json(request.folder / TRAIN_FILE, content)


def _write(request: TrainRequest, model: AlphaEarth, ready: Prepared, report: TrainReport) -> None:
    """Writes the model's folder and what it says into the report."""
    folder, rows = request.folder, read_log(request.log)
    metrics = metrics_of(model, request.config, ready.plots, rows)
    card = card_of(metrics, model)
    if ready.course:
        from earthfield_train.course import match_lines

        metrics["emulation"] = ready.course.metrics(model)
        card += "\n" + "\n".join(match_lines(metrics["emulation"])) + "\n"
    model.save_pretrained(folder)
    draw_losses(folder / PICTURE_FILE, rows)
    with whole_file(folder / CARD_FILE) as temporary:
        temporary.write_text(card)
    # Last, because it says that the model is whole.
    write_json(folder / METRICS_FILE, metrics)
    for name in ("fingerprint", "first", "last", "health"):
        setattr(report, name, metrics[name])
    logger.info("wrote %s and %s", folder / CONFIG_FILE, folder / WEIGHTS_FILE)
