"""Statistics of the transformed bands over the training plots: the figures that every stem standardises with."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from earthfield.errors import InvalidInput, NotFound
from earthfield.frames import SourceFrames
from earthfield.sources import Source
from earthfield_model.config import ModelConfig, SourceConfig
from earthfield_model.stem import Declared
from earthfield_train.plots import Plot, PlotStore

logger = logging.getLogger(__name__)

_MAX_PLOTS, _MAX_FRAMES = 48, 24
_LEAST_STD = 1e-3


def measured_sources(
    sources: Mapping[str, Source], plots: Sequence[Plot], store: PlotStore
) -> list[SourceConfig]:
    """Gives the declared part of every source that the plots hold, with statistics.

    A band that no plot shows is left out, with a warning: a new model then neither reads nor reconstructs it.

    Args:
        sources: declared sources by name.
        plots: where to measure; evenly spaced ones are taken where there are many.
        store: reads them.

    Raises:
        NotFound: no plot shows any of the input sources.
    """
    totals: dict[str, dict[str, NDArray[np.float64]]] = {}
    for plot in _spread(plots):
        for name, frames in _shown(plot, store):
            if name in sources:
                _add(totals.setdefault(name, {}), frames, SourceConfig.of(sources[name]))
    held = {name: bands for name, bands in sorted(totals.items()) if bands}
    if not any("input" in sources[name].roles for name in held):
        names = [name for name, one in sources.items() if "input" in one.roles]
        raise NotFound(f"no plot holds any of {', '.join(names)}: ingest these sources first")
    return [_measured(sources[name], bands) for name, bands in held.items()]


def check_bands(model: ModelConfig, plots: Sequence[Plot], store: PlotStore) -> None:
    """Looks whether the plots show every band of the sources that they hold and the model reads.

    A source that no plot holds at all is another matter: sensors may be missing.

    Raises:
        InvalidInput: some bands are in no cube; the message names them.
    """
    wanted = {one.name: set(one.band_names) for one in model.inputs}
    held: set[str] = set()
    for plot in _spread(plots):
        for name, frames in _shown(plot, store):
            if frames.valid.any() and name in wanted:
                held.add(name)
                wanted[name] -= {band for band in wanted[name] if _shows_band(frames, band)}
        if held == set(wanted) and not any(wanted.values()):
            return
    if missing := {name: sorted(wanted[name]) for name in sorted(held) if wanted[name]}:
        told = "; ".join(f"{name}: {', '.join(bands)}" for name, bands in missing.items())
        raise InvalidInput(
            f"the model {model.name} reads bands that no cube here holds ({told}): ingest them, or train without "
            f"with --set data.partial_bands=true"
        )


def _spread(plots: Sequence[Plot]) -> Sequence[Plot]:
    return plots[:: max(len(plots) // _MAX_PLOTS, 1)]


def _shown(plot: Plot, store: PlotStore) -> Iterator[tuple[str, SourceFrames]]:
    """Yields what is known of a plot: its frames, and of coarse sources the cell nearest its centre."""
    record, window = store.record(plot), plot.window
    yield from record.frames.items()
    for name, one in record.coarse.items():
        yield name, one.nearest(plot.epsg, (window.y0 + window.y1) / 2, (window.x0 + window.x1) / 2)


def _shows_band(frames: SourceFrames, band: str) -> bool:
    if band not in frames.bands:
        return False
    stored = frames.values[:, frames.bands.index(band)]
    return bool((frames.valid & (stored != frames.nodata)).any())


def _measured(source: Source, bands: Mapping[str, NDArray[np.float64]]) -> SourceConfig:
    config = SourceConfig.of(source)
    if absent := [band for band in config.band_names if band not in bands]:
        logger.warning("%s: no plot shows %s; the model goes without", source.name, ", ".join(absent))
    config = replace(config, bands=tuple(band for band in config.bands if band.name in bands))
    if config.classes:
        return config
    return config.with_statistics({band: _moments(totals) for band, totals in bands.items()})


def _add(totals: dict[str, NDArray[np.float64]], frames: SourceFrames, config: SourceConfig) -> None:
    """Adds counts, sums and sums of squares by band."""
    # Every frame of what is only seen in few pixels.
    step = max(len(frames.acquired) // _MAX_FRAMES, 1) if config.is_input else 1
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
