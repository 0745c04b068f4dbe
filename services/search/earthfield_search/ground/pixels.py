"""Every pixel: exact likeness over the 10 m pixels of fields, block by block, whatever their size.

Threads read, decode and compare a few blocks at a time; codes are compared as they are stored. `best_pixels`
answers with places, `similarity_raster` with a map.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from pyproj import Transformer

from earthfield.errors import InvalidInput
from earthfield.field import Field
from earthfield.grid import PIXEL_M, Window
from earthfield.progress import Progress, silent
from earthfield_analysis.compiling import usable_threads
from earthfield_analysis.exact import Best, best, merged, scores
from earthfield_search.files.rasters import Raster, write_strips
from earthfield_search.ground.comparable import check_comparable
from earthfield_search.ground.coverage import Coverage, coverages

T = TypeVar("T")
_MOST = 1_000_000
_HELD_BYTES = 384 << 20
"""Of blocks that are held at once, 17 MB each of the published code; many threads shall not need more."""
_BLOCK_PX = 256 * 1024
_PLACE_BITS = 24
"""Bits of a pixel's place in its block."""


@dataclass(frozen=True)
class Block:
    """A strip of a field as it is stored."""

    field: Field
    """The field."""
    window: Window
    """Its pixels in the zone's grid."""
    codes: NDArray[Any]
    """(D, h, w) as `Field.codes` gives them."""
    inside: NDArray[np.bool_] | None
    """(h, w) which pixels lie in the area; None where all do."""


@dataclass(frozen=True)
class Pixels:
    """Pixels that were found, best first; the order of equal ones is fixed too."""

    scores: NDArray[np.float32]
    """(n,) cosine, -1..1."""
    epsg: NDArray[np.int32]
    """(n,) zone of each."""
    rows: NDArray[np.int64]
    """(n,) row in the zone's grid."""
    cols: NDArray[np.int64]
    """(n,) column in the zone's grid."""
    lon: NDArray[np.float64]
    """(n,) longitude of the centre, degrees."""
    lat: NDArray[np.float64]
    """(n,) latitude of the centre, degrees."""
    searched: int
    """Pixels with data in the area."""
    above: int
    """How many of these reach the threshold, kept or not; all where there was none."""

    def __len__(self) -> int:
        return len(self.scores)


def best_pixels(
    fields: Sequence[Field],
    vector: NDArray[np.floating],
    *,
    k: int,
    area: Geometry | None = None,
    threshold: float | None = None,
    progress: Progress = silent,
) -> Pixels:
    """Finds the pixels most like a vector, exactly: every pixel is compared.

    Args:
        fields: of one model and one period.
        vector: (D,) of any length above 0.
        k: how many at most; 0 only counts.
        area: polygons in EPSG:4326; all of the fields where absent.
        threshold: least cosine.
        progress: told after each block.

    Raises:
        InvalidInput: k or the threshold cannot be, the vector does not fit the fields, or there is no field.
        NotFound: no pixel of the fields lies in the area.
        Conflict: the fields were made by different models.
    """
    if not fields:
        raise InvalidInput("there is no field to look for pixels in: run `earthfield map` first")
    if not 0 <= k <= _MOST:
        raise InvalidInput(f"k is {k}; it must lie in 0..{_MOST}")
    if threshold is not None and not -1 <= threshold <= 1:
        raise InvalidInput(f"the threshold is {threshold}; a cosine lies in -1..1")
    query = checked_vector(fields, vector)
    covered = coverages(fields, area=area)
    total = sum(len(list(one.strips())) for one in covered)
    kept = Best(np.empty(0, np.float32), np.empty(0, np.int64), 0, 0)
    seen: list[tuple[int, Window]] = []

    def compared(block: Block) -> tuple[Window, Best]:
        worst = float(kept.scores[-1]) if k and len(kept.scores) == k else None
        return block.window, _best_of(block, query, k, threshold, worst)

    for coverage in covered:
        for window, found in worked(coverage, compared):
            # Places count on from block to block: of equal scores the first is kept, whoever was ready first.
            numbered = Best(
                found.scores, (len(seen) << _PLACE_BITS) + found.places, found.searched, found.above
            )
            seen.append((coverage.epsg, window))
            kept = merged([kept, numbered], k)
            progress("comparing every pixel", len(seen), total)
    return _pixels(seen, kept)


def similarity_raster(
    path: Path,
    coverage: Coverage,
    vector: NDArray[np.floating],
    *,
    tags: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Raster:
    """Writes the cosine of every pixel of a coverage to a vector: float32, NaN where there is no data.

    Neither the fields nor the map are ever held whole.

    Args:
        path: the cloud-optimised GeoTIFF.
        coverage: of fields of one model and period, with or without an area.
        vector: (D,) of any length above 0.
        tags: what else the file tells.
        progress: told after each block.

    Returns:
        The file, with a view for `pictures.draw_values`.

    Raises:
        InvalidInput: the vector does not fit the fields.
        Conflict: the fields were made by different models.
    """
    query = checked_vector(coverage.fields, vector)

    def compared() -> Iterator[tuple[Window, NDArray[np.float32]]]:
        total = len(list(coverage.strips()))
        strips = worked(coverage, lambda block: (block.window, likeness(block, query)))
        for done, strip in enumerate(strips, 1):
            yield strip
            progress("similarity of every pixel", done, total)

    return write_strips(
        path, coverage, compared(), dtype=np.float32, nodata=float("nan"), name="cosine similarity", tags=tags
    )


def blocks(coverage: Coverage) -> Iterator[Block]:
    """Reads a coverage strip by strip, in the order of its strips, some ahead of whoever asks."""
    return worked(coverage, lambda block: block)


def worked(coverage: Coverage, do: Callable[[Block], T]) -> Iterator[T]:
    """Yields what is done with each strip of a coverage, in the order of its strips.

    Threads read, decode and do it, some strips ahead of whoever asks; no more are held than that.

    Args:
        coverage: what is read.
        do: safe to call from several threads at once.
    """

    def read(strip: tuple[Field, Window]) -> T:
        field, window = strip
        return do(Block(field, window, field.codes(window), coverage.inside(window)))

    largest = max((one.dim * np.dtype(one.dtype).itemsize for one in coverage.fields), default=1)
    most = max(1, _HELD_BYTES // (largest * _BLOCK_PX))
    threads = min(usable_threads(), most)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="pixels")
    pending: deque[Future[T]] = deque()
    try:
        for strip in coverage.strips():
            pending.append(pool.submit(read, strip))
            if len(pending) >= min(2 * threads, most):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def likeness(block: Block, query: NDArray[np.floating]) -> NDArray[np.float32]:
    """Gives the cosine of each pixel of a block to a vector, (h, w), NaN where there is no data or no area."""
    shape = block.window.shape
    if block.codes.dtype == np.int8:
        flat = block.codes.reshape(len(block.codes), -1)
        found = np.clip(scores(flat, query, threads=1), -1, 1).reshape(shape)
    else:
        found = _float_likeness(block.codes, query)
    if block.inside is not None:
        found[~block.inside] = np.nan
    return found


def checked_vector(fields: Sequence[Field], vector: NDArray[np.floating]) -> NDArray[np.float32]:
    """Makes sure that a vector can be compared with fields, and these with each other; gives its unit vector.

    Raises:
        InvalidInput: it has another length, or no direction.
        Conflict: the fields were made by different models.
    """
    check_comparable(fields)
    x = np.asarray(vector, np.float64)
    if fields and x.shape != (fields[0].dim,):
        raise InvalidInput(
            f"a vector of {x.shape} cannot be compared with {fields[0].key.model}'s of {fields[0].dim} numbers"
        )
    norm = float(np.sqrt(np.square(x).sum()))
    if not np.isfinite(norm) or norm == 0:
        raise InvalidInput("the vector that is asked for has no direction: give numbers that are not all 0")
    return (x / norm).astype(np.float32)


def _float_likeness(values: NDArray[Any], query: NDArray[np.floating]) -> NDArray[np.float32]:
    """The same for vectors that are kept as values; band by band, so that no turned copy is made."""
    dot, square = (np.zeros(values.shape[1:], np.float32) for _ in range(2))
    for band, weight in zip(values, query, strict=True):
        x = band.astype(np.float32, copy=False)
        dot += x * np.float32(weight)
        square += np.square(x)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip(dot / np.sqrt(np.where(square > 0, square, np.float32("nan"))), -1, 1)


def _best_of(
    block: Block, query: NDArray[np.float32], k: int, threshold: float | None, worst: float | None
) -> Best:
    if block.codes.dtype == np.int8:
        flat = block.codes.reshape(len(block.codes), -1)
        inside = None if block.inside is None else block.inside.reshape(-1)
        return best(flat, query, k=k, threshold=threshold, better_than=worst, inside=inside, threads=1)
    found = likeness(block, query).reshape(-1)
    known = found > -np.inf
    reached = known if threshold is None else found >= np.float32(threshold)
    places = np.flatnonzero(reached if worst is None else reached & (found > worst))
    part = Best(found[places], places.astype(np.int64), int(known.sum()), int(reached.sum()))
    return merged([part], k)


def _pixels(seen: Sequence[tuple[int, Window]], kept: Best) -> Pixels:
    number, place = kept.places >> _PLACE_BITS, kept.places % (1 << _PLACE_BITS)
    told = np.array([(epsg, one.y0, one.x0, one.shape[1]) for epsg, one in seen], np.int64)
    zone, top, left, width = told[number].T
    rows, cols, epsg = place // width + top, place % width + left, zone.astype(np.int32)
    lon, lat = np.empty(len(rows)), np.empty(len(rows))
    for one in np.unique(epsg):
        own = epsg == one
        turn = Transformer.from_crs(int(one), 4326, always_xy=True)
        lon[own], lat[own] = turn.transform((cols[own] + 0.5) * PIXEL_M, -(rows[own] + 0.5) * PIXEL_M)
    return Pixels(
        np.clip(kept.scores, -1, 1), epsg, rows, cols, lon, lat, searched=kept.searched, above=kept.above
    )
