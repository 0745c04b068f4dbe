"""What has changed: distances between two periods of every pixel, and the patches that stand out."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from rasterio.features import shapes
from scipy import ndimage

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import Field, fields_of
from earthfield.progress import Progress, silent
from earthfield.timeline import Period
from earthfield_analysis.change import ThresholdRule, distance, patches, threshold
from earthfield_search.comparable import check_comparable
from earthfield_search.coverage import Coverage, coverages, strips_of
from earthfield_search.files import answer_name, answer_path, texts, write_geojson, write_raster

log = logging.getLogger(__name__)

CAUTION = "Distances are not calibrated: the threshold says what stands out here, not how likely a change is."
_HECTARE_PX = 100
_MOST_SHOWN = 1000


@dataclass(frozen=True)
class ChangeQuestion:
    """What has changed between two periods?

    Raises:
        InvalidInput: the periods are equal or cannot be read, or a number is out of its range.
    """

    model: str
    """Name of a model."""
    before: str
    """First valid period."""
    after: str
    """Second valid period."""
    rule: ThresholdRule = "mad"
    """How the threshold is found, see `earthfield_analysis.change.threshold`."""
    num_sigmas: float = 4.0
    """For `mad`, robust standard deviations above the median."""
    threshold: float | None = None
    """A distance to use instead, 0..2."""
    min_pixels: int = 5
    """Smallest patch that is reported, pixels of 0.01 ha."""

    def __post_init__(self) -> None:
        checked_name(self.model)
        before, after = Period.parse(self.before), Period.parse(self.after)
        if before == after:
            raise InvalidInput(f"both periods are {before}: name two different ones")
        if self.rule not in ("mad", "otsu"):
            raise InvalidInput(f"threshold rule {self.rule!r} is unknown; take 'mad' or 'otsu'")
        if self.min_pixels < 1 or not self.num_sigmas > 0:
            raise InvalidInput("the smallest patch is 1 px, and the number of standard deviations is above 0")
        if self.threshold is not None and not 0 <= self.threshold <= 2:
            raise InvalidInput(f"the threshold {self.threshold} lies outside 0..2, where 1 - cosine lies")
        object.__setattr__(self, "before", str(before))
        object.__setattr__(self, "after", str(after))


@dataclass(frozen=True)
class Patch:
    """Connected pixels that changed."""

    patch: int
    """Its number, 1 for the largest."""
    hectares: float
    """Its area."""
    mean_distance: float
    """Mean of 1 - cosine."""
    max_distance: float
    """Largest of 1 - cosine."""
    lon: float
    """A point inside, degrees."""
    lat: float
    """A point inside, degrees."""


@dataclass(frozen=True)
class ChangeAnswer:
    """What stands out between two periods."""

    model: str
    """The model."""
    before: str
    """First valid period."""
    after: str
    """Second valid period."""
    tiles: list[str]
    """Tiles that both periods have."""
    left_out: list[str]
    """Tiles that only one of them has."""
    pixels: int
    """Pixels with data in both."""
    median: float
    """Median of 1 - cosine."""
    threshold: float
    """Above it a pixel stands out."""
    rule: str
    """How the threshold was found: `mad`, `otsu` or `given`."""
    changed_pixels: int
    """Pixels in patches."""
    changed_hectares: float
    """The same as an area."""
    share: float
    """Share of the pixels with data, 0..1."""
    num_patches: int
    """How many patches there are."""
    patches: list[Patch] = field(default_factory=list)
    """The largest thousand."""
    caution: str = CAUTION
    """What must be kept in mind."""
    files: list[str] = field(default_factory=list)
    """What was written."""
    seconds: float = 0.0
    """Wall time."""


def detect_change(
    catalog: Catalog, question: ChangeQuestion, *, folder: Path | None = None, progress: Progress = silent
) -> ChangeAnswer:
    """Compares two periods of a model pixel by pixel.

    Writes the distances as GeoTIFF and PNG for each group of touching tiles, and the patches as GeoJSON.

    Args:
        catalog: where fields lie and answers go.
        question: what to compare.
        folder: where the files go instead of the catalogue's answers.
        progress: told after each strip of a field.

    Raises:
        NotFound: a period has no field, or no tile has both.
        Conflict: the fields were made by different models.
    """
    started = time.monotonic()
    first, second, alone = _pairs(catalog, question)
    layers = [(one, _distances(one, second, progress)) for one in coverages(list(first.values()))]
    known = np.concatenate([layer[np.isfinite(layer)] for _, layer in layers])
    if not known.size:
        raise NotFound(f"no pixel has data in both {question.before} and {question.after}")
    limit, rule = question.threshold, "given"
    if limit is None:
        limit, rule = threshold(known, rule=question.rule, num_sigmas=question.num_sigmas), question.rule
    name = answer_name(
        "change", question.model, Period.parse(question.before).id, Period.parse(question.after).id
    )
    found: list[tuple[Patch, dict[str, Any]]] = []
    paths, changed = [], 0
    for coverage, layer in layers:
        numbers = patches(np.nan_to_num(layer, nan=-1) > limit, min_pixels=question.min_pixels)
        changed += int((numbers > 0).sum())
        found += _described(coverage, layer, numbers)
        base = answer_path(catalog, folder, f"{name}{coverage.suffix}.tif")
        paths += _write(base, coverage, layer, numbers > 0, question, limit)
    found = _renumbered(found)
    about = {"model": question.model, "before": question.before, "after": question.after, "caution": CAUTION}
    paths.append(
        write_geojson(
            answer_path(catalog, folder, f"{name}.geojson"), [one for _, one in found],
            earthfield={**about, "threshold": limit, "rule": rule},
        )
    )  # fmt: skip
    log.info(
        "%d patches of %s changed from %s to %s", len(found), question.model, question.before, question.after
    )
    return ChangeAnswer(
        model=question.model, before=question.before, after=question.after, tiles=sorted(first), left_out=alone,
        pixels=int(known.size), median=float(np.median(known)), threshold=float(limit), rule=rule,
        changed_pixels=changed, changed_hectares=changed / _HECTARE_PX, share=changed / known.size,
        num_patches=len(found), patches=[one for one, _ in found[:_MOST_SHOWN]], files=texts(paths),
        seconds=time.monotonic() - started,
    )  # fmt: skip


def _pairs(
    catalog: Catalog, question: ChangeQuestion
) -> tuple[dict[str, Field], dict[str, Field], list[str]]:
    """Opens the fields of both periods by tile, those that both have; names the other tiles."""
    both = [
        {one.key.tile.id: one for one in fields_of(catalog, question.model, Period.parse(text).id)}
        for text in (question.before, question.after)
    ]
    check_comparable([field for fields in both for field in fields.values()])
    shared = [
        tile
        for tile in sorted(both[0].keys() & both[1].keys())
        if both[0][tile].window & both[1][tile].window
    ]
    if not shared:
        raise NotFound(f"no tile of {question.model} has both {question.before} and {question.after}")
    alone = sorted((both[0].keys() | both[1].keys()) - set(shared))
    return {tile: both[0][tile] for tile in shared}, {tile: both[1][tile] for tile in shared}, alone


def _distances(coverage: Coverage, second: dict[str, Field], progress: Progress) -> NDArray[np.float32]:
    layer = coverage.blank(float("nan"), np.float32)
    for done, held in enumerate(coverage.fields, 1):
        other = second[held.key.tile.id]
        for window in strips_of(held.window & other.window):
            layer[coverage.place(window)] = distance(held.vectors(window), other.vectors(window))
        progress("comparing every pixel", done, len(coverage.fields))
    return layer


def _described(
    coverage: Coverage, layer: NDArray[np.float32], numbers: NDArray[np.int32]
) -> list[tuple[Patch, dict[str, Any]]]:
    """Gives every patch with its GeoJSON feature, in longitude and latitude."""
    last = int(numbers.max())
    if not last:
        return []
    order = np.arange(1, last + 1)
    sizes = np.bincount(numbers.ravel())[1:]
    means = np.atleast_1d(ndimage.mean(layer, numbers, order))
    peaks = np.atleast_1d(ndimage.maximum(layer, numbers, order))
    parts: dict[int, list[Any]] = {}
    transform = coverage.geobox.transform
    for outline, number in shapes(numbers, mask=numbers > 0, connectivity=8, transform=transform):
        parts.setdefault(int(number), []).append(shapely.geometry.shape(outline))
    found = []
    for number in order:
        shape = shapely.union_all(parts[int(number)])
        inside = shapely.point_on_surface(shape)
        crs = f"EPSG:{coverage.epsg}"
        lon, lat = Geometry(inside, crs).to_crs("EPSG:4326").geom.coords[0]
        size, mean, peak = int(sizes[number - 1]), float(means[number - 1]), float(peaks[number - 1])
        outline = shapely.set_precision(Geometry(shape, crs).to_crs("EPSG:4326").geom, 1e-7)
        one = Patch(int(number), size / _HECTARE_PX, mean, peak, lon, lat)
        found.append((one, {"type": "Feature", "geometry": shapely.geometry.mapping(outline)}))
    return found


def _renumbered(found: Sequence[tuple[Patch, dict[str, Any]]]) -> list[tuple[Patch, dict[str, Any]]]:
    """Numbers patches of all coverages together, the largest first, and puts what they are into their features."""
    done = []
    for number, (one, feature) in enumerate(sorted(found, key=lambda pair: -pair[0].hectares), 1):
        numbers = {"patch": number, "hectares": one.hectares}
        numbers |= {"mean_distance": round(one.mean_distance, 5), "max_distance": round(one.max_distance, 5)}
        patch = Patch(number, one.hectares, one.mean_distance, one.max_distance, one.lon, one.lat)
        done.append((patch, {**feature, "properties": numbers}))
    return done


def _write(
    raster: Path,
    coverage: Coverage,
    layer: NDArray[np.float32],
    changed: NDArray[np.bool_],
    question: ChangeQuestion,
    limit: float,
) -> list[Path]:
    from earthfield_search.pictures import draw_values

    tags = {
        "model": question.model, "before": question.before, "after": question.after, "threshold": f"{limit:.6f}",
        "caution": CAUTION,
    }  # fmt: skip
    write_raster(raster, layer, coverage, nodata=float("nan"), name="1 - cosine", tags=tags)
    picture = draw_values(
        raster.with_suffix(".png"), layer, coverage, colours="cividis", outline=changed, threshold=limit,
        title=f"What changed?  {question.model}, {question.before} to {question.after}",
        meaning="1 - cosine of the two periods (not calibrated)",
    )  # fmt: skip
    return [raster, picture]
