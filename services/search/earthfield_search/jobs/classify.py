"""Which class is every pixel of? Told from labels, with a probability, and scored on labels that lie elsewhere."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput
from earthfield.grid import Window
from earthfield.progress import Progress, silent
from earthfield.storage import write_json
from earthfield_analysis.learn import ClassScore, fit_classes, lay_blocks, score_classes
from earthfield_search.files.answers import texts
from earthfield_search.files.rasters import write_strips
from earthfield_search.ground.coverage import Coverage
from earthfield_search.jobs.learning import (
    HECTARE_PX,
    LearnQuestion,
    Task,
    Training,
    named_folder,
    once_each,
    opened,
    tiles_of,
    training_of,
)
from earthfield_search.labels import Labels
from earthfield_search.learning.doubt import (
    DOUBTS,
    Candidates,
    Doubt,
    Suggestion,
    candidates_of,
    choose,
    doubt_of,
)
from earthfield_search.learning.prediction import Layer, Predicted, predicted

log = logging.getLogger(__name__)

NODATA = 0
PERCENT_NODATA = 255
_MOST_EACH = 32
_MOST_SUGGESTED = 200
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
CAUTION = (
    "The score holds for land like the labelled; hectares count pixels as they were told, errors included, and are "
    "no area estimate."
)


@dataclass(frozen=True)
class ClassifyQuestion(LearnQuestion):
    """Which class is every pixel of? Errors as in `LearnQuestion`."""

    each_class: bool = False
    """Whether to write the probability of every class, and not of the told one only; at most 32 classes."""
    suggest: int = 0
    """How many places to name where the map is least sure, at most 200."""
    doubt: Doubt = "margin"
    """What makes such a place: the second class comes near the first (`margin`), or all are even (`entropy`)."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Colour of classes, `#RRGGBB` by name; of the others those that are told apart best."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.suggest <= _MOST_SUGGESTED:
            raise InvalidInput(f"{self.suggest} places to label next; it must lie in 0..{_MOST_SUGGESTED}")
        if self.doubt not in DOUBTS:
            raise InvalidInput(f"doubt {self.doubt!r} is unknown; take {', '.join(DOUBTS)}")
        for name, colour in self.colours.items():
            if not _COLOUR.fullmatch(colour):
                raise InvalidInput(f"the colour of {name!r} is {colour!r}: write it as #RRGGBB")


@dataclass(frozen=True)
class ClassShare:
    """One class."""

    name: str
    """Its name."""
    value: int
    """Its value in the raster."""
    colour: str
    """Its colour in the picture and in the raster's table."""
    labels: int
    """Labels that were learnt from."""
    label_pixels: int
    """Their pixels."""
    pixels: int
    """Pixels that were told to be of it."""
    hectares: float
    """The same as an area."""
    share: float
    """Share of the pixels with data, 0..1."""
    probability: float | None
    """Mean probability of those pixels, 0..1; None where there is none."""


@dataclass(frozen=True)
class ClassifyAnswer:
    """A class for every pixel."""

    model: str
    """The model."""
    period: str
    """The valid period that was mapped."""
    method: str
    """The estimator."""
    labels: str
    """Name of the labels; empty where they were handed over."""
    tiles: list[str]
    """Tiles that were mapped."""
    classes: list[ClassShare]
    """By name."""
    score: ClassScore
    """How well labels are told by labels of other blocks."""
    training: Training
    """What was learnt from."""
    calibrated: bool
    """Whether probabilities were fitted on left-out labels; otherwise they are shares of votes."""
    suggestions: list[Suggestion] = field(default_factory=list)
    """Places where the map is least sure, apart from one another and from labels, the most doubtful first."""
    caution: str = CAUTION
    """What must be kept in mind."""
    files: list[str] = field(default_factory=list)
    """What was written."""
    seconds: float = 0.0
    """Wall time."""


def classify_fields(
    catalog: Catalog,
    question: ClassifyQuestion,
    *,
    labels: Labels | None = None,
    owner: str = "",
    folder: Path | None = None,
    progress: Progress = silent,
) -> ClassifyAnswer:
    """Learns classes from labels and tells the class of every pixel, wall to wall.

    Writes for each group of touching tiles a GeoTIFF of classes with a colour table and their names in its tags,
    one of the probability of the told class in percent, and a PNG; and a JSON report of everything.

    Args:
        catalog: where fields and labels lie and answers go.
        question: what to map.
        labels: the labels, where the question names none that are kept.
        owner: whose labels the name means.
        folder: where the files go instead of the catalogue's answers.
        progress: told after each field that is read and each strip that is mapped.

    Raises:
        NotFound: there are no such labels or fields, no label gives a vector, or the area holds no pixel.
        InvalidInput: the labels are of fewer than two classes, or of too many.
        Conflict: the fields were made by different models.
    """
    started = time.monotonic()
    task = opened(catalog, question, labels, kind="classes", owner=owner, progress=progress)
    names = task.labels.classes()
    every = sorted(set(names), key=_in_order)
    values = _values(every)
    code_of = {name: code for code, name in enumerate(every)}
    codes = np.array([code_of[names[row]] for row in task.samples.label], np.int64)
    keep, contradicting, repeated = once_each(task.samples.pixel, codes)
    samples, codes = task.samples.take(keep), codes[keep]
    present = np.unique(codes)
    if len(present) < 2:
        told = (
            f"all that are left are {every[present[0]]!r}" if len(present) else "labels contradict each other"
        )
        raise InvalidInput(
            f"at least two classes with labels on fields are needed, and {told}: label more of the area"
        )
    if question.each_class and len(present) > _MOST_EACH:
        raise InvalidInput(f"{len(present)} classes are too many for a raster each: at most {_MOST_EACH}")
    blocks = lay_blocks(samples.lon, samples.lat, samples.label, codes, side_m=question.block_m)
    called = [every[code] for code in present]
    score = score_classes(
        samples.vectors, codes, blocks, method=question.method, names=called, seed=question.seed
    )
    progress("learning", 1, 1)
    fitted = fit_classes(
        samples.vectors, codes, method=question.method, groups=blocks.number, seed=question.seed
    )
    palette = _colours(called, question.colours)
    map_ = _Map(task, question, [values[name] for name in called], called, palette, fitted.probabilities)
    for coverage in task.coverages:
        map_.write(coverage, named_folder(catalog, folder), progress)
    shares = map_.shares(samples.label, codes, present)
    training = training_of(task, samples, contradicting_px=contradicting, repeated_px=repeated)
    report = named_folder(catalog, folder) / f"{task.name}.json"
    answer = ClassifyAnswer(
        model=question.model, period=question.period, method=question.method, labels=question.labels,
        tiles=tiles_of(task.coverages), classes=shares, score=score, training=training,
        calibrated=fitted.calibrated, suggestions=map_.suggestions(samples.lon, samples.lat),
        files=texts([*map_.paths, report]), seconds=time.monotonic() - started,
    )  # fmt: skip
    write_json(report, asdict(answer))
    log.info("told %d classes from %d labels of %s", len(called), training.used, question.model)
    return answer


class _Map:
    """Writes the rasters of one answer, and counts what is in them."""

    def __init__(
        self,
        task: Task,
        question: ClassifyQuestion,
        values: Sequence[int],
        names: Sequence[str],
        colours: Sequence[str],
        probabilities: Any,
    ) -> None:
        self.paths: list[Path] = []
        self._task, self._question = task, question
        self._values = np.array(values, np.uint8)
        self._names, self._colours = names, colours
        self._probabilities = probabilities
        self._pixels = np.zeros(256, np.int64)
        self._sure = np.zeros(len(names))
        self._candidates: list[Candidates] = []

    def write(self, coverage: Coverage, folder: Path, progress: Progress) -> None:
        """Maps one coverage."""
        layers = {"class": Layer("uint8", NODATA), "probability": Layer("uint8", PERCENT_NODATA)}
        if self._question.each_class:
            layers |= {f"p{number}": Layer("uint8", PERCENT_NODATA) for number in range(len(self._names))}
        if self._question.suggest:
            layers |= {name: Layer("uint8", 0) for name in ("doubt", "second", "second_percent")}
        base = folder / f"{self._task.name}{coverage.suffix}.tif"
        task = "classifying every pixel"
        with predicted(coverage, layers, self._told, beside=folder, progress=progress, task=task) as found:
            self._write_classes(base, coverage, found)
            tags = self._tags() | {"unit": "percent"}
            percent: dict[str, Any] = {"dtype": np.uint8, "nodata": PERCENT_NODATA, "tags": tags}
            path = base.with_name(f"{base.stem}_probability.tif")
            name = "probability of the told class, percent"
            self.paths.append(
                write_strips(path, coverage, found.strips("probability"), name=name, **percent).path
            )
            for number, called in enumerate(self._names if self._question.each_class else ()):
                path = base.with_name(f"{base.stem}_p{int(self._values[number])}.tif")
                name = f"probability of {called}, percent"
                self.paths.append(
                    write_strips(path, coverage, found.strips(f"p{number}"), name=name, **percent).path
                )
            if self._question.suggest:
                self._candidates += candidates_of(_together(found), coverage.epsg)

    def _told(self, vectors: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
        shares = self._probabilities(vectors)
        number = shares.argmax(axis=1)
        best = shares[np.arange(len(shares)), number]
        self._sure += np.bincount(number, weights=best, minlength=len(self._names))
        layers = [self._values[number], _percent(best)]
        if self._question.each_class:
            layers += map(_percent, shares.T)
        if self._question.suggest:
            others = shares.copy()
            others[np.arange(len(shares)), number] = -1
            second = others.argmax(axis=1)
            doubt = np.rint(1 + 254 * doubt_of(shares, self._question.doubt)).astype(np.uint8)
            layers += [doubt, self._values[second], _percent(others[np.arange(len(shares)), second])]
        return layers

    def _write_classes(self, path: Path, coverage: Coverage, found: Predicted) -> None:
        from earthfield_search.files.pictures import draw_classes

        table = {int(value): _rgb(colour) for value, colour in zip(self._values, self._colours, strict=True)}
        raster = write_strips(
            path, coverage, self._counted(found), dtype=np.uint8, nodata=NODATA, name="class", colours=table,
            tags=self._tags(),
        )  # fmt: skip
        place = np.zeros(256, np.uint8)
        place[self._values] = np.arange(1, len(self._values) + 1)
        title = f"Classes of {self._question.model}, {self._question.period} ({self._question.method})"
        picture = draw_classes(
            path.with_suffix(".png"), place[raster.view], coverage, title=title, names=list(self._names)
        )
        self.paths += [path, picture]

    def _counted(self, found: Predicted) -> Iterator[tuple[Window, NDArray[Any]]]:
        for window, values in found.strips("class"):
            self._pixels += np.bincount(values.ravel(), minlength=256)
            yield window, values

    def suggestions(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> list[Suggestion]:
        """Names places to label next, apart from the labels at `lon` and `lat`, once all is mapped."""
        if not self._question.suggest:
            return []
        called = dict(zip(self._values.tolist(), self._names, strict=True))
        return [
            Suggestion(
                float(one.lon[row]), float(one.lat[row]), float(one.doubt[row]),
                [called[value] for value in one.values[row].tolist()],
                [percent / 100 for percent in one.percent[row].tolist()],
            )
            for one, row in choose(self._candidates, self._question.suggest, lon, lat)
        ]  # fmt: skip

    def _tags(self) -> dict[str, str]:
        about = {
            "model": self._question.model,
            "period": self._question.period,
            "method": self._question.method,
        }
        return about | {f"class_{value}": name for value, name in zip(self._values, self._names, strict=True)}

    def shares(
        self, label: NDArray[np.intp], codes: NDArray[np.int64], present: NDArray[np.int64]
    ) -> list[ClassShare]:
        """Tells about every class, once all is mapped."""
        total = max(int(self._pixels[1:].sum()), 1)
        found = []
        for number, code in enumerate(present):
            own, pixels = codes == code, int(self._pixels[self._values[number]])
            found.append(
                ClassShare(
                    self._names[number], int(self._values[number]), self._colours[number],
                    len(np.unique(label[own])), int(own.sum()), pixels, pixels / HECTARE_PX, pixels / total,
                    float(self._sure[number] / pixels) if pixels else None,
                )
            )  # fmt: skip
        return found


def _values(names: Sequence[str]) -> dict[str, int]:
    """Value of each class in the raster: its own number where all are such, else counted from 1."""
    if all(_is_number(name) and 0 < int(name) <= 255 for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names, 1)}


def _in_order(name: str) -> tuple[int, int, str]:
    """Numbers by size, before words."""
    return (0, int(name), name) if _is_number(name) else (1, 0, name)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and str(int(name)) == name


def _percent(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(shares * 100).astype(np.uint8)


def _together(found: Predicted) -> Iterator[tuple[Window, Sequence[NDArray[np.uint8]]]]:
    """Yields what candidates are chosen from, strip by strip."""
    names = ("doubt", "class", "second", "probability", "second_percent")
    for strips in zip(*(found.strips(name) for name in names), strict=True):
        yield strips[0][0], [values for _, values in strips]


def _colours(names: Sequence[str], wanted: Mapping[str, str]) -> list[str]:
    from earthfield_search.files.pictures import class_colours

    usual = class_colours(len(names))
    return [wanted.get(name, colour) for name, colour in zip(names, usual, strict=True)]


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
