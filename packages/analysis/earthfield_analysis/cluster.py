"""What belongs together: k-means on unit vectors, with cluster numbers that stay put."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from earthfield.errors import InvalidInput
from earthfield_analysis.project import fit_axes

_RUNS = 4
_ROWS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Clusters:
    """Centres of clusters, numbered 1..K along the first principal axis of what they were fitted on."""

    centres: NDArray[np.float32]
    """(K, D) means of the vectors of each cluster."""
    inertia: float
    """Mean squared distance of the fitted vectors to their centres."""

    @property
    def num_clusters(self) -> int:
        """K."""
        return len(self.centres)

    def assign(self, vectors: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Gives the number of the nearest centre of vectors (..., D): (...) uint8, 0 where there is no data."""
        x = np.asarray(vectors, np.float32)
        flat = x.reshape(-1, x.shape[-1])
        found = np.empty(len(flat), np.uint8)
        # |x - c|^2 without |x|^2, which is the same for every centre.
        half = np.square(self.centres).sum(axis=1) / 2
        for start in range(0, len(flat), _ROWS_AT_ONCE):
            rows = flat[start : start + _ROWS_AT_ONCE]
            nearest = (np.nan_to_num(rows) @ self.centres.T - half).argmax(axis=1) + 1
            found[start : start + _ROWS_AT_ONCE] = np.where(np.isnan(rows).any(axis=1), 0, nearest)
        return found.reshape(x.shape[:-1])


def fit_clusters(vectors: NDArray[np.floating], num_clusters: int, *, seed: int = 0) -> Clusters:
    """Finds clusters of unit vectors.

    Numbers follow the centres' places along the first principal axis, whose sign is fixed, and not the order in
    which k-means found them: another seed or one more tile leaves colours where they were, as far as the clusters
    are the same.

    Args:
        vectors: (..., D) unit vectors; rows with NaN do not count.
        num_clusters: K, 1..255.
        seed: of the starts.

    Raises:
        InvalidInput: K is outside 1..255, or there are fewer vectors than clusters.
    """
    if not 1 <= num_clusters <= 255:
        raise InvalidInput(f"{num_clusters} clusters were asked for; k must lie in 1..255")
    flat = np.asarray(vectors, np.float32).reshape(-1, np.shape(vectors)[-1])
    flat = flat[np.isfinite(flat).all(axis=1)]
    if len(flat) < num_clusters:
        raise InvalidInput(
            f"{len(flat)} pixels with data cannot make {num_clusters} clusters; take a smaller k"
        )
    # One thread: the sums of several would be added in no fixed order.
    found = KMeans(num_clusters, n_init=_RUNS, random_state=seed, algorithm="lloyd").fit(flat)
    centres = np.asarray(found.cluster_centers_, np.float32)
    order = np.argsort(fit_axes(flat, num_axes=1).coordinates(centres)[:, 0], kind="stable")
    return Clusters(centres[order], float(found.inertia_) / len(flat))
