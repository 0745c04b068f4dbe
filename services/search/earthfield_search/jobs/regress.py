"""How much is there at every pixel? Numbers told from labels, and scored on labels that lie elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.grid import Window
from earthfield.progress import Progress, silent
from earthfield.storage import write_json
from earthfield_analysis.learn import NumberScore, Regressor, fit_numbers, lay_blocks, score_numbers
from earthfield_search.files.answers import texts
from earthfield_search.files.rasters import write_strips
from earthfield_search.ground.coverage import Coverage
from earthfield_search.jobs.learning import (
    LearnQuestion,
    Task,
    Training,
    named_folder,
    opened,
    tiles_of,
    training_of,
)
from earthfield_search.labels import Labels
from earthfield_search.learning.prediction import Layer, Predicted, predicted

log = logging.getLogger(__name__)

CAUTION = (
    "The score holds for land like the labelled; a linear map goes on beyond the numbers that it was shown."
)


@dataclass(frozen=True)
class RegressQuestion(LearnQuestion):
    """How much is there at every pixel? Errors as in `LearnQuestion`."""


@dataclass(frozen=True)
class RegressAnswer:
    """A number for every pixel."""

    model: str
    """The model."""
    period: str
    """The valid period that was mapped."""
    method: str
    """The estimator."""
    labels: str
    """Name of the labels; empty where they were handed over."""
    column: str
    """Column that the numbers came from."""
    tiles: list[str]
    """Tiles that were mapped."""
    pixels: int
    """Pixels with data."""
    mean: float
    """Mean over them."""
    std: float
    """Standard deviation over them."""
    smallest: float
    """Least of them."""
    largest: float
    """Largest of them."""
    label_smallest: float
    """Least number that was learnt from."""
    label_largest: float
    """Largest number that was learnt from."""
    beyond: float
    """Share of pixels below the least or above the largest label, 0..1."""
    score: NumberScore
    """How well labels are told by labels of other blocks."""
    training: Training
    """What was learnt from."""
    caution: str = CAUTION
    """What must be kept in mind."""
    files: list[str] = field(default_factory=list)
    """What was written."""
    seconds: float = 0.0
    """Wall time."""


def regress_fields(
    catalog: Catalog,
    question: RegressQuestion,
    *,
    labels: Labels | None = None,
    owner: str = "",
    folder: Path | None = None,
    progress: Progress = silent,
) -> RegressAnswer:
    """Learns numbers from labels and tells one for every pixel, wall to wall.

    Writes for each group of touching tiles a GeoTIFF (float32, NaN for no data) and a PNG, and a JSON report.
    Arguments and errors as in `classify_fields`.

    Raises:
        InvalidInput: the labels are no numbers, or all the same.
    """
    started = time.monotonic()
    numbers = labels.numbers() if labels is not None else None
    task = opened(catalog, question, labels, kind="numbers", owner=owner, progress=progress)
    samples = task.samples
    values = (task.labels.numbers() if numbers is None else numbers)[samples.label]
    blocks = lay_blocks(
        samples.lon, samples.lat, samples.label, np.zeros(len(values), int), side_m=question.block_m
    )
    score = score_numbers(samples.vectors, values, blocks, method=question.method, seed=question.seed)
    fitted = fit_numbers(
        samples.vectors, values, method=question.method, groups=blocks.number, seed=question.seed
    )
    progress("learning", 1, 1)
    map_ = _Map(task, question, fitted, (float(values.min()), float(values.max())))
    for coverage in task.coverages:
        map_.write(coverage, named_folder(catalog, folder), progress)
    report = named_folder(catalog, folder) / f"{task.name}.json"
    answer = RegressAnswer(
        model=question.model, period=question.period, method=question.method, labels=question.labels,
        column=task.labels.column, tiles=tiles_of(task.coverages), **map_.told(), score=score,
        training=training_of(task, samples), files=texts([*map_.paths, report]),
        seconds=time.monotonic() - started,
    )  # fmt: skip
    write_json(report, asdict(answer))
    log.info("told numbers from %d labels of %s", answer.training.used, question.model)
    return answer


class _Map:
    """Writes the rasters of one answer, and sums up what is in them."""

    def __init__(
        self, task: Task, question: RegressQuestion, fitted: Regressor, known: tuple[float, float]
    ) -> None:
        self.paths: list[Path] = []
        self._task, self._question, self._fitted, self._known = task, question, fitted, known
        self._count, self._sum, self._power, self._beyond = 0, 0.0, 0.0, 0
        self._least, self._most = float("inf"), float("-inf")

    def write(self, coverage: Coverage, folder: Path, progress: Progress) -> None:
        """Maps one coverage."""
        from earthfield_search.files.pictures import draw_values

        path = folder / f"{self._task.name}{coverage.suffix}.tif"
        column = self._task.labels.column or "value"
        layers = {column: Layer("float32", float("nan"))}
        about = {
            "model": self._question.model,
            "period": self._question.period,
            "method": self._question.method,
        }
        with predicted(coverage, layers, self._numbers, beside=folder, progress=progress) as found:
            raster = write_strips(
                path, coverage, self._counted(found, column), dtype=np.float32, nodata=float("nan"), name=column,
                tags=about,
            )  # fmt: skip
        title = f"{column}: {self._question.model}, {self._question.period} ({self._question.method})"
        picture = draw_values(path.with_suffix(".png"), raster.view, coverage, title=title, meaning=column)
        self.paths += [path, picture]

    def _numbers(self, vectors: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [self._fitted.numbers(vectors)]

    def _counted(self, found: Predicted, name: str) -> Iterator[tuple[Window, NDArray[Any]]]:
        low, high = self._known
        for window, values in found.strips(name):
            known = values[np.isfinite(values)].astype(np.float64)
            if known.size:
                self._count += known.size
                self._sum += float(known.sum())
                # Around a number near the mean, so that squares do not cancel.
                self._power += float(np.square(known - low).sum())
                self._beyond += int(((known < low) | (known > high)).sum())
                self._least, self._most = min(self._least, known.min()), max(self._most, known.max())
            yield window, values

    def told(self) -> dict[str, Any]:
        """Sums up, once all is mapped."""
        low, high = self._known
        count = max(self._count, 1)
        mean = self._sum / count
        spread = max(self._power / count - (mean - low) ** 2, 0.0)
        return {
            "pixels": self._count, "mean": mean, "std": spread**0.5,
            "smallest": float(self._least) if self._count else mean,
            "largest": float(self._most) if self._count else mean,
            "label_smallest": low, "label_largest": high, "beyond": self._beyond / count,
        }  # fmt: skip
