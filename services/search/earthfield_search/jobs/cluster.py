"""What belongs together: classes for every pixel of a model and period."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import Field, fields_of
from earthfield.progress import Progress, silent
from earthfield.timeline import Period
from earthfield_analysis.cluster import fit_clusters
from earthfield_search.comparable import check_comparable
from earthfield_search.coverage import coverages, strips_of
from earthfield_search.files import answer_name, answer_path, texts, write_raster

log = logging.getLogger(__name__)

_SAMPLE = 100_000
"""Pixels that centres are fitted on; more only cost time."""
_HECTARE_PX = 100
NODATA = 0


@dataclass(frozen=True)
class ClusterQuestion:
    """What belongs together?

    Raises:
        InvalidInput: k is outside 1..255, or the period cannot be read.
    """

    model: str
    """Name of a model."""
    period: str
    """Valid period."""
    k: int = 5
    """How many clusters."""
    seed: int = 0
    """Of k-means."""

    def __post_init__(self) -> None:
        checked_name(self.model)
        if not 1 <= self.k <= 255:
            raise InvalidInput(f"k is {self.k}; it must lie in 1..255")
        object.__setattr__(self, "period", str(Period.parse(self.period)))


@dataclass(frozen=True)
class ClusterSize:
    """One cluster."""

    cluster: int
    """Its number in the raster, 1..k."""
    colour: str
    """Its colour in the picture and in the raster's table."""
    pixels: int
    """Pixels that belong to it."""
    hectares: float
    """The same as an area."""
    share: float
    """Share of the pixels with data, 0..1."""


@dataclass(frozen=True)
class ClusterAnswer:
    """Classes of every pixel."""

    model: str
    """The model."""
    period: str
    """The valid period."""
    k: int
    """How many clusters."""
    seed: int
    """Of k-means."""
    tiles: list[str]
    """Tiles that were classified."""
    fitted_on: int
    """Pixels that the centres were fitted on."""
    inertia: float
    """Mean squared distance of those to their centres, 0..4."""
    clusters: list[ClusterSize] = field(default_factory=list)
    """By number."""
    files: list[str] = field(default_factory=list)
    """What was written."""
    seconds: float = 0.0
    """Wall time."""


def cluster_fields(
    catalog: Catalog, question: ClusterQuestion, *, folder: Path | None = None, progress: Progress = silent
) -> ClusterAnswer:
    """Fits clusters on a sample of all pixels of a model and period, and classifies every one of them.

    Writes a GeoTIFF of classes 1..k with a colour table, and a PNG, for each group of touching tiles.

    Args:
        catalog: where fields lie and answers go.
        question: what to cluster.
        folder: where the files go instead of the catalogue's answers.
        progress: told after each strip of a field.

    Raises:
        NotFound: there is no such field.
        InvalidInput: there are fewer pixels than clusters.
        Conflict: the fields were made by different models.
    """
    from earthfield_search.pictures import class_colours, draw_classes

    started = time.monotonic()
    fields = fields_of(catalog, question.model, Period.parse(question.period).id)
    check_comparable(fields)
    sample = sample_of(fields, size=_SAMPLE, seed=question.seed)
    fitted = fit_clusters(sample, question.k, seed=question.seed)
    counts, colours = np.zeros(question.k + 1, np.int64), class_colours(question.k)
    name = answer_name("clusters", question.model, Period.parse(question.period).id, f"k{question.k}")
    if question.seed:
        name = answer_name(name, f"seed{question.seed}")
    layers = []
    for coverage in coverages(fields):
        classes = coverage.blank(NODATA, np.uint8)
        strips = list(coverage.strips())
        for done, (held, window) in enumerate(strips, 1):
            classes[coverage.place(window)] = fitted.assign(held.vectors(window))
            progress("classifying every pixel", done, len(strips))
        counts += np.bincount(classes.ravel(), minlength=question.k + 1)
        layers.append((coverage, classes))
    sizes = _sizes(counts, colours)
    paths = []
    for coverage, classes in layers:
        raster, picture = (
            answer_path(catalog, folder, f"{name}{coverage.suffix}.{end}") for end in ("tif", "png")
        )
        table = {one.cluster: _rgb(one.colour) for one in sizes}
        tags = {"model": question.model, "period": question.period, "seed": str(question.seed)}
        paths.append(
            write_raster(raster, classes, coverage, nodata=NODATA, name="cluster", colours=table, tags=tags)
        )
        names = [f"{one.cluster:>2} {one.share:5.0%} {_area(one.hectares):>11}" for one in sizes]
        title = f"{question.k} clusters of {question.model}, {question.period}"
        paths.append(draw_classes(picture, classes, coverage, title=title, names=names))
    log.info("classified %d pixels into %d clusters", int(counts[1:].sum()), question.k)
    return ClusterAnswer(
        model=question.model, period=question.period, k=question.k, seed=question.seed,
        tiles=[one.key.tile.id for one in fields], fitted_on=len(sample), inertia=fitted.inertia,
        clusters=sizes, files=texts(paths), seconds=time.monotonic() - started,
    )  # fmt: skip


def sample_of(fields: Sequence[Field], *, size: int, seed: int) -> NDArray[np.float32]:
    """Draws about `size` unit vectors evenly from all pixels of some fields, (n, D), without gaps.

    Raises:
        NotFound: no pixel has data.
    """
    total = sum(one.window.shape[0] * one.window.shape[1] for one in fields)
    share = min(1.0, size / total)
    rng = np.random.default_rng(seed)
    parts = []
    for held in fields:
        for window in strips_of(held.window):
            vectors = held.vectors(window).reshape(-1, held.dim)
            taken = rng.random(len(vectors)) < share
            parts.append(vectors[taken & np.isfinite(vectors).all(axis=1)])
    found = np.concatenate(parts)
    if not len(found):
        raise NotFound(f"no pixel of {fields[0].key.model} {fields[0].key.period} has data")
    return found


def _sizes(counts: NDArray[np.int64], colours: Sequence[str]) -> list[ClusterSize]:
    total = max(int(counts[1:].sum()), 1)
    return [
        ClusterSize(number, colour, int(pixels), int(pixels) / _HECTARE_PX, float(pixels / total))
        for number, (pixels, colour) in enumerate(zip(counts[1:], colours, strict=True), 1)
    ]


def _area(hectares: float) -> str:
    return f"{hectares / 100:,.1f} km²" if hectares >= 1000 else f"{hectares:,.1f} ha"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
