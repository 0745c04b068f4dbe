"""Prefetching, and the pool of plots that batches draw from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from earthfield.errors import NotFound
from earthfield.grid import Window
from earthfield_train.config import DataConfig
from earthfield_train.dataset import Sampler, TrainBatch
from earthfield_train.plots import Plot, PlotStore
from earthfield_train.prefetch import prefetched


def test_prefetching_tells_errors_in_their_turn_and_ends_its_threads() -> None:
    def make(number: int) -> TrainBatch:
        if number == 2:
            raise NotFound("nothing there")
        return TrainBatch({}, {}, torch.full((1, 2), float(number)))

    batches = prefetched(make, range(100), workers=2)
    assert [float(next(batches).periods[0, 0]) for _ in range(2)] == [0.0, 1.0]
    with pytest.raises(NotFound, match="nothing there"):
        next(batches)
    endless = prefetched(lambda number: make(3), iter(int, 1), workers=2)
    next(endless)
    endless.close()


def test_batches_draw_from_a_pool_that_changes_slowly() -> None:
    many = [Plot(Path("/none"), 32631, Window(0, 32, x, x + 32)) for x in range(0, 32 * 100, 32)]
    pooled = Sampler(many, PlotStore({}, limit_gb=1), DataConfig(pool_plots=8, pool_steps=16), seed=1)
    near = {one for number in range(4) for one in pooled.plots_of(number, 6)}
    far = {one for number in range(2000) for one in pooled.plots_of(number, 6)}
    assert len(near) <= 8 + 4
    assert len(far) == len(many)
    assert pooled.plots_of(77, 6) == pooled.plots_of(77, 6)
    assert (
        len(set(Sampler(many, PlotStore({}, limit_gb=1), DataConfig(pool_plots=0), seed=1).plots_of(0, 90)))
        == 90
    )
