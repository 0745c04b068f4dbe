"""Clusters: as good as scikit-learn's, the same for any number of threads, with numbers that stay put."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from earthfield.codec import NODATA, dequantise, normalised, quantise
from earthfield.errors import InvalidInput
from earthfield_analysis import kmeans as kmeans_module
from earthfield_analysis.cluster import NOISE, fit_clusters, fit_dense_clusters, numbers_like
from earthfield_analysis.kmeans import kmeans, nearest


def land(num: int, kinds: int, *, noise: float = 0.05, seed: int = 0, dim: int = 64) -> NDArray[np.float32]:
    """Unit vectors of some kinds."""
    rng = np.random.default_rng(seed)
    centres = normalised(np.random.default_rng(99).normal(size=(kinds, dim)))
    return normalised(centres[rng.integers(0, kinds, num)] + noise * rng.normal(size=(num, dim)))


def test_it_is_as_good_as_scikit_learn() -> None:
    vectors = land(6000, 23, noise=0.15)
    ours = np.mean([kmeans(vectors, 8, seed=seed).inertia for seed in range(6)])
    theirs = np.mean([KMeans(8, n_init=1, random_state=seed).fit(vectors).inertia_ for seed in range(6)])
    assert ours <= theirs * 1.001


def test_the_inertia_is_that_of_the_centres() -> None:
    vectors = land(5000, 7, dim=19)
    found = kmeans(vectors, 5, seed=3)
    away = np.square(vectors[:, None].astype(float) - found.centres[None]).sum(-1)
    assert found.inertia == pytest.approx(away.min(1).sum(), rel=1e-4)
    assert (nearest(vectors, found.centres) == away.argmin(1)).mean() > 0.999


def test_centres_are_the_means_of_what_is_nearest_to_them() -> None:
    vectors = land(6000, 23, noise=0.15)
    found = kmeans(vectors, 8, seed=1)
    labels = nearest(vectors, found.centres)
    means = np.stack([vectors[labels == number].mean(axis=0) for number in range(8)])
    np.testing.assert_allclose(found.centres, means, atol=0.005)


def test_a_sample_leads_to_the_centres_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = land(20_000, 6)
    whole = kmeans(vectors, 6, seed=1)
    monkeypatch.setattr(kmeans_module, "_SAMPLE", 1500)
    part = kmeans(vectors, 6, seed=1)
    assert part.inertia == pytest.approx(whole.inertia, rel=1e-5)


def test_the_centres_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans_module, "_SAMPLE", 3000)
    vectors = land(9000, 12, noise=0.1)
    one, *others = (kmeans(vectors, 7, seed=5, threads=threads) for threads in (1, 2, 3))
    assert all((one.centres == other.centres).all() and one.inertia == other.inertia for other in others)


def test_no_cluster_stays_empty() -> None:
    vectors = np.repeat(land(3, 3, noise=0), 50, axis=0)
    extra = np.concatenate([vectors, land(4, 9, seed=2)])
    found = kmeans(extra, 6, seed=0, starts=1)
    assert len(np.unique(nearest(extra, found.centres))) == 6


def test_codes_are_put_where_their_vectors_are() -> None:
    vectors = land(900, 5, noise=0.1).reshape(30, 30, 64)
    vectors[3, 4:9] = np.nan
    codes = np.moveaxis(quantise(vectors), -1, 0)
    decoded = normalised(np.moveaxis(dequantise(codes), 0, -1))
    for found in (fit_clusters(vectors, 5), fit_dense_clusters(vectors, min_share=0.05)):
        assert (found.assign_codes(codes) == found.assign(decoded)).mean() > 0.995
        assert (found.assign_codes(codes)[3, 4:9] == 0).all()
    assert (codes[0, 3, 4:9] == NODATA).all()


def test_clusters_by_density_leave_noise() -> None:
    vectors = np.concatenate([land(1500, 3, noise=0.02), land(150, 150, noise=0, seed=5)])
    found = fit_dense_clusters(vectors, min_share=0.1)
    assert found.num_clusters == 3
    numbers = found.assign(vectors)
    assert (numbers[:1500] != NOISE).mean() > 0.97
    assert (numbers[1500:] == NOISE).mean() > 0.9
    assert 0.05 < found.noise < 0.15


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_share_that_cannot_be_is_refused(share: float) -> None:
    with pytest.raises(InvalidInput, match=r"0\.\.0\.5"):
        fit_dense_clusters(land(100, 3), min_share=share)


def test_too_few_vectors_for_density_are_refused() -> None:
    with pytest.raises(InvalidInput, match="take k-means"):
        fit_dense_clusters(land(10, 3))


def test_numbers_follow_the_earlier_clusters() -> None:
    first = fit_clusters(land(3000, 6), 6)
    moved = {1: 4, 2: 6, 3: 1, 4: 2, 5: 3, 6: 5}
    earlier = first.numbered(moved)
    again, kept = numbers_like(fit_clusters(land(3000, 6, seed=8), 6, seed=4), earlier)
    vectors = land(500, 6, seed=3)
    assert (again.assign(vectors) == earlier.assign(vectors)).all()
    assert sorted(kept) == [1, 2, 3, 4, 5, 6]
    assert min(kept.values()) > 0.99


def test_more_clusters_than_earlier_take_free_numbers_and_fewer_leave_gaps() -> None:
    five, three = fit_clusters(land(3000, 5), 5), fit_clusters(land(3000, 3), 3)
    more, kept = numbers_like(five, three.numbered({1: 2, 2: 7, 3: 9}))
    assert sorted(kept) == [2, 7, 9]
    assert more.present == [1, 2, 3, 7, 9]
    fewer, kept = numbers_like(three, five)
    assert len(fewer.present) == 3 and set(fewer.present) <= set(five.present)
    assert fewer.present == list(kept)


def test_clusters_of_another_model_lend_no_numbers() -> None:
    with pytest.raises(InvalidInput, match="same model"):
        numbers_like(fit_clusters(land(100, 2), 2), fit_clusters(land(100, 2, dim=8), 2))
