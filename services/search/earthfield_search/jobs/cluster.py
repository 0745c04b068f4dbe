"""What belongs together: classes for every pixel of a model and period."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog, checked_name
from earthfield.codec import is_missing, normalised, values_of
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import fields_of
from earthfield.grid import Window
from earthfield.progress import Progress, silent
from earthfield.storage import hash_of, write_json
from earthfield.timeline import Period
from earthfield_analysis.cluster import MOST, NOISE, Clusters, fit_clusters, fit_dense_clusters, numbers_like
from earthfield_search.clusters.earlier import KeptClusters, kept_clusters
from earthfield_search.clusters.outlines import MOST_PIXELS, outlines, write_outlines
from earthfield_search.files.answers import answer_name, answer_path, texts
from earthfield_search.files.rasters import Raster, write_strips
from earthfield_search.ground.comparable import check_comparable
from earthfield_search.ground.coverage import Coverage, coverages
from earthfield_search.ground.pixels import Block, worked
from earthfield_search.ground.places import shape_of

log = logging.getLogger(__name__)

ClusterMethod = Literal["kmeans", "hdbscan"]
METHODS: tuple[ClusterMethod, ...] = ("kmeans", "hdbscan")
_SAMPLE = 250_000
"""Pixels that centres are fitted on; more only cost time."""
_STRIPS = 64
"""Strips that the sample is drawn from, spread over all of them."""
_HECTARE_PX = 100
_GREY = "#9A9A9A"
NODATA = 0


@dataclass(frozen=True)
class ClusterQuestion:
    """What belongs together?

    Raises:
        InvalidInput: k is outside 1..254, the method is unknown, or the period or the area cannot be read.
    """

    model: str
    """Name of a model."""
    period: str
    """Valid period."""
    k: int = 5
    """How many clusters, for k-means."""
    seed: int = 0
    """Of the sample and the starts."""
    method: ClusterMethod = "kmeans"
    """`kmeans`, or `hdbscan`: as many clusters as are dense, and noise."""
    min_share: float = 0.01
    """For HDBSCAN, the least share of the land that is a cluster."""
    area: str | None = None
    """WKT or GeoJSON of a polygon in degrees; everything where absent."""
    outlines: bool = False
    """Whether clusters are written as GeoJSON too, where they have no more pixels than `MOST_PIXELS`."""

    def __post_init__(self) -> None:
        checked_name(self.model)
        if not 1 <= self.k <= MOST:
            raise InvalidInput(f"k is {self.k}; it must lie in 1..{MOST}")
        if self.seed < 0:
            raise InvalidInput(f"the seed is {self.seed}; it cannot be negative")
        if self.method not in METHODS:
            raise InvalidInput(f"method {self.method!r} is unknown; take {' or '.join(METHODS)}")
        if not 0 < self.min_share <= 0.5:
            raise InvalidInput(f"the smallest cluster's share is {self.min_share}; it must lie in 0..0.5")
        if self.area is not None:
            shape_of(self.area)
        object.__setattr__(self, "period", str(Period.parse(self.period)))


@dataclass(frozen=True)
class ClusterSize:
    """One cluster."""

    cluster: int
    """Its number in the raster, from 1; 255 for noise."""
    colour: str
    """Its colour in the picture and in the raster's table."""
    pixels: int
    """Pixels that belong to it."""
    hectares: float
    """The same as an area."""
    share: float
    """Share of the pixels with data, 0..1."""
    kept: float | None = None
    """Cosine to the cluster whose number and colour it took over; None where it took none."""


@dataclass(frozen=True)
class ClusterAnswer:
    """Classes of every pixel."""

    model: str
    """The model."""
    period: str
    """The valid period."""
    method: str
    """How they were found."""
    k: int
    """How many clusters there are."""
    seed: int
    """Of the sample and the starts."""
    tiles: list[str]
    """Tiles that were classified."""
    pixels: int
    """Pixels with data in the area."""
    fitted_on: int
    """Pixels that the centres were fitted on."""
    inertia: float
    """Mean squared distance of those to their centres, 0..4."""
    noise: float
    """Share of the pixels that no cluster is near; 0 for k-means, which gives every pixel a cluster."""
    like: str | None
    """Whose numbers and colours they keep; None where they are numbered along the first principal axis."""
    clusters: list[ClusterSize] = field(default_factory=list)
    """By number, noise last."""
    centres: list[list[float]] = field(default_factory=list, repr=False)
    """Mean vector of each cluster, by number."""
    outlined: bool = False
    """Whether their outlines were written: only where that was asked for, and not of very many pixels."""
    files: list[str] = field(default_factory=list)
    """What was written."""
    seconds: float = 0.0
    """Wall time."""


def cluster_fields(
    catalog: Catalog,
    question: ClusterQuestion,
    *,
    like: KeptClusters | None = None,
    folder: Path | None = None,
    progress: Progress = silent,
) -> ClusterAnswer:
    """Fits clusters on a sample of all pixels of a model and period, and classifies every one of them.

    Writes a GeoTIFF of classes with a colour table, and a PNG, for each group of touching tiles; and the centres as
    JSON, so that a later answer can keep numbers and colours.

    Args:
        catalog: where fields lie and answers go.
        question: what to cluster.
        like: clusters of the same model whose numbers and colours are kept.
        folder: where the files go instead of the catalogue's answers.
        progress: told after each strip of a field.

    Raises:
        NotFound: there is no such field, or none in the area.
        InvalidInput: there are fewer pixels than clusters, or none is dense.
        Conflict: the fields, or the clusters that they shall be like, were made by different models.
    """
    started = time.monotonic()
    fields = fields_of(catalog, question.model, Period.parse(question.period).id)
    check_comparable(fields)
    covered = coverages(fields, area=shape_of(question.area) if question.area is not None else None)
    maker = str(fields[0].manifest["model"]["fingerprint"])
    sample = sample_of(covered, size=_SAMPLE, seed=question.seed, progress=progress)
    fitted, partners = _fitted(question, sample), dict[int, float]()
    if like is not None:
        like.check(question.model, maker)
        fitted, partners = numbers_like(fitted, like.clusters)
    colours = _colours(fitted)
    name = _name(question)
    counts, rasters = np.zeros(256, np.int64), []
    for coverage in covered:
        path = answer_path(catalog, folder, f"{name}{coverage.suffix}.tif")
        rasters.append((coverage, _classified(path, coverage, fitted, colours, counts, question, progress)))
    sizes = _sizes(counts, colours, partners)
    paths = _drawn(rasters, sizes, question)
    kept = answer_path(catalog, folder, f"{name}.json")
    write_json(kept, kept_clusters(question.model, maker, fitted, question))
    is_outlined = question.outlines and _num_pixels(covered) <= MOST_PIXELS
    if is_outlined:
        paths.append(_outlined(kept.with_suffix(".geojson"), rasters, sizes, question))
    log.info("classified %d pixels into %d clusters", int(counts[1:].sum()), fitted.num_clusters)
    return ClusterAnswer(
        model=question.model, period=question.period, method=question.method, k=fitted.num_clusters,
        seed=question.seed, tiles=[one.key.tile.id for coverage in covered for one in coverage.fields],
        pixels=int(counts[1:].sum()), fitted_on=len(sample), inertia=fitted.inertia,
        noise=float(counts[NOISE] / max(counts[1:].sum(), 1)), like=None if like is None else like.name,
        clusters=sizes, centres=fitted.means.astype(float).round(6).tolist(),
        outlined=is_outlined, files=texts([*paths, kept]), seconds=time.monotonic() - started,
    )  # fmt: skip


def sample_of(
    covered: Sequence[Coverage], *, size: int, seed: int, progress: Progress = silent
) -> NDArray[np.float32]:
    """Draws about `size` unit vectors evenly from all pixels of some coverages, (n, D), without gaps.

    Of very many strips some are read, spread over all.

    Raises:
        NotFound: no pixel has data.
    """
    strips = [(one, held, window) for one in covered for held, window in one.strips()]
    rng = np.random.default_rng(seed)
    if len(strips) > _STRIPS:
        strips = [strips[place] for place in np.sort(rng.choice(len(strips), _STRIPS, replace=False))]
    share = min(1.0, size / sum(window.shape[0] * window.shape[1] for *_, window in strips))
    parts = []
    for done, (coverage, held, window) in enumerate(strips, 1):
        codes, inside = held.codes(window), coverage.inside(window)
        taken = ~is_missing(codes) & (rng.random(window.shape) < share)
        if inside is not None:
            taken &= inside
        vectors = normalised(values_of(codes[:, taken].T))
        parts.append(vectors[np.isfinite(vectors).all(axis=1)])
        progress("drawing a sample", done, len(strips))
    found = np.concatenate(parts)
    if not len(found):
        key = strips[0][1].key
        raise NotFound(f"no pixel of {key.model} {key.period} has data there: take another area or period")
    return found


def _fitted(question: ClusterQuestion, sample: NDArray[np.float32]) -> Clusters:
    if question.method == "hdbscan":
        return fit_dense_clusters(sample, min_share=question.min_share, seed=question.seed)
    return fit_clusters(sample, question.k, seed=question.seed)


def _classified(
    path: Path,
    coverage: Coverage,
    fitted: Clusters,
    colours: dict[int, str],
    counts: NDArray[np.int64],
    question: ClusterQuestion,
    progress: Progress,
) -> Raster:
    """Writes the classes of a coverage strip by strip, and counts them."""

    def strips() -> Iterator[tuple[Window, NDArray[np.uint8]]]:
        total = len(list(coverage.strips()))
        parts = worked(coverage, lambda block: (block.window, _classes(block, fitted)))
        for done, (window, classes) in enumerate(parts, 1):
            counts[:] += np.bincount(classes.ravel(), minlength=256)
            yield window, classes
            progress("classifying every pixel", done, total)

    tags = {
        "model": question.model, "period": question.period, "method": question.method,
        "seed": str(question.seed),
    }  # fmt: skip
    table = {number: _rgb(colour) for number, colour in colours.items()}
    return write_strips(
        path, coverage, strips(), dtype=np.uint8, nodata=NODATA, name="cluster", colours=table, tags=tags
    )


def _classes(block: Block, fitted: Clusters) -> NDArray[np.uint8]:
    if block.codes.dtype == np.int8:
        classes = fitted.assign_codes(block.codes)
    else:
        classes = fitted.assign(normalised(np.moveaxis(values_of(block.codes), 0, -1)))
    if block.inside is not None:
        classes[~block.inside] = NODATA
    return classes


def _colours(fitted: Clusters) -> dict[int, str]:
    """The colour of each number; it depends on the number alone, as far as colours reach."""
    from earthfield_search.files.pictures import class_colours

    palette = class_colours(max(fitted.present))
    found = {number: palette[number - 1] for number in fitted.present}
    return found if fitted.reach is None else {**found, NOISE: _GREY}


def _sizes(
    counts: NDArray[np.int64], colours: dict[int, str], partners: dict[int, float]
) -> list[ClusterSize]:
    total = max(int(counts[1:].sum()), 1)
    return [
        ClusterSize(
            number, colour, int(counts[number]), int(counts[number]) / _HECTARE_PX,
            float(counts[number] / total), partners.get(number),
        )
        for number, colour in sorted(colours.items())
    ]  # fmt: skip


def _drawn(
    rasters: Sequence[tuple[Coverage, Raster]], sizes: Sequence[ClusterSize], question: ClusterQuestion
) -> list[Path]:
    """Draws every raster; gives rasters and pictures."""
    from earthfield_search.files.pictures import draw_classes

    wide = 5 if any(one.cluster == NOISE for one in sizes) else 2
    names = {
        one.cluster: f"{'noise' if one.cluster == NOISE else one.cluster:>{wide}} {one.share:5.0%} "
        f"{_area(one.hectares):>11}"
        for one in sizes
    }
    count = sum(one.cluster != NOISE for one in sizes)
    title = f"{count} clusters of {question.model}, {question.period}"
    paths = []
    for coverage, raster in rasters:
        # Classes in the order of the legend: numbers may have gaps.
        order = np.zeros(256, np.uint8)
        order[list(names)] = np.arange(1, len(names) + 1)
        picture = draw_classes(
            raster.path.with_suffix(".png"), order[raster.view], coverage, title=title,
            names=list(names.values()), colours=[one.colour for one in sizes],
        )  # fmt: skip
        paths += [raster.path, picture]
    return paths


def _outlined(
    path: Path,
    rasters: Sequence[tuple[Coverage, Raster]],
    sizes: Sequence[ClusterSize],
    question: ClusterQuestion,
) -> Path:
    """Writes the outlines of every cluster."""
    told = {
        one.cluster: {
            "cluster": one.cluster, "name": "noise" if one.cluster == NOISE else str(one.cluster),
            "colour": one.colour, "hectares": one.hectares, "share": round(one.share, 6),
        }
        for one in sizes
    }  # fmt: skip
    about = {"model": question.model, "period": question.period, "method": question.method}
    return write_outlines(path, outlines([one.path for _, one in rasters], told), about)


def _num_pixels(covered: Sequence[Coverage]) -> int:
    return sum(one.window.shape[0] * one.window.shape[1] for one in covered)


def _name(question: ClusterQuestion) -> str:
    """Gives the name of the answer's files; it follows from the question."""
    how = f"k{question.k}" if question.method == "kmeans" else f"hdbscan{question.min_share:g}"
    parts = ["clusters", question.model, Period.parse(question.period).id, how]
    parts += [f"seed{question.seed}"] if question.seed else []
    parts += [hash_of(question.area)[:8]] if question.area is not None else []
    return answer_name(*parts)


def _area(hectares: float) -> str:
    return f"{hectares / 100:,.1f} km²" if hectares >= 1000 else f"{hectares:,.1f} ha"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
