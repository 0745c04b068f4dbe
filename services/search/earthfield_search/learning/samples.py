"""From labels to training vectors: which pixels of which fields a point or a polygon stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import geometry_mask

from earthfield.codec import normalised, values_of
from earthfield.errors import NotFound
from earthfield.field import Field
from earthfield.grid import PIXEL_M, Window, geobox_of, zone_of
from earthfield.progress import Progress, silent
from earthfield.timeline import Period
from earthfield_search.ground.coverage import strips_of
from earthfield_search.labels import Labels

_SHOWN = 20


@dataclass(frozen=True)
class Drawing:
    """How labels are turned into pixels."""

    most: int = 100
    """Most pixels of one polygon; more of them say little more, and large polygons would drown small ones."""
    seed: int = 0
    """Of the draw inside polygons."""


@dataclass
class Left:
    """Labels that gave no vector, counted by reason and named."""

    outside: int = 0
    """Labels that lie outside of every field."""
    not_in_time: int = 0
    """Labels whose dates no field covers."""
    no_data: int = 0
    """Labels whose pixels all have no data."""
    named: list[str] = field(default_factory=list)
    """The first twenty."""

    @property
    def count(self) -> int:
        """All of them."""
        return self.outside + self.not_in_time + self.no_data

    def tell(self, kind: str, labels: Labels, row: int) -> None:
        """Counts a label under `outside`, `not_in_time` or `no_data`."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.named) < _SHOWN:
            lon, lat = labels.geometries[row].representative_point().coords[0]
            self.named.append(f"label {row + 1} at {lon:.5f} {lat:.5f}: {kind.replace('_', ' ')}")


@dataclass(frozen=True)
class Samples:
    """Labelled vectors."""

    vectors: NDArray[np.float32]
    """(N, D) unit vectors without gaps."""
    label: NDArray[np.intp]
    """(N,) which label each comes from."""
    lon: NDArray[np.float64]
    """(N,) longitude of the pixel's centre, degrees."""
    lat: NDArray[np.float64]
    """(N,) latitude of the pixel's centre, degrees."""
    pixel: NDArray[np.int64]
    """(N, 4) number of the field's period, zone, row and column: equal ones are the same vector."""
    periods: list[str]
    """Valid periods of the fields that vectors come from."""
    left: Left
    """Labels that gave none."""

    def take(self, keep: NDArray[np.bool_]) -> Samples:
        """Gives some of them."""
        return Samples(
            self.vectors[keep], self.label[keep], self.lon[keep], self.lat[keep], self.pixel[keep], self.periods,
            self.left,
        )  # fmt: skip


def gather(
    labels: Labels,
    fields: Sequence[Field],
    period: Period,
    *,
    drawing: Drawing | None = None,
    progress: Progress = silent,
) -> Samples:
    """Reads the vectors that labels stand for.

    A point stands for the pixel it lies in; a polygon for pixels whose centres it holds, or for the one in its
    middle where it holds none. Labels without dates are read from `period`, those with dates from the shortest
    period that covers them.

    Args:
        labels: the labels.
        fields: of one model, of `period` and, for labels with dates, of others.
        period: valid period for labels without dates.
        drawing: how many pixels of a polygon.
        progress: told after each field.

    Raises:
        NotFound: no label gives a vector.
    """
    drawing = drawing or Drawing()
    left = Left()
    periods = sorted({one.key.period for one in fields})
    when = _periods_of(labels, periods, period)
    reader = _Reader(labels, drawing)
    for number, one in enumerate(periods):
        held = [own for own in fields if own.key.period == one]
        rows = np.flatnonzero(when == number)
        for epsg in sorted({own.key.tile.epsg for own in held}):
            own = [each for each in held if each.key.tile.epsg == epsg]
            reader.place(number, epsg, own, rows)
    reader.read(progress)
    found = reader.samples([str(one) for one in periods], left)
    told = set(found.label.tolist())
    for row in range(len(labels)):
        if when[row] < 0:
            left.tell("not_in_time", labels, row)
        elif row not in told:
            left.tell("no_data" if row in reader.placed else "outside", labels, row)
    if not len(found.label):
        raise NotFound(_nothing(labels, fields, period, left))
    return found


def _periods_of(labels: Labels, periods: Sequence[Period], period: Period) -> NDArray[np.intp]:
    """Number of the period that each label is read from, (N,); -1 where none covers its dates."""
    found = np.full(len(labels), periods.index(period) if period in periods else -1, np.intp)
    if labels.start is None or labels.end is None:
        return found
    starts, ends = (
        np.array([getattr(one, side).replace(tzinfo=None) for one in periods], "datetime64[us]")
        for side in ("start", "end")
    )
    shortest = np.argsort(ends - starts, kind="stable")
    for row in np.flatnonzero(labels.dated):
        covering = [n for n in shortest if starts[n] <= labels.start[row] and labels.end[row] <= ends[n]]
        found[row] = covering[0] if covering else -1
    return found


def _nothing(labels: Labels, fields: Sequence[Field], period: Period, left: Left) -> str:
    west, south, east, north = labels.bounds
    model = fields[0].key.model if fields else "the model"
    return (
        f"none of {len(labels):,} labels gives a vector ({left.outside} outside of every field, {left.not_in_time} "
        f"not in time, {left.no_data} without data): they lie in W S E N {west:.4f} {south:.4f} {east:.4f} "
        f"{north:.4f}; make fields of {model} for {period} there with `earthfield map`"
    )


class _Reader:
    """Lays labels on pixels of fields, then reads every field once."""

    def __init__(self, labels: Labels, drawing: Drawing) -> None:
        self.labels = labels
        self.drawing = drawing
        self.placed: set[int] = set()
        """Labels that have a pixel in some field."""
        self._bounds = shapely.bounds(labels.geometries)
        self._own_zone = [zone_of(*one.representative_point().coords[0]) for one in labels.geometries]
        self._zones: dict[int, int] = {}
        self._wanted: list[tuple[int, Field, NDArray[np.int64]]] = []
        self._parts: list[tuple[NDArray[Any], ...]] = []

    def place(self, period: int, epsg: int, fields: Sequence[Field], rows: NDArray[np.intp]) -> None:
        """Finds the pixels of some labels in the fields of one zone and period."""
        near = [row for row in rows if self._is_near(row, epsg, fields)]
        if not near:
            return
        turn = Transformer.from_crs(4326, epsg, always_xy=True)
        shapes = shapely.transform(
            self.labels.geometries[near], lambda xy: np.stack(turn.transform(xy[:, 0], xy[:, 1]), axis=-1)
        )
        for row, shape in zip(near, shapes, strict=True):
            pixels = self._pixels(row, shape, epsg, fields)
            taken = False
            for one in fields:
                window = one.window
                inside = (
                    (pixels[:, 0] >= window.y0) & (pixels[:, 0] < window.y1)
                    & (pixels[:, 1] >= window.x0) & (pixels[:, 1] < window.x1)
                )  # fmt: skip
                if inside.any():
                    taken = True
                    own = pixels[inside]
                    self._wanted.append(
                        (period, one, np.column_stack([np.full(len(own), row), own]).astype(np.int64))
                    )
            if taken:
                self.placed.add(row)
                self._zones[row] = epsg

    def _is_near(self, row: int, epsg: int, fields: Sequence[Field]) -> bool:
        """Whether a label may touch fields of a zone; a label that lies in two zones is read in one."""
        if row in self._zones:
            return False
        # Zones without their hemisphere, round the globe.
        away = abs((self._own_zone[row] % 100 - epsg % 100 + 30) % 60 - 30)
        west, _, east, _ = self._bounds[row]
        return away <= 1 + math.ceil((east - west) / 6)

    def _pixels(self, row: int, shape: Any, epsg: int, fields: Sequence[Field]) -> NDArray[np.int64]:
        """Rows and columns (n, 2) of the pixels that a label stands for, at most as many as may be drawn."""
        parts = shapely.get_parts(shape)
        points = [part for part in parts if part.geom_type == "Point"]
        if points:
            xy = shapely.get_coordinates(points)
            return np.unique(np.floor(np.stack([-xy[:, 1], xy[:, 0]], axis=1) / PIXEL_M), axis=0).astype(
                np.int64
            )
        found = [self._inside(shape, epsg, one) for one in fields]
        pixels = np.concatenate(found)
        if not len(pixels):
            middle = shape.representative_point()
            pixels = np.array([[math.floor(-middle.y / PIXEL_M), math.floor(middle.x / PIXEL_M)]], np.int64)
        if len(pixels) > self.drawing.most:
            rng = np.random.default_rng([self.drawing.seed, row])
            pixels = pixels[np.sort(rng.choice(len(pixels), self.drawing.most, replace=False))]
        return pixels

    def _inside(self, shape: Any, epsg: int, one: Field) -> NDArray[np.int64]:
        left, bottom, right, top = (value / PIXEL_M for value in shape.bounds)
        reach = Window(math.floor(-top), math.ceil(-bottom), math.floor(left), math.ceil(right)) & one.window
        if not reach:
            return np.empty((0, 2), np.int64)
        mask = geometry_mask(
            [shape], out_shape=reach.shape, transform=geobox_of(epsg, reach).transform, invert=True
        )
        return np.argwhere(mask).astype(np.int64) + np.array([[reach.y0, reach.x0]], np.int64)

    def read(self, progress: Progress) -> None:
        """Reads the pixels that were found, field by field and strip by strip."""
        by_field: dict[int, list[tuple[int, Field, NDArray[np.int64]]]] = {}
        for one in self._wanted:
            by_field.setdefault(id(one[1]), []).append(one)
        for done, own in enumerate(by_field.values(), 1):
            period, held, _ = own[0]
            self._read_field(period, held, np.concatenate([pixels for _, _, pixels in own]))
            progress("reading labelled pixels", done, len(by_field))

    def _read_field(self, period: int, held: Field, pixels: NDArray[np.int64]) -> None:
        (y0, x0), (y1, x1) = pixels[:, 1:].min(axis=0), pixels[:, 1:].max(axis=0) + 1
        for window in strips_of(Window(int(y0), int(y1), int(x0), int(x1))):
            own = pixels[(pixels[:, 1] >= window.y0) & (pixels[:, 1] < window.y1)]
            if not len(own):
                continue
            columns = Window(window.y0, window.y1, int(own[:, 2].min()), int(own[:, 2].max()) + 1)
            codes = held.codes(columns)[:, own[:, 1] - columns.y0, own[:, 2] - columns.x0]
            vectors = normalised(values_of(codes).T)
            there = np.isfinite(vectors).all(axis=1)
            epsg = held.key.tile.epsg
            where = np.column_stack([np.full((len(own), 2), [period, epsg]), own[:, 1:]])
            turn = Transformer.from_crs(epsg, 4326, always_xy=True)
            lon, lat = turn.transform((own[:, 2] + 0.5) * PIXEL_M, -(own[:, 1] + 0.5) * PIXEL_M)
            self._parts.append((vectors[there], own[there, 0], lon[there], lat[there], where[there]))

    def samples(self, periods: list[str], left: Left) -> Samples:
        """Gives what was read, in the order of the labels."""
        if not self._parts:
            nothing = np.empty(0)
            return Samples(
                np.empty((0, 0), np.float32), nothing.astype(np.intp), nothing, nothing,
                np.empty((0, 4), np.int64), [], left,
            )  # fmt: skip
        vectors, label, lon, lat, pixel = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        order = np.lexsort((pixel[:, 3], pixel[:, 2], label))
        used = [periods[number] for number in np.unique(pixel[:, 0])]
        return Samples(
            vectors[order], label[order].astype(np.intp), lon[order], lat[order], pixel[order], used, left
        )
