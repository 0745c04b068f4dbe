"""What changes between the years: fields built over, woods felled, land flooded."""

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
    """Between every two years build over, fell and flood some land; no pixel changes twice.

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
        ):
            rng = stream(spec.seed, f"change {kind.name}", year)
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
    code = CODE["clear_cut"] if kind is ChangeKind.CLEAR_CUT else CODE["pond"]
    return np.full(canvas.shape, code, np.uint8)


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
    open_land = np.isin(land.cover, codes_of("cropland", "pasture", "meadow", "rough_grass", "field_margin"))
    return _pick(
        rng, land.parcels.parcel, open_land, 3.0 * land.towns.density, float(rng.uniform(0.004, 0.014))
    )


def _coupes(rng: np.random.Generator, land: Land) -> Bools:
    """Stands of forest, felled whole."""
    woods = codes_of("deciduous_forest", "conifer_forest", "mixed_forest", "evergreen_forest", "plantation")
    wooded = np.isin(land.cover, woods)
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
