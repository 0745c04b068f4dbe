"""Exact likeness straight on codes: the same as float64, for any number of threads."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from earthfield.codec import NODATA, dequantise
from earthfield.errors import InvalidInput
from earthfield_analysis import exact
from earthfield_analysis.exact_loops import BLOCK
from earthfield_analysis.similarity import cosine, cosine_of_codes

NUM = 3 * BLOCK + 77
"""Whole blocks, and a piece that no vector register divides."""


def made(dim: int = 64, num: int = NUM, seed: int = 0) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes with gaps, and a query."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-127, 128, (dim, num), dtype=np.int8)
    codes[:, rng.random(num) < 0.1] = NODATA
    return codes, rng.standard_normal(dim).astype(np.float32)


def wanted(codes: NDArray[np.int8], query: NDArray[np.float32], *, as_cosine: bool) -> NDArray[np.float64]:
    """The same in float64."""
    values = dequantise(codes).astype(np.float64)
    dots = (query.astype(np.float64) / np.linalg.norm(query.astype(np.float64))) @ values
    return dots / np.linalg.norm(values, axis=0) if as_cosine else dots


@pytest.mark.parametrize("as_cosine", [False, True])
@pytest.mark.parametrize("dim", [64, 8, 5, 19])
def test_scores_are_those_of_float64(dim: int, as_cosine: bool) -> None:
    codes, query = made(dim)
    found = exact.scores(codes, query, cosine=as_cosine, threads=2)
    assert (np.isnan(found) == (codes[0] == NODATA)).all()
    right = wanted(codes, query, as_cosine=as_cosine)
    np.testing.assert_allclose(found, right, atol=2e-6 * (1 if as_cosine else np.sqrt(dim)))


@pytest.mark.parametrize("as_cosine", [False, True])
def test_the_best_are_the_best_of_float64(as_cosine: bool) -> None:
    codes, query = made()
    right = wanted(codes, query, as_cosine=as_cosine)
    order = np.argsort(-right)[:100]
    found = exact.best(codes, query, k=100, cosine=as_cosine)
    assert found.searched == found.above == int((codes[0] != NODATA).sum())
    np.testing.assert_allclose(found.scores, right[order], atol=1e-5)
    # Ranks may only differ where scores are equal to within rounding.
    for place, other in zip(found.places, order, strict=True):
        assert abs(right[place] - right[other]) < 1e-5


def test_kept_lengths_give_the_same_scores() -> None:
    codes, query = made()
    lengths = exact.lengths_of(codes)
    np.testing.assert_allclose(lengths, np.linalg.norm(dequantise(codes), axis=0), rtol=1e-5)
    both = [exact.scores(codes, query, lengths=one) for one in (None, lengths)]
    np.testing.assert_allclose(both[0], both[1], atol=1e-6)


def test_the_answer_does_not_depend_on_the_number_of_threads() -> None:
    codes, query = made()
    codes[:, 20_000] = codes[:, 5] = codes[:, 9_000]
    one, *others = (exact.best(codes, query, k=3000, threads=threads) for threads in (1, 2, 3))
    for other in others:
        assert (one.places == other.places).all() and (one.scores == other.scores).all()
    maps = [exact.scores(codes, query, threads=threads) for threads in (1, 2, 3)]
    assert all((np.nan_to_num(maps[0]) == np.nan_to_num(other)).all() for other in maps[1:])


def test_of_equals_the_first_are_kept() -> None:
    codes = np.full((64, NUM), 20, np.int8)
    assert exact.best(codes, np.ones(64), k=50, threads=2).places.tolist() == list(range(50))


def test_a_threshold_keeps_and_counts_what_reaches_it() -> None:
    codes, query = made()
    found = exact.scores(codes, query)
    threshold = float(np.sort(found[np.isfinite(found)])[-40])
    above = exact.best(codes, query, k=1000, threshold=threshold)
    assert (len(above.places), above.above) == (40, 40)
    assert above.scores.min() == np.float32(threshold)
    few = exact.best(codes, query, k=7, threshold=threshold)
    assert (len(few.places), few.above) == (7, 40)
    none = exact.best(codes, query, k=0, threshold=threshold)
    assert (len(none.places), none.above, none.searched) == (0, 40, int(np.isfinite(found).sum()))


def test_what_is_too_bad_to_be_kept_still_counts() -> None:
    codes, query = made()
    all_of_them = exact.best(codes, query, k=50)
    rest = exact.best(codes, query, k=50, better_than=float(all_of_them.scores[20]))
    assert rest.places.tolist() == all_of_them.places[:20].tolist()
    assert rest.above == all_of_them.above


def test_what_lies_outside_does_not_count() -> None:
    codes, query = made()
    inside = np.zeros(NUM, bool)
    inside[100:9000] = True
    found = exact.best(codes, query, k=NUM, inside=inside)
    assert sorted(found.places) == [at for at in range(100, 9000) if codes[0, at] != NODATA]
    assert found.searched == len(found.places)


def test_a_code_without_direction_is_no_answer() -> None:
    codes, query = made(num=50)
    codes[:, 7] = 0
    assert 7 not in exact.best(codes, query, k=50).places
    assert np.isnan(exact.scores(codes, query)[7])


def test_nothing_but_gaps_gives_nothing() -> None:
    codes = np.full((64, 10), NODATA, np.int8)
    found = exact.best(codes, np.ones(64), k=3)
    assert (len(found.places), found.searched) == (0, 0)
    assert len(exact.best(codes[:, :0], np.ones(64), k=3).places) == 0


@pytest.mark.parametrize("query", [np.ones(63), np.zeros(64), np.full(64, np.nan)])
def test_a_query_that_does_not_fit_is_refused(query: NDArray[np.float64]) -> None:
    with pytest.raises(InvalidInput, match="query"):
        exact.best(made(num=10)[0], query, k=1)


def test_codes_that_are_not_codes_are_refused() -> None:
    codes, query = made(num=10)
    with pytest.raises(InvalidInput, match="contiguous int8"):
        exact.scores(codes.astype(np.int16), query)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="contiguous int8"):
        exact.scores(np.asfortranarray(codes), query)


def test_the_likeness_of_an_image_is_that_of_its_vectors() -> None:
    codes, query = made(num=600)
    image = codes.reshape(64, 20, 30)
    found = cosine_of_codes(image, query)
    np.testing.assert_allclose(found, cosine(np.moveaxis(dequantise(image), 0, -1), query), atol=2e-6)


def test_it_works_where_no_machine_code_can_be_kept() -> None:
    program = (
        "from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from earthfield_analysis.compiling import compiled\n"
        "import earthfield_analysis.exact_loops\n"
        "print(compiled()(lambda x: x + 1)(41))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "42", done.stderr
