"""The encoder: masks are masks, bands go by name, time is exact, and a folder gives the model back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_land import SOURCES, Land, made_frames, one_thread  # noqa: F401

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, Conflict, InvalidInput, NotFound
from earthfield.frames import SourceFrames
from earthfield.ports import Encoder
from earthfield.timeline import Period
from earthfield_model.alphaearth import CONFIG_FILE, WEIGHTS_FILE, AlphaEarth
from earthfield_model.batch import batch_of, packed
from earthfield_model.config import ModelConfig, SourceConfig, model_config
from earthfield_model.encoder import ModelEncoder, load_encoder, model_folder
from earthfield_model.timecode import YEAR_DAYS, days_of, period_days, time_code
from earthfield_model.widths import Widths, widths_named

YEAR = Period.parse("2018")
SIZE = 32
CLOSE = {"atol": 1e-5, "rtol": 0}


def config_of(widths: Widths) -> ModelConfig:
    statistics = {"B04": (0.75, 0.05), "vv": (-14.0, 3.0), "vh": (-12.0, 3.0), "lwir11": (290.0, 6.0)}
    sources = [SourceConfig.of(one).with_statistics(statistics) for one in SOURCES.values()]
    return model_config("test", sources, widths)


@pytest.fixture(scope="module")
def encoder() -> ModelEncoder:
    torch.manual_seed(3)
    model = AlphaEarth(config_of(widths_named("nano")))
    for one in model.parameters():
        # Away from zero, so that a mask that does nothing cannot hide behind fresh weights.
        one.data += 0.05 * torch.randn_like(one)
    return ModelEncoder(model)


@pytest.fixture
def frames() -> dict[str, SourceFrames]:
    return made_frames(Land(SIZE, every=(40, 60, 90)))


def test_gives_unit_vectors_and_nan_where_nothing_was_seen(encoder, frames) -> None:
    for one in frames.values():
        one.valid[:, 5, 7] = False
    field = encoder.encode(frames, [YEAR])
    assert isinstance(encoder, Encoder)
    assert field.shape == (1, SIZE, SIZE, 64)
    assert field.dtype == np.float32
    norms = np.linalg.norm(field, axis=-1)
    assert np.isnan(norms).sum() == 1
    assert np.isnan(norms[0, 5, 7])
    assert np.allclose(norms[np.isfinite(norms)], 1, atol=1e-5)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), hidden=st.integers(1, 4))
def test_masked_frames_and_masked_values_change_nothing(encoder, seed, hidden) -> None:
    frames = made_frames(Land(SIZE, every=(60, 90, 120)))
    rng = np.random.default_rng(seed)
    changed = {}
    for name, one in frames.items():
        values = one.values.copy()
        noise = rng.integers(1, 20_000, values.shape).astype(values.dtype)
        values = np.where(one.valid[:, None], values, noise)
        extra = rng.integers(1, 20_000, (hidden, *values.shape[1:])).astype(values.dtype)
        when = np.datetime64("2018-05-01", "us") + rng.integers(0, 3 * 10**13, hidden).astype("m8[us]")
        changed[name] = SourceFrames(
            name,
            one.bands,
            np.concatenate([values, extra]),
            np.concatenate([one.valid, np.zeros((hidden, SIZE, SIZE), bool)]),
            np.concatenate([one.acquired, when]),
            one.nodata,
        )
    # Past the encoder too, which leaves empty frames out: the network itself must not see them.
    spans = period_days([YEAR])
    with torch.no_grad():
        plain = encoder.model(batch_of([frames], encoder.model.config), spans)
        padded = encoder.model(batch_of([changed], encoder.model.config), spans)
    np.testing.assert_allclose(padded.numpy(), plain.numpy(), **CLOSE)
    np.testing.assert_allclose(encoder.encode(changed, [YEAR]), encoder.encode(frames, [YEAR]), **CLOSE)


def test_what_is_seen_does_change_the_field(encoder, frames) -> None:
    other = dict(frames)
    one = frames["sentinel-2-l2a"]
    other[one.source] = replace(one, values=np.where(one.valid[:, None], one.values + 300, one.values))
    assert np.abs(encoder.encode(other, [YEAR]) - encoder.encode(frames, [YEAR])).max() > 1e-3


def test_order_of_frames_and_of_bands_changes_nothing(encoder, frames) -> None:
    rng = np.random.default_rng(1)
    turned = {}
    for name, one in reversed(frames.items()):
        one = one.take(rng.permutation(len(one.acquired)))
        turned[name] = replace(one, bands=one.bands[::-1], values=one.values[:, ::-1])
    assert np.array_equal(encoder.encode(turned, [YEAR]), encoder.encode(frames, [YEAR]))


def test_a_missing_band_is_masked_whether_absent_or_nodata(encoder, frames) -> None:
    one = frames["sentinel-2-l2a"]
    holes = one.values.copy()
    holes[:, 1] = one.nodata
    without = frames | {one.source: replace(one, bands=("B04", "B11"), values=one.values[:, [0, 2]])}
    with_holes = frames | {one.source: replace(one, values=holes)}
    zero = one.values.copy()
    zero[:, 1] = 0
    as_zero = frames | {one.source: replace(one, values=zero)}
    field = encoder.encode(without, [YEAR])
    assert np.array_equal(field, encoder.encode(with_holes, [YEAR]))
    assert np.abs(field - encoder.encode(as_zero, [YEAR])).max() > 1e-3


def test_any_source_may_be_missing(encoder, frames) -> None:
    for name in frames:
        left = {key: one for key, one in frames.items() if key != name}
        assert np.isfinite(encoder.encode(left, [YEAR])).any()


def test_a_sample_does_not_depend_on_its_batch(encoder, frames) -> None:
    other = made_frames(Land(SIZE, seed=9, every=(30, 50, 70)))
    config, spans = encoder.model.config, period_days([YEAR, Period.parse("2018-04..2018-06")])
    with torch.no_grad():
        both = encoder.model(batch_of([frames, other], config), spans)
        alone = encoder.model(packed(batch_of([other], config)), spans[1:])
    np.testing.assert_allclose(both[1:].numpy(), alone.numpy(), **CLOSE)


def test_many_periods_come_from_one_pass_and_move_the_field(encoder, frames) -> None:
    periods = Period.parse_all(["2018-02", "2018-08", "2018"])
    fields = encoder.encode(frames, periods)
    for place, period in enumerate(periods):
        np.testing.assert_allclose(fields[place], encoder.encode(frames, [period])[0], **CLOSE)
    spring, summer = encoder.encode(frames, Period.parse_all(["2018-02", "2018-08"]))
    assert np.nanmean(1 - (spring * summer).sum(-1)) > 1e-3


def test_frames_in_the_period_weigh_more_than_frames_half_a_year_away(encoder, frames) -> None:
    one = frames["sentinel-2-l2a"]
    near, far = 1, 6
    period = Period.parse(str(one.acquired[near].astype("datetime64[M]")))

    def response(to: int) -> float:
        values = one.values.copy()
        values[to] = np.where(one.valid[to], values[to] + 400, values[to])
        moved = encoder.encode(frames | {one.source: replace(one, values=values)}, [period])
        return float(np.nanmean(np.abs(moved - encoder.encode(frames, [period]))))

    assert (one.acquired[far] - one.acquired[near]) > np.timedelta64(150, "D")
    assert response(near) > 1.5 * response(far)


def test_a_whole_number_of_years_changes_nothing(encoder, frames) -> None:
    config = encoder.model.config
    batch, spans = batch_of([frames], config), period_days([YEAR])
    later = {name: replace(one, days=one.days + 7 * YEAR_DAYS) for name, one in batch.items()}
    with torch.no_grad():
        now, then = encoder.model(batch, spans), encoder.model(later, spans + 7 * YEAR_DAYS)
    np.testing.assert_allclose(then.numpy(), now.numpy(), atol=2e-4)


@given(days=st.integers(-40 * 365, 60 * 365), part=st.floats(0, 0.999))
def test_time_codes_tell_days_apart_over_decades(days, part) -> None:
    instant = np.datetime64("2000-01-01", "us") + np.timedelta64(int((days + part) * 86_400e6), "us")
    next_day = instant + np.timedelta64(1, "D")
    code = time_code(torch.from_numpy(days_of(np.array([instant, next_day]))))
    assert code.dtype == torch.float32
    assert float((code[0] - code[1]).abs().max()) > 0.5
    # The shortest wavelength against the same phase from whole microseconds, where nothing is rounded.
    whole = int((instant - np.datetime64("2000-01-01", "us")).astype(np.int64)) % (2 * 86_400_000_000)
    angle = 2 * np.pi * whole / (2 * 86_400_000_000)
    np.testing.assert_allclose(code[0, 0], np.sin(angle), atol=1e-6)


def test_the_standardised_values_are_the_declared_ones(encoder, frames) -> None:
    one = frames["sentinel-2-l2a"]
    batch = batch_of([frames], encoder.model.config)[one.source]
    x, seen = encoder.model.measured(one.source, batch.stored[0], batch.valid[0])
    by_hand = (np.log(np.maximum(one.values[:, 0] * 1e-4, 0) * 1e4 + 1) / 10 - 0.75) / 0.05
    np.testing.assert_allclose(x[:, 0][one.valid], np.clip(by_hand, -6, 6)[one.valid], atol=1e-4)
    assert not x[~seen].any()


def test_a_folder_gives_the_model_back(encoder, frames, tmp_path) -> None:
    encoder.model.save_pretrained(tmp_path / "m")
    again = load_encoder(tmp_path / "m")
    assert again.fingerprint == encoder.fingerprint
    assert again.sources == ("landsat-c2-l2", "sentinel-1-rtc", "sentinel-2-l2a")
    assert np.array_equal(again.encode(frames, [YEAR]), encoder.encode(frames, [YEAR]), equal_nan=True)
    again.model.summary.log_reach.data += 1e-3
    assert ModelEncoder(again.model).fingerprint != encoder.fingerprint


def test_broken_folders_are_told(encoder, tmp_path) -> None:
    with pytest.raises(NotFound):
        load_encoder(tmp_path)
    encoder.model.save_pretrained(tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"not weights")
    with pytest.raises(BrokenArtefact, match="cannot be read"):
        load_encoder(tmp_path)
    other = replace(config_of(replace(widths_named("nano"), num_blocks=1)), name="other")
    AlphaEarth(other).save_pretrained(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(encoder.model.config.to_json())
    with pytest.raises(BrokenArtefact, match="do not fit"):
        load_encoder(tmp_path)
    (tmp_path / CONFIG_FILE).write_text('{"schema": "earthfield-model/0"}')
    with pytest.raises(BrokenArtefact):
        load_encoder(tmp_path)


def test_models_are_found_in_the_root_or_named(encoder, tmp_path) -> None:
    catalog, own = Catalog(tmp_path), encoder.model.config.name
    encoder.model.save_pretrained(catalog.model(own))
    assert model_folder(own, catalog) == catalog.model(own)
    catalog.model(own).rename(catalog.model("mine"))
    with pytest.raises(Conflict, match=f"calls itself '{own}'"):
        model_folder("mine", catalog)
    with pytest.raises(NotFound, match="mine"):
        model_folder("nobody", catalog)
    with pytest.raises(InvalidInput):
        model_folder("../mine", catalog)


def test_wrong_input_is_told(encoder, frames) -> None:
    with pytest.raises(InvalidInput, match="multiple"):
        encoder.encode(made_frames(Land(40)), [YEAR])
    with pytest.raises(InvalidInput, match="no source"):
        encoder.encode({}, [YEAR])
    with pytest.raises(InvalidInput, match="period"):
        encoder.encode(frames, [])
    with pytest.raises(InvalidInput, match="one size"):
        encoder.encode(frames | {"sentinel-1-rtc": made_frames(Land(16))["sentinel-1-rtc"]}, [YEAR])


def test_a_config_survives_json() -> None:
    config = config_of(widths_named("tiny"))
    assert ModelConfig.from_json(config.to_json()) == config
