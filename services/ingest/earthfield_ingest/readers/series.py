"""Series: gridded files of many times, each time a scene, read cell by cell onto the source's own grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from earthfield.errors import BrokenArtefact, Internal
from earthfield.sources import Band, Lattice, Source
from earthfield.timeline import STEP_DAYS, Period, step_of, step_start
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers.grid import Grid
from earthfield_ingest.readers.gridded import Gridded, Instant, opened
from earthfield_ingest.readers.raster import naming
from earthfield_ingest.scene import Scene

NO_TIMES = "its times cannot be told"

_BETWEEN = "/"
"""Stands between the id of an item and the key of its asset, and between the ends of a part's interval."""


def parts(source: Source, scenes: Sequence[Scene], fetcher: Fetcher) -> list[Scene]:
    """Splits the items of a series into what a cube stores: a scene for each month, or for each 5-day step of days.

    Items of one place are taken together, so that a step may come from several files (a file a year, a file a day
    and variable). A scene of days stands for the whole step and says how many of its days there are, in the
    property `days` and, where some are missing, behind a `~` in its id: once there are more it is another scene.

    Args:
        source: what they are items of, with the layout `series`.
        scenes: its items as a catalogue tells them.
        fetcher: what opens files; of each only the times are read.

    Returns:
        The scenes by time, and every item whose times cannot be told, with its flaw.

    Raises:
        Unavailable: the network fails.
    """
    found: list[Scene] = []
    for _, group in groupby(sorted(scenes, key=_place), key=_place):
        held: list[tuple[Scene, list[Instant]]] = []
        for scene in group:
            if scene.flaw is not None:
                found.append(scene)
                continue
            try:
                held.append((scene, _instants(source, scene, fetcher)))
            except BrokenArtefact as error:
                found.append(replace(scene, flaw=f"{NO_TIMES}: {error}"))
        found += _steps(source, held) if source.pace == "day" else _months(source, held)
    return sorted(found, key=lambda one: (one.acquired, one.id))


def _place(scene: Scene) -> str:
    if scene.footprint.is_empty:
        return scene.id
    west, south, _, _ = scene.footprint.bounds
    return f"{west:.2f}_{south:.2f} {shapely.to_wkt(shapely.envelope(scene.footprint), rounding_precision=2)}"


def _instants(source: Source, scene: Scene, fetcher: Fetcher) -> list[Instant]:
    told = scene.stands_for
    if source.pace == "day" and told is not None and told.days <= 1:
        return [Instant(told.start, told)]
    asset = next(iter(scene.assets.values()))
    with opened(str(asset["href"]), fetcher) as file:
        return file.instants(source.pace)


def _steps(source: Source, held: Iterable[tuple[Scene, list[Instant]]]) -> Iterator[Scene]:
    """One scene for each 5-day step of a daily series."""
    days: dict[int, set[datetime]] = {}
    files: dict[int, dict[str, Scene]] = {}
    for scene, instants in held:
        for one in instants:
            step = step_of(one.stands_for.start)
            days.setdefault(step, set()).add(one.stands_for.start)
            files.setdefault(step, {})[scene.id] = scene
    for step, present in sorted(days.items()):
        span = Period(step_start(step), step_start(step + 1))
        part = f"{span.start.isoformat()}{_BETWEEN}{span.end.isoformat()}"
        number = "" if len(present) == STEP_DAYS else f"~{len(present)}"
        yield _scene(source, list(files[step].values()), span, part, number, {"days": len(present)})


def _months(source: Source, held: Iterable[tuple[Scene, list[Instant]]]) -> Iterator[Scene]:
    """One scene for each time of a monthly series."""
    files: dict[datetime, tuple[Period, dict[str, Scene]]] = {}
    for scene, instants in held:
        for one in instants:
            files.setdefault(one.at, (one.stands_for, {}))[1][scene.id] = scene
    for at, (span, scenes) in sorted(files.items()):
        yield _scene(source, list(scenes.values()), span, at.isoformat(), "", {"days": round(span.days)})


def _scene(
    source: Source, items: Sequence[Scene], span: Period, part: str, number: str, more: Mapping[str, Any]
) -> Scene:
    first = items[0]
    west, south, _, _ = first.footprint.bounds
    assets = {
        f"{item.id}{_BETWEEN}{key}": asset for item in items for key, asset in sorted(item.assets.items())
    }
    return replace(
        first,
        # Named by place and time, not by file: the same whichever files a step is later made of.
        id=f"{source.name}_{west:.2f}_{south:.2f}#{span.start:%Y-%m-%d}{number}",
        acquired=span.start + (span.end - span.start) / 2,
        properties={**first.properties, **more},
        assets=assets,
        stands_for=span,
        part=part,
    )


@dataclass
class _Mean:
    """The mean over times of one band in the making."""

    total: NDArray[np.float64]
    """Sum of the values so far, (H, W)."""
    count: NDArray[np.int64]
    """How many there were, (H, W)."""
    taken: set[datetime]
    """Times that are in it."""

    def add(self, at: list[datetime], values: NDArray[np.float64]) -> None:
        """Takes values (T, H, W), NaN where there are none."""
        self.total += np.where(np.isfinite(values), values, 0.0).sum(axis=0)
        self.count += np.isfinite(values).sum(axis=0)
        self.taken.update(at)

    @property
    def value(self) -> NDArray[np.float64]:
        """The mean, NaN where nothing was measured."""
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan)


class SeriesReader:
    """Reads scenes of a gridded series: cells are copied, the days of a step averaged, nothing is interpolated."""

    def __init__(self, source: Source, grid: Grid, fetcher: Fetcher) -> None:
        """Args: the source, which has a lattice; the pixels wanted, on it; what opens files."""
        if source.lattice is None:
            raise Internal(f"the source {source.name} is a series and declares no lattice")
        self._source, self._lattice = source, source.lattice
        self._grid, self._fetcher = grid, fetcher
        self.bytes_read = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self._grid.shape

    def clear(self, scene: Scene) -> NDArray[np.bool_]:
        """See `SceneReader`: every measured cell counts."""
        return self.bands(scene)[1]

    def bands(self, scene: Scene) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See `SceneReader`; a band that none of the scene's files holds is nodata."""
        source = self._source
        means = {
            band.name: _Mean(np.zeros(self.shape), np.zeros(self.shape, np.int64), set())
            for band in source.bands
        }
        for key, asset in scene.assets.items():
            usable = [band for band in source.bands if key.rpartition(_BETWEEN)[2] in band.assets]
            address = str(asset["href"])
            with naming(scene, key), opened(address, self._fetcher) as file:
                self._read(file, scene, usable, means)
        if not any(mean.taken for mean in means.values()):
            raise BrokenArtefact(f"item {scene.id}: {self._why_nothing(scene)}")
        raw = np.stack([means[band.name].value for band in source.bands])
        values = np.stack(
            [source.to_stored(scene.item, band, layer) for band, layer in zip(source.bands, raw, strict=True)]
        )
        return values, (values != source.nodata).any(axis=0)

    def _read(self, file: Gridded, scene: Scene, bands: Sequence[Band], means: Mapping[str, _Mean]) -> None:
        """Adds what one file holds of a scene."""
        rows, cols = _numbers(self._lattice, self._grid)
        wanted = [one.at for one in file.instants(self._source.pace) if _is_part(one.at, scene.part)]
        for band in bands:
            name, mean = file.named(band.variables), means[band.name]
            # A time that two files hold counts once.
            at = [one for one in wanted if one not in mean.taken]
            if name is not None and at:
                values = file.cells(name, at, self._lattice, rows, cols, band.unit)
                mean.add(at, values)
                self.bytes_read += values.nbytes

    def _why_nothing(self, scene: Scene) -> str:
        names = ", ".join(name for band in self._source.bands for name in band.variables[:1])
        places = ", ".join(str(asset["href"]) for asset in scene.assets.values())
        return f"{places} holds no variable of {self._source.name} ({names}, ...) for {scene.part}"


def _is_part(at: datetime, part: str) -> bool:
    if _BETWEEN not in part:
        return at == datetime.fromisoformat(part)
    start, end = map(datetime.fromisoformat, part.split(_BETWEEN))
    return start <= at < end


def _numbers(lattice: Lattice, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the grid's rows and columns on the lattice, counted north and east from its origin."""
    (x, y), side = lattice.origin, lattice.pixel
    num_rows, num_cols = grid.shape
    top = round((grid.transform.f - y) / side)
    left = round((grid.transform.c - x) / side)
    return top - 1 - np.arange(num_rows), left + np.arange(num_cols)
