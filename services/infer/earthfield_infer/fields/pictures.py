"""Pictures of fields in the same colours: tiles of a zone joined, one picture for each period."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield.field import safe_label
from earthfield.grid import PIXEL_M, Window
from earthfield.progress import Progress, silent
from earthfield.storage import whole_file
from earthfield.timeline import Period
from earthfield_analysis.pool import pooled
from earthfield_analysis.project import bands_rgb, fit_axes, pca_rgb
from earthfield_infer.fields.choose import STRIP_PX, Part, hull_of, same_kind

TUTORIAL_AXES = ("A01", "A16", "A09")
"""Axes that Earth Engine's tutorial shows as red, green and blue, from -0.3 to 0.3."""
_SAMPLE = 200_000
"""Vectors that shared principal axes are fitted on."""

Paint = Callable[[NDArray[np.float32]], NDArray[np.uint8]]


@dataclass(frozen=True)
class PictureRequest:
    """How fields are painted."""

    axes: tuple[str, ...] = ()
    """Names of three bands for red, green and blue; principal axes where empty."""
    low: float = -0.3
    """Value of a single axis that becomes black."""
    high: float = 0.3
    """Value of a single axis that becomes full colour."""
    size: int = 1024
    """Longest side of a picture, pixels; fields are never enlarged."""

    def __post_init__(self) -> None:
        if self.axes and len(self.axes) != 3:
            raise InvalidInput(f"{len(self.axes)} axes were named: name three, such as A01,A16,A09")
        if not 16 <= self.size <= 16384:
            raise InvalidInput(f"a picture of {self.size} px cannot be made: ask for 16 to 16384")
        if not self.low < self.high:
            raise InvalidInput(f"--low {self.low:g} must be below --high {self.high:g}")


@dataclass
class PictureReport:
    """One picture."""

    path: str
    """The PNG; beside it lie a world file and its CRS, so that QGIS lays it on the map."""
    epsg: int
    """Zone that its tiles lie in."""
    period: str
    """Valid period."""
    tiles: int
    """Tiles in it."""
    width: int
    """Columns."""
    height: int
    """Rows."""
    pixel_m: float
    """Side of a picture's pixel on the ground, metres."""


def paint(
    parts: Sequence[Part], request: PictureRequest, folder: Path, *, progress: Progress = silent
) -> list[PictureReport]:
    """Paints fields, a PNG for each zone and period, all with the same meaning of colours.

    Args:
        parts: what to paint, of one model.
        request: how.
        folder: where to write; it is made.
        progress: told of each picture.

    Raises:
        InvalidInput: an axis that the fields do not have, or fields of different versions of a model.
        Unavailable: the disk is full.
    """
    groups = _groups(parts)
    painter = _painter(parts, request)
    reports = []
    for done, ((epsg, period), group) in enumerate(groups.items()):
        progress("preview", done, len(groups))
        reports.append(_picture(epsg, period, group, painter, request, folder))
    progress("preview", len(groups), len(groups))
    return reports


def _groups(parts: Sequence[Part]) -> dict[tuple[int, Period], list[Part]]:
    groups: dict[tuple[int, Period], list[Part]] = {}
    for part in parts:
        groups.setdefault((part.key.tile.epsg, part.key.period), []).append(part)
    return groups


def _painter(parts: Sequence[Part], request: PictureRequest) -> Paint:
    one = same_kind(parts).embedding
    if request.axes:
        unknown = [name for name in request.axes if name not in one.bands]
        if unknown:
            raise InvalidInput(
                f"no axis {', '.join(unknown)}: the fields have {one.bands[0]} to {one.bands[-1]}"
            )
        bands = [one.bands.index(name) for name in request.axes]
        return lambda vectors: bands_rgb(vectors, bands=bands, low=request.low, high=request.high)
    sample = _sample(parts)
    axes = fit_axes(sample) if len(sample) else None
    return lambda vectors: pca_rgb(vectors, axes)


def _sample(parts: Sequence[Part]) -> NDArray[np.float32]:
    """Takes vectors on an even lattice of the zone, so that the same fields give the same axes."""
    pixels = sum(part.window.shape[0] * part.window.shape[1] for part in parts)
    every = max(1, int(np.ceil(np.sqrt(pixels / _SAMPLE))))
    found = []
    for part in parts:
        for band in _bands(part.window, every):
            vectors = part.vectors(band)[-band.y0 % every :: every, -band.x0 % every :: every]
            vectors = vectors.reshape(-1, vectors.shape[-1])
            found.append(vectors[~np.isnan(vectors).any(axis=1)])
    return np.concatenate(found)


def _bands(window: Window, step: int) -> Iterator[Window]:
    height = max(1, STRIP_PX // step) * step
    for y in range(window.y0, window.y1, height):
        yield Window(y, y + height, window.x0, window.x1) & window


def _picture(
    epsg: int, period: Period, parts: Sequence[Part], painter: Paint, request: PictureRequest, folder: Path
) -> PictureReport:
    extent = hull_of(parts)
    step = -(-max(extent.shape) // request.size)
    rows, cols = (-(-side // step) for side in extent.shape)
    picture = np.zeros((rows, cols, 4), np.uint8)
    for band in _bands(extent, step):
        y = (band.y0 - extent.y0) // step
        painted = painter(_reduced(parts, extent, band, step))
        picture[y : y + len(painted)] = painted
    kind = "-".join(request.axes) or "pca"
    path = folder / safe_label(f"{parts[0].key.model}_{epsg}_{period.id}_{kind}.png")
    with whole_file(path) as temporary:
        Image.fromarray(picture, "RGBA").save(temporary)
    _place_on_map(path, epsg, extent, PIXEL_M * step)
    return PictureReport(str(path), epsg, str(period), len(parts), cols, rows, PIXEL_M * step)


def _place_on_map(path: Path, epsg: int, extent: Window, side_m: float) -> None:
    """Writes what GDAL and QGIS need to lay a picture on the map: a world file, and the CRS."""
    left, top = extent.x0 * PIXEL_M + side_m / 2, -extent.y0 * PIXEL_M - side_m / 2
    with whole_file(path.with_suffix(".pgw")) as temporary:
        temporary.write_text("\n".join(f"{value:.3f}" for value in (side_m, 0, 0, -side_m, left, top)) + "\n")
    with whole_file(path.with_name(f"{path.name}.aux.xml")) as temporary:
        temporary.write_text(f"<PAMDataset><SRS>EPSG:{epsg}</SRS></PAMDataset>\n")


def _reduced(parts: Sequence[Part], extent: Window, band: Window, step: int) -> NDArray[np.float32]:
    """Gives mean directions (rows, cols, D) of squares of `step` pixels under a band of the picture."""
    rows, cols = -(-band.shape[0] // step), -(-extent.shape[1] // step)
    total = np.zeros((rows, cols, parts[0].embedding.dimensions), np.float32)
    for part in parts:
        window = part.window & band
        if not window:
            continue
        down, right = window.y0 - band.y0, window.x0 - extent.x0
        sums, _ = pooled(part.vectors(window), side=step, top=down % step, left=right % step)
        y, x = down // step, right // step
        total[y : y + sums.shape[0], x : x + sums.shape[1]] += sums
    return normalised(total)
