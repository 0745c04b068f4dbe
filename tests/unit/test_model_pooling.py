"""Encoding without gradients takes other ways than training does, and comes to the same vectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from training_land import SOURCES, Land, made_frames, one_thread  # noqa: F401

from earthfield.errors import InvalidInput
from earthfield.frames import Frames, SourceFrames
from earthfield.grid import Window
from earthfield.timeline import Period
from earthfield_model import pooling, pyramid
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.batch import batch_of
from earthfield_model.config import SourceConfig, model_config
from earthfield_model.encoder import ModelEncoder
from earthfield_model.pooling import Pooling, doubled
from earthfield_model.timecode import period_days
from earthfield_model.widths import widths_named

PERIODS = Period.parse_all(["2018", "2018-07", "2018-03..2018-05"])
CLOSE = {"atol": 1e-5, "rtol": 0}
OPTICAL, RADAR, LANDSAT = "sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2"


@pytest.fixture(scope="module")
def model() -> AlphaEarth:
    statistics = {"B04": (0.75, 0.05), "vv": (-14.0, 3.0), "vh": (-12.0, 3.0), "lwir11": (290.0, 6.0)}
    sources = [SourceConfig.of(one).with_statistics(statistics) for one in SOURCES.values()]
    torch.manual_seed(7)
    model = AlphaEarth(model_config("test", sources, widths_named("nano")))
    for one in model.parameters():
        # Away from zero, and unlike one another: fresh heads would hide features in a wrong order.
        one.data += 0.1 * torch.randn_like(one)
    return model


@pytest.fixture(scope="module")
def land() -> Frames:
    frames = made_frames(Land(48, every=(30, 45, 60)))
    return {name: one.cropped(Window(0, 32, 0, 48)) for name, one in frames.items()}


def as_in_training(model: AlphaEarth, frames: Frames, periods: list[Period]) -> np.ndarray:
    """Gives the vectors of `AlphaEarth.forward` with gradients on, NaN where nothing was seen."""
    batch = batch_of([frames], model.config)
    assert torch.is_grad_enabled()
    fields = np.stack([model(batch, span[None])[0].detach().numpy() for span in period_days(periods)])
    fields[:, ~np.any([one.valid.any(0) for one in frames.values()], 0)] = np.nan
    return fields


def hidden(one: SourceFrames, *places: tuple) -> SourceFrames:
    valid = one.valid.copy()
    for place in places:
        valid[place] = False
    return replace(one, valid=valid)


def everything(land: Frames) -> Frames:
    return land


def one_source(land: Frames) -> Frames:
    return {OPTICAL: land[OPTICAL]}


def two_sources(land: Frames) -> Frames:
    return {name: land[name] for name in (LANDSAT, OPTICAL)}


def masked_here_and_there(land: Frames) -> Frames:
    """No optical frame in a corner, none of any source in a part of it; one frame masked, one source half gone."""
    corner, middle = np.s_[:, :9, 16:], np.s_[:, 2:7, 20:33]
    return {
        OPTICAL: hidden(land[OPTICAL], corner, np.s_[2]),
        RADAR: hidden(land[RADAR], middle, np.s_[:, :, :24]),
        LANDSAT: hidden(land[LANDSAT], middle, np.s_[1:]),
    }


def nothing_of_one_source(land: Frames) -> Frames:
    return land | {RADAR: hidden(land[RADAR], np.s_[:])}


@pytest.mark.parametrize(
    "case", [everything, one_source, two_sources, masked_here_and_there, nothing_of_one_source]
)
def test_an_encoder_gives_the_vectors_that_training_sees(model, land, case) -> None:
    frames = case(land)
    encoder = ModelEncoder(model)
    expected = as_in_training(model, frames, PERIODS)
    np.testing.assert_allclose(encoder.encode(frames, PERIODS), expected, **CLOSE)
    np.testing.assert_allclose(encoder.encode(frames, PERIODS[1:2]), expected[1:2], **CLOSE)


def test_the_length_of_runs_and_the_size_of_blocks_change_nothing(model, land, monkeypatch) -> None:
    frames = masked_here_and_there(land)
    encoder = ModelEncoder(model)
    expected = encoder.encode(frames, PERIODS)
    for positions in (1, 5 * 16 * 24):
        monkeypatch.setitem(pyramid.NUMBERS_PER_RUN, "cpu", 999 * positions)
        monkeypatch.setitem(pooling.POSITIONS_PER_BLOCK, "cpu", positions)
        np.testing.assert_allclose(encoder.encode(frames, PERIODS), expected, **CLOSE)


def test_several_samples_at_once_give_what_they_give_with_gradients(model, land) -> None:
    batch = batch_of([land, masked_here_and_there(land)], model.config)
    spans = period_days(PERIODS[:2])
    with torch.no_grad():
        found = model(batch, spans)
        observed = model.observe(batch)
        pooled = [Pooling(model.summary, observed, place).field(span) for place, span in enumerate(spans)]
    torch.testing.assert_close(found, model(batch, spans).detach(), **CLOSE)
    torch.testing.assert_close(torch.stack(pooled), found, **CLOSE)


def test_doubling_is_bilinear_interpolation() -> None:
    x = torch.randn(5, 7, 3)
    padded = torch.cat([x[:1], x, x[-1:]])
    expected = F.interpolate(x.permute(2, 0, 1)[None], scale_factor=2, mode="bilinear")[0].permute(1, 2, 0)
    torch.testing.assert_close(doubled(padded), expected, **CLOSE)


@pytest.mark.parametrize("factor", [2, 4])
def test_resampling_without_gradients_gives_the_same(factor) -> None:
    x = torch.randn(3, 8, 12, 5)
    mask = torch.rand(3, 8, 12) > 0.6
    x = x * mask[..., None]
    expected = pyramid.finer(x, factor), pyramid.masked_mean(x, mask, factor)
    with torch.no_grad():
        torch.testing.assert_close((pyramid.finer(x, factor), pyramid.masked_mean(x, mask, factor)), expected)


def test_bf16_comes_close_whether_asked_for_or_put_around(model, land) -> None:
    full, low = ModelEncoder(model), ModelEncoder(model, precision="bf16")
    assert low.precision == "bf16"
    found, expected = low.encode(land, PERIODS), full.encode(land, PERIODS)
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(full.encode(land, PERIODS), found)
    assert found.dtype == np.float32
    assert not np.array_equal(found, expected)
    assert (found * expected).sum(-1).min() > 0.995
    with pytest.raises(InvalidInput, match="float64"):
        ModelEncoder(model, precision="float64")  # type: ignore[arg-type]


def test_pooling_in_bf16_comes_close(model, land) -> None:
    with torch.inference_mode():
        observed = model.observe(batch_of([land], model.config))
        span = period_days(PERIODS[:1])[0]
        full = Pooling(model.summary, observed).field(span)
        low = Pooling(model.summary, observed, kind=torch.bfloat16).field(span)
    assert low.dtype == torch.float32
    assert float((full * low).sum(-1).min()) > 0.995
