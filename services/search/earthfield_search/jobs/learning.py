"""What classify and regress share: the question's labels, their training vectors, and where the files go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import InvalidInput
from earthfield.field import Field, fields_of
from earthfield.progress import Progress
from earthfield.storage import hash_of
from earthfield.timeline import Period
from earthfield_analysis.learn import METHODS, Method
from earthfield_search.files.answers import answer_name
from earthfield_search.ground.comparable import check_comparable
from earthfield_search.ground.coverage import Coverage, coverages
from earthfield_search.ground.places import shape_of
from earthfield_search.labels import Labels, load_labels
from earthfield_search.learning.samples import Drawing, Samples, gather

HECTARE_PX = 100
_MOST_POLYGON_PX = 100_000


@dataclass(frozen=True)
class LearnQuestion:
    """What labels say about every pixel.

    Raises:
        InvalidInput: a value is of another kind, or out of range.
    """

    model: str
    """Name of a model."""
    period: str
    """Valid period that is mapped, and that labels without dates are read from."""
    labels: str = ""
    """Name of labels that are kept; empty where they are handed over beside the question."""
    method: Method = "linear"
    """`linear`, `knn` or `forest`."""
    area: str | None = None
    """Area to map, WKT or GeoJSON in degrees; everything that the model has in the period where absent."""
    polygon_px: int = 100
    """Most pixels of one polygon that are learnt from."""
    block_m: float | None = None
    """Side of the blocks in which scores are made, metres; found from where labels lie where absent."""
    seed: int = 0
    """Of every draw."""

    def __post_init__(self) -> None:
        checked_name(self.model)
        if self.labels:
            checked_name(self.labels)
        object.__setattr__(self, "period", str(Period.parse(self.period)))
        if self.method not in METHODS:
            raise InvalidInput(f"method {self.method!r} is unknown; take {', '.join(METHODS)}")
        if not 1 <= self.polygon_px <= _MOST_POLYGON_PX:
            raise InvalidInput(f"{self.polygon_px} px of a polygon; it must lie in 1..{_MOST_POLYGON_PX:,}")
        if self.block_m is not None and not 20 <= self.block_m <= 5e6:
            raise InvalidInput(f"blocks of {self.block_m} m; their side must lie in 20..5,000,000 m")
        if not 0 <= self.seed < 2**32:
            raise InvalidInput(f"the seed is {self.seed}; it must lie in 0..2^32 - 1")
        if self.area is not None:
            shape_of(self.area)


@dataclass(frozen=True)
class Training:
    """What was learnt from."""

    labels: int
    """Labels that were given."""
    used: int
    """Labels that gave at least one vector."""
    pixels: int
    """Vectors that were learnt from."""
    periods: list[str] = field(default_factory=list)
    """Valid periods of the fields that they come from."""
    outside: int = 0
    """Labels that lie outside of every field."""
    not_in_time: int = 0
    """Labels whose dates no field covers."""
    no_data: int = 0
    """Labels whose pixels have no data."""
    contradicting_px: int = 0
    """Pixels that labels of different classes claim; nothing was learnt from them."""
    repeated_px: int = 0
    """Pixels that labels of one class claim more than once; each was learnt from once."""
    named: list[str] = field(default_factory=list)
    """The first twenty labels that gave nothing, with the reason."""
    skipped_rows: list[str] = field(default_factory=list)
    """Rows of the file that could not be used and were left out as asked."""


@dataclass(frozen=True)
class Task:
    """Everything that an estimator needs, opened and checked."""

    labels: Labels
    """The labels."""
    samples: Samples
    """Their vectors."""
    coverages: list[Coverage]
    """What is mapped."""
    name: str
    """What the files are called, without an ending."""


def opened(
    catalog: Catalog,
    question: LearnQuestion,
    labels: Labels | None,
    *,
    kind: str,
    owner: str,
    progress: Progress,
) -> Task:
    """Opens the fields and reads the vectors of the labels.

    Raises:
        NotFound: there are no such labels or fields, no label gives a vector, or the area holds no pixel.
        Conflict: the fields were made by different models.
    """
    if labels is None and not question.labels:
        raise InvalidInput("there are no labels to learn from: name those that are kept, or hand some over")
    held = labels if labels is not None else load_labels(catalog, question.labels, owner)
    period = Period.parse(question.period)
    mapped = fields_of(catalog, question.model, period.id)
    area = None if question.area is None else shape_of(question.area)
    covered = coverages(mapped, area=area)
    others = _others(catalog, question.model, period) if held.dated.any() else []
    check_comparable([*mapped, *others])
    drawing = Drawing(question.polygon_px, question.seed)
    samples = gather(held, [*mapped, *others], period, drawing=drawing, progress=progress)
    called = question.labels or "labels"
    name = answer_name(kind, question.model, period.id, question.method, called, _hash(question, held))
    return Task(held, samples, covered, name)


def training_of(task: Task, samples: Samples, *, contradicting_px: int = 0, repeated_px: int = 0) -> Training:
    """Tells what was learnt from."""
    left = task.samples.left
    return Training(
        labels=len(task.labels), used=len(np.unique(task.samples.label)), pixels=len(samples.label),
        periods=task.samples.periods, outside=left.outside, not_in_time=left.not_in_time, no_data=left.no_data,
        contradicting_px=contradicting_px, repeated_px=repeated_px, named=left.named,
        skipped_rows=list(task.labels.skipped),
    )  # fmt: skip


def once_each(pixel: NDArray[np.int64], codes: NDArray[np.integer]) -> tuple[NDArray[np.bool_], int, int]:
    """Tells which samples to keep so that no pixel counts twice, nor for two classes.

    Args:
        pixel: (N, 4) as in `Samples`.
        codes: (N,) their classes.

    Returns:
        Which to keep (N,), how many pixels labels of different classes claim, and how many samples only repeat.
    """
    _, first, number = np.unique(pixel, axis=0, return_index=True, return_inverse=True)
    number = number.ravel()
    low, high = np.full(len(first), np.iinfo(np.int64).max), np.full(len(first), -1, np.int64)
    np.minimum.at(low, number, codes)
    np.maximum.at(high, number, codes)
    clear = low == high
    keep = np.zeros(len(codes), bool)
    keep[first[clear]] = True
    return keep, int((~clear).sum()), int(clear[number].sum()) - int(clear.sum())


def named_folder(catalog: Catalog, folder: Path | None) -> Path:
    """Gives the folder of an answer's files."""
    return catalog.answers if folder is None else folder


def tiles_of(covered: Sequence[Coverage]) -> list[str]:
    """Names the tiles that are mapped."""
    return [one.key.tile.id for coverage in covered for one in coverage.fields]


def _others(catalog: Catalog, model: str, period: Period) -> list[Field]:
    keys = [key for key in catalog.fields(model) if key.period != period]
    return [Field(catalog, key) for key in keys]


def _hash(question: LearnQuestion, labels: Labels) -> str:
    dates = [one.astype(str).tolist() for one in (labels.start, labels.end) if one is not None]
    shapes = shapely.to_wkb(labels.geometries, hex=True).tolist()
    told = [shapes, [str(one) for one in labels.values], dates]
    return hash_of([*told, question.area, question.polygon_px, question.block_m, question.seed])[:8]
