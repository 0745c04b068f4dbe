"""References: the picture of a tile that a source's acquisitions are moved onto, and the reader that moves them.

A cube's source is co-registered from its first ingest or never. The reference is made once, from that ingest's
scenes, and kept in the cube, so that a refresh a year later moves its scenes onto the same picture. Shifts are
found over all of the reference whatever the window wanted: they do not depend on the area.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import BrokenArtefact, Conflict, Unavailable
from earthfield.grid import PIXEL_M, Tile, Window
from earthfield.sources import Band, Source
from earthfield_ingest.compose import Frame
from earthfield_ingest.coregister import MAX_SHIFT_PX, Shift, Template, shifted
from earthfield_ingest.dialect import asset_key, property_ending
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers import Grid, SceneReader, reader_for
from earthfield_ingest.scene import Scene

REFERENCE = "reference"
"""Name of a reference in a source's group: the array, and the attribute that tells of it."""
NO_REFERENCE = "no reference could be made"

_BANDS = ("B08", "nir08", "vv", "hh", "HH", "B8A", "B04", "red", "swir16", "B11")
"""Bands to register on, the best first: near infrared shows fields and shores, and haze least."""
_RADAR_PX = 2.0
"""Least side of a radar's own pixels on the grid: its products are finer than what it resolves."""
_LOOKED_AT = 16
_MADE_OF = 8
_MARGIN_PX = int(MAX_SHIFT_PX) + 1


@dataclass(frozen=True)
class Reference:
    """What the acquisitions of a tile and source are moved onto."""

    values: NDArray[np.float32]
    """(1024, 1024) stored values of one band, NaN where no scene was clear."""
    band: str
    """The band."""
    items: tuple[str, ...]
    """STAC ids that it is the median of."""

    @property
    def attributes(self) -> dict[str, Any]:
        """What the cube's group remembers beside the array."""
        return {"band": self.band, "items": list(self.items)}


def can_be_moved(source: Source) -> bool:
    """Tells whether a source's acquisitions can be co-registered: rasters of instants on the tile's grid."""
    return (
        source.layout == "raster"
        and source.lattice is None
        and source.cadence == "instant"
        and source.classes is None
        and any(name in source.band_names for name in _BANDS)
    )


def check_alike(cube: object, source: Source, attributes: Mapping[str, Any], *, coregister: bool) -> None:
    """Makes sure that a cube's source is co-registered as a whole; a refresh need not ask for it again.

    Raises:
        Conflict: it is asked for, and the cube holds scenes that were not moved.
    """
    if coregister and can_be_moved(source) and attributes.get("ledger") and REFERENCE not in attributes:
        raise Conflict(
            f"the cube {cube} holds {source.name} that was not co-registered: leave --coregister out, or ingest "
            "into another --root"
        )


def make_reference(source: Source, tile: Tile, scenes: Iterable[Scene], fetcher: Fetcher) -> Reference | None:
    """Makes a tile's reference: the median of the clearest of some scenes spread over time, None if none is clear.

    Scenes that cannot be read are left out here; their own step tells.
    """
    usable = sorted((one for one in scenes if one.flaw is None), key=lambda one: (one.acquired, one.id))
    band = _best_band(source, usable)
    if band is None:
        return None
    read = _OneBand(source, band, tile, _whole(tile), fetcher)
    kept: list[tuple[int, Scene, NDArray[np.float32]]] = []
    for scene in _spread(usable):
        try:
            values, valid = read(scene)
        except (BrokenArtefact, Unavailable):
            continue
        if valid.any():
            picture = np.where(valid, values, np.nan).astype(np.float32)
            kept.append((int(np.count_nonzero(valid)), scene, picture))
            kept = sorted(kept, key=lambda one: (-one[0], one[1].acquired, one[1].id))[:_MADE_OF]
    if not kept:
        return None
    return Reference(_median([one[2] for one in kept]), band.name, tuple(one[1].id for one in kept))


class Registration:
    """Finds and remembers the shifts of a source's scenes in one tile; shared by the readers of its steps."""

    def __init__(self, source: Source, tile: Tile, reference: Reference | None, fetcher: Fetcher) -> None:
        """Args: the source; the tile; what to move onto, None where none could be made; what opens files."""
        self._source, self._tile, self._fetcher = source, tile, fetcher
        self._reference = reference
        self.shifts: dict[str, Shift] = {}
        """By STAC id what was found in this run."""
        if reference is not None:
            self._band = next(one for one in source.bands if one.name == reference.band)
            self._part = _seen(np.isfinite(reference.values))
            self._template = Template(reference.values[self._part.slices], pixel=_pixel(self._band))

    def reader(self, window: Window) -> CoregisteredReader:
        """Gives a reader of scenes moved onto the reference, over a window of the tile's array."""
        source, tile, fetcher = self._source, self._tile, self._fetcher
        return CoregisteredReader(
            source,
            plain=reader_for(source, Grid.of(source, tile, window), fetcher),
            wide=reader_for(source, _grid(tile, window.padded(_MARGIN_PX)), fetcher),
            registration=self,
        )

    def shift_of(self, scene: Scene) -> tuple[Shift, int]:
        """Gives a scene's shift and how many bytes were decoded to find it; errors as in `SceneReader.bands`."""
        if scene.id in self.shifts:
            return self.shifts[scene.id], 0
        shift, num_bytes = Shift(reason=NO_REFERENCE), 0
        if self._reference is not None:
            read = _OneBand(self._source, self._band, self._tile, self._part, self._fetcher)
            shift = self._template.locate(*read(scene)).settled
            num_bytes = read.bytes_read
        self.shifts[scene.id] = shift
        return shift, num_bytes

    def told(self, frame: Frame) -> Frame:
        """Puts the shifts of a frame's items beside what it tells of how they were taken."""
        before = frame.about.get("shifts", {})
        found = {item: _as_json(self.shifts[item]) for item in frame.items if item in self.shifts}
        known = {item: one for item, one in {**before, **found}.items() if item in frame.items}
        return replace(frame, about={**frame.about, "shifts": known})


class CoregisteredReader:
    """Reads scenes as a plain reader does, moved onto the reference where a shift was found.

    Its quality masks are those of the scenes as they came: they only order the scenes. What `bands` gives has the
    mask moved with the pixels, and a pixel is taken where both show the surface.
    """

    def __init__(
        self, source: Source, *, plain: SceneReader, wide: SceneReader, registration: Registration
    ) -> None:
        """Args: the source; its readers over the window and over one wider by a margin; what finds shifts."""
        self._source, self._plain, self._wide = source, plain, wide
        self._registration = registration
        self._looked = 0
        self.bytes_read = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self._plain.shape

    def clear(self, scene: Scene) -> NDArray[np.bool_]:
        """See `SceneReader`."""
        clear = self._plain.clear(scene)
        self._count()
        return clear

    def bands(self, scene: Scene) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See `SceneReader`."""
        shift, num_bytes = self._registration.shift_of(scene)
        self._looked += num_bytes
        if not shift:
            plain = self._plain.bands(scene)
            self._count()
            return plain
        values, valid = self._wide.bands(scene)
        if self._source.quality:
            valid &= self._wide.clear(scene)
        self._count()
        values, valid = shifted(values, valid, shift, nodata=self._source.nodata)
        inner = slice(_MARGIN_PX, -_MARGIN_PX)
        return np.ascontiguousarray(values[:, inner, inner]), np.ascontiguousarray(valid[inner, inner])

    def _count(self) -> None:
        self.bytes_read = self._plain.bytes_read + self._wide.bytes_read + self._looked


class _OneBand:
    """Reads one band of scenes over a window of a tile, and where it shows the surface."""

    def __init__(self, source: Source, band: Band, tile: Tile, window: Window, fetcher: Fetcher) -> None:
        self._source = replace(source, bands=(band,))
        self._reader = reader_for(self._source, _grid(tile, window), fetcher)

    def __call__(self, scene: Scene) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        values, valid = self._reader.bands(scene)
        if self._source.quality:
            valid = valid & self._reader.clear(scene)
        return values[0], valid

    @property
    def bytes_read(self) -> int:
        return self._reader.bytes_read


def _as_json(shift: Shift) -> Mapping[str, Any]:
    told: dict[str, Any] = {
        "px": [shift.dy_px, shift.dx_px],
        "confidence": shift.confidence,
        "error_px": shift.error_px,
    }
    return {**told, "reason": shift.reason} if shift.reason else told


def _best_band(source: Source, scenes: Sequence[Scene]) -> Band | None:
    """Gives the first band to register on that at least half of the scenes have."""
    named = {band.name: band for band in source.bands}
    for band in (named[name] for name in _BANDS if name in named):
        have = sum(asset_key(one.assets, band.assets) is not None for one in scenes)
        if have and 2 * have >= len(scenes):
            return band
    return None


def _spread(scenes: Sequence[Scene]) -> list[Scene]:
    """Gives some scenes spread over the time of all, of each run the one that its item tells to be least cloudy."""
    runs = np.array_split(np.arange(len(scenes)), min(_LOOKED_AT, len(scenes)))
    return [min((scenes[place] for place in run), key=_cloud_cover) for run in runs]


def _cloud_cover(scene: Scene) -> float:
    told = property_ending(scene.properties, "cloud_cover")
    return float(told) if isinstance(told, int | float) else 0.0


def _median(pictures: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Gives the median of every pixel that any picture shows, a strip at a time to save memory."""
    whole = np.full(pictures[0].shape, np.nan, np.float32)
    for top in range(0, len(whole), 128):
        strip = np.stack([one[top : top + 128] for one in pictures])
        seen = np.isfinite(strip).any(axis=0)
        whole[top : top + 128][seen] = np.nanmedian(strip[:, seen], axis=0)
    return whole


def _pixel(band: Band) -> float:
    own = band.gsd_m / PIXEL_M
    return max(own, _RADAR_PX) if band.unit == "dB" else max(own, 1.0)


def _seen(mask: NDArray[np.bool_]) -> Window:
    """The smallest window of the tile that holds all of a mask."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Window(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1)


def _whole(tile: Tile) -> Window:
    return tile.local(tile.window)


def _grid(tile: Tile, window: Window) -> Grid:
    """The pixels of a window of the tile's array, which may reach beyond the tile."""
    return Grid.over(tile.epsg, window.shifted(tile.window.y0, tile.window.x0))
