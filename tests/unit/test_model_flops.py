"""FLOPs: the count follows the network, attention included, and costs no weights."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from training_land import SOURCES, Land, made_frames, one_thread  # noqa: F401

from earthfield.errors import InvalidInput
from earthfield.timeline import Period
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.batch import batch_of
from earthfield_model.config import ModelConfig, SourceConfig, model_config
from earthfield_model.flops import (
    PARTS,
    flop_table,
    flops_of,
    flops_per_km2,
    on_meta,
    paper_frames,
    parameters_by_part,
)
from earthfield_model.timecode import period_days
from earthfield_model.widths import PRESETS, widths_named

FRAMES = {"sentinel-2-l2a": 7, "sentinel-1-rtc": 3}


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    return model_config("m", [SourceConfig.of(one) for one in SOURCES.values()], widths_named("nano"))


def attention_by_hand(config: ModelConfig, num_frames: int, size: int) -> int:
    """Scores and their sums over values: 2 products of S x S x F a sequence, 2 operations a multiply-add."""
    widths = config.widths
    cells, places = (size // 16) ** 2, (size // 8) ** 2
    space = widths.num_space_layers * num_frames * 4 * cells * cells * widths.space
    time = places * 4 * num_frames * num_frames * widths.time
    return widths.num_blocks * (space + time)


def test_count_equals_that_of_a_real_pass_with_attention_by_hand(config: ModelConfig) -> None:
    size = 32
    frames = {
        name: one.take(slice(0, FRAMES[name]))
        for name, one in made_frames(Land(size)).items()
        if name in FRAMES
    }  # type: ignore[arg-type]
    batch = batch_of([frames], config)
    model = AlphaEarth(config).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(batch, period_days([Period.parse("2018")]))
    counted = counter.get_total_flops()
    sdpa = sum(
        count
        for name, count in counter.get_flop_counts()["Global"].items()
        if "scaled_dot_product" in str(name)
    )
    by_hand = attention_by_hand(config, sum(FRAMES.values()), size)
    assert flops_of(config, num_frames=FRAMES, size_px=size) == counted - sdpa + by_hand
    assert by_hand > 0


def test_the_trunk_runs_once_for_all_periods(config: ModelConfig) -> None:
    one, three = (
        flop_table(config, num_frames=FRAMES, size_px=32, num_periods=count).by_part for count in (1, 3)
    )
    assert set(one) == set(PARTS)
    assert three["summary"] == 3 * one["summary"] > 0
    assert all(three[part] == one[part] for part in PARTS if part != "summary")
    assert all(one[part] > 0 for part in ("stems", "space", "time", "precision", "exchange"))


def test_time_attention_makes_more_frames_cost_more_than_their_share(config: ModelConfig) -> None:
    few, many = (flop_table(config, num_frames={"sentinel-2-l2a": count}, size_px=32) for count in (10, 20))
    assert many.by_part["stems"] == 2 * few.by_part["stems"]
    assert many.by_part["time"] > 2 * few.by_part["time"]


def test_a_km2_is_counted_with_the_papers_frames(config: ModelConfig) -> None:
    assert paper_frames(config) == {"sentinel-2-l2a": 65, "sentinel-1-rtc": 17, "landsat-c2-l2": 21}
    window = flops_of(config, num_frames=paper_frames(config), size_px=128)
    assert flops_per_km2(config) == pytest.approx(window / 1.6384)


@pytest.mark.parametrize("frames", [{}, {"sentinel-2-l2a": 0}, {"palsar": 3}])
def test_frames_that_the_model_does_not_read_are_told(config: ModelConfig, frames: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="sentinel-1-rtc"):
        flops_of(config, num_frames=frames, size_px=32)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_built_without_weights(preset: str) -> None:
    made = model_config(preset, [SourceConfig.of(one) for one in SOURCES.values()], widths_named(preset))
    model = on_meta(made)
    assert all(one.device.type == "meta" for one in model.parameters())
    by_part = parameters_by_part(model)
    assert sum(by_part.values()) == model.num_parameters
    assert flops_per_km2(made) > 0
    if preset == "large":
        assert 450e6 <= model.num_parameters <= 520e6
