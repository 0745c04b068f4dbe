"""How much a few labels tell: descriptions of the same pixels, scored on the same draws with the same probes.

Source: the AlphaEarth paper's protocol (class-balanced draws of n labels, kNN and linear probes, balanced accuracy,
s.e.m. over draws). We depart from it where labels lie next to one another: there *all the rest* would test on the
neighbours of the training pixels, so training and test come from different blocks or parcels of the place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield.progress import Progress, silent
from earthfield_analysis.probes import NEIGHBOURS, PROBES, Probe, balanced_accuracy, nearest, ridge
from earthfield_analysis.protocol import Dealt, Rules, Sites, Split, connected, deal, sites_of

Shots = int | str
"""Labels per class, or `max`."""
PAPER_MARGINS: Mapping[str, float] = {"1": 0.042, "10": 0.104, "max": 0.239}
"""By how much AlphaEarth's error is below its next best, by labels a class (arXiv 2507.22291)."""


@dataclass(frozen=True)
class Features:
    """One way to describe the sites, and its scale over the whole place."""

    values: NDArray[np.float32]
    """(N, F), no NaN."""
    mean: NDArray[np.float64]
    """(F,) means over all pixels of the place, labelled or not."""
    std: NDArray[np.float64]
    """(F,) standard deviations; where 0 the feature tells nothing and counts as 0."""

    def take(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Features:
        """Gives some of the sites."""
        return Features(self.values[keep], self.mean, self.std)

    def scaled(self) -> NDArray[np.float32]:
        """Gives (N, F) of zero mean and unit deviation over the place."""
        told = self.std > 1e-9 * np.maximum(np.abs(self.mean), 1e-12)
        return np.asarray(
            np.where(told, (self.values - self.mean) / np.where(told, self.std, 1), 0), np.float32
        )


@dataclass(frozen=True)
class Score:
    """How well a description does with n labels a class and one probe."""

    features: str
    """Name of the description."""
    shots: str
    """`1`, `10`, `max`."""
    probe: Probe
    """Which probe."""
    mean: float
    """Mean balanced accuracy over draws and folds, 0..1."""
    sem: float
    """Standard error of that mean; NaN for one split."""


def score_vectors(
    vectors: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    classes: Sequence[int] | None = None,
    shots: Sequence[Shots] = (1, 10, "max"),
    rules: Rules | None = None,
) -> list[Score]:
    """Scores one description of a place, from arrays alone.

    Args:
        vectors: (H, W, D) of every pixel of the place, NaN where there is none; they set the scale.
        labels: (H, W) class codes, 0 where there is no label.
        classes: codes to tell apart; all that can be drawn when absent.
        shots: labels per class, numbers or `max`.
        rules: how pixels are split; the block protocol when absent.

    Raises:
        InvalidInput: the arrays do not fit, or the labels cannot be split.
    """
    if vectors.ndim != 3 or labels.shape != vectors.shape[:2]:
        raise InvalidInput(
            f"vectors {vectors.shape} and labels {labels.shape} do not fit: give (H, W, D) and (H, W) of one place"
        )
    finite = np.isfinite(vectors).all(axis=2)
    wanted = labels if classes is None else np.where(np.isin(labels, list(classes)), labels, 0)
    sites = sites_of(np.where(finite, wanted, 0))
    rules = rules or Rules()
    whole = vectors[finite].astype(np.float64)
    features = Features(
        vectors[sites.rows, sites.cols].astype(np.float32), whole.mean(axis=0), whole.std(axis=0)
    )
    parcels = connected(labels) if rules.protocol == "parcels" else None
    dealt = deal(sites, rules, shots=needed(shots), parcels=parcels)
    return compare({"vectors": features.take(dealt.kept)}, dealt, shots=shots)


def needed(shots: Sequence[Shots]) -> int:
    """Gives the labels per class that every split must allow: the largest number asked for besides `max`.

    Raises:
        InvalidInput: it is neither a number from 1 nor `max`.
    """
    for one in shots:
        if one != "max" and not (isinstance(one, int) and one >= 1):
            raise InvalidInput(f"labels per class are whole numbers from 1, or max; not {one!r}")
    return max([one for one in shots if isinstance(one, int)], default=1)


def compare(
    described: Mapping[str, Features],
    dealt: Dealt,
    *,
    shots: Sequence[Shots] = (1, 10, "max"),
    probes: Sequence[Probe] = PROBES,
    progress: Progress = silent,
) -> list[Score]:
    """Scores every description with every probe on the same draws.

    Args:
        described: by name, features of the sites of `dealt`.
        dealt: the splits.
        shots: labels per class.
        probes: which probes.
        progress: told after each description.
    """
    counts = {str(one): dealt.most if one == "max" else int(one) for one in shots}
    scores = []
    # Fits this small take longer with several threads, and far longer on cores that others use too.
    with threadpool_limits(1):
        for done, (name, features) in enumerate(described.items(), 1):
            scaled = features.scaled()
            unit = np.nan_to_num(normalised(scaled))
            got: dict[tuple[str, Probe], list[float]] = {(n, probe): [] for n in counts for probe in probes}
            for split in dealt.splits:
                for (n, probe), value in _scored(scaled, unit, dealt.sites, split, counts, probes).items():
                    got[n, probe].append(value)
            scores += [Score(name, n, probe, *mean_and_sem(values)) for (n, probe), values in got.items()]
            progress("few-shot scores", done, len(described))
    return scores


def mean_and_sem(values: Sequence[float]) -> tuple[float, float]:
    """Gives a mean and its standard error, NaN for one value."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return float(np.mean(values)), float(error)


def _scored(
    scaled: NDArray[np.float32],
    unit: NDArray[np.float32],
    sites: Sites,
    split: Split,
    counts: Mapping[str, int],
    probes: Sequence[Probe],
) -> dict[tuple[str, Probe], float]:
    """Balanced accuracy on one split, by labels per class and probe."""
    truth = sites.labels[split.test]
    found: dict[tuple[str, Probe], float] = {}
    for n, count in counts.items():
        train = split.train(count)
        for probe in probes:
            if probe == "knn":
                guess = nearest(
                    unit[train], sites.labels[train], unit[split.test], k=1 if count == 1 else NEIGHBOURS
                )
            else:
                guess = ridge(scaled[train], sites.labels[train]).guess(scaled[split.test])
            found[n, probe] = balanced_accuracy(truth, guess)
    return found
