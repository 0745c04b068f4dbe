"""Making a run ready: data, model, objective and trainer out of a request."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.errors import Conflict, InvalidInput, NotFound
from earthfield.progress import Progress, silent
from earthfield.sources import Source, known_sources
from earthfield.storage import hash_of
from earthfield_model.alphaearth import WEIGHTS_FILE, AlphaEarth
from earthfield_model.config import TextConfig, model_config
from earthfield_model.encoder import model_folder
from earthfield_model.widths import widths_named
from earthfield_train.checkpoint import checkpoints, chosen_checkpoint, model_of
from earthfield_train.config import TrainConfig
from earthfield_train.dataset import Sampler, TrainBatch
from earthfield_train.firstfit import fit_embedding
from earthfield_train.objective import Objective, PretrainObjective
from earthfield_train.plots import Plot, PlotStore, find_plots
from earthfield_train.processes import Processes, processes_of
from earthfield_train.request import TrainRequest
from earthfield_train.statistics import check_bands, measured_sources
from earthfield_train.trainer import Trainer

if TYPE_CHECKING:
    from earthfield_train.course import Course
    from earthfield_train.texts.draw import TextsOfRun

logger = logging.getLogger(__name__)

_FIRST_BATCH = 2**41
"""Number of the first batch of the first fit: no training step ever reaches it."""
_FIRST_FRAMES = 2
"""How many times more frames a sample of the first fit may have, because it is looked at in halves."""


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start, in one of its processes."""

    trainer: Trainer
    """Where the run goes on, it stands at the checkpoint already."""
    plots: list[Plot]
    """Where samples come from."""
    processes: Processes
    """Who takes part."""
    course: Course | None = None
    """What is learned from, where that is published embeddings."""
    first_fit_s: float = 0.0
    """Seconds that the first fit took."""


@dataclass(frozen=True)
class _Land:
    """What there is to learn from."""

    sources: Mapping[str, Source]
    plots: list[Plot]
    store: PlotStore


@contextmanager
def prepared(
    request: TrainRequest, sources: Mapping[str, Source] | None = None, *, progress: Progress = silent
) -> Iterator[Prepared]:
    """Makes a run ready; errors as in `train_model`.

    Args:
        request: what to train, on what.
        sources: declared sources by name; all known ones when absent.
        progress: told after each batch of the first fit, in the first process.
    """
    config = request.config
    with processes_of(config.run) as processes:
        drawing = _drawing(config, processes.count * config.accumulate)
        checkpoint = request.checkpoint
        known = known_sources() if sources is None else sources
        land = _Land(
            known,
            find_plots(request.roots, known, config.data),
            PlotStore(known, limit_gb=config.data.cache_gb),
        )
        model = model_of(checkpoint) if checkpoint else _started_from(request) if request.start else None
        if model is not None and not config.data.partial_bands:
            check_bands(model.config, land.plots, land.store)
        course, texts = _course(request, land, drawing), _texts(request, land, model)
        if model is not None and texts and config.objective == "texts":
            from earthfield_train.texts.alone import with_texts

            anew = config.new_texts and checkpoint is None
            model = with_texts(model, texts.config, seed=config.seed, anew=anew)
        sampler = course.sampler() if course else _sampler(land, texts, drawing)
        if model is None:
            model = _new_model(request, land, texts, processes)
        began = time.perf_counter()
        if checkpoint is None and (config.refit or not request.start):
            told = progress if processes.is_first else silent
            _fit_first(model, land, config, again=bool(request.start), progress=told)
        first_fit_s = time.perf_counter() - began
        trainer = Trainer(
            objective_of(model, config),
            sampler,
            config,
            processes=processes,
            data=_data_facts(land.plots) | (course.facts() if course else {}),
        )
        logger.info(
            "%s: %d parameters, %s, %d plots, %d steps, %s", model.config.name, model.num_parameters,
            ", ".join(model.config.source_names), len(land.plots), config.steps, processes.device,
        )  # fmt: skip
        if checkpoint is not None:
            trainer.resume(checkpoint)
        try:
            plots = course.plots if course else land.plots
            yield Prepared(trainer, plots, processes, course, first_fit_s)
        finally:
            trainer.close()


def objective_of(model: AlphaEarth, config: TrainConfig) -> Objective:
    """Gives what a model is to minimise."""
    if config.objective == "emulate":
        from earthfield_train.emulate import EmulateObjective

        return EmulateObjective(model, config)
    if config.objective == "texts":
        from earthfield_train.texts.alone import TextsObjective

        return TextsObjective(model)
    return PretrainObjective(model, config.loss, pack=not config.data.fixed_frames)


def _drawing(config: TrainConfig, parts: int) -> TrainConfig:
    """Lets plots stay in the pool for as many steps where a step takes several batches."""
    return replace(config, data=replace(config.data, pool_steps=config.data.pool_steps * parts))


def _course(request: TrainRequest, land: _Land, config: TrainConfig) -> Course | None:
    if config.objective != "emulate":
        if request.teachers:
            raise InvalidInput("--teacher goes with --objective emulate: give both, or neither")
        return None
    from earthfield_train.course import open_course

    return open_course(request.teachers, land.plots, land.store, config)


def _texts(request: TrainRequest, land: _Land, model: AlphaEarth | None) -> TextsOfRun | None:
    """Gives the texts near the plots, read by the sentence model that the model knows, if it knows any.

    Raises:
        InvalidInput: texts alone are to be learned, and there is no model to learn them beside.
        NotFound: texts alone are to be learned, and there are none.
    """
    config, alone = request.config, request.config.objective == "texts"
    if alone and model is None:
        raise InvalidInput("objective texts teaches a model that is there already: name it with --from")
    wanted = alone or (config.objective == "pretrain" and config.loss.text > 0)
    if not wanted or (model is not None and model.config.text is None and not alone):
        return None
    from earthfield_train.texts.draw import texts_of_run

    known = model.config.text if model is not None else None
    sentences = known.encoder if known else TextConfig.encoder
    found = texts_of_run(request.roots, land.plots, cache=request.catalog_root.folder, sentences=sentences)
    if alone and found is None:
        raise NotFound(
            f"no text lies in reach of the {len(land.plots)} plots of the data: make a table of texts with "
            "`earthfield texts`, in a root that --data names"
        )
    return found


def _sampler(land: _Land, texts: TextsOfRun | None, config: TrainConfig) -> Sampler:
    text_at = texts.text_at if texts else None
    return Sampler(land.plots, land.store, config.data, seed=config.seed, text_at=text_at)


def _new_model(
    request: TrainRequest, land: _Land, texts: TextsOfRun | None, processes: Processes
) -> AlphaEarth:
    # Measured once, so that all processes standardise with the same figures.
    found = measured_sources(land.sources, land.plots, land.store) if processes.is_first else None
    measured = processes.from_first(found)
    config = model_config(request.name, measured, widths_named(request.config.preset))
    # Weights from the seed, without touching the process's own generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.config.seed)
        return AlphaEarth(replace(config, text=texts.config if texts else None))


def _fit_first(
    model: AlphaEarth, land: _Land, config: TrainConfig, *, again: bool, progress: Progress
) -> None:
    """Computes the embedding layer from batches that no step ever sees; every process finds the same."""
    if not config.first_fit:
        return
    longer = {name: _FIRST_FRAMES * most for name, most in config.data.max_frames.items()}
    drawing = replace(config, data=replace(config.data, max_frames=longer, fixed_frames=False))
    sampler = _sampler(land, None, drawing)
    # A pool of plots apart, so that each batch brings other land.
    numbers = range(
        _FIRST_BATCH, _FIRST_BATCH + config.first_fit * config.data.pool_steps, config.data.pool_steps
    )

    def batches() -> Iterator[TrainBatch]:
        for done, number in enumerate(numbers):
            progress("first fit", done, config.first_fit)
            yield sampler.batch(number, max(config.batch, 4), model.config)
        progress("first fit", config.first_fit, config.first_fit)

    told = fit_embedding(model, batches(), seed=config.seed, again=again)
    logger.info("first fit: 64 numbers tell %.0f %% of what they are asked for", told * 100)


def _started_from(request: TrainRequest) -> AlphaEarth:
    """Gives another model under the new name; its stems keep the statistics that its weights know.

    Where that model was never finished, its last checkpoint is taken.

    Raises:
        NotFound: there is no such model.
        Conflict: it is of another preset.
    """
    assert request.start is not None
    folder = request.catalog_root.model(request.start)
    if not (folder / WEIGHTS_FILE).is_file() and checkpoints(folder):
        before = model_of(chosen_checkpoint(folder))
    else:
        before = AlphaEarth.from_pretrained(model_folder(request.start, request.catalog_root))
    if before.config.widths != widths_named(request.config.preset):
        raise Conflict(f"{request.start} is not of the preset {request.config.preset}: name its own --preset")
    model = AlphaEarth(replace(before.config, name=request.name))
    model.load_state_dict(before.state_dict())
    return model


def _data_facts(plots: Sequence[Plot]) -> dict[str, Any]:
    """Gives what tells the data apart, wherever they lie: the plots, and the state of their cubes."""
    cubes = {
        f"{root.name}/{tile}": Cube(Catalog(root).cube(tile)).snapshot
        for root in sorted({one.root for one in plots})
        for tile in Catalog(root).cube_tiles()
    }
    where = [(one.root.name, one.epsg, str(one.window)) for one in plots]
    return {"plots": len(plots), "state": hash_of([cubes, where])[:16]}
