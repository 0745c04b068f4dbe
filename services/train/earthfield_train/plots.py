"""Plots: the pieces of land that samples are drawn from, and what cubes hold of them, decoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import Float64
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from earthfield.catalog import Catalog
from earthfield.cube import SHARD_PX, STEPS_PER_CHUNK, Cube, CubeReader, Observation
from earthfield.errors import NotFound
from earthfield.frames import Frames, SourceFrames
from earthfield.geometry import NUM_FEATURES
from earthfield.grid import PIXEL_M, Tile, Window, tiles_over
from earthfield.sources import Source
from earthfield.timeline import STEP_DAYS, Period
from earthfield_model.timecode import period_days
from earthfield_train.config import DataConfig

ALWAYS = Period.parse("1970..2100")


@dataclass(frozen=True, order=True)
class Plot:
    """A piece of land that is decoded at once."""

    root: Path
    """The root whose cubes hold it."""
    epsg: int
    """UTM zone."""
    window: Window
    """Its pixels in the zone's grid."""


@dataclass(frozen=True)
class Coarse:
    """What a tile holds of a source with a grid of its own."""

    frames: SourceFrames
    """Its frames, on that grid."""
    geobox: GeoBox
    """The grid."""

    def nearest(self, epsg: int, row: float, col: float) -> SourceFrames:
        """Gives the frames of one cell, (T, B, 1, 1): the one nearest to a place of a zone's 10 m grid."""
        x, y = _transformer(epsg, str(self.geobox.crs)).transform(col * PIXEL_M, -row * PIXEL_M)
        at = ~self.geobox.transform * (x, y)
        if self.geobox.crs is not None and self.geobox.crs.geographic and at[0] < 0:
            # Across the antimeridian the columns go on beyond 180 degrees.
            at = ~self.geobox.transform * (x + 360.0, y)
        rows, cols = self.frames.shape
        y0, x0 = (
            min(max(int(np.floor(place)), 0), size - 1) for place, size in ((at[1], rows), (at[0], cols))
        )
        return self.frames.cropped(Window(y0, y0 + 1, x0, x0 + 1))


@dataclass(frozen=True)
class Record:
    """All that was ever observed over a plot, in the sources' stored integers."""

    frames: Frames
    """What lies on the 10 m grid, over the plot's window."""
    coarse: Mapping[str, Coarse] = field(default_factory=dict)
    """What lies on grids of its own, of the tile that holds the plot's centre."""
    spans: Mapping[str, Float64[np.ndarray, "T 2"]] = field(default_factory=dict)
    """[start, end) that the frames of a source stand for, days since 2000, where they are no acquisitions."""

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        every = [*self.frames.values(), *(one.frames for one in self.coarse.values())]
        return sum(one.values.nbytes + one.valid.nbytes for one in every)


def find_plots(roots: Sequence[Path], sources: Mapping[str, Source], config: DataConfig) -> list[Plot]:
    """Cuts the parts of all cubes that hold input data into plots.

    Args:
        roots: folders of artefacts.
        sources: declared sources by name; only those that a model is given decide where plots lie.
        config: sizes.

    Raises:
        NotFound: no cube under any root holds anything of the input sources.
    """
    inputs = [name for name, one in sources.items() if "input" in one.roles]
    plots = []
    for root in roots:
        catalog = Catalog(root)
        for tile in catalog.cube_tiles():
            extent = _extent(Cube(catalog.cube(tile)), tile, inputs)
            plots += [Plot(root, tile.epsg, one) for one in _cut(extent, config)] if extent else []
    if not plots:
        where = ", ".join(str(root) for root in roots)
        names = ", ".join(inputs) or "any input source"
        raise NotFound(f"no cube with {names} lies under {where}: run `earthfield ingest` first")
    return sorted(plots)


def _extent(cube: Cube, tile: Tile, sources: Sequence[str]) -> Window | None:
    """Gives the box around the pixels that some of the first observations show, in the zone's grid."""
    held = [name for name in sources if name in cube.sources]
    slots = {name: sorted(one.slot for one in cube.observations(name))[:STEPS_PER_CHUNK] for name in held}
    first = {name: some for name, some in slots.items() if some}
    shown = np.zeros(tile.window.shape, bool)
    for row in range(0, shown.shape[0], SHARD_PX):
        for col in range(0, shown.shape[1], SHARD_PX):
            part = Window(row, row + SHARD_PX, col, col + SHARD_PX)
            for name, some in first.items():
                shown[part.slices] |= cube.read_valid(name, some, part).any(0)
    rows, cols = (np.flatnonzero(shown.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    box = Window(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1)
    return box.shifted(tile.window.y0, tile.window.x0)


def _cut(extent: Window, config: DataConfig) -> Iterator[Window]:
    """Yields windows of at least a chip and at most a plot; the last of a row reaches back, not out."""

    def spans(first: int, after: int) -> list[tuple[int, int]]:
        size = min(max(after - first, config.chip_px), config.plot_px)
        starts = {min(start, max(after - size, first)) for start in range(first, after, size)}
        return [(start, start + size) for start in sorted(starts)]

    for y0, y1 in spans(extent.y0, extent.y1):
        for x0, x1 in spans(extent.x0, extent.x1):
            yield Window(y0, y1, x0, x1)


class PlotStore:
    """Keeps decoded plots in memory, the least recently used go first; threads may share it."""

    def __init__(self, sources: Mapping[str, Source], *, limit_gb: float) -> None:
        """Args: declared sources to read, by name; memory to use."""
        self.sources = dict(sources)
        self._limit = limit_gb * 1e9
        self._held: OrderedDict[Plot, Future[Record]] = OrderedDict()
        self._readers: dict[Path, CubeReader] = {}
        self._lock = Lock()
        self.num_decoded = 0
        """Plots decoded so far; more than there are plots says that memory was too small."""

    def record(self, plot: Plot) -> Record:
        """Gives all that was ever observed over a plot; a second thread that asks waits for the first."""
        with self._lock:
            held = self._held.get(plot)
            is_first = held is None
            if held is None:
                held = self._held[plot] = Future()
                self.num_decoded += 1
            self._held.move_to_end(plot)
        if is_first:
            self._decode(plot, held)
        return held.result()

    def frames(self, plot: Plot) -> Frames:
        """Gives what of it lies on the 10 m grid."""
        return self.record(plot).frames

    def put(self, plot: Plot, record: Record) -> None:
        """Takes over what is known of a plot already."""
        held: Future[Record] = Future()
        held.set_result(record)
        with self._lock:
            self._held[plot] = held

    def _decode(self, plot: Plot, held: Future[Record]) -> None:
        try:
            record = self._read(plot)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits, and raised by `record`
            with self._lock:
                self._held.pop(plot, None)
            held.set_exception(error)
            return
        held.set_result(record)
        with self._lock:
            done = {plot: one.result().num_bytes for plot, one in self._held.items() if one.done()}
            total = sum(done.values())
            for oldest, num_bytes in done.items():
                if total <= self._limit or oldest == plot:
                    break
                del self._held[oldest]
                total -= num_bytes

    def _read(self, plot: Plot) -> Record:
        with self._lock:
            fine = [name for name, one in self.sources.items() if one.lattice is None]
            reader = self._readers.setdefault(plot.root, CubeReader(Catalog(plot.root), fine))
        frames = reader.read(plot.epsg, plot.window, ALWAYS)
        cubes = [(tile, cube) for tile in _by_distance(plot) if (cube := reader.cube(tile)) is not None]
        coarse, spans = {}, {}
        for name, source in self.sources.items():
            held = [(tile, cube) for tile, cube in cubes if name in cube.sources]
            if held and source.lattice is not None:
                coarse[name] = _coarse(source, *held[0])
                spans[name] = _spans(source, held[0][1].observations(name))
            elif held and source.cadence != "instant":
                spans[name] = _spans(source, [one for _, cube in held for one in cube.observations(name)])
        return Record(frames, coarse, spans)


def _by_distance(plot: Plot) -> list[Tile]:
    """Lists the tiles that a plot touches, the one with most of it first."""

    def num_pixels(tile: Tile) -> int:
        rows, cols = (tile.window & plot.window).shape
        return rows * cols

    return sorted(tiles_over(plot.epsg, plot.window), key=num_pixels, reverse=True)


def _coarse(source: Source, tile: Tile, cube: Cube) -> Coarse:
    """Reads all that a tile holds of a source with a grid of its own."""
    seen, attributes = cube.observations(source.name), cube.attributes(source.name)
    bands = tuple(attributes["bands"])
    values, valid = cube.read(source.name, [one.slot for one in seen], source.window(tile, tile.window))
    acquired = np.array([np.datetime64(one.acquired.replace(tzinfo=None), "us") for one in seen])
    geometry = np.zeros((len(seen), NUM_FEATURES), np.float32)
    frames = SourceFrames(source.name, bands, values, valid, acquired, int(attributes["nodata"]), geometry)
    return Coarse(frames, source.grid(tile))


def _spans(source: Source, seen: Sequence[Observation]) -> Float64[np.ndarray, "T 2"]:
    """Gives what each step stands for, sorted by step, each step once."""
    by_step = {one.step: one for one in reversed(seen)}
    if source.cadence == "static":
        return np.tile([-np.inf, np.inf], (len(by_step), 1))
    return period_days([_stands_for(source, by_step[step]) for step in sorted(by_step)]).numpy()


def _stands_for(source: Source, one: Observation) -> Period:
    """Gives the interval of a step, also of a cube that does not tell it."""
    if told := one.about.get("stands_for"):
        return Period.parse("/".join(told))
    if source.layout == "series":
        # Its instant is the middle, and how many days it is made of is told.
        half = timedelta(days=float(one.about.get("days", STEP_DAYS)) / 2)
        return Period(one.acquired - half, one.acquired + half)
    return Period(one.acquired, one.acquired + timedelta(days=365))


@cache
def _transformer(epsg: int, crs: str) -> Transformer:
    return Transformer.from_crs(epsg, crs, always_xy=True)
