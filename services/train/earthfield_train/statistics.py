"""Statistics of the transformed bands over the training plots: the figures that every stem standardises with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from earthfield.errors import NotFound
from earthfield.frames import SourceFrames
from earthfield.sources import Source
from earthfield_model.config import SourceConfig
from earthfield_model.stem import Declared
from earthfield_train.dataset import Plot, PlotStore

_MAX_PLOTS, _MAX_FRAMES = 48, 24
_LEAST_STD = 1e-3


def measured_sources(
    sources: Mapping[str, Source], plots: Sequence[Plot], store: PlotStore
) -> list[SourceConfig]:
    """Gives the declared part of every source that the plots hold, with statistics.

    Args:
        sources: declared sources by name.
        plots: where to measure; evenly spaced ones are taken where there are many.
        store: reads them.

    Raises:
        NotFound: no plot shows any of the sources.
    """
    every = max(len(plots) // _MAX_PLOTS, 1)
    looked_at = plots[::every]
    totals: dict[str, dict[str, NDArray[np.float64]]] = {}
    for plot in looked_at:
        for name, frames in store.frames(plot).items():
            if name in sources:
                _add(totals.setdefault(name, {}), frames, SourceConfig.of(sources[name]))
    if not totals:
        raise NotFound(f"no plot holds any of {', '.join(sources)}: ingest these sources first")
    return [
        SourceConfig.of(sources[name]).with_statistics({band: _moments(x) for band, x in bands.items()})
        for name, bands in sorted(totals.items())
        if bands
    ]


def _add(totals: dict[str, NDArray[np.float64]], frames: SourceFrames, config: SourceConfig) -> None:
    """Adds counts, sums and sums of squares by band."""
    step = max(len(frames.acquired) // _MAX_FRAMES, 1)
    declared = Declared(config)
    for place, band in enumerate(config.band_names):
        if band not in frames.bands:
            continue
        stored = frames.values[::step, frames.bands.index(band)]
        seen = frames.valid[::step] & (stored != frames.nodata)
        if not seen.any():
            continue
        # Through the stem's own transform, as a one-band image per value: the two cannot differ.
        column = torch.full((1, len(config.bands), 1, int(seen.sum())), config.nodata, dtype=torch.int32)
        column[0, place, 0] = torch.from_numpy(stored[seen].astype(np.int32))
        x = declared.transformed(column)[0, place, 0].double().numpy()
        totals[band] = totals.get(band, np.zeros(3)) + np.array([len(x), x.sum(), (x * x).sum()])


def _moments(totals: NDArray[np.float64]) -> tuple[float, float]:
    count, first, second = totals
    mean = first / count
    return round(float(mean), 6), round(max(float(second / count - mean * mean), _LEAST_STD**2) ** 0.5, 6)
