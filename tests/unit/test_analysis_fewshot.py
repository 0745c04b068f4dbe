"""Draws are balanced and do not leak; scores say what they should."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield_analysis.fewshot import (
    Features,
    Sites,
    balanced_accuracy,
    blocks,
    compare,
    draws,
    parcels,
    usable_classes,
)


def patchwork(side: int = 48, patch: int = 8) -> np.ndarray:
    """Classes 1..3 in square patches."""
    number = blocks((side, side), size=patch)
    return (np.random.default_rng(2).permutation(number.max() + 1)[number] % 3 + 1).astype(np.int32)


def sites_of(codes: np.ndarray, groups: np.ndarray) -> Sites:
    rows, cols = np.nonzero(codes)
    return Sites(codes[rows, cols], rows, cols, groups)


@given(st.integers(0, 10_000), st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_training_and_test_share_no_parcel_and_keep_apart(seed: int, buffer: int) -> None:
    codes = patchwork()
    sites = sites_of(codes, parcels(codes))
    for draw in draws(sites, shots=5, count=2, buffer_px=buffer, seed=seed, min_test=1):
        assert np.unique(sites.labels[draw.train], return_counts=True)[1].tolist() == [5, 5, 5]
        own = sites.groups[sites.rows, sites.cols]
        assert not set(own[draw.train]) & set(own[draw.test])
        trained = np.zeros(codes.shape, bool)
        trained[sites.rows[draw.train], sites.cols[draw.train]] = True
        away = ndimage.distance_transform_cdt(~trained, "chessboard")
        assert away[sites.rows[draw.test], sites.cols[draw.test]].min() > buffer


def test_equal_seeds_give_equal_draws() -> None:
    codes = patchwork()
    sites = sites_of(codes, parcels(codes))
    one, other = (list(draws(sites, shots=3, count=3, buffer_px=1, seed=4)) for _ in range(2))
    assert all(
        (a.train == b.train).all() and (a.test == b.test).all() for a, b in zip(one, other, strict=True)
    )


def test_a_class_in_one_parcel_is_named_and_left_out() -> None:
    codes = patchwork()
    codes[codes == 3] = 0
    codes[20:30, 20:30] = 7
    kept, left_out = usable_classes(sites_of(codes, parcels(codes)), shots=5)
    assert kept == [1, 2]
    assert "one group" in left_out[7]


def test_labels_that_cannot_be_split_are_refused() -> None:
    codes = np.ones((4, 8), np.int32)
    codes[:, 4:] = 2
    with pytest.raises(InvalidInput, match="cannot be split"):
        list(draws(sites_of(codes, parcels(codes)), shots=2, count=1, buffer_px=0, seed=0))


def test_parcels_are_connected_pixels_of_one_code() -> None:
    codes = np.array([[1, 1, 2], [0, 2, 2], [1, 0, 2]])
    found = parcels(codes)
    assert found[0, 0] == found[0, 1] != found[2, 0]
    assert found[0, 2] == found[1, 1] == found[2, 2]
    assert (found[codes == 0] == 0).all()


def test_balanced_accuracy_counts_classes_and_not_pixels() -> None:
    truth = np.array([1] * 98 + [2] * 2)
    assert balanced_accuracy(truth, np.ones(100, int)) == 0.5


def test_telling_features_score_high_and_noise_scores_like_guessing() -> None:
    codes, rng = patchwork(), np.random.default_rng(0)
    sites = sites_of(codes, parcels(codes))
    centres = normalised(rng.normal(size=(4, 16)))
    told = normalised(centres[sites.labels] + 0.05 * rng.normal(size=(len(sites.labels), 16)))
    noise = rng.normal(size=told.shape).astype(np.float32)
    drawn = list(draws(sites, shots=5, count=4, buffer_px=1, seed=0))
    scores = compare({"told": Features(told, is_unit=True), "noise": Features(noise)}, sites, drawn)
    found = {(one.features, one.probe): one.mean for one in scores}
    assert found["told", "knn"] > 0.97
    assert found["told", "linear"] > 0.97
    assert abs(found["noise", "knn"] - 1 / 3) < 0.1
