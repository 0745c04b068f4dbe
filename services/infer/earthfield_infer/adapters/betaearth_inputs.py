"""Frames as BetaEarth wants its images: its bands in its order, its units, no holes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import InvalidInput
from earthfield.fill import fill_arrays
from earthfield.frames import SourceFrames
from earthfield.grid import Window
from earthfield.sources import source_named
from earthfield.timeline import Period

S2, S1, DEM = "sentinel-2-l2a", "sentinel-1-rtc", "cop-dem-glo-30"
BANDS = {
    S2: ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12"),
    S1: ("vv", "vh"),
    DEM: ("elevation",),
}
"""Bands of each source in BetaEarth's own order: Sentinel-2's 10 m bands come first, so B08 stands before B05."""
MOST_REFLECTANCE = 65_535
"""Sentinel-2 goes in as uint16."""


@dataclass(frozen=True)
class Images:
    """The observations of one source over a window, ready to be given to BetaEarth one date at a time."""

    source: str
    """Name of the source."""
    stored: NDArray[np.integer]
    """(T, C, H, W) stored integers, bands in BetaEarth's order."""
    usable: NDArray[np.bool_]
    """(T, H, W) True where the surface was seen and every band was measured."""
    acquired: NDArray[np.datetime64]
    """(T,) instants, UTC."""
    nodata: int
    """Stored value of a missing measurement."""

    @property
    def moments(self) -> list[datetime]:
        """The instants as plain times without a zone, UTC."""
        return list(self.acquired.astype("datetime64[us]").astype(object))

    def cropped(self, window: Window) -> Images:
        """Gives the pixels of a window of its own rows and columns, without copying them."""
        ys, xs = window.slices
        return replace(self, stored=self.stored[..., ys, xs], usable=self.usable[..., ys, xs])

    def within(self, period: Period) -> NDArray[np.bool_]:
        """Tells which dates lie in a period and show anything."""
        start, end = (np.datetime64(one.replace(tzinfo=None), "us") for one in (period.start, period.end))
        return (self.acquired >= start) & (self.acquired < end) & self.usable.any(axis=(1, 2))

    def image(self, date: int) -> NDArray[np.uint16] | NDArray[np.float32]:
        """Gives one date as BetaEarth takes it.

        Pixels that are masked on that date show what the same pixel showed on the nearest date on which it was
        clear, or else the middle value of the date's own clear pixels: an image with black holes is nothing that
        the network was trained on. Vectors of these pixels are thrown away.

        Returns:
            (9, H, W) uint16 reflectance x 10,000 of Sentinel-2, or (2, H, W) float32 linear power of Sentinel-1.
        """
        stored, _ = fill_arrays(
            self.stored, self.usable, self.acquired, self.acquired[date : date + 1],
            nodata=self.nodata, method="nearest",
        )  # fmt: skip
        filled, seen = stored[0], self.usable[date]
        middles = np.median(self.stored[date][:, seen], axis=1)
        filled = np.where(filled == self.nodata, middles[:, None, None], filled)
        return _in_its_units(self.source, filled)


def images_of(frames: SourceFrames) -> Images:
    """Puts frames into BetaEarth's order of bands.

    Raises:
        InvalidInput: a band that BetaEarth needs is not among them.
    """
    wanted = BANDS[frames.source]
    if missing := [band for band in wanted if band not in frames.bands]:
        raise InvalidInput(
            f"BetaEarth needs {', '.join(wanted)} of {frames.source}, and the frames lack {', '.join(missing)}: "
            "ingest these bands too, or leave the source out"
        )
    stored = frames.values[:, [frames.bands.index(band) for band in wanted]]
    usable = frames.valid & (stored != frames.nodata).all(axis=1)
    return Images(frames.source, stored, usable, frames.acquired.astype("datetime64[us]"), frames.nodata)


def elevation_of(images: Images) -> NDArray[np.float32] | None:
    """Gives heights in metres, (1, H, W); None where none was measured.

    Missing pixels show the mean height: BetaEarth would take them for sea level and stretch all others towards it.
    """
    heights = _physical(DEM, images.stored)
    total = np.where(images.usable[:, None], heights, 0).sum(axis=0)
    count = images.usable.sum(axis=0)
    if not count.any():
        return None
    known = total / np.maximum(count, 1)
    return np.where(count > 0, known, known[:, count > 0].mean()).astype(np.float32)


def _in_its_units(source: str, stored: NDArray[np.floating]) -> NDArray[np.uint16] | NDArray[np.float32]:
    physical = _physical(source, stored)
    if source == S1:
        return np.power(10.0, physical / 10.0).astype(np.float32)
    return np.clip(np.rint(physical * 10_000.0), 0, MOST_REFLECTANCE).astype(np.uint16)


def _physical(source: str, stored: NDArray[np.number]) -> NDArray[np.float64]:
    """Turns stored values (..., C, H, W) in BetaEarth's order into physical ones."""
    declared = {band.name: band for band in source_named(source).bands}
    bands = [declared[name] for name in BANDS[source]]
    scale = np.array([band.scale for band in bands])[:, None, None]
    offset = np.array([band.offset for band in bands])[:, None, None]
    return stored * scale + offset
