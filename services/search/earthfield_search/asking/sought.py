"""From examples to the one vector that is looked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry

from earthfield.catalog import Catalog
from earthfield.codec import normalised
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import Field, fields_of
from earthfield.timeline import Period
from earthfield_search.asking.labelled import labelled_shapes
from earthfield_search.asking.question import Like, SimilarQuestion
from earthfield_search.asking.words import vector_of_text
from earthfield_search.ground.comparable import check_comparable
from earthfield_search.ground.coverage import coverages
from earthfield_search.ground.places import Place, locate_all, mean_around, shape_of

NOT_WEIGHT = 0.6
"""Weight of what it does not look like. Source: Rocchio, 1971; the figure is measured, see docs/search.md."""
_UNLIKE = 0.75


@dataclass(frozen=True)
class AskedPlace:
    """A point that was asked with."""

    lon: float
    """Of its pixel's centre, degrees."""
    lat: float
    """Of its pixel's centre, degrees."""
    tile: str
    """Its tile."""
    is_pixel: bool
    """Whether the vector is the pixel's own; False: its cell's mean, the pixel has no data."""
    wanted: bool
    """False: a place that what is looked for does not look like."""


@dataclass(frozen=True)
class Sought:
    """What the examples come to."""

    vector: NDArray[np.float32]
    """(D,) unit vector that cells are compared with."""
    period: Period
    """Valid period of the examples."""
    purity: float
    """Mean cosine of the examples' vectors (places, pixels, texts) to their mean: 1 where they are all alike."""
    examples: int
    """How many vectors were averaged."""
    field: Field
    """A field of the model and period."""
    places: Sequence[Place]
    """The points, those first that it looks like."""
    wanted: int
    """How many of them it looks like."""
    shapes: Geometry | None
    """The polygons that were asked with, EPSG:4326."""

    @property
    def asked(self) -> list[AskedPlace]:
        """The points as they are told."""
        return [
            AskedPlace(*one.lonlat, one.field.key.tile.id, one.is_pixel, number < self.wanted)
            for number, one in enumerate(self.places)
        ]

    @property
    def caution(self) -> str | None:
        """What to tell where the examples do not look alike."""
        if self.purity >= _UNLIKE:
            return None
        return (
            f"the examples are not alike (mean cosine to their mean {self.purity:.2f}): what is found lies between "
            "them; ask for each kind by itself"
        )


@dataclass(frozen=True)
class _Example:
    total: NDArray[np.float64]
    """(D,) sum of unit vectors."""
    count: int

    @property
    def mean(self) -> NDArray[np.float64]:
        return np.asarray(self.total / self.count)


def sought(catalog: Catalog, question: SimilarQuestion, *, cell_px: int = 8, owner: str = "") -> Sought:
    """Turns the examples of a question into one unit vector.

    Every point, polygon, vector, text and class counts the same; from the mean of them that of the cells which it
    does not look like is taken away with `NOT_WEIGHT`. Of whole cells, since answers are cells: the pixel by which
    one is named is the one that fits best, and says least of what is wrong with it.

    Args:
        catalog: where fields, models and labels lie.
        question: what is asked.
        cell_px: side of the cells that are answered with.
        owner: whose labels, where the service knows owners.

    Raises:
        NotFound: no field holds an example, or there is no such label.
        InvalidInput: the vector has another length, or the model knows no texts.
        Conflict: fields of one model were made by different weights.
    """
    like = question.like
    asked = Period.parse(question.period) if question.period else None
    points = [*like.at, *like.not_at]
    places = locate_all(catalog, question.model, points, asked) if points else []
    period = places[0].field.key.period if places else asked or newest(catalog, question.model)
    fields = _Fields(catalog, question.model, period, places[0].field if places else None)
    examples = [_Example(place.vector.astype(np.float64), 1) for place in places[: len(like.at)]]
    shapes = []
    if like.polygon is not None:
        shapes.append(shape_of(like.polygon))
        examples.append(_of_pixels(fields.all, shapes[-1], "the polygon"))
    if like.label is not None:
        examples.append(_labelled(catalog, like, fields, shapes, owner))
    if like.vector:
        examples.append(_Example(_fitting(like.vector, fields.one), 1))
    if like.text is not None:
        examples.append(_Example(vector_of_text(catalog, fields.one, like.text).astype(np.float64), 1))
    wanted, purity, count = _put_together(examples)
    unwanted = [_of_cell(place, cell_px) for place in places[len(like.at) :]]
    return Sought(
        moved_away(wanted, unwanted), period, purity, count, fields.one, places, len(like.at), _united(shapes)
    )


def newest(catalog: Catalog, model: str) -> Period:
    """Gives the newest period that a model has fields of: the one that ends last, and of those the shortest."""
    periods = {key.period for key in catalog.fields(model)}
    if not periods:
        fields_of(catalog, model)
    return max(periods, key=lambda one: (one.end, one.start))


def moved_away(wanted: NDArray[np.floating], unwanted: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
    """Moves a unit vector (D,) away from the mean of what it is not; gives a unit vector.

    Source: Rocchio's rule. With a weight of 1 what all vectors have in common would be taken away too.
    """
    if not len(unwanted):
        return normalised(wanted)
    away = normalised(np.mean([normalised(one) for one in unwanted], axis=0))
    return normalised(normalised(wanted) - NOT_WEIGHT * away)


def _of_cell(place: Place, cell_px: int) -> NDArray[np.float32]:
    mean = mean_around(place.field, place.row, place.col, cell_px)
    return place.vector if mean is None else mean


class _Fields:
    """The fields of a model and period, opened only as far as they are needed."""

    def __init__(self, catalog: Catalog, model: str, period: Period, one: Field | None) -> None:
        self._open: Callable[[], list[Field]] = lambda: fields_of(catalog, model, period.id)
        self._all: list[Field] = []
        self._one = one

    @property
    def all(self) -> list[Field]:
        if not self._all:
            self._all = self._open()
            check_comparable(self._all)
        return self._all

    @property
    def one(self) -> Field:
        return self._one or self.all[0]


def _put_together(examples: Sequence[_Example]) -> tuple[NDArray[np.float32], float, int]:
    mean = np.mean([normalised(one.mean) for one in examples], axis=0)
    if not np.linalg.norm(mean) > 1e-6:
        raise InvalidInput("the examples cancel one another out: ask for each of them by itself")
    unit = normalised(mean)
    count = sum(one.count for one in examples)
    purity = sum(float(one.total @ unit) for one in examples) / count
    return unit, min(purity, 1.0), count


def _of_pixels(fields: Sequence[Field], shape: Geometry, words: str) -> _Example:
    """Sums the vectors of the pixels whose centres lie in a shape, strip by strip."""
    total, count = np.zeros(fields[0].dim), 0
    for coverage in coverages(fields, area=shape):
        for held, window in coverage.strips():
            vectors = held.vectors(window).reshape(-1, held.dim)
            mask = coverage.inside(window)
            there = np.isfinite(vectors).all(axis=1)
            there = there if mask is None else there & mask.ravel()
            total += vectors[there].sum(axis=0, dtype=np.float64)
            count += int(there.sum())
    if not count:
        raise NotFound(f"no pixel with data lies in {words}: take a larger one, or another period")
    return _Example(total, count)


def _labelled(catalog: Catalog, like: Like, fields: _Fields, shapes: list[Geometry], owner: str) -> _Example:
    assert like.label is not None
    shape = labelled_shapes(catalog, like.label, owner=owner)
    shapes.append(shape)
    return _of_pixels(fields.all, shape, f"what is labelled {like.label}")


def _fitting(vector: Sequence[float], one: Field) -> NDArray[np.float64]:
    if len(vector) != one.dim:
        raise InvalidInput(f"the vector has {len(vector)} numbers, those of {one.key.model} have {one.dim}")
    values = np.asarray(vector, np.float64)
    return np.asarray(values / np.linalg.norm(values))


def _united(shapes: Sequence[Geometry]) -> Geometry | None:
    if not shapes:
        return None
    return Geometry(shapely.union_all([one.geom for one in shapes]), "EPSG:4326")
