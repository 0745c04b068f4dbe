"""BetaEarth behind the seam of encoders: one date at a time through its `predict`, averaged over a period.

Source: the package betaearth 0.2.5 (Czerkawski 2026, CC-BY 4.0), its README and `betaearth.generate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.codec import normalised
from earthfield.errors import BrokenArtefact, InvalidInput
from earthfield.frames import Frames
from earthfield.grid import Window
from earthfield.storage import hash_of
from earthfield.timeline import Period
from earthfield_infer.adapters.betaearth_inputs import DEM, S1, S2, Images, elevation_of, images_of

DIM = 64
TILE_PX = 224
"""What BetaEarth was trained on; smaller windows are mirrored up to it."""
STRIDE_PX = 112
"""How far tiles lie apart, as its authors lay them; their overlap is blended."""
MULTIPLE_PX = 16
PER_QUARTER = {S2: 6, S1: 1}
"""Dates of a calendar quarter that are averaged at most, as in `betaearth-generate`."""
CLEAR_SHARE = 0.8
"""Dates that are clearer than this come first; of a quarter without one, the clearest alone, as there."""
_NOTHING = 1e-6
"""Vectors shorter than this are none, as in `betaearth-generate`."""


class Predicts(Protocol):
    """What is asked of `betaearth.BetaEarth`."""

    def predict(self, **inputs: Any) -> NDArray[np.float32]:
        """Gives (H, W, 64) unit vectors of one date."""
        ...


class BetaEarthEncoder:
    """Implements `earthfield.ports.Encoder` with BetaEarth.

    BetaEarth encodes dates. A period's vector is the renormalised mean of the vectors of its clearest dates, six of
    Sentinel-2 and one of Sentinel-1 in a quarter, each with the elevation where the cube holds it; a date counts at
    the pixels that it shows. Further dates are taken until every pixel that was seen in the period has a vector.

    All this is done by tiles of 224 px, which are then blended. The windows asked for hold every tile of their core
    whole, and tiles lie alike in all windows: away from the edge of the data no pixel depends on its window.
    """

    dim = DIM
    window_px = 2 * TILE_PX
    """Side of the windows that it is best given."""
    halo_px = STRIDE_PX
    """Margin of a window whose tiles it holds in part only."""

    def __init__(
        self, model: Predicts, *, name: str, weights: str, sources: tuple[str, ...] = (S2, S1, DEM)
    ) -> None:
        """Takes a BetaEarth over.

        Args:
            model: the opened `betaearth.BetaEarth`.
            name: the model's name in addresses.
            weights: hash of its weights and of the package's version.
            sources: what this variant reads.
        """
        self._model, self.name, self.sources = model, name, sources
        rules = [sorted(PER_QUARTER.items()), CLEAR_SHARE, TILE_PX, STRIDE_PX]
        self.fingerprint = hash_of({"betaearth": weights, "sources": sources, "rules": rules})

    def encode(self, frames: Frames, periods: Sequence[Period]) -> NDArray[np.float32]:
        """Gives a unit vector per pixel and period.

        Args:
            frames: observations of one window; other sources than its own are ignored.
            periods: valid periods; a date that several of them use is encoded once.

        Returns:
            (P, H, W, 64) float32; NaN where no date inside the period shows the pixel.

        Raises:
            InvalidInput: no period, no known source, a band that is missing, or a size that does not fit.
            BrokenArtefact: the weights give numbers that are not finite.
        """
        shape = self._checked(frames, periods)
        images = {source: images_of(frames[source]) for source in self._known(frames)}
        total = np.zeros((len(periods), *shape, DIM), np.float32)
        for tile in tiles_over(shape):
            vectors = self._tile({source: one.cropped(tile) for source, one in images.items()}, periods)
            ys, xs = tile.slices
            total[:, ys, xs] += np.nan_to_num(vectors) * _weight(tile)
        return normalised(total)

    def _tile(self, images: Mapping[str, Images], periods: Sequence[Period]) -> NDArray[np.float32]:
        """Gives unit vectors (P, h, w, D) of one tile, NaN where no date of the period shows the pixel."""
        dem = elevation_of(images[DEM]) if DEM in images else None
        sensors = [images[source] for source in (S2, S1) if source in images]
        wanted = [chosen(sensors, period) for period in periods]
        shape = next(iter(images.values())).usable.shape[1:]
        total = np.zeros((len(periods), *shape, DIM), np.float32)
        for one in sensors:
            for date in sorted({date for dates in wanted for date in dates[one.source]}):
                vectors = self._predicted(one, date, dem)
                shown = one.usable[date] & (np.linalg.norm(vectors, axis=-1) > _NOTHING)
                for place, dates in enumerate(wanted):
                    if date in dates[one.source]:
                        total[place][shown] += vectors[shown]
        return normalised(total)

    def _known(self, frames: Frames) -> list[str]:
        return [source for source in self.sources if source in frames]

    def _checked(self, frames: Frames, periods: Sequence[Period]) -> tuple[int, int]:
        if not periods:
            raise InvalidInput("name at least one valid period to encode")
        known = self._known(frames)
        shapes = {frames[source].shape for source in known}
        if len(shapes) != 1:
            raise InvalidInput(
                f"frames of {', '.join(sorted(frames)) or 'no source'} with sizes {sorted(shapes)} cannot be "
                f"encoded: the model {self.name} reads {', '.join(self.sources)} over windows of one size"
            )
        shape = shapes.pop()
        if shape[0] % MULTIPLE_PX or shape[1] % MULTIPLE_PX:
            raise InvalidInput(
                f"a window of {shape[0]} x {shape[1]} px is not a multiple of {MULTIPLE_PX} px"
            )
        return shape

    def _predicted(self, images: Images, date: int, dem: NDArray[np.float32] | None) -> NDArray[np.float32]:
        moment = images.moments[date]
        height, width = images.usable.shape[1:]
        margins = [(0, 0), (0, TILE_PX - height), (0, TILE_PX - width)]
        inputs = {"s2_l2a" if images.source == S2 else "s1": images.image(date), "dem": dem}
        whole = {
            name: np.pad(one, margins, mode="symmetric") for name, one in inputs.items() if one is not None
        }
        # One tile at a time: where `predict` blends tiles itself, the outermost pixels come out as zeros.
        vectors = self._model.predict(**whole, doy=moment.timetuple().tm_yday, tile_size=TILE_PX, overlap=0)[
            :height, :width
        ]
        if not np.isfinite(vectors).all():
            raise BrokenArtefact(
                f"{self.name} gave numbers that are not finite for {images.source} of {moment:%Y-%m-%d}: its "
                "weights are damaged, fetch them again"
            )
        return vectors


def tiles_over(shape: tuple[int, int]) -> list[Window]:
    """Lays tiles over a window: 112 px apart from its corner, the last ones flush with its far edges."""
    starts = [[*range(0, max(side - TILE_PX, 0), STRIDE_PX), max(side - TILE_PX, 0)] for side in shape]
    height, width = (min(side, TILE_PX) for side in shape)
    return [Window(y, y + height, x, x + width) for y in starts[0] for x in starts[1]]


def _weight(tile: Window) -> NDArray[np.float32]:
    """Falls linearly towards the edges of a tile, (h, w, 1): weights of tiles 112 px apart add up to one."""
    sides = []
    for side in tile.shape:
        ramp = (np.arange(side, dtype=np.float32) + 0.5) / STRIDE_PX
        sides.append(np.minimum(np.minimum(ramp, ramp[::-1]), 1))
    return (sides[0][:, None] * sides[1])[..., None]


def chosen(images: Sequence[Images], period: Period) -> dict[str, list[int]]:
    """Chooses the dates that stand for a period, by source.

    Args:
        images: the sources, the one to prefer first.
        period: the valid period.

    Returns:
        Places along each source's dates: the clearest of every quarter, and what else it takes until every pixel
        that any date of the period shows is shown by a chosen one.
    """
    found = {one.source: _clearest(one, period) for one in images}
    covered = _shown(images, found)
    for one in images:
        left = [int(date) for date in np.flatnonzero(one.within(period)) if date not in found[one.source]]
        while left:
            gains = [int((one.usable[date] & ~covered).sum()) for date in left]
            best = int(np.argmax(gains))
            if not gains[best]:
                break
            date = left.pop(best)
            found[one.source].append(date)
            covered |= one.usable[date]
    return found


def _clearest(images: Images, period: Period) -> list[int]:
    quarters: dict[tuple[int, int], list[int]] = {}
    moments, shares = images.moments, images.usable.mean(axis=(1, 2))
    for date in np.flatnonzero(images.within(period)):
        quarters.setdefault((moments[date].year, (moments[date].month - 1) // 3), []).append(int(date))
    found = []
    for dates in quarters.values():
        dates.sort(key=lambda date: (-shares[date], moments[date]))
        clear = [date for date in dates if shares[date] >= CLEAR_SHARE] or dates[:1]
        found += clear[: PER_QUARTER[images.source]]
    return found


def _shown(images: Sequence[Images], found: dict[str, list[int]]) -> NDArray[np.bool_]:
    covered = np.zeros(images[0].usable.shape[1:], bool) if images else np.zeros((0, 0), bool)
    for one in images:
        covered |= one.usable[found[one.source]].any(axis=0)
    return covered


def connect(catalog: Catalog, model: str) -> BetaEarthEncoder:
    """Opens BetaEarth under a model's name; the entry point `betaearth` of the group `earthfield.encoders`.

    Args:
        catalog: weights lie under `models/<name>/`, where EARTHFIELD_BETAEARTH_WEIGHTS does not say otherwise.
        model: `betaearth`, or the name of another of its published variants, `betaearth-...`.

    Raises:
        InvalidInput: the package is not installed, or the weights cannot be used.
        NotFound: no weights under that name.
        Unavailable: they are not on this machine and cannot be fetched now.
        BrokenArtefact: they fit no BetaEarth.
    """
    import os

    import torch

    from earthfield.settings import Settings
    from earthfield_infer.adapters.betaearth_weights import opened

    torch.set_num_threads(Settings().threads or os.cpu_count() or 1)
    made = opened(catalog, model)
    sources = (S2, S1, DEM) if made.reads_all else (S2,)
    return BetaEarthEncoder(made.model, name=model, weights=made.hash, sources=sources)
