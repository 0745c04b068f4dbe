"""The int8 code is the published one: real AlphaEarth vectors survive it exactly."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthfield.codec import (
    BANDS,
    NODATA,
    band_names,
    dequantise,
    is_missing,
    normalised,
    quantise,
    shrunk,
    stored,
    values_of,
)
from earthfield.errors import InvalidInput


@pytest.mark.real
@pytest.mark.parametrize("place", ["iowa_ag", "sf_bay_urban"])
def test_real_vectors_survive_encode_and_decode_exactly(real_data: Path, place: str) -> None:
    path = real_data / "aef_points" / f"alphaearth_s1_dw_samples_{place}_2024.csv"
    with path.open() as file:
        published = np.array([[float(row[band]) for band in BANDS] for row in csv.DictReader(file)])
    assert published.shape == (720, 64)
    codes = quantise(published)
    assert (codes != NODATA).all()
    # In double precision every published value is its code's value; in single, the two spellings of it agree.
    exact = np.sign(codes) * np.square(codes.astype(np.float64) / 127.5)
    assert np.abs(exact - published).max() < 1e-15
    assert np.abs(dequantise(codes) - published.astype(np.float32)).max() < 1e-7
    assert (quantise(dequantise(codes)) == codes).all()


def test_every_code_is_its_own_value_s_code() -> None:
    codes = np.arange(-127, 128, dtype=np.int8)[:, None]
    assert (quantise(dequantise(codes)) == codes).all()
    assert np.isnan(dequantise(np.array([NODATA], np.int8))).all()


@given(st.integers(0, 2**32 - 1))
def test_a_coded_unit_vector_points_almost_where_it_did(seed: int) -> None:
    vector = normalised(np.random.default_rng(seed).normal(size=64))
    decoded = normalised(dequantise(quantise(vector)))
    assert float(decoded @ vector) > 0.999


def test_one_missing_number_makes_the_vector_missing() -> None:
    vectors = normalised(np.ones((2, 64)))
    vectors[0, 5] = np.nan
    assert (quantise(vectors)[0] == NODATA).all()
    assert (quantise(vectors)[1] != NODATA).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_coding_what_was_decoded_changes_nothing(seed: int, dim: int) -> None:
    vectors = normalised(np.random.default_rng(seed).normal(size=(3, 2, dim)))
    vectors[1, 0] = np.nan
    codes = stored(vectors, "int8")
    again = stored(np.moveaxis(values_of(codes), 0, -1), "int8")
    assert (again == codes).all()
    assert is_missing(codes).tolist() == [[False, False], [True, False], [False, False]]


@given(st.integers(0, 2**32 - 1), st.sampled_from(["float16", "float32"]))
def test_floats_are_stored_as_they_stand(seed: int, dtype: str) -> None:
    vectors = normalised(np.random.default_rng(seed).normal(size=(2, 3, 5)))
    vectors[0, 1, 2] = np.nan
    codes = stored(vectors, dtype)
    assert (codes.dtype, codes.shape) == (np.dtype(dtype), (5, 2, 3))
    assert np.isnan(codes[:, 0, 1]).all()
    assert is_missing(codes).sum() == 1
    held = ~np.isnan(vectors).any(axis=-1)
    assert (np.moveaxis(codes, 0, -1)[held] == vectors[held].astype(dtype)).all()
    assert (stored(np.moveaxis(values_of(codes), 0, -1), dtype)[:, held] == codes[:, held]).all()


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32"])
def test_an_overview_counts_only_what_is_there(dtype: str) -> None:
    vectors = np.full((2, 4, 3), np.nan, np.float32)
    vectors[0, 0], vectors[1, 1] = (1, 0, 0), (0, 1, 0)
    half = shrunk(stored(vectors, dtype), 2)
    assert half.dtype == np.dtype(dtype)
    assert is_missing(half).tolist() == [[False, True]]
    assert np.abs(values_of(half)[:, 0, 0] - [0.7071, 0.7071, 0]).max() < 0.006


def test_bands_are_named_as_in_the_published_files() -> None:
    assert band_names(64) == BANDS == tuple(f"A{band:02d}" for band in range(64))
    assert (band_names(3), band_names(1024)[-1]) == (("A00", "A01", "A02"), "A1023")


def test_other_types_are_refused() -> None:
    with pytest.raises(InvalidInput, match="float16"):
        stored(np.ones((1, 1, 4), np.float32) / 2, "uint8")
