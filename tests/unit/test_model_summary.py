"""The summary and the trunk: what a pool looks at, what it leaves out, and that nothing in them is idle."""

from __future__ import annotations

import pytest
import torch
from training_land import SOURCES, Land, made_frames, one_thread  # noqa: F401

from earthfield.sources import known_sources
from earthfield.timeline import Period
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.batch import Batch, batch_of
from earthfield_model.config import SourceConfig, model_config
from earthfield_model.stp import Block
from earthfield_model.summary import _pooled_twice, first_windows
from earthfield_model.timecode import period_days
from earthfield_model.widths import PRESETS, widths_named

YEAR = period_days([Period.parse("2018")])


@pytest.fixture
def model() -> AlphaEarth:
    torch.manual_seed(5)
    sources = [SourceConfig.of(one) for one in SOURCES.values()]
    return AlphaEarth(model_config("test", sources, widths_named("nano")))


@pytest.fixture
def batch(model: AlphaEarth) -> Batch:
    return batch_of([made_frames(Land(32, every=(40, 60, 90)))], model.config)


def test_windows_share_out_the_period_and_wide_ones_see_all_of_it() -> None:
    centre, width = first_windows(14)
    assert centre[:2].tolist() == [0.0, 0.0]
    assert width[:2].min() > 2
    torch.testing.assert_close(centre[2:], torch.linspace(-11 / 12, 11 / 12, 12))
    assert torch.all(width[2:] < centre[3] - centre[2])
    assert len(first_windows(1)[0]) == 1


def test_the_first_pools_of_a_new_model_are_composites_of_their_part_of_the_year(model) -> None:
    frames = made_frames(Land(16, every=(10, 60, 90)))
    one = frames["sentinel-2-l2a"]
    one.valid[:] = True
    one.values[:] = 2000
    late = one.acquired >= one.acquired[0] + (one.acquired[-1] - one.acquired[0]) / 2
    one.values[late] = 4000
    model.eval()
    with torch.no_grad():
        observed = model.observe(batch_of([frames], model.config))
        columns = model.summary.band_columns(model.config)["sentinel-2-l2a"]
        optical = model.summary.pooled(observed, YEAR)[0, 8, 8, columns].view(model.summary.num_pools, 3)
    early, later = optical[2], optical[3]
    stored = torch.tensor([2000.0, 4000.0])
    expected = torch.log1p(stored) / 10
    apart = expected[1] - expected[0]
    torch.testing.assert_close(early, expected[0].expand(3), atol=float(apart) / 3, rtol=0)
    torch.testing.assert_close(later, expected[1].expand(3), atol=float(apart) / 3, rtol=0)


def test_a_frame_that_disagrees_with_all_others_counts_for_little() -> None:
    near = torch.zeros(1, 6, 1, 1, 4)
    near[0, 0] = 8.0
    mask = torch.ones(1, 6, 1, 1, dtype=torch.bool)
    scores = torch.zeros(1, 1, 6, 1, 1)
    trusting = _pooled_twice(near, mask, scores, torch.zeros(1))
    strict = _pooled_twice(near, mask, scores, torch.ones(1))
    torch.testing.assert_close(trusting, torch.full_like(trusting, 8 / 6))
    assert strict.abs().max() < 1e-6
    mask[0, 1:] = False
    alone = _pooled_twice(near, mask, scores, torch.ones(1))
    torch.testing.assert_close(alone, torch.full_like(alone, 8.0))


def test_every_parameter_of_the_encoder_gets_a_gradient(model, batch) -> None:
    for name, one in model.named_parameters():
        # Layers that start from nothing stop the gradient of what feeds them.
        one.data += 0.05 * torch.randn_like(one) if "summary" in name else 0
    # Half a year, so that some frames lie outside.
    model(batch, period_days([Period.parse("2018-01..2018-06")]))[..., 0].sum().backward()
    idle = [
        name
        for name, one in model.named_parameters()
        if name.split(".")[0] in ("stems", "trunk", "summary") and (one.grad is None or not one.grad.any())
    ]
    # Of what stands for an absent source nothing is needed where all are there.
    assert {name for name in idle if not name.startswith("summary.absent")} == set()


def test_computing_blocks_again_gives_the_same_gradient(model, batch) -> None:
    grads = []
    for model.trunk.recompute in (False, True):
        model.zero_grad()
        model(batch, YEAR)[..., 0].sum().backward()
        grads.append(model.trunk.to_space.weight.grad.clone())
    torch.testing.assert_close(*grads, rtol=0, atol=1e-6)


def test_only_the_last_block_keeps_what_it_knows_to_itself(model) -> None:
    blocks = [one for one in model.trunk.blocks if isinstance(one, Block)]
    assert [one.exchange.last for one in blocks] == [False] * (len(blocks) - 1) + [True]


@pytest.mark.parametrize(
    ("preset", "least", "most"),
    [("tiny", 0.8e6, 1.5e6), ("small", 8e6, 15e6), ("base", 50e6, 80e6), ("large", 450e6, 520e6)],
)
def test_presets_have_the_sizes_that_they_are_named_for(preset: str, least: float, most: float) -> None:
    names = ("sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2")
    sources = [SourceConfig.of(known_sources()[name]) for name in names]
    with torch.device("meta"):
        model = AlphaEarth(model_config("test", sources, PRESETS[preset]))
    assert least < model.num_parameters < most
