"""Jobs: a request becomes a plan, a plan becomes cubes, tile by tile."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from earthfield.area import inside_mask
from earthfield.cube import STEPS_PER_CHUNK, Cube
from earthfield.errors import BrokenArtefact, Unavailable
from earthfield.grid import TileWindow, Window
from earthfield.progress import Progress, silent
from earthfield.schemas import IngestReport, IngestRequest
from earthfield.sources import Source, source_named
from earthfield_ingest.compose import UNREADABLE, WAITS, Composed, compose, unseen
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.ledger import Entry, Ledger, StepWork, pending
from earthfield_ingest.parallel import LOCAL, bound_memory, in_order, over_workers
from earthfield_ingest.plan import Plan, fetcher_for, plan
from earthfield_ingest.readers import Grid, SceneReader, reader_for
from earthfield_ingest.reference import REFERENCE, Registration, can_be_moved, check_alike, make_reference
from earthfield_ingest.report import TileReport, TileSource, summarise
from earthfield_ingest.repository import make_repository, only_writer
from earthfield_ingest.scene import Scene, is_remote
from earthfield_ingest.write import CubeWriter, SourceWriter, ledger_of

__all__ = ["Plan", "TileReport", "ingest", "ingest_tile", "plan", "summarise"]

log = logging.getLogger(__name__)

_REMOTE_THREADS = 8
_LOCAL_THREADS = 4
_WIDE_PX = 512 * 512
_WORTH_WORKERS_PX = 500_000_000
"""Band pixels from which on several tiles are worth a Dask cluster, which takes some seconds to start."""


def ingest(request: IngestRequest, *, made: Plan | None = None, progress: Progress = silent) -> IngestReport:
    """Brings the scenes that a request asks for into the cubes of its tiles; what is there is not read again.

    Args:
        request: what is wanted.
        made: its plan, where the caller has made it already.
        progress: told after each 5-day step, or each tile where several are made at a time.

    Raises:
        EarthfieldError: as `plan` and `ingest_tile`.
    """
    began = time.monotonic()
    made = made or plan(request, progress=progress)
    reports = _over_tiles(made, progress)
    report = summarise(made, reports, seconds=time.monotonic() - began)
    log.info("ingested %d items into %d tiles in %.1f s", report.items_read, len(reports), report.seconds)
    return report


def _over_tiles(plan: Plan, progress: Progress) -> list[TileReport]:
    """Ingests a plan's tiles: on Dask where that is asked for, or where there is much to do in several tiles."""
    dask = plan.request.dask
    # Two cores are kept busy by one process already.
    many_cores = (os.cpu_count() or 1) > 2
    if dask is None and many_cores and len(plan.tiles) > 1 and plan.num_px > _WORTH_WORKERS_PX:
        dask = LOCAL
    if dask in (None, "none"):
        fetcher = fetcher_for(plan.request)
        return [ingest_tile(plan, window, progress=progress, fetcher=fetcher) for window in plan.tiles]
    tasks = [plan.only(window) for window in plan.tiles]
    return over_workers(_ingest_only, tasks, scheduler=dask, name="ingest tiles", progress=progress)


def _ingest_only(plan: Plan) -> TileReport:
    """Ingests a plan of one tile; what a Dask worker does."""
    return ingest_tile(plan, plan.tiles[0], cores=1)


def ingest_tile(
    plan: Plan,
    tile_window: TileWindow,
    *,
    progress: Progress = silent,
    fetcher: Fetcher | None = None,
    cores: int | None = None,
) -> TileReport:
    """Brings a plan's scenes into the cube of one tile, in one commit or none.

    It may be called again after any failure: what is not committed never happened.

    Args:
        plan: what is wanted.
        tile_window: one of the plan's tiles.
        progress: told after each 5-day step.
        fetcher: what opens files; one of its own where several tiles do not share one.
        cores: how many it may keep busy; all of the machine's where absent.

    An item that cannot be read does not stop the others: its 5-day step is left for the next run (or, where the
    request says to skip such items, made without it), and the report names it.

    Raises:
        Unavailable: the disk is full, or another ingest writes this cube.
        InvalidInput: the root cannot be written.
        Conflict: the cube was made with other bands, or without the co-registration that is asked for.
    """
    began = time.monotonic()
    bound_memory()
    job = _TileJob(plan, tile_window, fetcher or fetcher_for(plan.request), cores or os.cpu_count() or 1)
    if job.has_work():
        with only_writer(job.place):
            job.run(progress)
    report = job.report()
    report.seconds = round(time.monotonic() - began, 3)
    return report


@dataclass(frozen=True)
class _SourceJob:
    """One source's part of a tile's job."""

    source: Source
    scenes: list[Scene]
    ledger: Ledger
    work: list[StepWork]


class _TileJob:
    """One tile's ingest: what is missing, reading it, writing it, and the report."""

    def __init__(self, plan: Plan, tile_window: TileWindow, fetcher: Fetcher, cores: int) -> None:
        self._plan, self._fetcher, self._cores = plan, fetcher, cores
        self._tile = tile_window.tile
        self._area = tile_window
        self._window = self._tile.local(tile_window.window)
        self.place = plan.request.catalog_root.cube(self._tile)
        self._details = {name: TileSource() for name in plan.items}
        self._scenes = {name: plan.scenes_in(tile_window, name) for name in plan.items}
        self._snapshot = ""

    def has_work(self) -> bool:
        """Tells whether the cube lacks anything; reads only what the cube remembers."""
        return any(job.work for job in self._jobs())

    def run(self, progress: Progress) -> None:
        """Reads and writes what is missing; the caller holds the cube's lock."""
        make_repository(self.place)
        # First of all: what another ingest commits from here on makes the commit below refuse.
        writer = CubeWriter(self.place, self._tile)
        # Looked up again: another ingest may just have done the work.
        jobs = [job for job in self._jobs() if job.work]
        total = sum(len(job.work) for job in jobs)
        done = 0
        for job in jobs:
            began = time.monotonic()
            group = writer.source(job.source)
            ledger = dict(job.ledger)
            registration = self._registration(job, group)
            for work, made in self._composed(job, group, registration):
                self._keep(job, work, made, group, ledger)
                done += 1
                progress(f"ingest {self._tile.id}", done, total)
            group.finish(ledger)
            self._details[job.source.name].seconds += time.monotonic() - began
        if writer.commit(
            f"ingest {', '.join(job.source.name for job in jobs)} for {self._plan.request.span}"
        ):
            self._snapshot = Cube(self.place).snapshot

    def report(self) -> TileReport:
        """Tells what became of every item, from the cube itself."""
        inside = inside_mask(self._tile.epsg, self._area.window, self._area.area)
        cube = Cube(self.place) if self.place.exists() else None
        span = self._plan.request.span
        for name, detail in self._details.items():
            source = source_named(name)
            mask = inside if source.lattice is None else np.ones(source.grid(self._tile).shape, bool)
            detail.area_px = int(np.count_nonzero(mask))
            held = cube is not None and name in cube.sources
            ledger = ledger_of(cube.attributes(name)) if cube is not None and held else {}
            for scene in self._scenes[name]:
                if scene.inside(span):
                    entry = ledger.get(scene.id)
                    left = scene.flaw or detail.left.get(scene.id)
                    detail.outcomes[scene.id] = left or ledger[scene.id].outcome
                    if entry is not None and detail.outcomes[scene.id] == UNREADABLE:
                        detail.unreadable[scene.id] = entry.note
            if cube is not None and held:
                detail.clear_px = dict(self._clear_px(cube, source, mask))
                if REFERENCE in cube.attributes(name):
                    seen = cube.observations(name, span)
                    detail.shifts = {
                        key: one for step in seen for key, one in step.about.get("shifts", {}).items()
                    }
        return TileReport(self._tile.id, int(np.count_nonzero(inside)), self._details, self._snapshot)

    def _clear_px(self, cube: Cube, source: Source, mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
        """Counts for each step of the period the pixels of the area that it shows."""
        span = self._plan.request.span if source.cadence == "instant" else None
        seen = sorted(cube.observations(source.name, span), key=lambda one: one.slot)
        window = source.window(self._tile, self._window)
        for _, run in groupby(seen, key=lambda one: one.slot // STEPS_PER_CHUNK):
            held = list(run)
            valid = cube.read_valid(source.name, [one.slot for one in held], window)
            yield from (
                (one.step, int(np.count_nonzero(clear & mask)))
                for one, clear in zip(held, valid, strict=True)
            )

    def _jobs(self) -> list[_SourceJob]:
        cube = Cube(self.place) if self.place.exists() else None
        jobs = []
        for name, scenes in self._scenes.items():
            source = source_named(name)
            attributes = cube.attributes(name) if cube is not None and name in cube.sources else {}
            check_alike(self.place, source, attributes, coregister=self._plan.request.coregister)
            ledger = ledger_of(attributes)
            again = self._worth_another_try(source, scenes, ledger)
            window = source.window(self._tile, self._window)
            jobs.append(_SourceJob(source, scenes, ledger, pending(ledger, scenes, window, again=again)))
        return jobs

    def _worth_another_try(self, source: Source, scenes: list[Scene], ledger: Ledger) -> frozenset[str]:
        """Ids of items that could not be read last time, unless they are to be skipped and are no better now."""
        failed = [one for one in scenes if one.id in ledger and ledger[one.id].outcome == UNREADABLE]
        if not self._plan.request.skip_unreadable:
            return frozenset(one.id for one in failed)
        return frozenset(one.id for one in failed if self._is_readable(source, one, ledger[one.id].window))

    def _is_readable(self, source: Source, scene: Scene, window: Window) -> bool:
        reader = self._reader(source, window)
        try:
            if source.quality:
                reader.clear(scene)
            reader.bands(scene)
        except (BrokenArtefact, Unavailable):
            return False
        return True

    def _registration(self, job: _SourceJob, group: SourceWriter) -> Registration | None:
        """Gives what moves the source's scenes onto the cube's reference, which is made here if it is the first."""
        source = job.source
        if not can_be_moved(source) or not (self._plan.request.coregister or group.coregistered):
            return None
        reference = group.reference
        if reference is None:
            reference = make_reference(source, self._tile, job.scenes, self._fetcher)
            group.keep_reference(reference)
        return Registration(source, self._tile, reference, self._fetcher)

    def _composed(
        self, job: _SourceJob, group: SourceWriter, registration: Registration | None
    ) -> Iterator[tuple[StepWork, Composed]]:
        """Composes a source's steps in the order in which they are written, several at a time."""

        def one(work: StepWork) -> Composed:
            reader: SceneReader = (
                registration.reader(work.window) if registration else self._reader(job.source, work.window)
            )
            made = compose(job.source, work.scenes, reader, kept=kept[work.step])
            if registration and made.frame is not None:
                made.frame = registration.told(made.frame)
            self._details[job.source.name].bytes_read += reader.bytes_read
            return made

        ordered = _by_slot(job.work, group)
        # Read here: the threads below must not meet the writer.
        kept = {
            work.step: group.stored(work.step, work.window) if work.forgotten else None for work in ordered
        }
        yield from in_order(one, ordered, num_threads=self._num_threads(job))

    def _num_threads(self, job: _SourceJob) -> int:
        """Threads pay where waiting or decoding dominates, not for small files on the disk."""
        if any(is_remote(asset["href"]) for scene in job.scenes[:1] for asset in scene.assets.values()):
            return _REMOTE_THREADS
        wide = math.prod(self._window.shape) >= _WIDE_PX
        return min(_LOCAL_THREADS, self._cores) if wide else 1

    def _keep(
        self, job: _SourceJob, work: StepWork, made: Composed, group: SourceWriter, ledger: Ledger
    ) -> None:
        """Writes a step and remembers its items, unless one of them must be waited for."""
        detail = self._details[job.source.name]
        detail.read |= made.read
        skip = self._plan.request.skip_unreadable
        if made.unanswered or (made.unreadable and not skip):
            detail.unreadable |= made.unreadable
            detail.unanswered |= made.unanswered
            waiting = dict.fromkeys((scene.id for scene in work.scenes), WAITS)
            stopped = {name: made.outcomes[name] for name in (*made.unreadable, *made.unanswered)}
            detail.left |= waiting | stopped
            return
        if made.frame is not None:
            group.put(made.frame, work.window)
        elif work.step in group.slots:
            group.put(unseen(job.source, work.step, work.scenes[0].acquired, work.window.shape), work.window)
        for item, outcome in made.outcomes.items():
            ledger[item] = Entry(outcome, work.step, work.window, made.unreadable.get(item, ""))
        for scene in job.scenes:
            if scene.flaw is not None and scene.id in ledger:
                ledger[scene.id] = replace(ledger[scene.id], outcome=scene.flaw)

    def _reader(self, source: Source, window: Window) -> SceneReader:
        return reader_for(source, Grid.of(source, self._tile, window), self._fetcher)


def _by_slot(work: list[StepWork], group: SourceWriter) -> list[StepWork]:
    """Steps that have a slot first, by slot, then new ones by step: each chunk's run is written once."""
    new = len(group.slots)
    return sorted(work, key=lambda one: (group.slots.get(one.step, new), one.step))
