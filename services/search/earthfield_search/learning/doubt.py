"""Where a map is least sure, places spread apart: those to look at and to label next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from earthfield.grid import PIXEL_M, Window

Doubt = Literal["margin", "entropy"]
DOUBTS: tuple[str, ...] = get_args(Doubt)
_CELL_PX = 8
_DEGREE_M = 111_320.0
_LEAST_APART_M = 20.0
_DOUBTFUL = 0.25
"""Share of the candidates that places are taken from: beyond, being far apart would count for more than doubt."""


@dataclass(frozen=True)
class Suggestion:
    """A place that is worth a label."""

    lon: float
    """Longitude of the pixel's centre, degrees."""
    lat: float
    """Latitude, degrees."""
    doubt: float
    """How unsure the map is around it: 0 sure, 1 it could be anything."""
    likely: list[str]
    """The two classes that it would be first."""
    probability: list[float]
    """Their probabilities, 0..1."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """The most doubtful pixel of each cell of 80 m."""

    lon: NDArray[np.float64]
    """(N,) degrees."""
    lat: NDArray[np.float64]
    """(N,) degrees."""
    doubt: NDArray[np.float32]
    """(N,) mean doubt of the pixel and those around it, 0..1."""
    values: NDArray[np.uint8]
    """(N, 2) values of the two likeliest classes in the raster."""
    percent: NDArray[np.uint8]
    """(N, 2) their probabilities."""


def doubt_of(shares: NDArray[np.floating], by: Doubt) -> NDArray[np.float32]:
    """Tells how unsure probabilities are, (N,), 0..1.

    Args:
        shares: (N, C) probabilities of at least two classes.
        by: "margin": how near the second class comes to the first; "entropy": how even all are.

    Source: Settles, "Active learning literature survey", 2009, section 3.1.
    """
    if by == "margin":
        second, first = np.partition(shares, -2, axis=1)[:, -2:].T
        return np.asarray(1 - (first - second), np.float32)
    logs = np.log(np.maximum(shares, 1e-12))
    return np.asarray(-(shares * logs).sum(axis=1) / np.log(shares.shape[1]), np.float32)


def candidates_of(
    strips: Iterable[tuple[Window, Sequence[NDArray[np.uint8]]]], epsg: int
) -> Iterator[Candidates]:
    """Yields for each strip of a map the most doubtful pixel of every cell.

    Args:
        strips: windows of the zone's grid with (h, w) layers: doubt (0 for no data, 1..255), values of the first
            and of the second class, percent of both.
        epsg: the zone.
    """
    to_degrees = Transformer.from_crs(epsg, 4326, always_xy=True)
    for window, (doubt, *layers) in strips:
        smooth = _around(doubt)
        rows, cols = _highest(np.where(doubt > 0, smooth, 0))
        x, y = (window.x0 + cols + 0.5) * PIXEL_M, -(window.y0 + rows + 0.5) * PIXEL_M
        lon, lat = to_degrees.transform(x, y)
        first, second, sure, less = (own[rows, cols] for own in layers)
        yield Candidates(
            np.asarray(lon), np.asarray(lat), (smooth[rows, cols] / 255).astype(np.float32),
            np.stack([first, second], axis=1), np.stack([sure, less], axis=1),
        )  # fmt: skip


def choose(
    found: Sequence[Candidates], count: int, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> list[tuple[Candidates, int]]:
    """Chooses the most doubtful places that lie apart from one another and from what is labelled.

    They come from the most doubtful quarter of the candidates, none less than half as doubtful as the first. They
    begin half as far apart as `count` places would lie in a lattice over the map; where that leaves too few, half
    of it, down to 20 m.

    Args:
        found: candidates.
        count: how many at most.
        lon: (L,) longitudes of what is labelled, degrees.
        lat: (L,) latitudes.

    Returns:
        Each as its candidates and the row in them, the most doubtful first.
    """
    found = [one for one in found if len(one.doubt)]
    if not found:
        return []
    part = np.concatenate([np.full(len(one.doubt), number) for number, one in enumerate(found)])
    row = np.concatenate([np.arange(len(one.doubt)) for one in found])
    doubt = np.concatenate([one.doubt for one in found])
    order = np.argsort(-doubt, kind="stable")[: max(count, round(_DOUBTFUL * len(doubt)))]
    pool = order[doubt[order] >= doubt[order[0]] / 2]
    places, labelled = (
        _metres(one_lon, one_lat, float(found[0].lon[0]), float(found[0].lat[0]))
        for one_lon, one_lat in (
            (
                np.concatenate([one.lon for one in found])[pool],
                np.concatenate([one.lat for one in found])[pool],
            ),
            (lon, lat),
        )
    )
    apart_m = float(np.sqrt(len(doubt) * (_CELL_PX * PIXEL_M) ** 2 / count) / 2)
    picked = sorted(_apart(places, _nearest_m(places, labelled), count, apart_m))
    return [(found[part[one]], int(row[one])) for one in pool[picked]]


def _apart(
    places: NDArray[np.float64], from_labels_m: NDArray[np.float64], count: int, apart_m: float
) -> list[int]:
    """Takes places (N, 2) in their order, apart from those taken and from labels; ever nearer while too few are."""
    picked: list[int] = []
    nearest_m = from_labels_m.copy()
    while len(picked) < count and apart_m >= _LEAST_APART_M:
        while len(picked) < count and (nearest_m >= apart_m).any():
            picked.append(int((nearest_m >= apart_m).argmax()))
            nearest_m = np.minimum(nearest_m, np.hypot(*(places - places[picked[-1]]).T))
        apart_m /= 2
    return picked


def _nearest_m(places: NDArray[np.float64], labelled: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(labelled).query(places)[0], np.float64)


def _around(doubt: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means over 3 x 3 pixels; no data counts as sure, so that edges of the map come last."""
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(doubt.astype(np.float32), 3, mode="constant"))


def _highest(values: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the highest value of each cell; cells without one above 0 give none."""
    height, width = values.shape
    tall, wide = -(-height // _CELL_PX), -(-width // _CELL_PX)
    padded = np.zeros((tall * _CELL_PX, wide * _CELL_PX), np.float32)
    padded[:height, :width] = values
    cells: NDArray[Any] = (
        padded.reshape(tall, _CELL_PX, wide, _CELL_PX).swapaxes(1, 2).reshape(tall, wide, -1)
    )
    best = cells.argmax(axis=2)
    row, col = np.nonzero(cells.max(axis=2) > 0)
    inside = best[row, col]
    return row * _CELL_PX + inside // _CELL_PX, col * _CELL_PX + inside % _CELL_PX


def _metres(
    lon: NDArray[np.float64], lat: NDArray[np.float64], lon0: float, lat0: float
) -> NDArray[np.float64]:
    """East and north of one place, (N, 2): near enough for distances between neighbours."""
    east = ((lon - lon0 + 180) % 360 - 180) * np.cos(np.radians(lat))
    return np.stack([east, lat - lat0], axis=1) * _DEGREE_M
