"""What every encoder must do; subclasses give one under test and the same model in process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_land import SOURCES, Land, made_frames

from earthfield.errors import InvalidInput
from earthfield.frames import SourceFrames
from earthfield.ports import Encoder
from earthfield.timeline import Period
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import SourceConfig, model_config
from earthfield_model.encoder import ModelEncoder
from earthfield_model.widths import widths_named

YEAR, SPRING = Period.parse("2018"), Period.parse("2018-03..2018-05")
CLOSE = {"atol": 1e-4, "rtol": 0, "equal_nan": True}


def made_model(folder: Path, *, name: str = "contract", seed: int = 3) -> ModelEncoder:
    """Writes a small model with random weights into a folder and gives it as an encoder."""
    torch.manual_seed(seed)
    statistics = {"B04": (0.75, 0.05), "vv": (-14.0, 3.0), "vh": (-12.0, 3.0), "lwir11": (290.0, 6.0)}
    sources = [SourceConfig.of(one).with_statistics(statistics) for one in SOURCES.values()]
    model = AlphaEarth(model_config(name, sources, widths_named("nano")))
    for one in model.parameters():
        # Away from zero, so that an input that is lost on the way cannot hide behind fresh weights.
        one.data += 0.05 * torch.randn_like(one)
    model.save_pretrained(folder)
    return ModelEncoder(model)


def changed(
    frames: dict[str, SourceFrames], name: str, change: Callable[[SourceFrames], SourceFrames]
) -> dict[str, SourceFrames]:
    """Gives the frames with those of one source changed."""
    return frames | {name: change(frames[name])}


class EncoderContract:
    """Tests that hold for the fixtures `encoder`, which is under test, and `reference`, the model in process."""

    @pytest.fixture(scope="class")
    def frames(self) -> dict[str, SourceFrames]:
        return made_frames(Land(size=32))

    def test_it_is_an_encoder_that_tells_what_it_is(self, encoder: Encoder, reference: ModelEncoder) -> None:
        assert isinstance(encoder, Encoder)
        assert (encoder.name, encoder.fingerprint) == (reference.name, reference.fingerprint)
        assert (encoder.dim, tuple(encoder.sources)) == (reference.dim, reference.sources)

    def test_vectors_are_of_unit_length_and_those_of_the_model(self, encoder, reference, frames) -> None:
        field = encoder.encode(frames, [YEAR, SPRING])
        assert field.shape == (2, 32, 32, 64)
        assert field.dtype == np.float32
        there = ~np.isnan(field[..., 0])
        assert there.any()
        np.testing.assert_allclose(np.linalg.norm(field[there], axis=-1), 1, atol=1e-4)
        np.testing.assert_allclose(field, reference.encode(frames, [YEAR, SPRING]), **CLOSE)
        assert np.abs(field[0] - field[1])[there[0]].max() > 0.01, "periods differ"

    def test_pixels_that_nobody_saw_have_no_vector_and_others_have(self, encoder, frames) -> None:
        hidden = {name: replace(one, valid=one.valid.copy()) for name, one in frames.items()}
        for one in hidden.values():
            one.valid[:, 4:9, 20:] = False
        field = encoder.encode(hidden, [YEAR])[0]
        seen = np.logical_or.reduce([one.valid.any(0) for one in hidden.values()])
        assert not seen.all()
        assert np.array_equal(np.isnan(field).all(-1), ~seen)
        assert np.array_equal(np.isnan(field).any(-1), ~seen)

    def test_where_nothing_was_seen_there_is_no_vector_at_all(self, encoder, frames) -> None:
        nothing = {name: replace(one, valid=np.zeros_like(one.valid)) for name, one in frames.items()}
        field = encoder.encode(nothing, [YEAR])
        assert field.shape == (1, 32, 32, 64)
        assert np.isnan(field).all()

    @pytest.mark.parametrize("left", ["sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2"])
    def test_any_sensor_alone_will_do(self, encoder, reference, frames, left: str) -> None:
        alone = {left: frames[left]}
        np.testing.assert_allclose(encoder.encode(alone, [YEAR]), reference.encode(alone, [YEAR]), **CLOSE)

    def test_bands_go_by_name_and_a_missing_one_is_masked(self, encoder, reference, frames) -> None:
        name = "sentinel-2-l2a"
        turned = changed(
            frames, name, lambda one: replace(one, bands=("B11", "B04"), values=one.values[:, [2, 0]])
        )
        holes = frames[name].values.copy()
        holes[:, 1] = frames[name].nodata
        punched = changed(frames, name, lambda one: replace(one, values=holes))
        np.testing.assert_allclose(encoder.encode(turned, [YEAR]), reference.encode(punched, [YEAR]), **CLOSE)

    def test_a_nodata_value_of_their_own_is_understood(self, encoder, reference, frames) -> None:
        name = "sentinel-1-rtc"
        holes = frames[name].values.copy()
        holes[:, 0, ::3] = frames[name].nodata
        other = np.where(holes == frames[name].nodata, -9999, holes).astype(np.int32)
        told = changed(frames, name, lambda one: replace(one, values=holes))
        differently = changed(frames, name, lambda one: replace(one, values=other, nodata=-9999))
        np.testing.assert_allclose(
            encoder.encode(differently, [YEAR]), reference.encode(told, [YEAR]), **CLOSE
        )

    def test_instants_count_and_their_order_does_not(self, encoder, reference, frames) -> None:
        name = "sentinel-2-l2a"
        mixed = changed(frames, name, lambda one: one.take(np.arange(len(one.acquired))[::-1]))
        np.testing.assert_allclose(encoder.encode(mixed, [YEAR]), reference.encode(frames, [YEAR]), **CLOSE)
        moved = changed(
            frames, name, lambda one: replace(one, acquired=one.acquired + np.timedelta64(90, "D"))
        )
        there = ~np.isnan(reference.encode(frames, [YEAR]))
        gap = np.abs(encoder.encode(moved, [YEAR]) - reference.encode(frames, [YEAR]))[there]
        assert gap.max() > 1e-3

    def test_sources_that_it_does_not_know_are_ignored(self, encoder, reference, frames) -> None:
        stranger = replace(frames["sentinel-1-rtc"], source="stranger")
        np.testing.assert_allclose(
            encoder.encode(frames | {"stranger": stranger}, [YEAR]), reference.encode(frames, [YEAR]), **CLOSE
        )

    def test_what_cannot_be_encoded_is_told_in_words(self, encoder, frames) -> None:
        stranger = {"stranger": replace(frames["sentinel-1-rtc"], source="stranger")}
        with pytest.raises(InvalidInput, match=r"at least one valid period"):
            encoder.encode(frames, [])
        for unreadable in ({}, stranger):
            with pytest.raises(InvalidInput, match=r"cannot be encoded.*sentinel-2-l2a"):
                encoder.encode(unreadable, [YEAR])
        small = made_frames(Land(size=24))
        with pytest.raises(InvalidInput, match=r"24 x 24 px is not a multiple of 16"):
            encoder.encode(small, [YEAR])
        other = made_frames(Land(size=48))
        with pytest.raises(InvalidInput, match=r"sizes .*\(32, 32\), \(48, 48\)"):
            encoder.encode(frames | {"landsat-c2-l2": other["landsat-c2-l2"]}, [YEAR])

    def test_threads_may_share_it_as_far_as_it_says(self, encoder, reference, frames) -> None:
        count = max(1, int(getattr(encoder, "num_parallel", 1)))
        one, two = made_frames(Land(size=32, seed=1)), made_frames(Land(size=48, seed=2))
        jobs = [frames, one, two] * 2
        with ThreadPoolExecutor(count) as pool:
            fields = list(pool.map(lambda each: encoder.encode(each, [SPRING]), jobs))
        for job, field in zip(jobs, fields, strict=True):
            np.testing.assert_allclose(field, reference.encode(job, [SPRING]), **CLOSE)
