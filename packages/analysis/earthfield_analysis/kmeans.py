"""k-means of a million vectors in a second: Lloyd's steps over blocks that stay in the cache.

Starts are sought on a sample, several times over; the best of them goes on over all vectors. Vectors are kept in
blocks with dimensions first, so that sixteen of them are compared with a centre at once, and only vectors that
change their cluster are added up again. The answer is the same for any number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield_analysis.compiling import SUMS, compiled, usable_threads

_ROWS = 128
"""Vectors of a block: 64 numbers of each are 32 KiB."""
_PARTS = 64
"""Pieces that are added up in a fixed order, whichever thread did them."""
_SAMPLE = 50_000
_STEPS = 300
_GAIN = 1e-5
"""Least share of the inertia that a step must bring: starts differ by a hundred times that."""
_ROUGH = 1e-4
"""The same while starts are compared."""


@dataclass(frozen=True)
class KMeans:
    """Centres that were found."""

    centres: NDArray[np.float32]
    """(K, D) means of the vectors nearest to each."""
    inertia: float
    """Sum of squared distances of all vectors to their centres."""
    steps: int
    """Lloyd's steps over all vectors."""


def kmeans(
    vectors: NDArray[np.float32],
    num_clusters: int,
    *,
    seed: int = 0,
    starts: int = 6,
    threads: int | None = None,
) -> KMeans:
    """Finds centres that leave a small sum of squared distances.

    Args:
        vectors: (N, D) without gaps, N at least K.
        num_clusters: K.
        seed: of the sample and the starts; the answer depends on nothing else.
        starts: how often centres are sought on the sample.
        threads: as many as the process may use when absent.

    Source: Arthur and Vassilvitskii, 2007, with several candidates for each start; Lloyd, 1982.
    """
    rng = np.random.default_rng(seed)
    count = min(len(vectors), max(_SAMPLE, 50 * num_clusters))
    sample = (
        vectors[np.sort(rng.choice(len(vectors), count, replace=False))] if count < len(vectors) else vectors
    )
    with ThreadPoolExecutor(threads or usable_threads()) as pool:
        few = _Blocks(sample, pool)
        found = [few.settled(_spread(sample, num_clusters, rng), _ROUGH) for _ in range(starts)]
        best = few.settled(min(found, key=lambda one: one.inertia).centres)
        return best if count == len(vectors) else _Blocks(vectors, pool).settled(best.centres)


def nearest(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int32]:
    """Gives the index of the nearest centre (K, D) of each vector (N, D): (N,); gaps give any."""
    labels = np.zeros(len(vectors), np.int32)
    _nearest(np.ascontiguousarray(vectors, np.float32), *_prepared(centres), labels)
    return labels


class _Blocks:
    """Vectors in blocks, and which cluster each belongs to."""

    def __init__(self, vectors: NDArray[np.float32], pool: ThreadPoolExecutor) -> None:
        self.count, self.dim = vectors.shape
        self.pool = pool
        self.x = np.empty((-(-self.count // _ROWS), self.dim, _ROWS), np.float32)
        self.edges = np.linspace(0, len(self.x), min(_PARTS, len(self.x)) + 1).astype(int)
        self.vectors = vectors
        rows = np.ascontiguousarray(vectors)
        self.square = float(sum(self._each(lambda first, last: _turned(rows, self.x, first, last))))

    def settled(self, centres: NDArray[np.float32], gain: float = _GAIN) -> KMeans:
        """Moves centres until a step brings less than a share of the inertia."""
        labels = np.full(len(self.x) * _ROWS, -1, np.int32)
        scores = np.empty(len(self.x) * _ROWS, np.float32)
        sums, sizes = np.zeros((len(centres), self.dim)), np.zeros(len(centres), np.int64)
        before, steps = np.inf, 0
        while True:
            inertia, changed = self._step(centres, labels, scores, sums, sizes)
            if steps == _STEPS or not changed or inertia > (1 - gain) * before:
                return KMeans(centres, inertia, steps)
            centres = self._means(scores, sums, sizes)
            before, steps = inertia, steps + 1

    def _step(
        self,
        centres: NDArray[np.float32],
        labels: NDArray[np.int32],
        scores: NDArray[np.float32],
        sums: NDArray[np.float64],
        sizes: NDArray[np.int64],
    ) -> tuple[float, int]:
        """Gives every vector to its nearest centre; adds to sums and sizes what came and went."""
        turned = _prepared(centres)
        parts = self._each(
            lambda first, last: _assign(self.x, self.count, *turned, labels, scores, first, last)
        )
        for came, number, _, _ in parts:
            sums += came
            sizes += number
        best = sum(part[2] for part in parts)
        return max(self.square - 2 * best, 0.0), sum(part[3] for part in parts)

    def _means(
        self,
        scores: NDArray[np.float32],
        sums: NDArray[np.float64],
        sizes: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        means = (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)
        empty = np.flatnonzero(sizes == 0)
        if len(empty):
            # A centre that nobody is near goes to where the others are farthest.
            away = np.square(self.vectors).sum(axis=1) - 2 * scores[: self.count]
            means[empty] = self.vectors[np.argsort(-away, kind="stable")[: len(empty)]]
        return means

    def _each(self, work: Any) -> list[Any]:
        return list(self.pool.map(work, self.edges[:-1], self.edges[1:]))


def _prepared(centres: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gives centres with half the square of their length: x c - c c / 2 is largest for the nearest."""
    x = np.ascontiguousarray(centres, np.float32)
    return x, (np.square(x.astype(np.float64)).sum(axis=1) / 2).astype(np.float32)


def _spread(sample: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draws centres far from each other, of some candidates always the one that leaves least (k-means++)."""
    tries = 2 + int(np.log(count))
    own = np.square(sample).sum(axis=1, dtype=np.float64)
    picks = [int(rng.integers(len(sample)))]

    def away(index: NDArray[np.int_]) -> NDArray[np.float64]:
        return np.maximum(own[None] - 2.0 * _products(sample, sample[index]) + own[index][:, None], 0.0)

    left = away(np.array(picks))[0]
    while len(picks) < count:
        total = np.cumsum(left)
        index = np.minimum(np.searchsorted(total, rng.random(tries) * total[-1]), len(sample) - 1)
        after = np.minimum(left[None], away(index))
        best = int(after.sum(axis=1).argmin())
        picks.append(int(index[best]))
        left = after[best]
    return np.array(sample[picks])


def _products(x: NDArray[np.float32], c: NDArray[np.float32]) -> NDArray[np.float64]:
    """Gives c x^T without a library whose sums depend on its threads."""
    found = np.empty((len(c), len(x)))
    _dot_rows(np.ascontiguousarray(x), np.ascontiguousarray(c), found)
    return found


# ---- compiled ----


@compiled(fastmath=SUMS)
def _dot_rows(x, c, found):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        row = x[i]
        for k in range(len(c)):
            other = c[k]
            total = np.float32(0)
            for d in range(len(row)):
                total += row[d] * other[d]
            found[k, i] = total


@compiled(fastmath=SUMS)
def _turned(vectors, x, first, last):  # type: ignore[no-untyped-def]
    """Puts rows into blocks with dimensions first, zeros behind the last; gives the sum of squares."""
    dim = vectors.shape[1]
    square = 0.0
    for b in range(first, last):
        block = x[b]
        n = min(_ROWS, len(vectors) - b * _ROWS)
        if n < _ROWS:
            block[:] = np.float32(0)
        for i in range(n):
            row = vectors[b * _ROWS + i]
            own = np.float32(0)
            for d in range(dim):
                block[d, i] = row[d]
                own += row[d] * row[d]
            square += own
    return square


@compiled(fastmath=SUMS)
def _score(block, centre, half, score):  # type: ignore[no-untyped-def]
    """Puts x c - c c / 2 of a block's vectors into `score`."""
    dim = len(block)
    n = len(score)
    whole = dim // 8 * 8
    score[:] = -half
    for d in range(0, whole, 8):
        x0, x1, x2, x3 = block[d], block[d + 1], block[d + 2], block[d + 3]
        x4, x5, x6, x7 = block[d + 4], block[d + 5], block[d + 6], block[d + 7]
        c0, c1, c2, c3 = centre[d], centre[d + 1], centre[d + 2], centre[d + 3]
        c4, c5, c6, c7 = centre[d + 4], centre[d + 5], centre[d + 6], centre[d + 7]
        for i in range(n):
            score[i] += ((c0 * x0[i] + c1 * x1[i]) + (c2 * x2[i] + c3 * x3[i])) + (
                (c4 * x4[i] + c5 * x5[i]) + (c6 * x6[i] + c7 * x7[i])
            )
    for d in range(whole, dim):
        x0, c0 = block[d], centre[d]
        for i in range(n):
            score[i] += c0 * x0[i]


@compiled()
def _assign(x, count, centres, halves, labels, scores, first, last):  # type: ignore[no-untyped-def]
    """Finds the nearest centre of the vectors of some blocks; gives what clusters gained, and the sum of scores."""
    num, dim = centres.shape
    sums, sizes = np.zeros((num, dim)), np.zeros(num, np.int64)
    score, label = np.empty(_ROWS, np.float32), np.empty(_ROWS, np.int32)
    best, changed = 0.0, 0
    for b in range(first, last):
        block = x[b]
        top = scores[b * _ROWS : (b + 1) * _ROWS]
        old = labels[b * _ROWS : (b + 1) * _ROWS]
        n = min(_ROWS, count - b * _ROWS)
        _score(block, centres[0], halves[0], top)
        label[:] = 0
        for k in range(1, num):
            _score(block, centres[k], halves[k], score)
            for i in range(_ROWS):
                higher = score[i] > top[i]
                top[i] = score[i] if higher else top[i]
                label[i] = k if higher else label[i]
        for i in range(n):
            best += top[i]
            if label[i] != old[i]:
                changed += 1
                new, gone = label[i], old[i]
                sizes[new] += 1
                for d in range(dim):
                    sums[new, d] += block[d, i]
                if gone >= 0:
                    sizes[gone] -= 1
                    for d in range(dim):
                        sums[gone, d] -= block[d, i]
                old[i] = new
    return sums, sizes, best, changed


@compiled()
def _nearest(vectors, centres, halves, labels):  # type: ignore[no-untyped-def]
    num, dim = centres.shape
    block = np.zeros((dim, _ROWS), np.float32)
    score, top = np.empty(_ROWS, np.float32), np.empty(_ROWS, np.float32)
    for at in range(0, len(vectors), _ROWS):
        n = min(_ROWS, len(vectors) - at)
        own = labels[at : at + n]
        for i in range(n):
            row = vectors[at + i]
            for d in range(dim):
                block[d, i] = row[d]
        _score(block, centres[0], halves[0], top)
        for k in range(1, num):
            _score(block, centres[k], halves[k], score)
            for i in range(n):
                higher = score[i] > top[i]
                top[i] = score[i] if higher else top[i]
                own[i] = k if higher else own[i]
