"""Learning from labels on real published vectors: 720 points each in Iowa and at the Bay of San Francisco."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from earthfield.codec import normalised
from earthfield_analysis.learn import fit_classes
from earthfield_analysis.leastsquares import PENALTIES
from earthfield_analysis.probes import balanced_accuracy, nearest, ridge

Points = tuple[NDArray[np.float32], NDArray[np.int64]]
PLACES = ("iowa_ag", "sf_bay_urban")
SEEDS = 4


@pytest.fixture(scope="module")
def points(real_data: Path) -> dict[str, Points]:
    found = {}
    for place in PLACES:
        path = real_data / "aef_points" / f"alphaearth_s1_dw_samples_{place}_2024.csv"
        if not path.is_file():
            pytest.skip(f"the published points are absent: {path}")
        with path.open() as stream:
            rows = list(csv.DictReader(stream))
        vectors = np.array([[float(row[f"A{band:02d}"]) for band in range(64)] for row in rows])
        found[place] = normalised(vectors), np.array([int(row["dw_label"]) for row in rows])
    return found


@pytest.mark.parametrize("place", PLACES)
def test_nine_classes_are_told_as_well_as_others_measured(points: dict[str, Points], place: str) -> None:
    x, codes = points[place]
    scores = []
    for seed in range(SEEDS):
        folds = StratifiedKFold(5, shuffle=True, random_state=seed).split(x, codes)
        guess = np.empty_like(codes)
        for train, test in folds:
            fitted = fit_classes(x[train], codes[train])
            guess[test] = fitted.classes[fitted.probabilities(x[test]).argmax(axis=1)]
        scores.append(balanced_accuracy(codes, guess))
    sem = np.std(scores, ddof=1) / np.sqrt(SEEDS)
    assert abs(np.mean(scores) - 0.766) < 0.01 + sem


def test_the_penalty_that_was_tuned_at_one_place_serves_at_the_other(points: dict[str, Points]) -> None:
    tuned, best, neighbours = [], [], []
    for here, there in (PLACES, PLACES[::-1]):
        (x, codes), (test, truth) = points[here], points[there]
        scale = np.square(x - x.mean(axis=0)).sum() / len(x)
        tuned.append(balanced_accuracy(truth, ridge(x, codes).guess(test)))
        tried = [
            balanced_accuracy(truth, ridge(x, codes, penalty=share * scale).guess(test))
            for share in PENALTIES
        ]
        best.append(max(tried))
        neighbours.append(balanced_accuracy(truth, nearest(x, codes, test)))
        assert tried[0] < best[-1] - 0.02, "a small penalty must be worse, or this tells nothing"
    assert np.mean(best) - np.mean(tuned) < 0.02
    assert np.mean(tuned) > np.mean(neighbours)
    assert min(neighbours) > 0.44 and max(neighbours) < 0.55


def test_probabilities_of_real_classes_say_how_often_they_are_right(points: dict[str, Points]) -> None:
    x, codes = points[PLACES[0]]
    train, test = next(StratifiedKFold(2, shuffle=True, random_state=0).split(x, codes))
    shares = fit_classes(x[train], codes[train]).probabilities(x[test])
    right = shares.argmax(axis=1) == codes[test]
    assert abs(shares.max(axis=1).mean() - right.mean()) < 0.06
