"""The land-cover map before any change: fields, grass, woods, water, towns, roads, hedges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label, uniform_filter

from earthfield.simulate.arrays import Bools, Codes, Floats, Ints
from earthfield.simulate.canvas import PIXEL_M, Canvas
from earthfield.simulate.covers import CODE, codes_of
from earthfield.simulate.noise import fractal, smooth, stream
from earthfield.simulate.parcels import Parcels, parcels_of
from earthfield.simulate.style import Style
from earthfield.simulate.terrain import Terrain
from earthfield.simulate.towns import Towns, fabric, towns_of


@dataclass(frozen=True)
class Land:
    """The map at the start; arrays (rows, cols) of the canvas."""

    cover: Codes
    """Surface code of each pixel."""
    place: Ints
    """Whose character a pixel has: its parcel's number, or num_parcels + its block's for small features
    (and, so that a lake has no seam, its water body's)."""
    parcels: Parcels
    """The cut of the land."""
    towns: Towns
    """Built-up places."""
    water_near: Floats
    """How close open water is, 1 at the bank and falling to 0."""

    @property
    def num_places(self) -> int:
        """How many different places there are."""
        return self.parcels.num + self.parcels.num_blocks


def _top_share(values: Floats, share: float) -> Bools:
    """The given share of pixels with the highest values."""
    if share <= 0.0:
        return np.zeros(values.shape, np.bool_)
    step = max(1, min(values.shape) // 512)
    return values > np.float32(np.quantile(values[::step, ::step], 1.0 - min(share, 0.999)))


def land_of(seed: int, style: Style, canvas: Canvas, terrain: Terrain) -> Land:
    """Compose the map, from the ground up: parcels, woods and wild land, roads, water, towns."""
    parcels = parcels_of(seed, style, canvas)
    cover = _farmland(seed, style, parcels)
    low = terrain.lowness()
    water = _water(seed, style, canvas, low)
    water_near = _nearness(water)
    _wild(seed, style, parcels, low + np.float32(1.5) * water_near, cover)
    farmed = np.isin(
        cover,
        codes_of("cropland", "pasture", "meadow", "rough_grass", "orchard", "olive_grove", "vineyard"),
    )
    _borders(seed, style, parcels, farmed, cover)
    roads = _roads(seed, style, parcels)
    cover[roads > 0] = roads[roads > 0]
    towns = towns_of(seed, style, canvas)
    lots = stream(seed, "town edge").normal(0.0, 0.16, parcels.num).astype(np.float32)[parcels.parcel]
    streets = fabric(seed, canvas, towns.density, (towns.density > 0.12) & (towns.density + lots > 0.38))
    cover[streets > 0] = streets[streets > 0]
    cover[water > 0] = water[water > 0]
    small = ~np.isin(cover, codes_of("cropland", "pasture", "meadow", "rough_grass", "orchard", "olive_grove",
                                     "plantation", "deciduous_forest", "conifer_forest", "mixed_forest",
                                     "evergreen_forest", "shrubland", "woodland", "heath", "vineyard",
                                     "greenhouse"))  # fmt: skip
    place = np.where(small, parcels.num + parcels.block, parcels.parcel).astype(np.int32)
    bodies = label(water > 0)[0]
    place[water > 0] = parcels.num + bodies[water > 0] % parcels.num_blocks
    return Land(cover, place, parcels, towns, water_near)


def _farmland(seed: int, style: Style, parcels: Parcels) -> Codes:
    """Crops, grass or trees in rows, one kind a parcel; grass and orchards gather in neighbouring blocks."""
    rng = stream(seed, "farmland")
    block_leaning = rng.normal(0.0, 0.9, parcels.num_blocks)[parcels.block_of]
    leaning = block_leaning + rng.normal(0.0, 1.0, parcels.num)
    kind = np.full(parcels.num, CODE["cropland"], np.uint8)
    grass = leaning > np.quantile(leaning, 1.0 - style.grass)
    dry = style.climate.name in ("savanna", "steppe", "desert", "two_rains", "mediterranean", "monsoon")
    kinds = (
        ("rough_grass", "rough_grass", "pasture") if dry else ("meadow", "pasture", "pasture", "rough_grass")
    )
    kind[grass] = rng.choice(codes_of(*kinds), int(grass.sum()))
    trees = rng.normal(0.0, 0.8, parcels.num_blocks)[parcels.block_of] + rng.normal(0.0, 1.0, parcels.num)
    rows = trees > np.quantile(trees, 1.0 - style.orchard)
    names = {
        "mediterranean": ("olive_grove", "olive_grove", "orchard"),
        "humid_tropics": ("plantation",),
        "savanna": ("plantation", "orchard"),
        "two_rains": ("plantation", "orchard"),
        "monsoon": ("plantation", "orchard"),
    }
    kind[rows] = rng.choice(codes_of(*names.get(style.climate.name, ("orchard",))), int(rows.sum()))
    for name, share in (("vineyard", style.fruit), ("greenhouse", style.glass)):
        gathered = rng.normal(0.0, 1.2, parcels.num_blocks)[parcels.block_of] + rng.normal(
            0.0, 1.0, parcels.num
        )
        kind[gathered > np.quantile(gathered, 1.0 - share)] = CODE[name]
    cover = kind[parcels.parcel]
    if parcels.outside_circle.any():
        cover[parcels.outside_circle] = (
            CODE["bare_soil"] if style.climate.name == "desert" else CODE["rough_grass"]
        )
    return cover


def _wild(seed: int, style: Style, parcels: Parcels, wet: Floats, cover: Codes) -> None:
    """Woods, scrub, bare ground and wetland over the parcels, in place; edges follow noise, not borders."""
    shape = cover.shape
    rng = stream(seed, "wild")
    broad = fractal(rng, shape, 70.0, octaves=5, gain=0.55)
    copses = stream(seed, "copses").normal(0.0, 0.55, parcels.num).astype(np.float32)[parcels.parcel]
    woods = _top_share(broad + copses - np.float32(0.25) * wet, style.forest)
    trees = codes_of(*style.climate.trees)
    stands = rng.normal(0.0, 0.5, parcels.num).astype(np.float32)[parcels.parcel] + smooth(rng, shape, 90.0)
    rank = np.searchsorted(np.linspace(-0.7, 0.7, len(trees) + 1)[1:-1], stands)
    scrub = fractal(rng, shape, 45.0, octaves=4, gain=0.6)
    cover[_top_share(scrub + np.float32(0.4) * broad, style.shrub)] = CODE["shrubland"]
    cover[_top_share(fractal(rng, shape, 55.0, octaves=4, gain=0.6), style.heath)] = CODE["heath"]
    cover[woods] = np.array(trees, np.uint8)[rank][woods]
    bare = _top_share(fractal(rng, shape, 28.0, octaves=5, gain=0.6), style.bare)
    ground = {"desert": ("sand", "bare_soil", "rock"), "mediterranean": ("rock", "gravel_pit", "bare_soil")}
    names = ground.get(style.climate.name, ("gravel_pit", "bare_soil", "sand"))
    pick = np.searchsorted([-0.5, 0.6], smooth(rng, shape, 120.0))
    cover[bare] = np.array(codes_of(*names), np.uint8)[pick][bare]
    soaked = _top_share(wet + np.float32(0.7) * fractal(rng, shape, 30.0, octaves=3), style.wetland)
    cold = style.climate.name in ("boreal", "maritime", "tundra")
    cover[soaked] = np.where(
        smooth(rng, shape, 60.0)[soaked] > (0.3 if cold else 9.0), CODE["bog"], CODE["marsh"]
    )


def _borders(seed: int, style: Style, parcels: Parcels, farmed: Bools, cover: Codes) -> None:
    """Hedges, grassy margins and ditches along the parcels' edges, in place."""
    rng = stream(seed, "borders")
    lot = rng.random(parcels.num, dtype=np.float32)[parcels.parcel]
    edge = parcels.border & farmed
    cover[edge & (lot < 0.3)] = CODE["field_margin"]
    hedged = edge & (lot > 1.0 - style.hedges)
    gaps = rng.random(cover.shape, dtype=np.float32) < 0.12
    cover[hedged & ~gaps] = CODE["hedge"]
    if style.pattern == "polder":
        ditch = parcels.long_border & farmed & (lot < 0.8)
        cover[ditch] = CODE["field_margin"]
        cover[ditch & (lot < 0.4)] = CODE["river"]


def _roads(seed: int, style: Style, parcels: Parcels) -> Codes:
    """Lanes along block borders, asphalt or earth."""
    rng = stream(seed, "roads")
    tarred = 0.15 if style.climate.name in ("savanna", "two_rains", "monsoon", "humid_tropics") else 0.75
    kind = np.where(rng.random(parcels.num_blocks) < tarred, CODE["asphalt_road"], CODE["dirt_road"])
    has = rng.random(parcels.num_blocks) < 0.7
    return np.where(parcels.block_border & has[parcels.block], kind[parcels.block], 0).astype(np.uint8)


def _water(seed: int, style: Style, canvas: Canvas, low: Floats) -> Codes:
    """Lakes in the low places and meandering rivers, one every 6 km or so."""
    shape = canvas.shape
    rng = stream(seed, "water")
    water = np.zeros(shape, np.uint8)
    lakes = fractal(rng, shape, 42.0, octaves=4, gain=0.4) + np.float32(0.5) * low
    water[_top_share(lakes, style.lake)] = CODE["lake"]
    if style.river_m > 0:
        angle = float(rng.uniform(0, math.pi))
        for _ in range(max(1, round(max(shape) / 600))):
            water[_river(rng, shape, angle, style.river_m)] = CODE["river"]
    if style.sea > 0:
        coast = fractal(rng, shape, 160.0, octaves=5) + np.float32(0.8) * low
        coast += np.linspace(-2.0, 2.0, shape[1], dtype=np.float32) * np.float32(rng.choice([-1.0, 1.0]))
        water[_top_share(coast, style.sea)] = CODE["sea"]
    return water


def _river(rng: np.random.Generator, shape: tuple[int, int], angle: float, width_m: float) -> Bools:
    """Pixels of one river that crosses the canvas in a direction, in meanders of three sizes."""
    rows, cols = shape
    turn = angle + float(rng.normal(0.0, 0.25))
    y, x = np.ogrid[0:rows, 0:cols]
    u = ((x - cols / 2) * math.cos(turn) + (y - rows / 2) * math.sin(turn)).astype(np.float32)
    v = ((y - rows / 2) * math.cos(turn) - (x - cols / 2) * math.sin(turn)).astype(np.float32)
    course = np.full(shape, rng.uniform(-0.35, 0.35) * min(shape), np.float32)
    slope = np.zeros(shape, np.float32)
    for wave_px, swing_px in ((260.0, 34.0), (95.0, 11.0), (38.0, 3.0)):
        wave = 2 * math.pi / (wave_px * float(rng.uniform(0.7, 1.4)))
        swing, phase = swing_px * float(rng.uniform(0.5, 1.3)), float(rng.uniform(0, 2 * math.pi))
        course += np.float32(swing) * np.sin(np.float32(wave) * u + np.float32(phase))
        slope += np.float32(swing * wave) * np.cos(np.float32(wave) * u + np.float32(phase))
    half_px = 0.5 * width_m / PIXEL_M * (1.0 + 0.2 * np.sin(u / np.float32(17.0)))
    return np.asarray(np.abs(v - course) / np.sqrt(1.0 + slope**2) < half_px)


def _nearness(water: Codes) -> Floats:
    """1 on and beside water, falling to 0 some 150 m away (two box blurs)."""
    near = (water > 0).astype(np.float32)
    for _ in range(2):
        near = uniform_filter(near, 15, mode="nearest")
    return np.asarray(np.minimum(1.0, 2.0 * near), np.float32)
