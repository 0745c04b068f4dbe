"""Course: all that an emulation run needs of its teacher: what to learn from, what is held out, what to report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from earthfield.storage import hash_of
from earthfield_model.alphaearth import AlphaEarth
from earthfield_train.config import TrainConfig
from earthfield_train.emulate import EmulateSampler, Lesson, find_lessons, parted
from earthfield_train.heldout import CLOSE, match_of
from earthfield_train.plots import Plot, PlotStore
from earthfield_train.teacher import Teacher, open_teacher


@dataclass(frozen=True)
class Course:
    """A teacher, and the plots that it says something of, dealt out."""

    teacher: Teacher
    """The fields to match."""
    store: PlotStore
    """Reads cubes."""
    learned: Sequence[Lesson]
    """Plots to learn from."""
    held_out: Sequence[Lesson]
    """Plots that only judge."""
    config: TrainConfig
    """The run."""

    @property
    def plots(self) -> list[Plot]:
        """Plots to learn from."""
        return [one.plot for one in self.learned]

    def sampler(self) -> EmulateSampler:
        """Gives what draws the batches."""
        return EmulateSampler(self.learned, self.store, self.teacher, self.config)

    def facts(self) -> dict[str, Any]:
        """Gives what tells the teacher apart, wherever its files lie: a run goes on with the same one only."""
        files = [
            (one.path.name, str(one.period), one.epsg, one.transform, one.shape, one.path.stat().st_size)
            for one in self.teacher.layers
        ]
        return {"teacher": {"files": len(files), "state": hash_of(files)[:16]}}

    def metrics(self, model: AlphaEarth) -> dict[str, Any]:
        """Gives what metrics.json tells of the match with the teacher, in its entry `emulation`."""
        periods = sorted({str(period) for one in self.learned for period in one.periods})
        match = match_of(model, self.held_out, self.store, self.teacher, self.config)
        return {"files": len(self.teacher.layers), "periods": periods, "held_out": asdict(match)}


def open_course(
    teachers: Sequence[str], plots: Sequence[Plot], store: PlotStore, config: TrainConfig
) -> Course:
    """Opens the teachers and deals out the plots that they say something of.

    Args:
        teachers: as in `open_teacher`.
        plots: pieces of land that cubes hold.
        store: reads them.
        config: the run.

    Raises:
        InvalidInput: no teacher is named, or one is of another form.
        NotFound: a teacher is not there, or says nothing of any plot.
    """
    teacher = open_teacher(teachers, cache_gb=config.emulate.cache_gb)
    lessons = find_lessons(plots, teacher)
    learned, held_out = parted(lessons, share=config.emulate.held_out, seed=config.seed)
    return Course(teacher, store, learned, held_out, config)


def match_lines(emulation: Mapping[str, Any]) -> list[str]:
    """Gives the section of a card that tells a match.

    Args:
        emulation: what `Course.metrics` gave.
    """
    match = emulation["held_out"]
    if match["cosine"] is None:
        told = "Nothing was held out: there was one plot only, or none that could be compared."
        return ["## Match with the teacher", told]
    years = ", ".join(f"{name} {value:.3f}" for name, value in match["by_period"].items())
    return [
        "## Match with the teacher",
        f"On {match['plots']} plots that were held out ({match['pixels']:,} pixels of {match['chips']} chips):",
        f"- mean cosine {match['cosine']:.3f} (a constant vector reaches {match['constant']:.3f})",
        f"- pixels with a cosine of at least {CLOSE}: {match['close']:.1%}",
        f"- by period: {years}",
    ]
