"""Jobs: a request becomes a plan, a plan becomes cubes, tile by tile."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earthfield.area import inside_mask
from earthfield.cube import STEPS_PER_CHUNK, Cube
from earthfield.errors import BrokenArtefact
from earthfield.grid import TileWindow, Window
from earthfield.progress import Progress, silent
from earthfield.schemas import IngestReport, IngestRequest
from earthfield.sources import Source, source_named
from earthfield_ingest.compose import UNREADABLE, Composed, compose, unseen
from earthfield_ingest.ledger import Entry, Ledger, StepWork, pending
from earthfield_ingest.plan import Plan, plan
from earthfield_ingest.read import Grid, SceneReader
from earthfield_ingest.report import TileReport, TileSource, summarise
from earthfield_ingest.scene import Scene
from earthfield_ingest.write import CubeWriter, SourceWriter, ledger_of, make_repository, only_writer

__all__ = ["Plan", "TileReport", "ingest", "ingest_tile", "plan", "summarise"]

log = logging.getLogger(__name__)


def ingest(request: IngestRequest, *, progress: Progress = silent) -> IngestReport:
    """Brings the scenes that a request asks for into the cubes of its tiles; what is there is not read again.

    Raises:
        EarthfieldError: as `plan` and `ingest_tile`.
    """
    began = time.monotonic()
    made = plan(request)
    reports = [ingest_tile(made, window, progress=progress) for window in made.tiles]
    report = summarise(made, reports, seconds=time.monotonic() - began)
    log.info("ingested %d items into %d tiles in %.1f s", report.items_read, len(reports), report.seconds)
    return report


def ingest_tile(plan: Plan, tile_window: TileWindow, *, progress: Progress = silent) -> TileReport:
    """Brings a plan's scenes into the cube of one tile, in one commit or none.

    It may be called again after any failure: what is not committed never happened.

    Args:
        plan: what is wanted.
        tile_window: one of the plan's tiles.
        progress: told after each 5-day step.

    Raises:
        BrokenArtefact: an asset cannot be read and the request does not skip such.
        Unavailable: the network fails, the disk is full, or another ingest writes this cube.
        InvalidInput: the root cannot be written.
        Conflict: the cube was made with other bands.
    """
    began = time.monotonic()
    job = _TileJob(plan, tile_window)
    if job.has_work():
        with only_writer(job.path):
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

    def __init__(self, plan: Plan, tile_window: TileWindow) -> None:
        self._plan = plan
        self._tile = tile_window.tile
        self._area = tile_window
        self._window = self._tile.local(tile_window.window)
        self.path: Path = plan.request.catalog_root.cube(self._tile)
        self._details = {name: TileSource() for name in plan.items}
        self._scenes = {name: plan.scenes_in(tile_window, name) for name in plan.items}
        self._snapshot = ""

    def has_work(self) -> bool:
        """Tells whether the cube lacks anything; reads only what the cube remembers."""
        return any(job.work for job in self._jobs())

    def run(self, progress: Progress) -> None:
        """Reads and writes what is missing; the caller holds the cube's lock."""
        make_repository(self.path)
        # Looked up again under the lock: another ingest may just have done the work.
        jobs = [job for job in self._jobs() if job.work]
        total = sum(len(job.work) for job in jobs)
        writer, done = CubeWriter(self.path), 0
        for job in jobs:
            group = writer.source(job.source)
            ledger = dict(job.ledger)
            for work in _by_slot(job.work, group):
                self._compose(job, work, group, ledger)
                done += 1
                progress(f"ingest {self._tile.id}", done, total)
            group.finish(ledger)
        if writer.commit(
            f"ingest {', '.join(job.source.name for job in jobs)} for {self._plan.request.span}"
        ):
            self._snapshot = Cube(self.path).snapshot

    def report(self) -> TileReport:
        """Tells what became of every item, from the cube itself."""
        mask = inside_mask(self._tile.epsg, self._area.window, self._area.area)
        cube = Cube(self.path) if self.path.is_dir() else None
        span = self._plan.request.span
        for name, detail in self._details.items():
            held = cube is not None and name in cube.sources
            ledger = ledger_of(cube.attributes(name)) if cube is not None and held else {}
            for scene in self._scenes[name]:
                if scene.acquired in span:
                    detail.outcomes[scene.id] = scene.flaw or ledger[scene.id].outcome
                    if detail.outcomes[scene.id] == UNREADABLE:
                        detail.unreadable[scene.id] = ledger[scene.id].note
            if cube is not None and held:
                detail.clear_px = dict(self._clear_px(cube, name, mask))
        return TileReport(self._tile.id, int(mask.sum()), self._details, self._snapshot)

    def _clear_px(self, cube: Cube, name: str, mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
        seen = sorted(cube.observations(name, self._plan.request.span), key=lambda one: one.slot)
        for _, run in groupby(seen, key=lambda one: one.slot // STEPS_PER_CHUNK):
            held = list(run)
            valid = cube.read_valid(name, [one.slot for one in held], self._window)
            yield from ((one.step, int((clear & mask).sum())) for one, clear in zip(held, valid, strict=True))

    def _jobs(self) -> list[_SourceJob]:
        cube = Cube(self.path) if self.path.is_dir() else None
        jobs = []
        for name, scenes in self._scenes.items():
            source = source_named(name)
            ledger = ledger_of(cube.attributes(name)) if cube is not None and name in cube.sources else {}
            again = self._worth_another_try(source, scenes, ledger)
            jobs.append(
                _SourceJob(source, scenes, ledger, pending(ledger, scenes, self._window, again=again))
            )
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
            if source.quality is not None:
                reader.clear(scene)
            reader.bands(scene)
        except BrokenArtefact:
            return False
        return True

    def _compose(self, job: _SourceJob, work: StepWork, group: SourceWriter, ledger: Ledger) -> None:
        reader = self._reader(job.source, work.window)
        kept = group.stored(work.step, work.window) if work.forgotten else None
        skip = self._plan.request.skip_unreadable
        made = compose(job.source, work.scenes, reader, kept=kept, skip_unreadable=skip)
        if made.frame is not None:
            group.put(made.frame, work.window)
        elif work.step in group.slots:
            group.put(unseen(job.source, work.step, work.scenes[0].acquired, work.window.shape), work.window)
        self._remember(job.source.name, work, made, ledger)
        self._details[job.source.name].bytes_read += reader.bytes_read

    def _remember(self, name: str, work: StepWork, made: Composed, ledger: Ledger) -> None:
        for item, outcome in made.outcomes.items():
            ledger[item] = Entry(outcome, work.step, work.window, made.unreadable.get(item, ""))
        for scene in self._scenes[name]:
            if scene.flaw is not None and scene.id in ledger:
                ledger[scene.id] = replace(ledger[scene.id], outcome=scene.flaw)
        self._details[name].read |= made.read

    def _reader(self, source: Source, window: Window) -> SceneReader:
        zone = self._tile.window
        return SceneReader(source, Grid(self._tile.epsg, window.shifted(zone.y0, zone.x0)))


def _by_slot(work: list[StepWork], group: SourceWriter) -> list[StepWork]:
    """Steps that have a slot first, by slot, then new ones by step: each chunk's run is written once."""
    new = len(group.slots)
    return sorted(work, key=lambda one: (group.slots.get(one.step, new), one.step))
