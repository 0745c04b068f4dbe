"""What belongs together: k-means or HDBSCAN on unit vectors, with cluster numbers that stay put."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from earthfield.codec import NODATA
from earthfield.errors import InvalidInput
from earthfield_analysis.project import fit_axes

MOST = 254
"""Clusters at most."""
NOISE = 255
"""What no cluster is near enough to."""
_PROTOTYPES = 8
"""Places of a cluster of any shape that pixels are compared with."""
_SIGMAS = 4.0
"""Reach of a cluster in robust standard deviations above its members' median distance: HDBSCAN counts stragglers
among the members."""


@dataclass(frozen=True)
class Clusters:
    """What clusters were found, each told by one place or several; numbers begin with 1."""

    centres: NDArray[np.float32]
    """(P, D) means of the vectors around each place."""
    numbers: NDArray[np.uint8]
    """(P,) the cluster that each belongs to."""
    inertia: float
    """Mean squared distance of the fitted vectors to the nearest centre."""
    reach: NDArray[np.float32] | None = None
    """(P,) squared distance from which on a vector near this place is noise; None: every vector has a cluster."""
    noise: float = 0.0
    """Share of the fitted vectors that belong to no cluster."""

    @property
    def present(self) -> list[int]:
        """The numbers, sorted."""
        return sorted({int(number) for number in self.numbers})

    @property
    def num_clusters(self) -> int:
        """How many there are."""
        return len(self.present)

    @property
    def means(self) -> NDArray[np.float32]:
        """(K, D) one place for each cluster, in the order of `present`: the mean of its places."""
        return np.stack([self.centres[self.numbers == number].mean(axis=0) for number in self.present])

    def assign(self, vectors: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Gives the number of the nearest centre of vectors (..., D): (...) uint8, 0 where there is no data."""
        # Not at the top: whoever only asks for the names of methods needs no compiler.
        from earthfield_analysis.kmeans import nearest

        x = np.asarray(vectors, np.float32)
        flat = x.reshape(-1, x.shape[-1])
        missing = np.asarray(np.isnan(flat).any(axis=1))
        found = nearest(
            np.where(missing[:, None], np.float32(0), flat) if missing.any() else flat, self.centres
        )
        numbers = self.numbers[found]
        if self.reach is not None:
            away = np.square(flat - self.centres[found]).sum(axis=1)
            numbers[away > self.reach[found]] = NOISE
        numbers[missing] = 0
        return numbers.reshape(x.shape[:-1])

    def assign_codes(self, codes: NDArray[np.int8], *, threads: int | None = 1) -> NDArray[np.uint8]:
        """Gives what `assign` gives for the decoded unit vectors of codes (D, h, w), without decoding them."""
        from earthfield_analysis.exact import lengths_of, scores

        flat = np.ascontiguousarray(codes).reshape(len(codes), -1)
        lengths = lengths_of(flat, threads=threads)
        top, own = np.full(flat.shape[1], -np.inf, np.float32), np.zeros(flat.shape[1], np.uint8)
        dot = np.empty_like(top)
        squares = np.square(self.centres.astype(np.float64)).sum(axis=1)
        for place, (centre, square) in enumerate(zip(self.centres, squares, strict=True)):
            if not square:
                dot[:] = 0
            else:
                scores(flat, centre, lengths=lengths, out=dot, threads=threads)
                dot *= np.float32(np.sqrt(square))
            dot -= np.float32(square / 2)
            # |x - c|^2 = 1 - 2 (x c - c c / 2) for a unit vector.
            near = dot > top
            own[near] = self.numbers[place]
            if self.reach is not None:
                own[near & (1 - 2 * dot > self.reach[place])] = NOISE
            np.copyto(top, dot, where=near)
        own[(flat[0] == NODATA) | ~(lengths > 0)] = 0
        return own.reshape(codes.shape[1:])

    def numbered(self, new: dict[int, int]) -> Clusters:
        """Gives the same clusters under other numbers."""
        numbers = np.array([new[int(number)] for number in self.numbers], np.uint8)
        order = np.argsort(numbers, kind="stable")
        reach = None if self.reach is None else self.reach[order]
        return Clusters(self.centres[order], numbers[order], self.inertia, reach, self.noise)


def fit_clusters(vectors: NDArray[np.floating], num_clusters: int, *, seed: int = 0) -> Clusters:
    """Finds clusters of unit vectors by k-means.

    Numbers follow the centres' places along the first principal axis, whose sign is fixed, and not the order in
    which k-means found them: another seed or one more tile leaves colours where they were, as far as the clusters
    are the same. `numbers_like` keeps them closer still. The answer is the same for any number of threads.

    Args:
        vectors: (..., D) unit vectors; rows with NaN do not count.
        num_clusters: K, 1..254.
        seed: of the starts.

    Raises:
        InvalidInput: K is outside 1..254, or there are fewer vectors than clusters.
    """
    from earthfield_analysis.kmeans import kmeans

    if not 1 <= num_clusters <= MOST:
        raise InvalidInput(f"{num_clusters} clusters were asked for; k must lie in 1..{MOST}")
    flat = _known(vectors)
    if len(flat) < num_clusters:
        raise InvalidInput(
            f"{len(flat)} pixels with data cannot make {num_clusters} clusters; take a smaller k"
        )
    found = kmeans(flat, num_clusters, seed=seed)
    plain = Clusters(found.centres, np.arange(1, num_clusters + 1, dtype=np.uint8), found.inertia / len(flat))
    return _along_first_axis(plain, flat)


def fit_dense_clusters(
    vectors: NDArray[np.floating], *, min_share: float = 0.01, most: int = 10_000, seed: int = 0
) -> Clusters:
    """Finds clusters of unit vectors by HDBSCAN: as many as there are, of any shape, and noise between them.

    Each cluster is told by up to eight places in it, and reaches as far as its members usually lie from these; what
    lies beyond is noise.

    Args:
        vectors: (..., D) unit vectors; rows with NaN do not count.
        min_share: least share of all vectors that is a cluster, 0..0.5.
        most: vectors that are looked at; the time grows with their square.
        seed: of the draw of these.

    Raises:
        InvalidInput: the share is out of its range, there are too few vectors, or no cluster was found.

    Source: Campello, Moulavi and Sander, 2013, on the first sixteen principal axes.
    """
    from sklearn.cluster import HDBSCAN

    from earthfield_analysis.kmeans import kmeans

    if not 0 < min_share <= 0.5:
        raise InvalidInput(f"the smallest cluster's share is {min_share}; it must lie in 0..0.5")
    flat = _known(vectors)
    if len(flat) < 20:
        raise InvalidInput(f"{len(flat)} pixels with data are too few for clusters by density; take k-means")
    rng = np.random.default_rng(seed)
    if len(flat) > most:
        flat = flat[np.sort(rng.choice(len(flat), most, replace=False))]
    axes = fit_axes(flat, num_axes=min(16, flat.shape[1]))
    size = max(5, round(min_share * len(flat)))
    labels = HDBSCAN(min_cluster_size=size, min_samples=10, copy=True).fit_predict(axes.coordinates(flat))
    names = sorted(set(labels.tolist()) - {-1})
    if not names or len(names) > MOST:
        raise InvalidInput(
            f"{len(names)} clusters by density were found with at least {size} of {len(flat)} pixels each: take "
            f"{'a smaller' if not names else 'a larger'} smallest share than {min_share}, or k-means"
        )
    parts = []
    for name in names:
        members = flat[labels == name]
        centres = kmeans(members, min(_PROTOTYPES, len(members)), seed=seed).centres
        away = np.square(members[:, None] - centres[None]).sum(axis=2)
        parts.append((centres, away.argmin(axis=1), away.min(axis=1)))
    centres = np.concatenate([part[0] for part in parts])
    numbers = np.repeat(np.arange(1, len(names) + 1), [len(part[0]) for part in parts]).astype(np.uint8)
    reach = np.repeat([_reach(part[2]) for part in parts], [len(part[0]) for part in parts])
    inertia = float(np.concatenate([part[2] for part in parts]).mean())
    plain = Clusters(centres, numbers, inertia, reach.astype(np.float32))
    noise = float((plain.assign(flat) == NOISE).mean())
    return _along_first_axis(replace(plain, noise=noise), flat)


def numbers_like(found: Clusters, earlier: Clusters) -> tuple[Clusters, dict[int, float]]:
    """Gives clusters the numbers of earlier ones of the same model, so that colours stay where they were.

    Pairs are those that lie closest in sum (Hungarian assignment); what has no partner takes free numbers.

    Returns:
        The clusters, and for each number that has a partner the cosine of both means.

    Raises:
        InvalidInput: the earlier ones are of vectors of another length.
    """
    from scipy.optimize import linear_sum_assignment

    own, other = found.means, earlier.means
    if own.shape[1] != other.shape[1]:
        raise InvalidInput(
            f"clusters of {own.shape[1]} numbers cannot be told apart like those of {other.shape[1]}: name an "
            "answer of the same model"
        )
    cosines = _units(own) @ _units(other).T
    rows, cols = linear_sum_assignment(-cosines)
    new = {found.present[row]: earlier.present[col] for row, col in zip(rows, cols, strict=True)}
    kept = {earlier.present[col]: float(cosines[row, col]) for row, col in zip(rows, cols, strict=True)}
    free = iter(number for number in range(1, MOST + 1) if number not in set(new.values()))
    for number in found.present:
        if number not in new:
            new[number] = next(free)
    return found.numbered(new), dict(sorted(kept.items()))


def _reach(squares: NDArray[np.floating]) -> float:
    """Gives how far a cluster reaches, squared, from its members' squared distances."""
    away = np.sqrt(squares)
    middle = np.median(away)
    return float((middle + _SIGMAS * 1.4826 * np.median(np.abs(away - middle))) ** 2)


def _along_first_axis(found: Clusters, flat: NDArray[np.float32]) -> Clusters:
    along = fit_axes(flat, num_axes=1).coordinates(found.means)[:, 0]
    order = [found.present[place] for place in np.argsort(along, kind="stable")]
    return found.numbered({old: new for new, old in enumerate(order, 1)})


def _known(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    flat = np.asarray(vectors, np.float32).reshape(-1, np.shape(vectors)[-1])
    known = np.isfinite(flat).all(axis=1)
    return flat if known.all() else flat[known]


def _units(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.float32(1e-12))
