"""Exact likeness of very many int8 codes to one vector, at the speed at which they can be read.

A code q stands for sign(q) (q / 127.5)^2, so a score is the sum of |q| q t over the bands, and no decoded copy of
the codes is ever made: eight bands are converted, squared, weighed and added in registers, over blocks that stay in
the cache (`exact_loops`). The loops are compiled when they are first used, and kept beside their file, or in the
user's cache, or nowhere where neither can be written.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import InvalidInput
from earthfield_analysis.compiling import usable_threads
from earthfield_analysis.exact_loops import BLOCK, LOWEST, fill_lengths, fill_scores, search_in

_NONE = np.empty(0, np.float32)
_ALL = np.empty(0, np.bool_)


@dataclass(frozen=True)
class Best:
    """The codes most like a vector, best first; of equal ones those that come first."""

    scores: NDArray[np.float32]
    """(n,) likeness, n at most k."""
    places: NDArray[np.int64]
    """(n,) which they are."""
    searched: int
    """How many had data and lay inside."""
    above: int
    """How many of these reached the threshold; all of them where there was none."""


def scores(
    codes: NDArray[np.int8],
    query: NDArray[np.floating],
    *,
    cosine: bool = True,
    lengths: NDArray[np.float32] | None = None,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Gives the likeness of each code to a vector.

    Args:
        codes: (D, N) int8, -128 where there is no data, C-contiguous.
        query: (D,) of any length above 0.
        cosine: divide by each code's own length, which rounding puts a little off 1.
        lengths: (N,) as `lengths_of` gives them, to spare finding them again.
        out: (N,) float32 to fill.
        threads: as many as the process may use when absent.

    Returns:
        (N,) float32, NaN where there is no data.

    Raises:
        InvalidInput: shapes or types do not fit, or the query has no data.
    """
    found = np.empty(codes.shape[1], np.float32) if out is None else out
    if found.shape != codes.shape[1:] or found.dtype != np.float32:
        raise InvalidInput(f"scores need room for {codes.shape[1]} float32, not {found.shape} {found.dtype}")
    weights, own = _checked(codes, query, lengths)
    _side_by_side(
        lambda start, stop: fill_scores(codes, weights, own, cosine, start, stop, found),
        codes.shape[1],
        threads,
    )
    return found


def best(
    codes: NDArray[np.int8],
    query: NDArray[np.floating],
    *,
    k: int,
    threshold: float | None = None,
    better_than: float | None = None,
    inside: NDArray[np.bool_] | None = None,
    cosine: bool = True,
    lengths: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> Best:
    """Finds the k codes that are most like a vector, or the best k of those that reach a threshold.

    The answer is the same for any number of threads.

    Args:
        codes: (D, N) int8, -128 where there is no data, C-contiguous.
        query: (D,) of any length above 0.
        k: how many at most; 0 only counts.
        threshold: least likeness.
        better_than: keep only what is more alike than this, such as the worst that is kept already; what is not
            kept is counted all the same.
        inside: (N,) where False a code does not count.
        cosine: as in `scores`.
        lengths: as in `scores`.
        threads: as in `scores`.

    Raises:
        InvalidInput: shapes or types do not fit, or the query has no data.
    """
    weights, own = _checked(codes, query, lengths)
    mask = _ALL if inside is None else np.ascontiguousarray(inside, np.bool_).reshape(-1)
    if mask.size not in (0, codes.shape[1]) or k < 0:
        raise InvalidInput(f"{mask.size} flags cannot choose among {codes.shape[1]} codes, nor can k be {k}")
    # What reaches the threshold lies above the number before it; and everything lies above no number at all.
    below = LOWEST if threshold is None else np.nextafter(np.float32(threshold), LOWEST)
    floor = below if better_than is None else np.maximum(below, np.float32(better_than))
    room = min(k, codes.shape[1])

    def search(start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.int64], int, int]:
        kept_scores, kept = np.empty(room, np.float32), np.empty(room, np.int64)
        count, searched, above = search_in(
            codes, weights, own, cosine, mask, start, stop, below, floor, kept_scores, kept
        )
        return kept_scores[:count], kept[:count], searched, above

    parts = _side_by_side(search, codes.shape[1], threads)
    return merged([Best(*part) for part in parts], k)


def merged(parts: list[Best], k: int) -> Best:
    """Puts answers about different codes together: the k best of all; places must already tell them apart."""
    values = np.concatenate([_NONE, *(part.scores for part in parts)])
    places = np.concatenate([np.empty(0, np.int64), *(part.places for part in parts)])
    order = np.lexsort((places, -values))[:k]
    return Best(
        values[order], places[order], sum(part.searched for part in parts), sum(part.above for part in parts)
    )


def lengths_of(codes: NDArray[np.int8], *, threads: int | None = None) -> NDArray[np.float32]:
    """Gives the length of each decoded code (D, N) -> (N,) float32; NaN where there is no data."""
    found = np.empty(codes.shape[1], np.float32)
    weights, _ = _checked(codes, np.ones(len(codes), np.float32), None)
    _side_by_side(
        lambda start, stop: fill_lengths(codes, weights, start, stop, found), codes.shape[1], threads
    )
    return found


def _checked(
    codes: NDArray[np.int8], query: NDArray[np.floating], lengths: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gives the unit query, and the lengths or none of them."""
    if codes.ndim != 2 or codes.dtype != np.int8 or not codes.flags.c_contiguous:
        raise InvalidInput(f"codes must be contiguous int8 (D, N), not {codes.dtype} {codes.shape}")
    unit = np.asarray(query, np.float64)
    if unit.shape != codes.shape[:1]:
        raise InvalidInput(f"codes of {len(codes)} bands cannot be compared with a query of {unit.shape}")
    norm = float(np.sqrt(np.square(unit).sum()))
    if not np.isfinite(norm) or norm == 0:
        raise InvalidInput("the query must be one vector with data")
    if lengths is not None and (lengths.shape != codes.shape[1:] or lengths.dtype != np.float32):
        raise InvalidInput(f"{lengths.shape} lengths do not fit {codes.shape[1]} codes")
    return (unit / norm).astype(np.float32), _NONE if lengths is None else np.ascontiguousarray(lengths)


def _side_by_side(work: Callable[[int, int], Any], total: int, threads: int | None) -> list[Any]:
    """Does work over ranges that begin at whole blocks, so that no sum depends on how many threads there are."""
    blocks = -(-total // BLOCK)
    count = max(1, min(threads or usable_threads(), blocks))
    cuts = [blocks * number // count * BLOCK for number in range(count)] + [total]
    if count == 1:
        return [work(0, total)]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, cuts[:-1], cuts[1:]))
