"""The kind of land and climate that a seed and a latitude give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthfield.simulate.noise import stream
from earthfield.simulate.quirks import Quirks, quirks_of
from earthfield.simulate.spec import Landscape


@dataclass(frozen=True)
class Climate:
    """Weather statistics of one kind of climate."""

    name: str
    """What a person calls it."""
    mean_c: float
    """Mean air temperature of the year at sea level, degrees Celsius."""
    swing_c: float
    """Half the difference between the warmest and the coldest month, kelvin."""
    rain_mm: float
    """Rain of an average year, millimetres."""
    rain_peaks: tuple[float, ...]
    """Days of the northern year around which the rain falls; none for rain all year round."""
    rain_season: float
    """How much of the rain keeps to its season, 0 to 1."""
    cloud: float
    """Share of days without any view of the ground, 0 to 1."""
    patterns: tuple[str, ...]
    """Field patterns that occur."""
    crops: tuple[tuple[str, float], ...]
    """Crops that occur, with weights."""
    trees: tuple[str, ...]
    """Forest surfaces that occur."""
    irrigated: float = 0.1
    """Share of fields that never lack water."""


_EUROPE = (
    ("winter_wheat", 3.0), ("winter_barley", 1.2), ("rapeseed", 1.2), ("maize", 2.6), ("potato", 1.3),
    ("sugar_beet", 1.2), ("spring_barley", 0.8), ("flax", 0.3), ("vegetables", 0.5), ("alfalfa", 0.4),
    ("winter_rye", 0.5), ("oats", 0.4), ("peas", 0.4), ("onions", 0.4), ("ley_then_maize", 0.8), ("ley", 1.2),
    ("leeks", 0.4), ("fallow", 0.3),
)  # fmt: skip
_CONTINENT = (
    ("winter_wheat", 3.0), ("maize", 2.6), ("sunflower", 1.6), ("soybean", 1.6), ("rapeseed", 1.0),
    ("spring_barley", 1.0), ("alfalfa", 0.8), ("sugar_beet", 0.5), ("potato", 0.3), ("winter_rye", 0.5),
    ("oats", 0.4), ("peas", 0.4), ("wheat_then_soy", 0.6), ("millet", 0.3), ("fallow", 0.5), ("ley", 0.4),
)  # fmt: skip
_MEDITERRANEAN = (
    ("winter_wheat", 3.0), ("winter_barley", 1.6), ("sunflower", 0.9), ("maize", 0.9), ("vegetables", 1.4),
    ("alfalfa", 0.9), ("temperate_rice", 0.8), ("cotton", 0.6), ("fallow", 1.0), ("peas", 0.6), ("oats", 0.6),
    ("chickpea", 0.4), ("onions", 0.4),
)  # fmt: skip
_DRYLAND = (
    ("cotton", 2.0),
    ("alfalfa", 2.2),
    ("winter_wheat", 2.4),
    ("maize", 1.4),
    ("vegetables", 1.0),
    ("fallow", 1.4),
    ("millet", 0.6),
    ("chickpea", 0.5),
    ("onions", 0.5),
)
_MONSOON = (
    ("paddy_rice", 3.0), ("double_rice", 2.0), ("sugarcane", 1.2), ("sorghum", 1.0), ("groundnut", 1.0),
    ("rainfed_maize", 0.8), ("winter_wheat", 1.0), ("chickpea", 0.8), ("onions", 0.4), ("fallow", 0.6),
    ("pearl_millet", 0.6), ("wet_season_cotton", 0.6),
)  # fmt: skip
_SAVANNA = (
    ("rainfed_maize", 3.0), ("sorghum", 2.0), ("groundnut", 1.2), ("beans", 1.2), ("cassava", 1.2),
    ("sugarcane", 0.4), ("paddy_rice", 0.3), ("pearl_millet", 1.0), ("wet_season_cotton", 0.6), ("sesame", 0.6),
    ("pigeon_pea", 0.8), ("fallow", 2.0), ("sweet_potato", 0.6),
)  # fmt: skip
_HUMID = (
    ("double_rice", 1.6), ("cassava", 2.0), ("rainfed_maize", 1.4), ("sugarcane", 1.0), ("beans", 1.0),
    ("paddy_rice", 0.8), ("sweet_potato", 0.8), ("fallow", 0.6),
)  # fmt: skip
_BOREAL = (
    ("spring_barley", 3.0),
    ("alfalfa", 1.2),
    ("potato", 0.7),
    ("winter_wheat", 0.7),
    ("rapeseed", 0.8),
    ("oats", 1.5),
    ("ley", 2.5),
    ("fallow", 0.6),
)

_CLIMATES: dict[str, tuple[Climate, ...]] = {
    "polar": (
        Climate("tundra", -6.0, 14.0, 350, (215,), 0.3, 0.45, ("clearings",), _BOREAL,
                ("conifer_forest", "mixed_forest"), 0.0),
        Climate("boreal", 0.5, 14.5, 520, (215,), 0.25, 0.44, ("clearings", "strips"), _BOREAL,
                ("conifer_forest", "conifer_forest", "mixed_forest"), 0.0),
    ),
    "cold": (
        Climate("boreal", 3.5, 13.0, 600, (215,), 0.25, 0.44, ("clearings", "strips"), _BOREAL,
                ("conifer_forest", "conifer_forest", "mixed_forest"), 0.0),
    ),
    "mild": (
        Climate("maritime", 10.5, 7.5, 820, (), 0.0, 0.42, ("bocage", "polder", "open", "strips"), _EUROPE,
                ("deciduous_forest", "mixed_forest", "conifer_forest")),
        Climate("continental", 9.0, 12.5, 560, (170,), 0.35, 0.34, ("open", "large", "strips"), _CONTINENT,
                ("deciduous_forest", "deciduous_forest", "conifer_forest")),
        Climate("maritime", 10.0, 7.0, 750, (), 0.0, 0.4, ("bocage", "polder", "open", "strips"), _EUROPE,
                ("deciduous_forest", "mixed_forest", "conifer_forest")),
    ),
    "warm": (
        Climate("mediterranean", 16.0, 8.5, 520, (350,), 0.75, 0.24, ("mosaic", "strips", "open"),
                _MEDITERRANEAN, ("evergreen_forest", "conifer_forest", "deciduous_forest"), 0.35),
        Climate("steppe", 14.0, 13.0, 330, (130,), 0.4, 0.2, ("pivot", "large", "open"), _DRYLAND,
                ("conifer_forest", "deciduous_forest"), 0.5),
        Climate("desert", 18.0, 12.0, 120, (40,), 0.3, 0.12, ("pivot", "strips", "mosaic"), _DRYLAND,
                ("conifer_forest", "evergreen_forest"), 0.8),
        Climate("humid_subtropical", 17.0, 10.0, 1150, (180,), 0.35, 0.36, ("open", "mosaic", "smallholder"),
                _CONTINENT, ("deciduous_forest", "mixed_forest", "evergreen_forest")),
    ),
    "hot": (
        Climate("desert", 23.0, 9.0, 110, (40,), 0.4, 0.1, ("pivot", "strips"), _DRYLAND,
                ("conifer_forest", "evergreen_forest"), 0.95),
        Climate("monsoon", 25.0, 6.0, 1150, (215,), 0.92, 0.34, ("smallholder", "terrace", "strips"),
                _MONSOON, ("deciduous_forest", "evergreen_forest"), 0.35),
        Climate("savanna", 23.0, 5.0, 600, (215,), 0.9, 0.25, ("mosaic", "pivot", "large", "smallholder"),
                _SAVANNA, ("deciduous_forest", "woodland", "evergreen_forest"), 0.15),
    ),
    "tropical": (
        Climate("savanna", 26.0, 2.6, 760, (215,), 0.93, 0.36, ("smallholder", "mosaic", "pivot"), _SAVANNA,
                ("deciduous_forest", "woodland", "woodland"), 0.08),
        Climate("monsoon", 27.0, 3.0, 1500, (215,), 0.88, 0.4, ("smallholder", "terrace"), _MONSOON,
                ("evergreen_forest", "deciduous_forest"), 0.35),
    ),
    "equatorial": (
        Climate("humid_tropics", 26.5, 1.0, 2000, (100, 300), 0.45, 0.55,
                ("clearings", "smallholder", "terrace"),
                _HUMID, ("evergreen_forest",), 0.1),
        Climate("two_rains", 24.0, 1.5, 680, (105, 315), 0.85, 0.42, ("smallholder", "mosaic"), _SAVANNA,
                ("woodland", "deciduous_forest", "evergreen_forest"), 0.08),
        Climate("two_rains", 20.5, 1.5, 820, (105, 320), 0.8, 0.42, ("smallholder", "mosaic", "large"), _SAVANNA,
                ("woodland", "plantation", "evergreen_forest"), 0.15),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """Everything about a landscape that is one number for the whole of it."""

    climate: Climate
    """Its weather."""
    pattern: str
    """How its fields are cut: one of the keys of `_FIELD_M`."""
    field_m: float
    """Typical length of a field's shorter side, metres."""
    forest: float
    """Share of forest, 0 to 1."""
    grass: float
    """Share of parcels under grass, 0 to 1."""
    orchard: float
    """Share of parcels under trees or bushes in rows, 0 to 1."""
    shrub: float
    """Share of open scrub, 0 to 1."""
    bare: float
    """Share of naturally bare ground, 0 to 1."""
    lake: float
    """Share of lakes, 0 to 1."""
    wetland: float
    """Share of marsh and bog, 0 to 1."""
    town: float
    """Share of towns and villages, 0 to 1."""
    river_m: float
    """Width of the river, metres; 0 for none."""
    hedges: float
    """Share of field borders with a hedge, 0 to 1."""
    relief_m: float
    """Standard deviation of the elevation, metres."""
    base_m: float
    """Mean elevation, metres."""
    soils: tuple[str, str]
    """The two soils that the fields mix."""
    turbidity: float
    """How muddy the water is, 0 to 1."""
    cover_crops: float
    """Share of fields sown with a cover crop between two crops, 0 to 1."""
    sea: float
    """Share of sea, 0 to 1."""
    glass: float
    """Share of parcels under glass or plastic, 0 to 1."""
    fruit: float
    """Share of parcels under vines or bushes, 0 to 1."""
    heath: float
    """Share of heath or tundra, 0 to 1."""
    quirks: Quirks
    """Habits, air and instruments."""

    @property
    def words(self) -> str:
        """The style in a few words."""
        return f"{self.climate.name.replace('_', ' ')}, {self.pattern} fields"


_FIELD_M = {
    "bocage": 90, "polder": 95, "open": 170, "large": 380, "strips": 70, "mosaic": 75, "pivot": 520,
    "smallholder": 48, "terrace": 45, "clearings": 100,
}  # fmt: skip
_HEDGES = {"bocage": 0.6, "mosaic": 0.25, "smallholder": 0.3, "clearings": 0.2, "open": 0.1, "strips": 0.08}
_SOILS = {
    "maritime": ("loam", "clay", "sandy", "peat"),
    "continental": ("chernozem", "loam", "clay"),
    "boreal": ("peat", "loam", "sandy"),
    "tundra": ("peat", "sandy", "loam"),
    "mediterranean": ("terra_rossa", "calcareous", "clay", "loam"),
    "steppe": ("chestnut", "sandy", "calcareous"),
    "desert": ("desert", "sandy", "calcareous"),
    "humid_subtropical": ("laterite", "loam", "clay"),
    "monsoon": ("clay", "loam", "vertisol", "laterite"),
    "savanna": ("laterite", "vertisol", "sandy", "chestnut"),
    "humid_tropics": ("laterite", "clay"),
    "two_rains": ("laterite", "vertisol", "loam"),
}


def belt_of(lat: float) -> str:
    """Climate belt of a latitude: polar, cold, mild, warm, hot, tropical or equatorial."""
    for limit, belt in (
        (65, "polar"),
        (56, "cold"),
        (42, "mild"),
        (30, "warm"),
        (18, "hot"),
        (7, "tropical"),
    ):
        if abs(lat) >= limit:
            return belt
    return "equatorial"


_LEANINGS = {
    # what multiplies the shares of forest, grass, shrub, bare, lake and wetland, town
    "farmed": (0.25, 0.5, 0.3, 0.4, 0.3, 0.5),
    "mixed": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    "grazed": (0.6, 2.2, 1.6, 0.8, 0.8, 0.5),
    "wooded": (3.0, 0.8, 1.2, 0.6, 1.0, 0.4),
    "built": (0.5, 0.7, 0.6, 1.0, 0.6, 3.2),
    "wild": (1.4, 1.6, 4.5, 4.0, 1.4, 0.25),
    "watery": (0.7, 1.0, 0.8, 0.8, 5.0, 0.8),
}
_ODDS = (0.3, 0.3, 0.1, 0.08, 0.08, 0.07, 0.07)


def style_of(spec: Landscape) -> Style:
    """Draw the style of a landscape from its seed and latitude."""
    rng = stream(spec.seed, "style")
    climates = _CLIMATES[belt_of(spec.lat)]
    climate = climates[int(rng.integers(len(climates)))]
    pattern = climate.patterns[int(rng.integers(len(climate.patterns)))]
    dry, arctic = climate.name in ("desert", "steppe"), climate.name == "tundra"
    wild = {"clearings": 2.4, "terrace": 1.4, "open": 0.6, "large": 0.4, "pivot": 0.3, "polder": 0.3}.get(
        pattern, 1.0
    )
    leaning = list(_LEANINGS)[int(rng.choice(len(_LEANINGS), p=_ODDS))]
    more_forest, more_grass, more_shrub, more_bare, more_water, more_town = _LEANINGS[leaning]
    soils = rng.permutation(np.array(_SOILS[climate.name]))

    def share(low: float, high: float, factor: float = 1.0) -> float:
        return min(0.8, factor * float(rng.uniform(low, high)))

    def seldom(chance: float, low: float, high: float) -> float:
        there, much = bool(rng.random() < chance), float(rng.uniform(low, high))
        return much if there else 0.0

    rainy_warm = climate.name in ("savanna", "mediterranean", "two_rains", "steppe")
    return Style(
        climate=climate,
        pattern=pattern,
        field_m=_FIELD_M[pattern] * float(np.exp(rng.normal(0.0, 0.3))),
        forest=share(0.04, 0.28, more_forest * wild * (0.1 if arctic else 0.25 if dry else 1.0)),
        grass=share(0.1, 0.5, more_grass * (1.3 if climate.name in ("maritime", "boreal") else 0.7)),
        orchard=share(0.0, 0.1, 2.5 if climate.name in ("mediterranean", "humid_tropics") else 1.0),
        shrub=share(0.0, 0.1, more_shrub * (2.0 if rainy_warm else 0.6)),
        bare=share(0.0, 0.02, more_bare * (7.0 if dry else 3.0 if arctic else 1.0)),
        lake=more_water * seldom(0.4, 0.004, 0.04) * (1.5 if climate.name in ("boreal", "tundra") else 1.0),
        wetland=more_water
        * seldom(0.5, 0.0, 0.05)
        * (2.0 if climate.name in ("boreal", "humid_tropics", "tundra") else 1.0),
        town=share(0.0, 0.14, more_town * (0.15 if arctic else 1.0)),
        river_m=float(rng.choice([0.0, 15.0, 30.0, 60.0, 140.0], p=[0.5, 0.2, 0.14, 0.1, 0.06])),
        hedges=_HEDGES.get(pattern, 0.03) * float(rng.uniform(0.3, 1.3)),
        relief_m={"polder": 1.2, "terrace": 60.0, "open": 14.0, "large": 10.0}.get(pattern, 25.0)
        * float(np.exp(rng.normal(0.0, 0.8))),
        base_m=3.0 if pattern == "polder" else float(np.exp(rng.uniform(3.0, 7.0 if spec.lat < 42 else 6.0))),
        soils=(str(soils[0]), str(soils[1])),
        turbidity=float(rng.uniform(0.05, 0.95)),
        cover_crops=float(rng.uniform(0.15, 0.75))
        if climate.name == "maritime"
        else float(rng.uniform(0, 0.25)),
        sea=seldom(0.1 if leaning == "watery" else 0.04, 0.1, 0.5),
        glass=seldom(0.25, 0.005, 0.12 if climate.name in ("mediterranean", "desert") else 0.03),
        fruit=seldom(0.4, 0.01, 0.2 if climate.name in ("mediterranean", "steppe", "continental") else 0.06),
        heath=float(rng.uniform(0.65, 0.99)) if arctic else seldom(0.12, 0.01, 0.15),
        quirks=quirks_of(spec.seed),
    )
