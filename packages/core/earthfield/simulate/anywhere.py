"""Places all over the land of the Earth, drawn so that every climate has its turn."""

from __future__ import annotations

import numpy as np

_REGIONS: dict[str, tuple[tuple[str, float, float, float, float], ...]] = {
    # climate belt: (region, west, south, east, north), all land but for lakes
    "temperate": (
        ("Flanders and northern France", 1.0, 48.5, 5.5, 51.0),
        ("Great Britain", -3.0, 51.2, 0.0, 54.0),
        ("Germany and Poland", 8.0, 49.0, 22.0, 53.5),
        ("Ukraine", 25.0, 47.5, 37.0, 51.5),
        ("Volga", 42.0, 50.0, 55.0, 55.0),
        ("Corn Belt", -98.0, 38.5, -83.0, 43.5),
        ("Canadian prairie", -112.0, 49.5, -99.0, 53.0),
        ("Manchuria", 122.0, 43.0, 128.0, 47.5),
        ("Hokkaido", 142.0, 43.0, 143.5, 44.0),
        ("South Island", 170.0, -45.5, 172.0, -43.0),
        ("Southern Chile", -72.8, -41.0, -71.8, -37.0),
    ),
    "dry_warm": (
        ("Castile", -6.0, 38.5, -1.5, 42.0),
        ("Apulia and Campania", 14.8, 40.3, 17.0, 41.2),
        ("Anatolia", 30.0, 37.5, 41.0, 40.5),
        ("Morocco", -7.5, 31.5, -3.0, 34.0),
        ("Central Valley", -121.0, 36.0, -119.0, 38.5),
        ("High Plains", -103.0, 33.0, -99.0, 39.0),
        ("Fergana", 69.0, 39.5, 72.5, 41.5),
        ("Punjab", 72.0, 29.5, 76.5, 32.0),
        ("North China plain", 114.0, 33.5, 118.0, 38.5),
        ("Pampas", -64.0, -38.0, -59.0, -32.0),
        ("Swartland", 18.6, -33.8, 19.6, -32.5),
        ("Murray basin", 141.0, -36.0, 147.0, -33.0),
        ("Piedmont", -84.0, 32.5, -80.0, 35.5),
    ),
    "desert": (
        ("Nile valley", 30.8, 26.5, 32.5, 30.5),
        ("Najd", 41.0, 22.0, 47.0, 28.0),
        ("Sahara's edge", 2.0, 24.0, 10.0, 33.0),
        ("Sind", 67.5, 24.8, 70.0, 28.5),
        ("Sonora", -113.0, 28.5, -109.5, 32.5),
        ("Atacama's valleys", -70.2, -29.5, -69.3, -24.0),
        ("Kalahari", 18.5, -27.5, 23.5, -22.0),
        ("Australian interior", 122.0, -29.0, 138.0, -22.0),
        ("Taklamakan oases", 76.5, 38.0, 84.0, 41.0),
    ),
    "seasonal_tropics": (
        ("Northern Tanzania", 34.0, -6.5, 37.8, -2.5),
        ("Kenyan highlands", 34.5, -1.3, 38.0, 1.0),
        ("Ethiopian highlands", 37.0, 7.5, 40.5, 12.5),
        ("Sahel", -4.0, 12.0, 12.0, 15.0),
        ("Nigeria's middle belt", 4.0, 8.0, 12.0, 11.5),
        ("Zambia and Malawi", 27.0, -15.5, 34.0, -11.0),
        ("Zimbabwe", 28.0, -20.5, 32.0, -16.5),
        ("Deccan", 74.5, 14.5, 79.5, 21.0),
        ("Ganges plain", 79.0, 25.0, 87.0, 28.0),
        ("Isan", 101.8, 14.3, 104.8, 17.8),
        ("Cerrado", -54.0, -18.5, -45.5, -12.0),
        ("Bajio", -103.5, 19.5, -99.5, 22.0),
        ("Madagascar", 45.5, -21.5, 47.5, -17.0),
    ),
    "wet_tropics": (
        ("Amazonia", -68.0, -10.0, -53.0, -1.5),
        ("Congo basin", 17.0, -4.0, 27.0, 3.0),
        ("Ghana and Ivory Coast", -7.5, 5.6, -1.0, 8.0),
        ("Java", 107.5, -7.5, 112.0, -6.9),
        ("Borneo", 110.5, -2.0, 115.5, 2.0),
        ("Mekong delta", 105.2, 9.5, 106.3, 11.0),
        ("Luzon", 120.5, 14.8, 121.2, 17.0),
        ("Costa Rica and Panama", -84.3, 9.3, -83.3, 10.5),
    ),
    "boreal": (
        ("Finland", 23.0, 61.5, 29.5, 67.5),
        ("Sweden", 13.5, 57.5, 17.0, 66.0),
        ("Estonia and Latvia", 24.0, 56.6, 27.5, 59.2),
        ("Siberia", 65.0, 55.5, 100.0, 66.0),
        ("Yakutia", 120.0, 60.0, 135.0, 68.0),
        ("Alaska's interior", -155.0, 62.0, -143.0, 67.0),
        ("Quebec", -77.0, 49.0, -66.0, 57.0),
        ("Nunavut", -108.0, 64.5, -96.0, 68.0),
        ("Iceland", -20.8, 63.9, -18.0, 65.5),
    ),
}
_ODDS = {
    "temperate": 0.28,
    "dry_warm": 0.2,
    "desert": 0.1,
    "seasonal_tropics": 0.22,
    "wet_tropics": 0.1,
    "boreal": 0.1,
}
"""How often each belt is drawn: farmed land more often than its share of the Earth."""


def place(rng: np.random.Generator) -> tuple[str, float, float]:
    """A place on land: the name of its region, longitude and latitude in degrees."""
    belts = list(_REGIONS)
    odds = np.array([_ODDS[belt] for belt in belts])
    regions = _REGIONS[belts[int(rng.choice(len(belts), p=odds / odds.sum()))]]
    name, west, south, east, north = regions[int(rng.integers(len(regions)))]
    return name, round(float(rng.uniform(west, east)), 4), round(float(rng.uniform(south, north)), 4)
