"""Units: what a file calls its unit, turned into the one that a band declares."""

from __future__ import annotations

_SAME = {
    "kelvin": "K", "degC": "C", "celsius": "C", "degrees_celsius": "C", "deg_c": "C", "m of water equivalent": "m",
    "mm/day": "mm d-1", "mm day-1": "mm d-1", "kg m-2 d-1": "mm d-1", "kg m-2 day-1": "mm d-1", "m day-1": "m d-1",
    "J m-2 day-1": "J m-2 d-1", "mb": "hPa", "mbar": "hPa", "m/s": "m s-1", "m3/m3": "m3 m-3",
}  # fmt: skip
_CONVERSIONS = {
    ("C", "K"): (1.0, 273.15),
    ("m d-1", "mm d-1"): (1000.0, 0.0),
    ("m", "mm d-1"): (1000.0, 0.0),
    ("kg m-2 s-1", "mm d-1"): (86400.0, 0.0),
    ("J m-2 d-1", "MJ m-2 d-1"): (1e-6, 0.0),
    ("J m-2", "MJ m-2 d-1"): (1e-6, 0.0),
    ("W m-2", "MJ m-2 d-1"): (0.0864, 0.0),
    ("Pa", "hPa"): (0.01, 0.0),
    ("kPa", "hPa"): (10.0, 0.0),
    ("m", "cm"): (100.0, 0.0),
    ("mm", "cm"): (0.1, 0.0),
}
"""(unit of the file, unit wanted): factor and offset. Monthly means of ERA5's accumulated quantities are given per
day in units that do not say so (`m`, `J m-2`)."""


def conversion(told: str, wanted: str) -> tuple[float, float] | None:
    """Gives (factor, offset) from the unit that a file tells to the one wanted, or None where none is known."""
    plain = told.replace("**", "").replace("^", "").strip()
    plain = next((same for other, same in _SAME.items() if other.lower() == plain.lower()), plain)
    return (1.0, 0.0) if plain == wanted else _CONVERSIONS.get((plain, wanted))
