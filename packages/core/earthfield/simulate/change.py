"""What changes between the years: at once (built over, felled, flooded, burnt) or slowly (growing over)."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from earthfield.simulate.arrays import Bools, Codes, Floats, Ints
from earthfield.simulate.canvas import Canvas
from earthfield.simulate.covers import CODE, codes_of
from earthfield.simulate.landcover import Land
from earthfield.simulate.noise import fractal, stream
from earthfield.simulate.spec import Landscape
from earthfield.simulate.towns import fabric


class ChangeKind(IntEnum):
    """Values of truth/change_YYYY_YYYY.tif."""

    NONE = 0
    BUILT = 1
    CLEAR_CUT = 2
    NEW_WATER = 3
    BURNT = 4
    PLANTED = 5
    ABANDONED = 6
    DIEBACK = 7


GRADUAL = (ChangeKind.PLANTED, ChangeKind.ABANDONED, ChangeKind.DIEBACK)
"""Changes that begin on their day and go on for years; the others are over at once."""
_LEAVES = {
    ChangeKind.CLEAR_CUT: "clear_cut",
    ChangeKind.NEW_WATER: "pond",
    ChangeKind.BURNT: "burnt",
    ChangeKind.PLANTED: "young_trees",
    ChangeKind.ABANDONED: "abandoned",
    ChangeKind.DIEBACK: "dieback",
}
"""Surface that a change leaves behind, or begins to turn the land into."""
_WOODS = (
    "deciduous_forest", "conifer_forest", "mixed_forest", "evergreen_forest", "plantation", "woodland",
)  # fmt: skip
_FIELDS = ("cropland", "pasture", "meadow", "rough_grass", "field_margin")


@dataclass(frozen=True)
class Change:
    """All changes of a landscape; arrays (rows, cols) of the canvas."""

    after: Codes
    """Surface after the change; the surface before where nothing changes."""
    event: Codes
    """Number of the event that a pixel belongs to, from 1; 0 where nothing changes."""
    days: tuple[datetime.date, ...]
    """When each event happens; index 0 is event 1."""
    kinds: tuple[ChangeKind, ...]
    """What each event is."""


def changes_of(spec: Landscape, canvas: Canvas, land: Land) -> Change:
    """Between every two years build over, fell, flood, burn some land and let some go; no pixel changes twice.

    Building, felling and flooding happen in every landscape, the others in some.

    Events fall between 1 September of the earlier year and 31 March of the later one, so that the map of
    each year (as it is on 30 June) is on one side of them.
    """
    after, event = land.cover.copy(), np.zeros(land.cover.shape, np.uint8)
    days: list[datetime.date] = []
    kinds: list[ChangeKind] = []
    for year in range(spec.start_year, spec.start_year + spec.years - 1):
        for kind, choose in (
            (ChangeKind.BUILT, _sites),
            (ChangeKind.CLEAR_CUT, _coupes),
            (ChangeKind.NEW_WATER, _ponds),
            (ChangeKind.BURNT, _fires),
            (ChangeKind.PLANTED, _plantings),
            (ChangeKind.ABANDONED, _plantings),
            (ChangeKind.DIEBACK, _dying),
        ):
            rng = stream(spec.seed, f"change {kind.name}", year)
            if kind > ChangeKind.NEW_WATER and rng.random() < 0.5:
                continue
            where = choose(rng, land) & (event == 0)
            days.append(datetime.date(year, 9, 1) + datetime.timedelta(days=int(rng.integers(0, 211))))
            kinds.append(kind)
            event[where] = len(days)
            after[where] = _surface(spec.seed + year, kind, canvas, where)[where]
    return Change(after, event, tuple(days), tuple(kinds))


def _surface(seed: int, kind: ChangeKind, canvas: Canvas, where: Bools) -> Codes:
    """What a change leaves behind."""
    if kind is ChangeKind.BUILT:
        return fabric(seed, canvas, np.full(canvas.shape, 0.55, np.float32), where)
    return np.full(canvas.shape, CODE[_LEAVES[kind]], np.uint8)


def _pick(rng: np.random.Generator, parcel: Ints, allowed: Bools, score: Floats, share: float) -> Bools:
    """Whole parcels, best score first, until the share of the canvas is used up (one at least)."""
    numbers, counts = np.unique(parcel[allowed], return_counts=True)
    if len(numbers) == 0:
        return np.zeros(parcel.shape, np.bool_)
    total = np.bincount(parcel[allowed], score[allowed], minlength=int(numbers.max()) + 1)[numbers] / counts
    order = np.argsort(-(total + rng.normal(0.0, 0.35, len(numbers))), kind="stable")
    order = order[counts[order] >= 6]
    budget = max(24.0, share * parcel.size)
    used = np.cumsum(counts[order]) - counts[order]
    chosen = numbers[order[used < budget]]
    return np.isin(parcel, chosen) & allowed


def _sites(rng: np.random.Generator, land: Land) -> Bools:
    """Fields at the edge of towns."""
    open_land = np.isin(land.cover, codes_of(*_FIELDS))
    return _pick(
        rng, land.parcels.parcel, open_land, 3.0 * land.towns.density, float(rng.uniform(0.004, 0.014))
    )


def _coupes(rng: np.random.Generator, land: Land) -> Bools:
    """Stands of forest, felled whole."""
    wooded = np.isin(land.cover, codes_of(*_WOODS))
    level = np.zeros(land.cover.shape, np.float32)
    return _pick(rng, land.parcels.parcel, wooded, level, 0.1 * float(wooded.mean()))


def _ponds(rng: np.random.Generator, land: Land) -> Bools:
    """Round-edged basins on open land, mostly near water."""
    open_land = np.isin(
        land.cover, codes_of("cropland", "pasture", "meadow", "rough_grass", "marsh", "bog", "shrubland")
    )
    hollow = fractal(rng, land.cover.shape, 22.0, octaves=2, gain=0.35) + land.water_near
    values = np.where(open_land, hollow, np.float32(-9.0))
    num = max(40, math.ceil(float(rng.uniform(0.002, 0.006)) * values.size))
    if num >= int(open_land.sum()):
        return np.zeros(open_land.shape, np.bool_)
    return np.asarray(values > np.partition(values.ravel(), -num)[-num])


def _fires(rng: np.random.Generator, land: Land) -> Bools:
    """A burnt scar through woods, scrub and dry grass."""
    fuel = np.isin(land.cover, codes_of(*_WOODS, "shrubland", "heath", "rough_grass"))
    front = fractal(rng, land.cover.shape, 40.0, octaves=4, gain=0.55)
    share = float(rng.uniform(0.03, 0.2)) * float(fuel.mean())
    return np.asarray(fuel & (front > np.quantile(front, 1.0 - min(0.3, 2.0 * share))))


def _plantings(rng: np.random.Generator, land: Land) -> Bools:
    """Fields that are planted with trees, or left to grow over."""
    fields = np.isin(land.cover, codes_of("cropland", "pasture", "meadow", "rough_grass"))
    level = np.zeros(land.cover.shape, np.float32)
    return _pick(rng, land.parcels.parcel, fields, level, float(rng.uniform(0.003, 0.012)))


def _dying(rng: np.random.Generator, land: Land) -> Bools:
    """Patches of conifers that beetles or drought kill."""
    firs = np.isin(land.cover, codes_of("conifer_forest", "mixed_forest"))
    spots = fractal(rng, land.cover.shape, 18.0, octaves=3)
    return np.asarray(firs & (spots > 1.1))
