"""How much a few labels tell: class-balanced draws, splits that do not leak, two probes, balanced accuracy.

Source: the AlphaEarth paper's protocol (class-balanced draws of N shots, kNN and linear probes, balanced accuracy,
s.e.m. over draws). We depart from it where labels lie next to one another: there *all the rest* would test on the
neighbours of the training pixels, so training and test pixels come from different groups (parcels or blocks).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from earthfield.codec import normalised
from earthfield.errors import InvalidInput

Probe = Literal["knn", "linear"]
PROBES: tuple[Probe, ...] = ("knn", "linear")
NEIGHBOURS = 3
_TRIES = 2000


@dataclass(frozen=True)
class Sites:
    """Labelled pixels, and the groups that must not stand on both sides of a split."""

    labels: NDArray[np.integer]
    """(N,) class codes."""
    rows: NDArray[np.intp]
    """(N,) rows in `groups`."""
    cols: NDArray[np.intp]
    """(N,) columns in `groups`."""
    groups: NDArray[np.int32]
    """(H, W) group of every pixel of the area, 0 where there is no label."""

    def of_classes(self, codes: NDArray[np.integer] | list[int]) -> NDArray[np.bool_]:
        """Tells which sites belong to some classes, (N,)."""
        return np.isin(self.labels, codes)


@dataclass(frozen=True)
class Features:
    """One way to describe the same sites."""

    values: NDArray[np.float32]
    """(N, F), no NaN."""
    is_unit: bool = False
    """Unit vectors are compared by cosine as they are, others by Euclid after standardising."""


@dataclass(frozen=True)
class Draw:
    """One split: indices into the sites."""

    train: NDArray[np.intp]
    """`shots` sites of each class."""
    test: NDArray[np.intp]
    """Every site outside the training groups and their buffer."""


@dataclass(frozen=True)
class Score:
    """How well a description does over all draws."""

    features: str
    """Name of the description."""
    probe: Probe
    """Which probe."""
    mean: float
    """Mean balanced accuracy, 0..1."""
    sem: float
    """Standard error of that mean over draws; NaN for one draw."""


def parcels(codes: NDArray[np.integer], *, nodata: int = 0) -> NDArray[np.int32]:
    """Numbers connected pixels of one code (edges connect): (H, W) int32 from 1, 0 where there is no label."""
    found = np.zeros(codes.shape, np.int32)
    last = 0
    for code in np.unique(codes[codes != nodata]):
        numbered, count = ndimage.label(codes == code)
        found[numbered > 0] = numbered[numbered > 0] + last
        last += count
    return found


def blocks(shape: tuple[int, int], *, size: int) -> NDArray[np.int32]:
    """Numbers square blocks of `size` pixels: (H, W) int32 from 1."""
    rows, cols = (np.arange(length) // size for length in shape)
    return np.asarray(rows[:, None] * (cols[-1] + 1) + cols + 1, np.int32)


def usable_classes(sites: Sites, *, shots: int) -> tuple[list[int], dict[int, str]]:
    """Splits the class codes into those that can be drawn and held out, and the others with the reason."""
    kept, left_out = [], {}
    group = sites.groups[sites.rows, sites.cols]
    for code in np.unique(sites.labels):
        sizes = np.bincount(np.unique(group[sites.labels == code], return_inverse=True)[1])
        if len(sizes) < 2:
            left_out[int(code)] = f"all its {sizes.sum()} px lie in one group"
        elif sizes.sum() - sizes.min() < shots or sizes.sum() < 2 * shots:
            left_out[int(code)] = f"{sizes.sum()} px in {len(sizes)} groups are too few for {shots} shots"
        else:
            kept.append(int(code))
    return kept, left_out


def draws(
    sites: Sites, *, shots: int, count: int, buffer_px: int, seed: int, min_test: int | None = None
) -> Iterator[Draw]:
    """Yields class-balanced draws whose test sites share no group with training and keep off its border.

    A random half of the groups is for training; `shots` sites of each class are drawn there. The test is every site
    in the other groups at least `buffer_px` away from any training group. Halves that leave a class without enough
    sites on either side are drawn again.

    Args:
        sites: sites of usable classes.
        shots: training sites per class.
        count: number of draws.
        buffer_px: pixels between training groups and test sites.
        seed: of the draws.
        min_test: test sites that each class needs, `shots` when absent.

    Raises:
        InvalidInput: no such half was found.
    """
    rng = np.random.default_rng(seed)
    own = sites.groups[sites.rows, sites.cols]
    names = np.unique(own)
    classes = np.unique(sites.labels)
    need_test = shots if min_test is None else min_test
    wide = np.ones((2 * buffer_px + 1,) * 2, bool)
    done = 0
    for _ in range(_TRIES * count):
        if done == count:
            return
        chosen = names[rng.random(len(names)) < 0.5]
        trained = np.isin(sites.groups, chosen)
        near = ndimage.binary_dilation(trained, wide) if buffer_px else trained
        in_train, in_test = np.isin(own, chosen), ~near[sites.rows, sites.cols]
        if _fewest(sites, in_train) < shots or _fewest(sites, in_test) < need_test:
            continue
        train = [
            rng.choice(np.flatnonzero(in_train & (sites.labels == one)), shots, False) for one in classes
        ]
        yield Draw(np.concatenate(train), np.flatnonzero(in_test))
        done += 1
    if done < count:
        raise InvalidInput(
            f"the labels cannot be split into training and test groups with {shots} shots of each of "
            f"{len(classes)} classes and a buffer of {buffer_px} px: take fewer shots, or leave a class out"
        )


def _fewest(sites: Sites, where: NDArray[np.bool_]) -> int:
    """Size of the smallest class among some sites."""
    return min(int((where & (sites.labels == code)).sum()) for code in np.unique(sites.labels))


def balanced_accuracy(truth: NDArray[np.integer], guess: NDArray[np.integer]) -> float:
    """Gives the mean over the classes in `truth` of the share that was found."""
    return float(np.mean([(guess[truth == code] == code).mean() for code in np.unique(truth)]))


def predict(features: Features, labels: NDArray[np.integer], draw: Draw, probe: Probe) -> NDArray[np.integer]:
    """Trains a probe on a draw and gives its guesses for the draw's test sites."""
    x = normalised(features.values) if features.is_unit else features.values
    if probe == "linear":
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    else:
        shots = len(draw.train) // len(np.unique(labels[draw.train]))
        # On unit vectors Euclid ranks as cosine does.
        nearest = KNeighborsClassifier(min(NEIGHBOURS, shots))
        model = make_pipeline(nearest) if features.is_unit else make_pipeline(StandardScaler(), nearest)
    return np.asarray(model.fit(x[draw.train], labels[draw.train]).predict(x[draw.test]))


def compare(described: Mapping[str, Features], sites: Sites, drawn: list[Draw]) -> list[Score]:
    """Scores every description with every probe on the same draws."""
    scores = []
    # Fits this small take longer with several threads, and far longer on cores that others use too.
    with threadpool_limits(1):
        for name, features in described.items():
            for probe in PROBES:
                scores.append(_score(name, features, sites, drawn, probe))
    return scores


def _score(name: str, features: Features, sites: Sites, drawn: list[Draw], probe: Probe) -> Score:
    guesses = (predict(features, sites.labels, draw, probe) for draw in drawn)
    got = np.array(
        [
            balanced_accuracy(sites.labels[draw.test], guess)
            for draw, guess in zip(drawn, guesses, strict=True)
        ]
    )
    sem = got.std(ddof=1) / np.sqrt(len(got)) if len(got) > 1 else float("nan")
    return Score(name, probe, float(got.mean()), float(sem))
