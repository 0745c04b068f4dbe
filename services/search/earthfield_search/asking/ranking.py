"""Cells in the order of their likeness: filtered, without the examples' own, apart from one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry

from earthfield.catalog import Catalog
from earthfield.codec import normalised
from earthfield.errors import NotFound
from earthfield.grid import PIXEL_M, Tile
from earthfield.timeline import Period
from earthfield_search.asking.labelled import labelled_shapes
from earthfield_search.asking.question import SimilarQuestion
from earthfield_search.asking.sought import Sought
from earthfield_search.cells.filters import Filter
from earthfield_search.cells.index import CellIndex
from earthfield_search.ground.places import distances_m, nearest_m, pick_apart, shape_of

MOST_ABOVE = 100_000
"""Most cells above a threshold that are looked at; where there are more, that is told."""
_POOL = 10
"""How many times as many cells as are asked for a diverse answer is chosen from."""


@dataclass(frozen=True)
class Ranked:
    """The cells that were found."""

    rows: pa.Table
    """Those of the page, best first, with `score`."""
    num_found: int
    """How many there are on all pages; with k at most k."""
    is_complete: bool
    """Whether that is all there are; False: there are more above the threshold than are looked at."""
    num_cells: int
    """Cells that passed the filter and were compared."""


def cell_px_of(index: CellIndex) -> int:
    """Gives the side of an index's cells, pixels; 8 of an empty one."""
    for batch in index.cells(None, ["cell_px"]):
        return int(batch["cell_px"][0].as_py())
    return 8


def filter_of(
    catalog: Catalog, question: SimilarQuestion, period: Period, *, cell_px: int = 8, owner: str = ""
) -> Filter:
    """Gives the filter that a question asks for; `period` where it names none.

    Raises:
        NotFound: there is no such label, or nothing of it lies in the area.
    """
    within = question.within
    shapes = [] if within.area is None else [shape_of(within.area).geom]
    if within.label is not None:
        # A cell is labelled where its centre is, or where a labelled point lies in it.
        shapes.append(labelled_shapes(catalog, within.label, owner=owner, around_px=cell_px / 2).geom)
    area = shapely.intersection_all(shapes) if shapes else None
    if area is not None and not area.area > 0:
        raise NotFound(f"nothing labelled {within.label} lies in the area: widen it")
    return Filter(
        periods=Period.parse_all(within.periods) or (period,),
        tiles=tuple(Tile.parse(one) for one in within.tiles),
        area=None if area is None else Geometry(area, "EPSG:4326"),
        min_purity=within.min_purity,
    )


def ranked(index: CellIndex, sought: Sought, question: SimilarQuestion, where: Filter) -> Ranked:
    """Finds the cells that a question asks for, best first.

    Raises:
        NotFound: no cell passes the filter.
    """
    num_cells = index.count(where=where)
    if not num_cells:
        raise _nothing(index, question, where)
    chosen = _Chosen(sought, question, where)
    if question.above is not None:
        found, pool, complete = _above(index, chosen, num_cells)
    else:
        found, pool, complete = _nearest(index, chosen, num_cells)
    page = pool.take(pa.array(found[question.offset : question.offset + question.page]))
    return Ranked(page, len(found), complete, num_cells)


class _Chosen:
    """Chooses of cells that come in order those that may stand in the answer."""

    def __init__(self, sought: Sought, question: SimilarQuestion, where: Filter) -> None:
        self.sought, self.question, self.where = sought, question, where

    def of(self, cells: pa.Table) -> tuple[NDArray[np.intp], pa.Table]:
        """Gives the rows of the answer, as indices into the table that comes with them."""
        cells = cells.filter(pa.array(self.where.keeps(cells) & ~self._is_own(cells)))
        apart_m, count = self.question.min_distance_m, self.question.k or cells.num_rows
        if apart_m > 0:
            cells = cells.filter(pa.array(away_from(self.sought, cells) >= apart_m))
        if self.question.diverse:
            return _diverse(cells, count, apart_m, self.question.diverse), cells
        lon, lat = cells["lon"].to_numpy(), cells["lat"].to_numpy()
        return pick_apart(lon, lat, count=count, apart_m=apart_m), cells

    def _is_own(self, cells: pa.Table) -> NDArray[np.bool_]:
        """Tells which cells hold an example themselves; in another period they are answers like others."""
        same = np.array([one == self.sought.period.id for one in cells["period"].to_pylist()], bool)
        own = np.zeros(cells.num_rows, bool)
        epsg = np.array([one[:5] for one in cells["tile"].to_pylist()])
        size = cells["cell_px"].to_numpy().astype(np.int64)
        rows, cols = cells["row"].to_numpy(), cells["col"].to_numpy()
        for place in self.sought.places:
            here = (rows == place.row // size) & (cols == place.col // size)
            own |= here & (epsg == str(place.field.key.tile.epsg))
        if self.sought.shapes is not None:
            for zone in set(epsg[same].tolist()):
                here = same & (epsg == zone)
                own[here] |= _hold(self.sought.shapes, int(zone), rows[here], cols[here], size[here])
        return np.asarray(same & own)


def _hold(
    shape: Geometry, epsg: int, rows: NDArray[Any], cols: NDArray[Any], size: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tells which cells of a zone hold something of a shape between the centres of their pixels."""
    here = shape.to_crs(f"EPSG:{epsg}").geom
    shapely.prepare(here)
    x, y = cols * size * PIXEL_M, -rows * size * PIXEL_M
    room, side = PIXEL_M / 2, size * PIXEL_M
    boxes = shapely.box(x + room, y - side + room, x + side - room, y - room)
    return np.asarray(shapely.intersects(here, boxes))


def middles_of(sought: Sought) -> list[tuple[float, float]]:
    """Gives the places that distances are told from: the points it looks like, and the middle of polygons."""
    points = [place.lonlat for place in sought.places[: sought.wanted]]
    if sought.shapes is not None:
        middle = sought.shapes.geom.representative_point()
        points.append((middle.x, middle.y))
    return points


def away_from(sought: Sought, cells: pa.Table) -> NDArray[np.float64]:
    """Gives the distance in metres of each cell from the nearest example, infinite where these have no place."""
    return nearest_m(cells["lon"].to_numpy(), cells["lat"].to_numpy(), middles_of(sought))


def _nearest(index: CellIndex, chosen: _Chosen, num_cells: int) -> tuple[NDArray[np.intp], pa.Table, bool]:
    """Asks for more and more cells until enough of them may stand in the answer."""
    question = chosen.question
    count = question.k or question.page
    limit = (_POOL * count if question.diverse else count) + len(chosen.sought.places)
    while True:
        found, pool = chosen.of(
            index.nearest(chosen.sought.vector, k=min(limit, num_cells), where=chosen.where)
        )
        if len(found) >= count or limit >= num_cells:
            return found, pool, True
        limit *= 4


def _above(index: CellIndex, chosen: _Chosen, num_cells: int) -> tuple[NDArray[np.intp], pa.Table, bool]:
    above = chosen.question.above
    assert above is not None
    cells = index.above(chosen.sought.vector, above, where=chosen.where, limit=MOST_ABOVE)
    found, pool = chosen.of(cells)
    return found, pool, cells.num_rows < MOST_ABOVE


def _diverse(cells: pa.Table, count: int, apart_m: float, diverse: float) -> NDArray[np.intp]:
    """Picks by maximal marginal relevance: likeness to the query less likeness to what was picked.

    Source: Carbonell and Goldstein, 1998; lambda is 1 - diverse.
    """
    pool = cells.slice(0, _POOL * count)
    if not pool.num_rows:
        return np.zeros(0, np.intp)
    vectors = normalised(np.stack(pool["vector"].to_numpy(zero_copy_only=False)).astype(np.float32))
    scores, lon, lat = (pool[name].to_numpy() for name in ("score", "lon", "lat"))
    free, nearest = np.ones(len(scores), bool), np.full(len(scores), -1.0)
    picks: list[int] = []
    while len(picks) < count and free.any():
        worth = (1 - diverse) * scores - diverse * nearest if picks else scores
        best = int(np.argmax(np.where(free, worth, -np.inf)))
        picks.append(best)
        free[best] = False
        nearest = np.maximum(nearest, vectors @ vectors[best])
        if apart_m > 0:
            free &= distances_m(lon, lat, from_lon=float(lon[best]), from_lat=float(lat[best])) >= apart_m
    return np.array(picks, np.intp)


def _nothing(index: CellIndex, question: SimilarQuestion, where: Filter) -> NotFound:
    periods = Filter(periods=where.periods)
    if not index.count(where=periods):
        told = ", ".join(str(one) for one in where.periods)
        return NotFound(
            f"the index of {question.model} holds no cells of {told}: "
            f"run `earthfield index --model {question.model}`"
        )
    return NotFound("no cell passes the filter: widen the area, or lower the least purity")
