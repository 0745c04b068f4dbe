"""BetaEarth keeps the contract of encoders, as far as an encoder of dates can."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from encoder_contract import CLOSE, SPRING, YEAR, EncoderContract, changed

from earthfield.errors import InvalidInput
from earthfield.frames import SourceFrames
from earthfield_infer.adapters.betaearth import BetaEarthEncoder
from earthfield_infer.adapters.betaearth_inputs import S1, S2
from earthfield_infer.adapters.checked import CheckedEncoder

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


class Looking:
    """Stands in for `betaearth.BetaEarth`: a vector made of what the pixel shows and of the day."""

    def predict(self, **given: Any) -> np.ndarray:
        image = np.log1p((given["s2_l2a"] / 1e4 if "s2_l2a" in given else given["s1"]).astype(np.float32))
        vectors = np.zeros((*image.shape[1:], 64), np.float32)
        first = 0 if "s2_l2a" in given else 20
        vectors[..., first : first + len(image)] = np.moveaxis(image, 0, -1)
        vectors[..., 40 + given["doy"] // 20] = 1
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def made() -> BetaEarthEncoder:
    return BetaEarthEncoder(Looking(), name="betaearth", weights="w")


class TestBetaEarth(EncoderContract):
    """The adapter with a network that looks at pixels."""

    @pytest.fixture(scope="class")
    def encoder(self) -> CheckedEncoder:
        return CheckedEncoder(made(), "betaearth", "betaearth")

    @pytest.fixture(scope="class")
    def reference(self) -> BetaEarthEncoder:
        return made()

    @pytest.fixture(scope="class")
    def frames(self) -> dict[str, SourceFrames]:
        draw = np.random.default_rng(2)
        days = np.array(["2018-02-03", "2018-04-09", "2018-05-01", "2018-11-11"], "datetime64[us]")

        def source(name: str, bands: tuple[str, ...], low: int, high: int) -> SourceFrames:
            values = draw.integers(low, high, (4, len(bands), 32, 32)).astype(np.int16)
            valid = draw.random((4, 32, 32)) < 0.9
            return SourceFrames(name, bands, values, valid, days, -32768)

        return {S2: source(S2, BANDS, 100, 4000), S1: source(S1, ("vv", "vh"), -2400, -400)}

    @pytest.mark.parametrize("left", [S2, S1])
    def test_any_sensor_alone_will_do(self, encoder, reference, frames, left: str) -> None:
        super().test_any_sensor_alone_will_do(encoder, reference, frames, left)

    def test_bands_go_by_name_and_a_missing_one_is_masked(self, encoder, reference, frames) -> None:
        order = np.arange(len(BANDS))[::-1]
        turned = changed(frames, S2, lambda one: replace(one, bands=BANDS[::-1], values=one.values[:, order]))
        np.testing.assert_allclose(encoder.encode(turned, [YEAR]), reference.encode(frames, [YEAR]), **CLOSE)
        # BetaEarth cannot do without a band, so here a missing one is told.
        short = changed(frames, S2, lambda one: replace(one, bands=BANDS[:9], values=one.values[:, :9]))
        with pytest.raises(InvalidInput, match="lack B12"):
            encoder.encode(short, [YEAR])

    def test_what_cannot_be_encoded_is_told_in_words(self, encoder, frames) -> None:
        with pytest.raises(InvalidInput, match="at least one valid period"):
            encoder.encode(frames, [])
        stranger = {"stranger": replace(frames[S1], source="stranger")}
        for unreadable in ({}, stranger):
            with pytest.raises(InvalidInput, match=r"cannot be encoded.*sentinel-2-l2a"):
                encoder.encode(unreadable, [YEAR])

    def test_threads_may_share_it_as_far_as_it_says(self, encoder, frames) -> None:
        assert getattr(encoder, "num_parallel", 1) == 1
        first, second = (encoder.encode(frames, [SPRING]) for _ in range(2))
        np.testing.assert_array_equal(first, second)
