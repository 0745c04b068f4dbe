"""The int8 code is the published one: real AlphaEarth vectors survive it exactly."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthfield.codec import BANDS, NODATA, dequantise, normalised, quantise


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
