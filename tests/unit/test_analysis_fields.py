"""Colours, likeness, clusters and change of arrays of embeddings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earthfield.codec import normalised, quantise
from earthfield.errors import InvalidInput
from earthfield_analysis.change import distance, patches, threshold
from earthfield_analysis.cluster import fit_clusters
from earthfield_analysis.project import bands_rgb, fit_axes, pca_rgb
from earthfield_analysis.similarity import cosine, cosine_of_codes


def field(shape: tuple[int, int] = (12, 16), seed: int = 0) -> np.ndarray:
    vectors = normalised(np.random.default_rng(seed).normal(size=(*shape, 64)))
    vectors[0, 0] = np.nan
    return vectors


def test_a_picture_has_colours_where_there_is_data_and_nothing_elsewhere() -> None:
    picture = pca_rgb(field())
    assert picture.shape == (12, 16, 4)
    assert picture.dtype == np.uint8
    assert (picture[0, 0] == 0).all()
    assert (picture[1:, :, 3] == 255).all()
    assert (pca_rgb(np.full((2, 3, 64), np.nan, np.float32)) == 0).all()


def test_axes_do_not_depend_on_the_order_of_pixels_nor_flip() -> None:
    rows = field().reshape(-1, 64)[1:]
    one, other = fit_axes(rows), fit_axes(rows[::-1])
    assert np.allclose(one.components, other.components, atol=1e-5)
    assert (np.take_along_axis(one.components, np.abs(one.components).argmax(1)[:, None], 1) > 0).all()
    assert np.allclose(one.components @ one.components.T, np.eye(3), atol=1e-5)


def test_equal_vectors_are_painted_grey() -> None:
    assert (pca_rgb(np.ones((3, 3, 64), np.float32))[..., :3] == 128).all()


def test_three_bands_are_stretched_as_in_the_tutorial() -> None:
    vectors = np.zeros((1, 3, 64), np.float32)
    vectors[0, :, 1] = (-0.3, 0.0, 0.4)
    assert bands_rgb(vectors)[0, :, 0].tolist() == [0, 128, 255]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_likeness_of_codes_is_likeness_of_what_they_mean(seed: int) -> None:
    vectors, query = field(seed=seed), np.random.default_rng(seed + 1).normal(size=64)
    codes = np.ascontiguousarray(np.moveaxis(quantise(vectors), -1, 0))
    got, wanted = cosine_of_codes(codes, query), cosine(vectors, query)
    assert np.isnan(got[0, 0])
    assert np.isnan(wanted[0, 0])
    # Codes round each number; the angle moves by less than the coarsest step.
    assert np.nanmax(np.abs(got - wanted)) < 0.02


def test_a_query_without_data_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one vector with data"):
        cosine(field(), np.full(64, np.nan))


def test_clusters_keep_their_numbers_under_another_seed() -> None:
    rng = np.random.default_rng(1)
    centres = normalised(rng.normal(size=(4, 64)))
    kind = rng.integers(0, 4, (20, 30))
    vectors = normalised(centres[kind] + 0.02 * rng.normal(size=(20, 30, 64)))
    vectors[2, 3] = np.nan
    first, second = (fit_clusters(vectors, 4, seed=seed).assign(vectors) for seed in (0, 9))
    assert (first == second).all()
    assert first[2, 3] == 0
    assert sorted(np.unique(first)) == [0, 1, 2, 3, 4]
    for one in range(4):
        assert len(np.unique(first[(kind == one) & (first > 0)])) == 1


def test_more_clusters_than_pixels_are_refused() -> None:
    with pytest.raises(InvalidInput, match="smaller k"):
        fit_clusters(field((1, 4)), 5)
    with pytest.raises(InvalidInput, match=r"1\.\.254"):
        fit_clusters(field(), 0)


def test_distance_is_one_minus_cosine_and_nothing_where_a_period_has_no_data() -> None:
    before, after = field(seed=1), field(seed=2)
    found = distance(before, after)
    assert np.isnan(found[0, 0])
    assert np.nanmax(np.abs(found - (1 - (before * after).sum(-1)))) < 1e-5
    assert np.nanmax(distance(before, before)) == 0


def test_the_threshold_lies_between_what_changed_and_the_rest() -> None:
    rng = np.random.default_rng(0)
    quiet, loud = np.abs(rng.normal(0.05, 0.01, 900)), np.abs(rng.normal(0.8, 0.05, 100))
    both = np.concatenate([quiet, loud, [np.nan]])
    for rule in ("mad", "otsu"):
        assert np.percentile(quiet, 99) < threshold(both, rule=rule) < loud.min()


def test_patches_are_numbered_by_size_and_small_ones_left_out() -> None:
    changed = np.zeros((10, 10), bool)
    changed[0, 0] = True
    changed[2:4, 2:5] = True
    changed[6:10, 6:9] = True
    changed[5, 5] = True  # touches the largest by its corner
    found = patches(changed, min_pixels=2)
    assert found[0, 0] == 0
    assert found[5, 5] == found[7, 7] == 1
    assert found[3, 3] == 2
    assert found.max() == 2
    assert patches(np.zeros((3, 3), bool)).max() == 0
