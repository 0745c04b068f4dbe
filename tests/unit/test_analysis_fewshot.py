"""Probes agree with scikit-learn; scores say what they should."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield_analysis.fewshot import Features, compare, mean_and_sem, score_vectors
from earthfield_analysis.probes import PENALTIES, balanced_accuracy, nearest, ridge
from earthfield_analysis.protocol import Rules, deal, sites_of


def clouds(count: int, width: int, *, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points around one centre per class, overlapping."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes) * 10 + 1, count // classes)
    return rng.normal(size=(classes, width))[labels // 10] + 1.5 * rng.normal(
        size=(len(labels), width)
    ), labels


@pytest.mark.parametrize(("count", "width"), [(12, 40), (90, 5), (30, 30)])
@pytest.mark.parametrize("penalty", [0.01, 3.0, 500.0])
def test_ridge_equals_that_of_scikit_learn(count: int, width: int, penalty: float) -> None:
    x, labels = clouds(count, width)
    test = clouds(300, width, seed=1)[0]
    ours, theirs = ridge(x, labels, penalty=penalty), RidgeClassifier(alpha=penalty).fit(x, labels)
    assert np.allclose(test @ ours.weights + ours.offset, theirs.decision_function(test), atol=1e-8)
    assert (ours.guess(test) == theirs.predict(test)).all()


@pytest.mark.parametrize(("count", "width"), [(12, 40), (30, 5)])
def test_the_penalty_is_that_of_least_leave_one_out_error(count: int, width: int) -> None:
    x, labels = clouds(count, width)
    targets = np.where(labels[:, None] == np.unique(labels), 1.0, -1.0)
    scale = float(((x - x.mean(axis=0)) ** 2).sum() / len(x))
    errors = {}
    for share in PENALTIES:
        guess = cross_val_predict(SklearnRidge(alpha=share * scale), x, targets, cv=LeaveOneOut())
        errors[share * scale] = ((guess - targets) ** 2).mean()
    found, best = ridge(x, labels), min(errors, key=lambda one: errors[one])
    assert found.penalty == pytest.approx(best)
    assert found.left_out_error == pytest.approx(errors[best])


def test_ridge_of_one_label_a_class_and_of_equal_vectors_still_answers() -> None:
    x = np.eye(3)
    assert ridge(x, np.array([5, 7, 9])).guess(x).tolist() == [5, 7, 9]
    assert set(ridge(np.ones((4, 3)), np.array([1, 1, 2, 2])).guess(np.ones((2, 3)))) <= {1, 2}


@pytest.mark.parametrize("k", [1, 2, 3])
def test_nearest_neighbours_equal_those_of_scikit_learn(k: int) -> None:
    x, labels = clouds(60, 8, classes=2)
    test = clouds(400, 8, classes=2, seed=1)[0]
    theirs = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
    if k == 2:  # theirs gives a tie to the lower code, ours to the nearer neighbour
        theirs = KNeighborsClassifier(1, metric="cosine", algorithm="brute")
    expected = theirs.fit(x, labels).predict(test)
    assert (nearest(normalised(x), labels, normalised(test), k=k) == expected).all()


def test_three_neighbours_of_three_classes_give_the_nearest_its_way() -> None:
    angles = np.radians([0.0, 20.0, 30.0])
    train = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    test = np.array([[np.cos(0.3), np.sin(0.3)]])
    assert nearest(train, np.array([1, 2, 3]), test).tolist() == [2]
    assert nearest(train, np.array([1, 2, 1]), test).tolist() == [1]


def test_balanced_accuracy_counts_classes_and_not_pixels() -> None:
    truth = np.array([1] * 98 + [2] * 2)
    assert balanced_accuracy(truth, np.ones(100, int)) == 0.5


def test_the_scale_is_that_of_the_whole_place_and_constant_features_tell_nothing() -> None:
    features = Features(
        np.array([[3.0, 7.0, 1.0]], np.float32), np.array([1.0, 7.0, 0.0]), np.array([2.0, 0.0, 4.0])
    )
    assert features.scaled().tolist() == [[1.0, 0.0, 0.25]]


def land() -> np.ndarray:
    """Classes 1..3 in squares of 6 px."""
    number = np.arange(48)[:, None] // 6 * 48 + np.arange(48) // 6
    return np.random.default_rng(2).permutation(number.max() + 1)[number] % 3 + 1


def test_telling_vectors_score_high_and_noise_scores_like_guessing() -> None:
    codes, rng = land(), np.random.default_rng(0)
    centres = normalised(rng.normal(size=(4, 16)))
    told = normalised(centres[codes] + 0.05 * rng.normal(size=(48, 48, 16)))
    for one in score_vectors(told, codes, shots=(1, 5), rules=Rules(draws=3)):
        assert one.mean > 0.95
    for one in score_vectors(rng.normal(size=told.shape), codes, shots=(5, "max"), rules=Rules(draws=3)):
        assert abs(one.mean - 1 / 3) < 0.05


def test_large_and_small_units_score_alike() -> None:
    codes, rng = land(), np.random.default_rng(0)
    vectors = rng.normal(size=(4, 6))[codes] + rng.normal(size=(48, 48, 6))
    scaled = vectors * np.array([1e-3, 1, 1e3, 1, 1, 1e5]) + 100.0
    one, other = (score_vectors(x, codes, shots=(5,), rules=Rules(draws=2)) for x in (vectors, scaled))
    assert [score.mean for score in one] == pytest.approx([score.mean for score in other], abs=0.01)


def test_scores_are_means_over_draws_and_folds() -> None:
    codes = land()
    vectors = np.random.default_rng(0).normal(size=(48, 48, 4)) + codes[..., None]
    vectors[:5] = np.nan  # nothing is trained or tested there
    scores = score_vectors(vectors, codes, classes=[1, 2], shots=(4,), rules=Rules(draws=3))
    finite = np.where(np.isin(codes, [1, 2]) & np.isfinite(vectors[..., 0]), codes, 0)
    dealt = deal(sites_of(finite), Rules(draws=3), shots=4)
    flat = vectors[5:].reshape(-1, 4)
    x = (vectors[dealt.sites.rows, dealt.sites.cols] - flat.mean(axis=0)) / flat.std(axis=0)
    got = []
    for split in dealt.splits:
        train = split.train(4)
        guess = ridge(x[train], dealt.sites.labels[train]).guess(x[split.test])
        got.append(balanced_accuracy(dealt.sites.labels[split.test], guess))
    found = next(one for one in scores if one.probe == "ridge")
    assert len(got) == 12
    assert (found.mean, found.sem) == pytest.approx(mean_and_sem(got), abs=1e-3)


def test_wrong_arrays_and_numbers_are_refused() -> None:
    codes = land()
    with pytest.raises(InvalidInput, match="do not fit"):
        score_vectors(np.zeros((4, 5, 2)), codes)
    with pytest.raises(InvalidInput, match="whole numbers from 1"):
        score_vectors(np.zeros((48, 48, 2)), codes, shots=(0,))
    with pytest.raises(InvalidInput, match="fewer than two classes"):
        score_vectors(np.zeros((48, 48, 2)), codes, classes=[1, 99])


def test_every_description_is_scored_on_the_same_draws() -> None:
    codes = land()
    dealt = deal(sites_of(codes), Rules(draws=2), shots=3)
    x = np.random.default_rng(0).normal(size=(len(dealt.sites.rows), 4)).astype(np.float32)
    same = Features(x, x.mean(axis=0).astype(float), x.std(axis=0).astype(float))
    scores = compare({"one": same, "other": same}, dealt, shots=(1, 3))
    assert [one.mean for one in scores if one.features == "one"] == [
        one.mean for one in scores if one.features == "other"
    ]
    assert {(one.shots, one.probe) for one in scores} == {
        (n, p) for n in ("1", "3") for p in ("knn", "ridge")
    }
