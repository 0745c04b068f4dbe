"""Short texts about places of the landscape, as people might have written them."""

from __future__ import annotations

from typing import Any

import numpy as np

from earthfield.simulate.canvas import PIXEL_M
from earthfield.simulate.change import ChangeKind
from earthfield.simulate.covers import LandCover
from earthfield.simulate.crops import CROPS
from earthfield.simulate.noise import stream
from earthfield.simulate.truth import change_in, crop_in, landcover_in
from earthfield.simulate.world import World

LICENCE = "CC0, simulated"
_REACH_PX = 12
"""A text speaks of what lies within this distance."""
_MOST = 4000
_NOTES = 3
"""Notes of a word or two, as people tag maps and as they search, for every text of whole sentences."""

_WORDS: dict[int, tuple[str, ...]] = {
    LandCover.DECIDUOUS: ("a broadleaved wood", "deciduous woodland", "a forest of oak and beech"),
    LandCover.CONIFER: ("a dark conifer stand", "pine and spruce forest", "a coniferous plantation"),
    LandCover.EVERGREEN: (
        "evergreen broadleaved forest",
        "dense evergreen trees",
        "tall forest that never sheds its leaves",
    ),
    LandCover.SHRUB: ("scrub and bushes", "shrubland", "hedgerows and thickets"),
    LandCover.GRASSLAND: ("grassland", "pasture with grazing cattle", "open meadows"),
    LandCover.CROPLAND: ("farmland", "arable fields", "cultivated land"),
    LandCover.ORCHARD: ("an orchard in rows", "trees planted in rows", "fruit trees"),
    LandCover.BUILT: ("houses and roofs", "a built-up area", "buildings"),
    LandCover.ROAD: ("streets", "a road", "paved lanes"),
    LandCover.URBAN_GREEN: ("gardens", "a park and gardens", "green yards between houses"),
    LandCover.BARE: ("bare ground", "open soil without plants", "a quarry or bare land"),
    LandCover.WATER: ("open water", "a lake or river", "water"),
    LandCover.WETLAND: ("a marsh", "wetland with reeds", "boggy ground"),
}
_OPENINGS = ("{first} with {second} nearby.", "{first}, beside it {second}.", "{first}; {second} next to it.")
_CROP_LINES = (
    "In {year} the fields carried {crop}.",
    "{crop} was harvested here in {year}.",
    "A field of {crop} in {year}.",
)
_CHANGE_LINES = {
    ChangeKind.BUILT: "New buildings stand here since the winter of {year}.",
    ChangeKind.CLEAR_CUT: "The trees were felled in the winter of {year}.",
    ChangeKind.BURNT: "A fire went through here in the winter half of {year}.",
    ChangeKind.PLANTED: "Young trees were planted in the winter of {year}.",
    ChangeKind.ABANDONED: "The fields have been left to bushes since the winter of {year}.",
    ChangeKind.DIEBACK: "The conifers have been dying since the winter of {year}.",
    ChangeKind.NEW_WATER: "The land was flooded in the winter of {year}; a new pond remains.",
}


def texts_of(world: World) -> dict[str, Any]:
    """A GeoJSON FeatureCollection: about one text for every 2 hectares, at least 48, at most 16,000.

    One in four is of whole sentences, and they come first.
    """
    rng = stream(world.spec.seed, "texts")
    rows, cols = world.canvas.height, world.canvas.width
    num = int(np.clip(rows * cols / 800, 12, _MOST))
    years = range(world.spec.start_year, world.spec.start_year + world.spec.years)
    maps = {year: (landcover_in(world, year), crop_in(world, year)) for year in years}
    changes = {year: change_in(world, year) for year in years[:-1]}
    features = []
    for number in range(num * (1 + _NOTES)):
        row, col = int(rng.integers(rows)), int(rng.integers(cols))
        year = int(rng.choice(np.array(years)))
        if number < num:
            text = _text(rng, world, maps[year], changes.get(year), (row, col), year)
        else:
            text = _note(rng, maps[year][0], (row, col))
        lon, lat = world.canvas.lonlat(
            world.canvas.west + (col + 0.5) * PIXEL_M, world.canvas.north - (row + 0.5) * PIXEL_M
        )
        features.append(_feature(lon, lat, text, year))
    return {
        "type": "FeatureCollection",
        "earthfield:simulated": True,
        "licence": LICENCE,
        "features": features,
    }


def _feature(lon: float, lat: float, text: str, year: int) -> dict[str, Any]:
    """One text at one point."""
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [round(lon, 6), round(lat, 6)]},
        "properties": {"text": text, "year": year, "licence": LICENCE, "earthfield:simulated": True},
    }


def _note(rng: np.random.Generator, landcover: Any, at: tuple[int, int]) -> str:
    """The main kind of land."""
    return _pick(rng, _WORDS[int(np.bincount(landcover[_around(at)].ravel()).argmax())])


def _around(at: tuple[int, int]) -> tuple[slice, ...]:
    """What a text speaks of."""
    return tuple(slice(max(0, place - _REACH_PX), place + _REACH_PX + 1) for place in at)


def _text(
    rng: np.random.Generator, world: World, maps: tuple[Any, Any], change: Any, at: tuple[int, int], year: int
) -> str:
    """What a walker would note: the two main kinds of land, a crop, a change."""
    window = _around(at)
    landcover, crop = maps[0][window], maps[1][window]
    kinds, counts = np.unique(landcover, return_counts=True)
    order = kinds[np.argsort(-counts, kind="stable")]
    first, second = (_pick(rng, _WORDS[int(order[min(rank, len(order) - 1)])]) for rank in (0, 1))
    opening = _pick(rng, _OPENINGS) if len(order) > 1 else "{first} all around."
    parts = [opening.format(first=first[0].upper() + first[1:], second=second)]
    if crop[crop > 0].size > 40:
        name = CROPS[int(np.bincount(crop[crop > 0]).argmax())].name.replace("_", " ")
        line = _pick(rng, _CROP_LINES).format(crop=name, year=year)
        parts.append(line[0].upper() + line[1:])
    if change is not None and (seen := change[window])[seen > 0].size > 20:
        parts.append(_CHANGE_LINES[ChangeKind(int(np.bincount(seen[seen > 0]).argmax()))].format(year=year))
    if rng.random() < 0.25:
        parts.append(f"The climate is {world.style.climate.name.replace('_', ' ')}.")
    return " ".join(parts)


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    """One of some phrases."""
    return words[int(rng.integers(len(words)))]
