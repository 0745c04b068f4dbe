"""Protocols split labels without leaks, balanced by class, and name what they cannot draw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from earthfield.errors import InvalidInput
from earthfield_analysis.protocol import (
    Rules,
    Sites,
    block_of,
    connected,
    deal,
    near_blocks,
    sites_of,
)


def patchwork(side: int = 48, patch: int = 6) -> np.ndarray:
    """Classes 1..3 in square patches."""
    number = np.arange(side)[:, None] // patch * side + np.arange(side) // patch
    return (np.random.default_rng(2).permutation(number.max() + 1)[number] % 3 + 1).astype(np.int32)


def distance_to(sites: Sites, some: np.ndarray) -> np.ndarray:
    """Distance of every site to the nearest of some sites, the larger of rows and columns."""
    marked = np.zeros(sites.shape, bool)
    marked[sites.rows[some], sites.cols[some]] = True
    return ndimage.distance_transform_cdt(~marked, "chessboard")[sites.rows, sites.cols]


@given(
    seed=st.integers(0, 10_000),
    buffer=st.integers(0, 5),
    grid=st.integers(2, 6),
    folds=st.integers(2, 4),
    side=st.integers(40, 57),
    density=st.floats(0.2, 1.0),
)
@settings(max_examples=25, deadline=None)
def test_nothing_near_a_test_block_is_ever_trained_on(
    seed: int, buffer: int, grid: int, folds: int, side: int, density: float
) -> None:
    rng = np.random.default_rng(seed)
    codes = np.where(rng.random((side, side)) < density, rng.integers(1, 4, (side, side)), 0)
    rules = Rules(draws=2, grid=grid, folds=folds, buffer_px=buffer, seed=seed)
    try:
        dealt = deal(sites_of(codes), rules, shots=2)
    except InvalidInput:
        return  # two halves with a wide rim between them can leave too little
    number = np.zeros((side, side), int)
    edges = np.arange(grid + 1) * side // grid
    for row in range(grid):
        for col in range(grid):
            number[edges[row] : edges[row + 1], edges[col] : edges[col + 1]] = row * grid + col
    rows, cols = dealt.sites.rows, dealt.sites.cols
    for split in dealt.splits:
        pool = np.concatenate(list(split.order.values()))
        tested = np.isin(number, number[rows[split.test], cols[split.test]])
        near = ndimage.binary_dilation(tested, np.ones((2 * buffer + 1,) * 2, bool)) if buffer else tested
        assert not near[rows[pool], cols[pool]].any()
        # Every labelled pixel of the test blocks is tested.
        assert len(split.test) == tested[rows, cols].sum()


def test_a_draw_tests_every_labelled_pixel_once() -> None:
    dealt = deal(sites_of(patchwork()), Rules(draws=3))
    for draw in range(3):
        tested = np.concatenate([one.test for one in dealt.splits if one.draw == draw])
        assert sorted(tested) == list(range(48 * 48))
    assert [(one.draw, one.fold) for one in dealt.splits[:5]] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]


@pytest.mark.parametrize("protocol", ["block", "parcels", "random"])
def test_labels_are_balanced_and_fewer_are_part_of_more(protocol: str) -> None:
    codes = patchwork()
    dealt = deal(sites_of(codes), Rules(protocol, draws=3), shots=10, parcels=connected(codes))  # type: ignore[arg-type]
    for split in dealt.splits:
        few, many = split.train(3), split.train(10)
        assert np.unique(dealt.sites.labels[few], return_counts=True)[1].tolist() == [3, 3, 3]
        assert np.unique(dealt.sites.labels[many], return_counts=True)[1].tolist() == [10, 10, 10]
        assert set(few) < set(many)
        assert not set(many) & set(split.test)


def test_equal_seeds_give_equal_splits_and_others_differ() -> None:
    one, same, other = (deal(sites_of(patchwork()), Rules(draws=2, seed=seed)).splits for seed in (4, 4, 5))
    assert all(
        (a.test == b.test).all() and (a.train(3) == b.train(3)).all() for a, b in zip(one, same, strict=True)
    )
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(one, other, strict=True))


def test_folds_hold_every_class_where_that_is_possible() -> None:
    codes = np.ones((64, 64), np.int32)
    for row, col in ((2, 2), (2, 50), (50, 2), (50, 50)):
        codes[row : row + 6, col : col + 6] = 2  # four blocks of class 2, one for each fold
    dealt = deal(sites_of(codes), Rules(draws=5), shots=10)
    for split in dealt.splits:
        assert set(dealt.sites.labels[split.test]) == {1, 2}


def test_max_is_half_of_the_smallest_class_and_folds_may_allow_fewer() -> None:
    codes = np.ones((64, 64), np.int32)
    codes[0:5, 0:11], codes[20:24, 20:30], codes[60:61, 52:63] = 2, 2, 2  # 55, 40 and 11 px far apart
    dealt = deal(sites_of(codes), Rules(draws=4), shots=10)
    assert dealt.most == 53
    assert {min(53, one.most) for one in dealt.splits} <= {51, 53}
    assert len(dealt.splits[0].train(1000)) == 2 * dealt.splits[0].most
    assert deal(sites_of(codes), Rules(draws=1, cap=20), shots=1).most == 20


def test_blocks_and_their_rims_lie_where_they_should() -> None:
    sites = sites_of(np.ones((10, 9), np.int32))
    block = block_of(sites, 3).reshape(10, 9)
    assert [len(np.unique(block[:3, :3])), block[2, 2], block[3, 2], block[9, 8]] == [1, 0, 3, 8]
    near = near_blocks(sites, 3, 2)[0].reshape(10, 9)
    assert near[:5, :5].all()
    assert near.sum() == 25


def test_classes_that_cannot_be_held_out_are_named_and_left_out() -> None:
    codes = patchwork()
    codes[codes == 3] = 0
    codes[2:10, 2:10] = 7  # one block
    codes[10:14, 30:40] = 8  # two blocks that touch: the rim around either takes the other
    dealt = deal(sites_of(codes), Rules(draws=2), shots=10)
    assert dealt.sites.classes == [1, 2]
    assert "all its 64 px lie in one block" in dealt.left_out[7]
    assert "lie outside one of its blocks" in dealt.left_out[8]
    assert set(codes[codes > 0].ravel()[dealt.kept]) == {1, 2}


@pytest.mark.parametrize("protocol", ["block", "parcels", "random"])
def test_labels_that_cannot_be_split_are_refused(protocol: str) -> None:
    codes = np.ones((8, 8), np.int32)
    codes[:2, :2] = 2
    with pytest.raises(InvalidInput, match="fewer than two classes"):
        deal(sites_of(codes), Rules(protocol), shots=10, parcels=connected(codes))  # type: ignore[arg-type]


@given(st.integers(0, 10_000), st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_training_and_test_share_no_parcel_and_keep_apart(seed: int, buffer: int) -> None:
    codes = patchwork()
    parcels = connected(codes)
    dealt = deal(
        sites_of(codes), Rules("parcels", draws=2, buffer_px=buffer, seed=seed), shots=2, parcels=parcels
    )
    own = parcels[dealt.sites.rows, dealt.sites.cols]
    for split in dealt.splits:
        pool = np.concatenate(list(split.order.values()))
        assert not set(own[pool]) & set(own[split.test])
        assert distance_to(dealt.sites, pool)[split.test].min() > buffer


def test_parcels_without_their_numbers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="needs the parcel of every pixel"):
        deal(sites_of(patchwork()), Rules("parcels"))


def test_parcels_are_connected_pixels_of_one_code() -> None:
    codes = np.array([[1, 1, 2], [0, 2, 2], [1, 0, 2]])
    found = connected(codes)
    assert found[0, 0] == found[0, 1] != found[2, 0]
    assert found[0, 2] == found[1, 1] == found[2, 2]
    assert (found[codes == 0] == 0).all()
